import { type InjectionToken, Logger, type Provider } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, DiscoveryService, MetadataScanner, ModulesContainer } from '@nestjs/core';
import { AccessCalls } from './guard/access-calls.js';
import { AuthGuard } from './guard/auth.guard.js';
import { AuthInterceptor } from './guard/auth.interceptor.js';
import { GuardInspection } from './guard/guard.inspection.js';
import { GuardLog } from './guard/guard.log.js';
import { GuardSettings } from './guard/guard.settings.js';
import { findUnknownNames } from './guard/known-names.queries.js';
import { TenantContext } from './isolation/tenant-context.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { SessionSettings } from './session/session.settings.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What guards are injected with, wherever they stand. */
export const GUARD_EXPORTS = [AccessCalls, GuardLog];

/** What guards are made of; `settings` is the token of the module's settings. */
export function guardProviders(settings: InjectionToken, guardAllRoutes: boolean): Provider[] {
  return [
    { provide: GuardSettings, inject: [settings], useFactory: ({ guard }: NestAuthSettings) => guard },
    {
      provide: GuardLog,
      inject: [settings],
      useFactory: ({ logRefusals }: NestAuthSettings) => new GuardLog(logRefusals),
    },
    {
      provide: AccessCalls,
      inject: [TenantContext, settings],
      useFactory: (tenants: TenantContext, { guard, apiKeys }: NestAuthSettings) =>
        new AccessCalls(tenants, guard.takesApiKeys ? apiKeys.prefix : undefined),
    },
    {
      provide: GuardInspection,
      inject: [DiscoveryService, MetadataScanner, ModulesContainer, TransactionHost, TenantContext, settings],
      useFactory: makeInspection,
    },
    // Always: behind which guard a handler stands is known only when it is called.
    { provide: APP_INTERCEPTOR, useClass: AuthInterceptor },
    ...(guardAllRoutes ? [{ provide: APP_GUARD, useClass: AuthGuard }] : []),
  ];
}

function makeInspection(
  discovery: DiscoveryService,
  scanner: MetadataScanner,
  modules: ModulesContainer,
  host: TransactionHost,
  tenants: TenantContext,
  { guard, session }: NestAuthSettings & { readonly session: SessionSettings },
): GuardInspection {
  const logger = new Logger('NestAuthGuard');
  return new GuardInspection({
    discovery,
    scanner,
    modules,
    settings: guard,
    canSignIn: session.isInUse,
    findUnknown: (wanted) =>
      tenants.asPlatform(() => host.operate(undefined, (manager) => findUnknownNames(manager, wanted))),
    warn: (message) => logger.warn(message),
  });
}

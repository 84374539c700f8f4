import {
  type DynamicModule,
  Logger,
  Module,
  type OnModuleDestroy,
  type OnModuleInit,
  type Provider,
  type Type,
} from '@nestjs/common';
import { DiscoveryModule, ModuleRef } from '@nestjs/core';
import { EventEmitter2 } from '@nestjs/event-emitter';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { AccessDependents } from './access/access-dependents.js';
import { AccessOperations } from './access/access.operations.js';
import { AccessService } from './access/access.service.js';
import { Delegation } from './access/delegation.operations.js';
import { AccessSettings } from './access/access.settings.js';
import { PermissionRegistryService } from './access/permission-registry.service.js';
import { PermissionService } from './access/permission.service.js';
import { RoleService } from './access/role.service.js';
import { ActivityWriteSubscriber } from './audit/activity-write.subscriber.js';
import { ActivityService } from './audit/activity.service.js';
import { AuditSettings } from './audit/audit.settings.js';
import { EntityActivitySubscriber } from './audit/entity-activity.subscriber.js';
import { EntityWriteSubscriber } from './account/entity-write.subscriber.js';
import { LifecycleDependents } from './account/lifecycle-dependents.js';
import { PasswordPolicy } from './account/password-policy.service.js';
import { ApiKeyService } from './api-key/api-key.service.js';
import { ServiceAccountService } from './api-key/service-account.service.js';
import { PasswordService } from './account/password.service.js';
import { NestAuthError } from './errors/nest-auth.error.js';
import { ExternalSignInService } from './external/external-sign-in.service.js';
import { IdentityFeedService } from './feed/identity-feed.service.js';
import { EventPublisher } from './events/event-publisher.js';
import { InvitationService } from './invitation/invitation.service.js';
import { JobHistoryService } from './job/job-history.service.js';
import { assertRowSecurity } from './isolation/row-security.check.js';
import { TenantContext } from './isolation/tenant-context.js';
import { AccessGate } from './guard/access-gate.js';
import { UserLifecycleService } from './lifecycle/user-lifecycle.service.js';
import { UserStatisticsService } from './lifecycle/user-statistics.service.js';
import { NestAuthEntities } from './nest-auth.entities.js';
import { deliveryProviders } from './nest-auth.delivery.js';
import { apiKeyProviders } from './nest-auth.api-keys.js';
import { externalProviders } from './nest-auth.external.js';
import { invitationProviders } from './nest-auth.invitations.js';
import type {
  NestAuthModuleAsyncOptions,
  NestAuthModuleOptions,
  NestAuthOptionsFactory,
  NestAuthWiringOptions,
} from './nest-auth.options.js';
import { type NestAuthSettings, readSettings } from './nest-auth.settings.js';
import { assertSchemaIsOurs } from './schema-check.js';
import { revocationProviders } from './nest-auth.revocation.js';
import { GUARD_EXPORTS, guardProviders } from './nest-auth.guards.js';
import { sessionProviders } from './nest-auth.sessions.js';
import { subscriberProviders } from './nest-auth.subscribers.js';
import { userProviders } from './nest-auth.users.js';
import { RateLimitService } from './rate-limit/rate-limit.service.js';
import { mfaProviders } from './nest-auth.mfa.js';
import { factorProviders } from './nest-auth.factors.js';
import { recoveryProviders } from './nest-auth.recovery.js';
import { SecondFactorCodeService } from './mfa/code-factor.service.js';
import { RequiredEnrolmentService } from './mfa/required-enrolment.service.js';
import { SecretRotationService } from './mfa/rotation.service.js';
import { TrustedDeviceService } from './mfa/trusted-device.service.js';
import { TwoFactorService } from './mfa/two-factor.service.js';
import { PasswordRecoveryService } from './recovery/password-recovery.service.js';
import { VerificationService } from './recovery/verification.service.js';
import { AuthService } from './session/auth.service.js';
import { SessionService } from './session/session.service.js';
import { Ownership } from './tenant/ownership.operations.js';
import { Tenancy } from './tenant/tenancy.js';
import { TenantService } from './tenant/tenant.service.js';
import { registerPort } from './transaction/entity-ports.js';
import { type FailureKind, failureLog, type TransactionFailure } from './transaction/failure-log.js';
import { observed } from './transaction/observed-service.js';
import { databaseOf } from './transaction/pool-state.js';
import { TransactionHost } from './transaction/transaction-host.js';
import type { NestAuthObserver } from './transaction/transaction-observer.js';
import { UserService } from './user.service.js';

const OPTIONS = Symbol('NestAuthModuleOptions');
const TELEMETRY = Symbol('NestAuthTelemetry');
const DECLARED_PERMISSIONS = Symbol('NestAuthDeclaredPermissions');
const SETTINGS = Symbol('NestAuthSettings');

const PUBLIC_SERVICES = [
  JobHistoryService,
  IdentityFeedService,
  UserService,
  TenantService,
  RoleService,
  PermissionService,
  PermissionRegistryService,
  AccessService,
  ActivityService,
  UserLifecycleService,
  UserStatisticsService,
  AuthService,
  SessionService,
  RateLimitService,
  ApiKeyService,
  ServiceAccountService,
  AccessGate,
  ExternalSignInService,
  VerificationService,
  TwoFactorService,
  TrustedDeviceService,
  SecondFactorCodeService,
  RequiredEnrolmentService,
  SecretRotationService,
  PasswordRecoveryService,
  InvitationService,
  PasswordPolicy,
  PasswordService,
  TenantContext,
  LifecycleDependents,
];

/** Wires the package into a host application: `NestAuthModule.forRoot()` beside `TypeOrmModule` and `EventEmitterModule`. */
@Module({})
export class NestAuthModule {
  static forRoot(options: NestAuthModuleOptions & NestAuthWiringOptions = {}): DynamicModule {
    const { dataSource, isGlobal, guardAllRoutes, ...rest } = options;
    // Here, and not when the provider is made: a wrong option fails where it is written.
    readSettings(rest);
    return define({ dataSource, isGlobal, guardAllRoutes }, [{ provide: OPTIONS, useValue: rest }]);
  }

  static forRootAsync(options: NestAuthModuleAsyncOptions): DynamicModule {
    const { dataSource, isGlobal, guardAllRoutes, imports = [] } = options;
    const made = define({ dataSource, isGlobal, guardAllRoutes }, asyncOptions(options));
    return { ...made, imports: [...(made.imports ?? []), ...imports] };
  }
}

interface Wiring {
  readonly dataSource: string | undefined;
  readonly isGlobal: boolean | undefined;
  readonly guardAllRoutes: boolean | undefined;
}

function define({ dataSource, isGlobal = true, guardAllRoutes = false }: Wiring, options: Provider[]): DynamicModule {
  return {
    module: NestAuthModule,
    global: isGlobal,
    imports: [DiscoveryModule],
    providers: [
      ...options,
      { provide: SETTINGS, inject: [OPTIONS], useFactory: readSettings },
      LifecycleDependents,
      AccessDependents,
      {
        provide: TransactionHost,
        inject: [getDataSourceToken(dataSource), SETTINGS, LifecycleDependents],
        useFactory: attachHost,
      },
      {
        provide: EventPublisher,
        inject: [TransactionHost, EventEmitter2],
        useFactory: (host: TransactionHost, emitter: EventEmitter2) => new EventPublisher(host, emitter),
      },
      {
        provide: Tenancy,
        inject: [SETTINGS],
        useFactory: (settings: NestAuthSettings) => new Tenancy(settings.tenantMode, settings.defaultTenantId),
      },
      {
        provide: AuditSettings,
        inject: [SETTINGS],
        useFactory: ({ sealKeys }: NestAuthSettings) => new AuditSettings(sealKeys),
      },
      {
        provide: AccessSettings,
        inject: [SETTINGS],
        useFactory: ({ guards, delegation }: NestAuthSettings) => new AccessSettings(guards, delegation),
      },
      {
        provide: PasswordService,
        inject: [SETTINGS],
        useFactory: ({ password }: NestAuthSettings) => new PasswordService(password),
      },
      ...userProviders(SETTINGS),
      ...sessionProviders(SETTINGS),
      ...externalProviders(SETTINGS),
      ...recoveryProviders(SETTINGS),
      ...mfaProviders(SETTINGS),
      ...factorProviders(),
      ...invitationProviders(SETTINGS),
      ...apiKeyProviders(SETTINGS),
      ...revocationProviders(SETTINGS),
      {
        provide: Delegation,
        inject: [TransactionHost, Tenancy, AccessSettings],
        useFactory: (host: TransactionHost, tenancy: Tenancy, settings: AccessSettings) =>
          new Delegation(host, tenancy, settings),
      },
      {
        provide: AccessOperations,
        inject: [TransactionHost, EventPublisher, Tenancy, AccessDependents, Ownership, Delegation],
        useFactory: (
          host: TransactionHost,
          events: EventPublisher,
          tenancy: Tenancy,
          dependents: AccessDependents,
          ownership: Ownership,
          delegation: Delegation,
        ) => {
          const access = new AccessOperations(host, events, tenancy, dependents, ownership, delegation);
          registerPort(host.dataSource, 'access', access);
          return access;
        },
      },
      {
        provide: TenantContext,
        inject: [TransactionHost, EventPublisher, Tenancy, SETTINGS],
        useFactory: makeTenantContext,
      },
      ...[UserService, TenantService, RoleService, PermissionService, AccessService].map(publicService),
      publicService(PermissionRegistryService),
      ...[UserLifecycleService, UserStatisticsService, ActivityService].map(publicService),
      ...[IdentityFeedService, JobHistoryService, AuthService, SessionService].map(publicService),
      ...[ExternalSignInService, RateLimitService].map(publicService),
      ...[VerificationService, PasswordRecoveryService].map(publicService),
      publicService(TwoFactorService),
      ...[TrustedDeviceService, SecondFactorCodeService, RequiredEnrolmentService].map(publicService),
      publicService(SecretRotationService),
      publicService(InvitationService),
      ...[ApiKeyService, ServiceAccountService].map(publicService),
      publicService(AccessGate),
      ...guardProviders(SETTINGS, guardAllRoutes),
      ...deliveryProviders(SETTINGS),
      ...subscriberProviders(SETTINGS),
      {
        provide: DECLARED_PERMISSIONS,
        inject: [PermissionRegistryService, TenantContext, SETTINGS],
        useFactory: applyDeclared,
      },
      { provide: TELEMETRY, inject: [TransactionHost, SETTINGS], useFactory: startTelemetry },
    ],
    // The host of transactions is for the package's own adapters, as that for health: no entry of it exports the class.
    exports: [...PUBLIC_SERVICES, ...GUARD_EXPORTS, TransactionHost],
  };
}

/** A service as the host gets it: observed, where somebody observes. */
function publicService(service: Type<object>): Provider {
  return {
    provide: service,
    inject: [ModuleRef, SETTINGS],
    useFactory: async (module: ModuleRef, { telemetry }: NestAuthSettings) =>
      observed(await module.create(service), telemetry),
  };
}

/** Begins what is observed all the time, such as the pool, until the application is closed. */
function startTelemetry(host: TransactionHost, { telemetry }: NestAuthSettings): OnModuleDestroy {
  if (telemetry === undefined) return { onModuleDestroy: () => undefined };
  host.watchPool();
  const stop = telemetry.start?.({ database: databaseOf(host.dataSource), pool: () => host.poolState() });
  return { onModuleDestroy: () => stop?.() };
}

/** Applies what the option `access.registry` declares before anybody asks for it. */
function applyDeclared(
  registries: PermissionRegistryService,
  tenants: TenantContext,
  { declared }: NestAuthSettings,
): OnModuleInit {
  const apply = async (): Promise<void> => {
    for (const registry of declared) await registries.apply(registry);
  };
  return {
    onModuleInit: async () => {
      if (declared.length === 0) return;
      await (tenants.isEnforced ? tenants.withoutTenant('the permissions that are declared in code', apply) : apply());
    },
  };
}

/** Who sees the transactions of this application: its telemetry, and the log. */
function observersOf({ telemetry, logFailures, logRefusals }: NestAuthSettings): NestAuthObserver[] {
  const observers = telemetry === undefined ? [] : [telemetry];
  if (!logFailures) return observers;
  const logger = new Logger('NestAuthTransaction');
  const write = (kind: FailureKind, line: TransactionFailure): void => {
    if (kind === 'fault') logger.error(line);
    else if (kind === 'failure') logger.warn(line);
    else if (logRefusals !== 'off') logger[logRefusals](line);
  };
  return [...observers, failureLog(write, () => telemetry?.method?.())];
}

function attachHost(
  dataSource: DataSource,
  settings: NestAuthSettings,
  dependents: LifecycleDependents,
): TransactionHost {
  assertSchemaIsOurs(dataSource);
  const logger = new Logger('NestAuth');
  const { retries, onEscape, operationTimeoutMs, prepared } = settings;
  const report = (message: string, error: unknown): void =>
    logger.error(message, error instanceof Error ? error.stack : String(error));
  const observers = observersOf(settings);
  const host = TransactionHost.attach(dataSource, {
    retries,
    onEscape,
    operationTimeoutMs,
    prepared,
    report,
    observers,
  });
  host.addSubscriber(new EntityWriteSubscriber(dependents, new Ownership(host)));
  host.addSubscriber(new ActivityWriteSubscriber());
  EntityActivitySubscriber.addTo(host);
  return host;
}

/** With row-level security, the application starts only where it holds. */
async function makeTenantContext(
  host: TransactionHost,
  events: EventPublisher,
  tenancy: Tenancy,
  { rls }: NestAuthSettings,
): Promise<TenantContext> {
  if (rls === undefined) return new TenantContext(host, events, tenancy, undefined);
  const { manager } = host.dataSource;
  const tables = NestAuthEntities.map((entity) => host.dataSource.getMetadata(entity).tableName);
  const { platformRole, warnings } = await assertRowSecurity(manager, tables);
  const logger = new Logger('NestAuth');
  for (const warning of warnings) logger.warn(warning);
  return new TenantContext(host, events, tenancy, { platformRole, onBypass: rls.onBypass });
}

function asyncOptions({ useFactory, inject = [], useClass, useExisting }: NestAuthModuleAsyncOptions): Provider[] {
  const given = [useFactory, useClass, useExisting].filter((way) => way !== undefined);
  if (given.length !== 1) {
    throw new NestAuthError(
      'INVALID_OPTIONS',
      'NestAuthModule.forRootAsync needs exactly one of useFactory, useClass and useExisting',
      { details: { option: 'useFactory' } },
    );
  }
  if (useFactory !== undefined) return [{ provide: OPTIONS, inject, useFactory }];
  const factory = useClass ?? useExisting;
  const options: Provider = {
    provide: OPTIONS,
    inject: [factory as NonNullable<typeof factory>],
    useFactory: (made: NestAuthOptionsFactory) => made.createNestAuthOptions(),
  };
  return useClass === undefined ? [options] : [options, useClass];
}

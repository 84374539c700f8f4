import type { InjectionToken, Provider } from '@nestjs/common';
import { CreateUserOperations } from './account/create-user.operations.js';
import { IdentityOperations } from './account/identity.operations.js';
import { UserOperations } from './account/user.operations.js';
import { ExternalFlowOperations } from './external/external-flow.operations.js';
import { ExternalLinkOperations } from './external/external-link.operations.js';
import { ExternalSignInOperations } from './external/external-sign-in.operations.js';
import { ExternalSettings } from './external/external.settings.js';
import { TenantContext } from './isolation/tenant-context.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { AuthOperations } from './session/auth.operations.js';
import { Tenancy } from './tenant/tenancy.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What signing in by providers is made of; `settings` is the token of the module's settings. */
export function externalProviders(settings: InjectionToken): Provider[] {
  return [
    { provide: ExternalSettings, inject: [settings], useFactory: ({ external }: NestAuthSettings) => external },
    {
      provide: ExternalFlowOperations,
      inject: [TransactionHost, ExternalSettings, Tenancy, TenantContext],
      useFactory: (host: TransactionHost, external: ExternalSettings, tenancy: Tenancy, tenants: TenantContext) =>
        new ExternalFlowOperations(host, external, tenancy, tenants),
    },
    {
      provide: ExternalSignInOperations,
      inject: [TransactionHost, Tenancy, CreateUserOperations, UserOperations, IdentityOperations, AuthOperations],
      useFactory: (
        host: TransactionHost,
        tenancy: Tenancy,
        creations: CreateUserOperations,
        users: UserOperations,
        identities: IdentityOperations,
        auth: AuthOperations,
      ) => new ExternalSignInOperations(host, tenancy, creations, users, identities, auth),
    },
    {
      provide: ExternalLinkOperations,
      inject: [UserOperations, IdentityOperations, ExternalSettings],
      useFactory: (users: UserOperations, identities: IdentityOperations, external: ExternalSettings) =>
        new ExternalLinkOperations(users, identities, external),
    },
  ];
}

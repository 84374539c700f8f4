import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';
import type { PasswordPolicyOptions } from './account/password-policy.types.js';
import type { ApiKeyOptions } from './api-key/api-key.types.js';
import type { PasswordSettings } from './account/password.service.js';
import type { UserHooks } from './account/user-hooks.js';
import type { ExternalSignInOptions, IdentityProvider } from './external/external.types.js';
import type { DeliveryOptions } from './delivery/delivery.types.js';
import type { WebhookOptions } from './webhook/webhook.types.js';
import type { SubscriberSettings } from './feed/feed.types.js';
import type { TwoFactorOptions } from './mfa/two-factor.settings.js';
import type { RecoveryOptions } from './recovery/recovery.types.js';
import type { RlsOptions } from './isolation/isolation.types.js';
import type { DelegationMode } from './access/access.settings.js';
import type { PermissionRegistry } from './access/registry.types.js';
import type { InvitationOptions } from './invitation/invitation.types.js';
import type { LifecycleOptions } from './lifecycle/lifecycle.types.js';
import type { RateLimitOptions } from './rate-limit/rate-limit.types.js';
import type { LockoutOptions } from './session/lockout.settings.js';
import type { RevocationOptions } from './revocation/revocation.types.js';
import type { GuardOptions } from './guard/guard.types.js';
import type { SecretOptions } from './secret/secret.settings.js';
import type { SessionOptions } from './session/session.types.js';
import type { TenantModeEnum } from './tenant/tenant.types.js';
import type { NestAuthObserver } from './transaction/transaction-observer.js';
import type { EscapeMode } from './transaction/transaction.types.js';

/** Settings of `NestAuthModule`. All have defaults; a wrong one keeps the application from starting and is named. */
export interface NestAuthModuleOptions {
  readonly tenant?: {
    /** @default TenantModeEnum.SHARED */
    readonly mode?: TenantModeEnum;
    /**
     * `SHARED` only: the tenant that `createUser` gives access to when none is passed.
     * @default none: a user without a tenant has no access
     */
    readonly defaultTenantId?: string;
  };
  readonly phone?: {
    /**
     * Region (ISO 3166-1 alpha-2, such as `DE`) of phone numbers that come without a country code.
     * @default none: such numbers are refused
     */
    readonly defaultRegion?: string;
  };
  /** Which passwords are accepted; strength and load of argon2id. The defaults are OWASP's; weaker ones are refused. */
  readonly password?: PasswordPolicyOptions & Partial<PasswordSettings>;
  readonly access?: {
    /** Further guards (namespaces of roles and permissions) beside `admin` and `portal`. @default [] */
    readonly guards?: readonly string[];
    /**
     * Whether a user who acts, by `IdentityContext`, may give only what the user holds: docs/permissions.md.
     * @default 'enforced'
     */
    readonly delegation?: DelegationMode;
    /**
     * Permissions and roles that are declared in code, by `definePermissions`: applied when the application starts, by
     * one process after another. To do so at another time, use `PermissionRegistryService`. @default []
     */
    readonly registry?: PermissionRegistry | readonly PermissionRegistry[];
  };
  readonly audit?: {
    /**
     * Secrets of at least 32 characters for the chain over the activity log, newest first: the first seals, all verify.
     * With one, not even somebody who can write the whole database can make another chain that holds.
     * @default [] the chain is made without a key
     */
    readonly sealKeys?: readonly string[];
  };
  readonly transaction?: {
    /** Further runs of the whole callback after a deadlock, serialization failure or lost connection. @default 2 */
    readonly retries?: number;
    /** What happens when a query leaves the running transaction. @default 'throw' */
    readonly onEscape?: EscapeMode;
    /** Milliseconds an operation waits for the one before it on the same manager. @default 30000 */
    readonly operationTimeoutMs?: number;
  };
  readonly statements?: {
    /**
     * Prepare hot statements by name, so that the server plans them once per connection. Turn it off behind PgBouncer
     * before 1.21 in transaction mode.
     * @default true
     */
    readonly prepared?: boolean;
  };
  /**
   * Row-level security: PostgreSQL itself keeps the tenants apart, by `TenantContext`. Needs `NestAuthRlsMigrations`
   * and the database roles of docs/isolation.md; the application does not start without them.
   * @default false
   */
  readonly rls?: boolean | RlsOptions;
  readonly log?: {
    /**
     * One line for every transaction that has failed for good, through Nest's logger with the context
     * `NestAuthTransaction`. It holds no values; see docs/observability.md.
     * @default true
     */
    readonly failedTransactions?: boolean;
    /** The level of those that failed with an answer for the caller, such as a taken email. @default 'debug' */
    readonly refusals?: RefusalLevel;
  };
  /** Sees calls and transactions: `openTelemetry()` of `nest-auth-identity/telemetry`, or one of your own. @default none */
  readonly telemetry?: NestAuthObserver;
  /** How the durable subscribers (`@OnIdentityEvent`) of this process work. */
  readonly subscribers?: Partial<SubscriberSettings>;
  /** Addresses that are told what happens, with signed requests; each is a durable subscriber. @default [] */
  readonly webhooks?: readonly WebhookOptions[];
  /** Who sends the mails of invitations, verification, recovery and second factors, and where their links lead. */
  readonly delivery?: DeliveryOptions;
  /** Grace periods of the users' life, and the size of the batches. A tenant may have periods of its own. */
  readonly lifecycle?: LifecycleOptions;
  /** Sessions and their tokens, for `AuthService`. */
  readonly session?: SessionOptions;
  /** Keys of one-time tokens and of what is stored encrypted. */
  readonly secrets?: SecretOptions;
  /** How long invitations are good, and are kept. */
  readonly invitations?: InvitationOptions;
  /** Second factors, for `TwoFactorService`. */
  readonly twoFactor?: TwoFactorOptions;
  /** Links and codes by which somebody proves an address, or comes back without the password. */
  readonly recovery?: RecoveryOptions;
  /** API keys of users and of service accounts, for `ApiKeyService`. With the group, which may be `{}`, they are in use. */
  readonly apiKeys?: ApiKeyOptions;
  /** How many passwords may be tried against an account. */
  readonly lockout?: LockoutOptions;
  /** How often one network, user, tenant or key may do something. */
  readonly rateLimits?: RateLimitOptions;
  /** How long what was read of rights and sessions is good, and how soon other processes learn that it is not. */
  readonly revocation?: Partial<RevocationOptions>;
  /** Who else may say who a person is, for `ExternalSignInService`: `openIdConnect()` of `nest-auth-identity/oidc`. @default [] */
  readonly identityProviders?: readonly IdentityProvider[];
  /** Settings of signing in by `identityProviders`. */
  readonly externalSignIn?: ExternalSignInOptions;
  /** What the guards (`AuthGuard`, `ServiceGuard`, …) need. */
  readonly guard?: GuardOptions;
  /** Code of the host that runs inside the transaction of every creation, change and deletion of a user. */
  readonly user?: UserHooks;
}

export const REFUSAL_LEVELS = ['debug', 'warn', 'off'] as const;
export type RefusalLevel = (typeof REFUSAL_LEVELS)[number];

/** Settings that are about the wiring and must be known before any provider exists. */
export interface NestAuthWiringOptions {
  /** Name of the TypeORM DataSource. @default the default DataSource */
  readonly dataSource?: string;
  /** Whether the services can be injected everywhere without importing the module again. @default true */
  readonly isGlobal?: boolean;
  /**
   * Whether `AuthGuard` guards every route and every GraphQL operation, so that whatever is not `@Public` needs somebody
   * who is signed in. With false, guards stand where `@UseGuards` puts them.
   * @default false
   */
  readonly guardAllRoutes?: boolean;
}

/** Implemented by a class for `forRootAsync({ useClass })` or `useExisting`. */
export interface NestAuthOptionsFactory {
  createNestAuthOptions(): Promise<NestAuthModuleOptions> | NestAuthModuleOptions;
}

/** Options that are made by the container: exactly one of `useFactory`, `useClass` and `useExisting`. */
export interface NestAuthModuleAsyncOptions extends NestAuthWiringOptions, Pick<ModuleMetadata, 'imports'> {
  readonly useFactory?: (...args: never[]) => Promise<NestAuthModuleOptions> | NestAuthModuleOptions;
  readonly inject?: (InjectionToken | OptionalFactoryDependency)[];
  readonly useClass?: Type<NestAuthOptionsFactory>;
  readonly useExisting?: Type<NestAuthOptionsFactory>;
}

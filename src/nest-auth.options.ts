import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';
import type { PasswordSettings } from './account/password.service.js';
import type { UserHooks } from './account/user-hooks.js';
import type { RlsOptions } from './isolation/isolation.types.js';
import type { TenantModeEnum } from './tenant/tenant.types.js';
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
  /** Strength and load of argon2id. The defaults are OWASP's; weaker ones are refused. */
  readonly password?: Partial<PasswordSettings>;
  readonly access?: {
    /** Further guards (namespaces of roles and permissions) beside `admin` and `portal`. @default [] */
    readonly guards?: readonly string[];
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
  /** Code of the host that runs inside the transaction of every creation, change and deletion of a user. */
  readonly user?: UserHooks;
}

/** Settings that are about the wiring and must be known before any provider exists. */
export interface NestAuthWiringOptions {
  /** Name of the TypeORM DataSource. @default the default DataSource */
  readonly dataSource?: string;
  /** Whether the services can be injected everywhere without importing the module again. @default true */
  readonly isGlobal?: boolean;
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

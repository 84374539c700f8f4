import { IdentityCore1790000000000 } from './1790000000000-identity-core.js';
import { RowSecurity1790000000100 } from './1790000000100-row-security.js';

/** Every migration of the package, oldest first. Give them to the host's DataSource: `migrations: [...NestAuthMigrations]`. */
export const NestAuthMigrations = [IdentityCore1790000000000] as const;

/**
 * Row-level security, for applications that set `rls: true`; after the others:
 * `migrations: [...NestAuthMigrations, ...NestAuthRlsMigrations]`.
 */
export const NestAuthRlsMigrations = [RowSecurity1790000000100] as const;

import { IdentityCore1790000000000 } from './1790000000000-identity-core.js';

/** Every migration of the package, oldest first. Give them to the host's DataSource: `migrations: [...NestAuthMigrations]`. */
export const NestAuthMigrations = [IdentityCore1790000000000] as const;

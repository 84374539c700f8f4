import { JobRuns1790000000510 } from './1790000000510-job-runs.js';
import { Subscriptions1790000000500 } from './1790000000500-subscriptions.js';
import { IdentityCore1790000000000 } from './1790000000000-identity-core.js';
import { Activities1790000000300 } from './1790000000300-activities.js';
import { ActivitiesRowSecurity1790000000310 } from './1790000000310-activities-row-security.js';
import { ActivitySeals1790000000305 } from './1790000000305-activity-seals.js';
import { PlatformTablesRowSecurity1790000000590 } from './1790000000590-platform-tables-row-security.js';
import { Sessions1790000000600 } from './1790000000600-sessions.js';
import { SessionsRowSecurity1790000000690 } from './1790000000690-sessions-row-security.js';
import { RowSecurity1790000000100 } from './1790000000100-row-security.js';
import { CitusByUser1790000009000 } from './scale-out/1790000009000-citus-by-user.js';
import { UserLifecycle1790000000400 } from './1790000000400-user-lifecycle.js';
import { UserLifecycleChecks1790000000410 } from './1790000000410-user-lifecycle-checks.js';
import { UserLifecycleProof1790000000420 } from './1790000000420-user-lifecycle-proof.js';
import { UserSearch1790000000200 } from './1790000000200-user-search.js';

/** Every migration of the package, oldest first. Give them to the host's DataSource: `migrations: [...NestAuthMigrations]`. */
export const NestAuthMigrations = [
  IdentityCore1790000000000,
  UserSearch1790000000200,
  Activities1790000000300,
  ActivitySeals1790000000305,
  UserLifecycle1790000000400,
  UserLifecycleChecks1790000000410,
  UserLifecycleProof1790000000420,
  Subscriptions1790000000500,
  JobRuns1790000000510,
  Sessions1790000000600,
] as const;

/**
 * Row-level security, for applications that set `rls: true`; after the others:
 * `migrations: [...NestAuthMigrations, ...NestAuthRlsMigrations]`.
 */
export const NestAuthRlsMigrations = [
  RowSecurity1790000000100,
  ActivitiesRowSecurity1790000000310,
  PlatformTablesRowSecurity1790000000590,
  SessionsRowSecurity1790000000690,
] as const;

/**
 * The tables spread over a Citus cluster, for when one machine is no longer enough; after all others, and not together
 * with row-level security: `migrations: [...NestAuthMigrations, ...NestAuthCitusMigrations]`. See docs/scaling.md.
 */
export const NestAuthCitusMigrations = [CitusByUser1790000009000] as const;

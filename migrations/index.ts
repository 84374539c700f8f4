import { JobRuns1790000000510 } from './1790000000510-job-runs.js';
import { Subscriptions1790000000500 } from './1790000000500-subscriptions.js';
import { IdentityCore1790000000000 } from './1790000000000-identity-core.js';
import { Activities1790000000300 } from './1790000000300-activities.js';
import { ActivitiesRowSecurity1790000000310 } from './1790000000310-activities-row-security.js';
import { ActivitySeals1790000000305 } from './1790000000305-activity-seals.js';
import { PlatformTablesRowSecurity1790000000590 } from './1790000000590-platform-tables-row-security.js';
import { Grants1790000000710 } from './1790000000710-grants.js';
import { GrantsExpiry1790000000712 } from './1790000000712-grants-expiry.js';
import { GrantsRowSecurity1790000000715 } from './1790000000715-grants-row-security.js';
import { OwnerRoles1790000000720 } from './1790000000720-owner-roles.js';
import { OwnerRolesProof1790000000725 } from './1790000000725-owner-roles-proof.js';
import { Revocation1790000000750 } from './1790000000750-revocation.js';
import { Sessions1790000000600 } from './1790000000600-sessions.js';
import { SignInLimits1790000000730 } from './1790000000730-sign-in-limits.js';
import { SignInLimitsRowSecurity1790000000735 } from './1790000000735-sign-in-limits-row-security.js';
import { SessionsRowSecurity1790000000690 } from './1790000000690-sessions-row-security.js';
import { ExternalFlows1790000000740 } from './1790000000740-external-flows.js';
import { ExternalFlowsRowSecurity1790000000745 } from './1790000000745-external-flows-row-security.js';
import { SecondFactors1790000000820 } from './1790000000820-second-factors.js';
import { SecondFactorsRowSecurity1790000000825 } from './1790000000825-second-factors-row-security.js';
import { SecondFactorPolicy1790000000830 } from './1790000000830-second-factor-policy.js';
import { SecondFactorPolicyRowSecurity1790000000835 } from './1790000000835-second-factor-policy-row-security.js';
import { OneTimeTokens1790000000800 } from './1790000000800-one-time-tokens.js';
import { OneTimeTokensRowSecurity1790000000805 } from './1790000000805-one-time-tokens-row-security.js';
import { Invitations1790000000810 } from './1790000000810-invitations.js';
import { InvitationsRowSecurity1790000000815 } from './1790000000815-invitations-row-security.js';
import { ApiKeys1790000000840 } from './1790000000840-api-keys.js';
import { ApiKeysRowSecurity1790000000845 } from './1790000000845-api-keys-row-security.js';
import { DeadLetterRetries1790000000850 } from './1790000000850-dead-letter-retries.js';
import { DeadLetterRetriesIndex1790000000852 } from './1790000000852-dead-letter-retries-index.js';
import { PasswordHistory1790000000860 } from './1790000000860-password-history.js';
import { PasswordHistoryRowSecurity1790000000865 } from './1790000000865-password-history-row-security.js';
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
  Grants1790000000710,
  GrantsExpiry1790000000712,
  OwnerRoles1790000000720,
  OwnerRolesProof1790000000725,
  SignInLimits1790000000730,
  ExternalFlows1790000000740,
  Revocation1790000000750,
  OneTimeTokens1790000000800,
  Invitations1790000000810,
  SecondFactors1790000000820,
  SecondFactorPolicy1790000000830,
  ApiKeys1790000000840,
  DeadLetterRetries1790000000850,
  DeadLetterRetriesIndex1790000000852,
  PasswordHistory1790000000860,
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
  GrantsRowSecurity1790000000715,
  SignInLimitsRowSecurity1790000000735,
  ExternalFlowsRowSecurity1790000000745,
  OneTimeTokensRowSecurity1790000000805,
  InvitationsRowSecurity1790000000815,
  SecondFactorsRowSecurity1790000000825,
  SecondFactorPolicyRowSecurity1790000000835,
  ApiKeysRowSecurity1790000000845,
  PasswordHistoryRowSecurity1790000000865,
] as const;

/**
 * The tables spread over a Citus cluster, for when one machine is no longer enough; after all others, and not together
 * with row-level security: `migrations: [...NestAuthMigrations, ...NestAuthCitusMigrations]`. See docs/scaling.md.
 */
export const NestAuthCitusMigrations = [CitusByUser1790000009000] as const;

import { NestAuthError, type NestAuthErrorCode } from './nest-auth.error.js';

/** The only place that reads `code` and `constraint` of a driver error. Message texts are never matched. */

interface DriverError extends Error {
  detail?: string;
  readonly code?: string;
  readonly constraint?: string;
  readonly table?: string;
}

/** Constraint and index names of the migrations, and what breaking each of them means. */
const CODE_BY_CONSTRAINT: Readonly<Record<string, NestAuthErrorCode>> = {
  nest_auth_users_realm_email_uq: 'EMAIL_ALREADY_EXISTS',
  nest_auth_users_realm_phone_uq: 'PHONE_ALREADY_EXISTS',
  nest_auth_identities_pk: 'IDENTITY_ALREADY_EXISTS',
  nest_auth_identities_user_login_uq: 'IDENTITY_MISMATCH',
  nest_auth_tenants_slug_uq: 'TENANT_ALREADY_EXISTS',
  nest_auth_roles_owner_guard_name_uq: 'ROLE_ALREADY_EXISTS',
  nest_auth_permissions_guard_name_uq: 'PERMISSION_ALREADY_EXISTS',
  nest_auth_identities_user_fk: 'USER_NOT_FOUND',
  nest_auth_user_accesses_user_fk: 'USER_NOT_FOUND',
  nest_auth_platform_accesses_user_fk: 'USER_NOT_FOUND',
  nest_auth_sessions_user_fk: 'USER_NOT_FOUND',
  nest_auth_user_accesses_tenant_fk: 'TENANT_NOT_FOUND',
  nest_auth_sessions_tenant_fk: 'TENANT_NOT_FOUND',
  nest_auth_invitations_tenant_fk: 'TENANT_NOT_FOUND',
  nest_auth_invitations_pending_uq: 'INVITATION_ALREADY_PENDING',
  nest_auth_second_factors_user_fk: 'USER_NOT_FOUND',
  nest_auth_second_factor_states_user_fk: 'USER_NOT_FOUND',
  nest_auth_second_factor_challenges_user_fk: 'USER_NOT_FOUND',
  nest_auth_second_factor_challenges_tenant_fk: 'TENANT_NOT_FOUND',
  nest_auth_refresh_tokens_session_fk: 'SESSION_NOT_FOUND',
  nest_auth_roles_tenant_fk: 'TENANT_NOT_FOUND',
  nest_auth_user_access_roles_access_fk: 'ACCESS_NOT_FOUND',
  nest_auth_platform_access_roles_access_fk: 'ACCESS_NOT_FOUND',
  nest_auth_user_access_roles_role_fk: 'ROLE_NOT_FOUND',
  nest_auth_platform_access_roles_role_fk: 'ROLE_NOT_FOUND',
  nest_auth_role_parents_role_fk: 'ROLE_NOT_FOUND',
  nest_auth_role_parents_parent_fk: 'ROLE_NOT_FOUND',
  nest_auth_role_parents_self_ck: 'ROLE_CYCLE',
  nest_auth_role_parents_scope_ck: 'ROLE_SCOPE_MISMATCH',
  nest_auth_role_graphs_tenant_fk: 'TENANT_NOT_FOUND',
  nest_auth_user_access_permissions_access_fk: 'ACCESS_NOT_FOUND',
  nest_auth_platform_access_permissions_access_fk: 'ACCESS_NOT_FOUND',
  nest_auth_user_access_permissions_permission_fk: 'PERMISSION_NOT_FOUND',
  nest_auth_platform_access_permissions_permission_fk: 'PERMISSION_NOT_FOUND',
  nest_auth_user_access_roles_scope_ck: 'ROLE_SCOPE_MISMATCH',
  nest_auth_user_access_roles_guard_ck: 'ROLE_SCOPE_MISMATCH',
  nest_auth_platform_access_roles_scope_ck: 'ROLE_SCOPE_MISMATCH',
  nest_auth_user_accesses_realm_ck: 'TENANT_SCOPE_MISMATCH',
  nest_auth_platform_accesses_realm_ck: 'TENANT_SCOPE_MISMATCH',
  nest_auth_api_keys_user_fk: 'USER_NOT_FOUND',
  nest_auth_api_keys_access_fk: 'ACCESS_NOT_FOUND',
  nest_auth_service_accounts_tenant_fk: 'TENANT_NOT_FOUND',
  nest_auth_service_accounts_name_uq: 'SERVICE_ACCOUNT_ALREADY_EXISTS',
  nest_auth_service_account_keys_account_fk: 'SERVICE_ACCOUNT_NOT_FOUND',
  nest_auth_append_only: 'ACTIVITY_APPEND_ONLY',
};

const CODE_BY_SQLSTATE: Readonly<Record<string, NestAuthErrorCode>> = {
  '25P02': 'TRANSACTION_ABORTED',
  '42501': 'ROW_SECURITY_REFUSED',
  '40001': 'TRANSACTION_CONFLICT',
  '40P01': 'TRANSACTION_CONFLICT',
  '55P03': 'LOCK_TIMEOUT',
  '57014': 'STATEMENT_TIMEOUT',
  '53300': 'CONNECTION_UNAVAILABLE',
  '57P03': 'CONNECTION_UNAVAILABLE',
};

/** The server or the network ended the connection; nothing that was not committed survives. */
const CONNECTION_LOST_STATES = new Set([
  '57P01',
  '57P02',
  '57P05',
  '25P03',
  '25P04',
  '08000',
  '08003',
  '08006',
  '08P01',
]);

const CONNECTION_LOST_SYSTEM_CODES = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED']);

/** Unwraps TypeORM's `QueryFailedError`, whose own `parameters` may hold a password hash. */
export function driverErrorOf(error: unknown): DriverError | undefined {
  if (!(error instanceof Error)) return undefined;
  const inner = (error as { driverError?: unknown }).driverError;
  return inner instanceof Error ? inner : error;
}

/** The name of a table or constraint. On a Citus cluster it is that of a shard: with `_` and a number behind it. */
function withoutShard(name: string | undefined): string | undefined {
  return name?.replace(/^(nest_auth_\w*[a-z])_\d{6,}$/, '$1');
}

/** These quote the whole failing row in `detail`: the hash of a password too. */
const QUOTES_ROW = new Set(['23502', '23514']);

/** Takes from a failure of the driver what it tells about a user's row; before anybody can log it. */
export function forgetRow(error: unknown): void {
  const driver = driverErrorOf(error);
  if (withoutShard(driver?.table) === 'nest_auth_users' && QUOTES_ROW.has(driver?.code ?? '')) delete driver?.detail;
}

/** SQLSTATE of a driver error, or undefined when the failure has none. */
export function sqlStateOf(error: unknown): string | undefined {
  if (error instanceof NestAuthError) return error.details.sqlState;
  const code = driverErrorOf(error)?.code;
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** True when the error says that the connection itself has ended. */
export function isConnectionLoss(error: unknown): boolean {
  if (error instanceof NestAuthError) return error.code === 'CONNECTION_LOST';
  const driver = driverErrorOf(error);
  if (driver?.code === undefined) return false;
  return CONNECTION_LOST_STATES.has(driver.code) || CONNECTION_LOST_SYSTEM_CODES.has(driver.code);
}

/** True when the whole transaction may be run again: it is certain that nothing of it was kept. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof NestAuthError) return error.details.retryable === true;
  const state = sqlStateOf(error);
  return state === '40001' || state === '40P01' || isConnectionLoss(error);
}

/**
 * Turns a failure of one of our own statements into a typed error.
 * The cause is the driver's error, never TypeORM's, which carries the parameters.
 */
export function toNestAuthError(error: unknown): NestAuthError {
  if (error instanceof NestAuthError) return error;
  const driver = driverErrorOf(error);
  // A subscriber of ours that throws after a statement arrives wrapped.
  if (driver instanceof NestAuthError) return driver;
  const sqlState = sqlStateOf(error);
  if (isConnectionLoss(error)) {
    return new NestAuthError('CONNECTION_LOST', 'The connection to PostgreSQL was lost', {
      details: { retryable: true, ...(sqlState === undefined ? {} : { sqlState }) },
      cause: driver,
    });
  }
  const constraint = withoutShard(driver?.constraint);
  const table = withoutShard(driver?.table);
  const code =
    (constraint === undefined ? undefined : CODE_BY_CONSTRAINT[constraint]) ??
    (sqlState === undefined ? undefined : CODE_BY_SQLSTATE[sqlState]) ??
    'DATABASE_ERROR';
  const details = {
    ...(sqlState === undefined ? {} : { sqlState }),
    ...(constraint === undefined ? {} : { constraint }),
    ...(table === undefined ? {} : { table }),
    ...(code === 'TRANSACTION_CONFLICT' ? { retryable: true } : {}),
  };
  return new NestAuthError(code, describe(code, sqlState, constraint), { details, cause: driver ?? error });
}

function describe(code: NestAuthErrorCode, sqlState: string | undefined, constraint: string | undefined): string {
  const where = constraint === undefined ? '' : ` on ${constraint}`;
  return `${code}: PostgreSQL answered ${sqlState ?? 'without a state'}${where}`;
}

import { NestAuthError } from '../errors/nest-auth.error.js';
import { type AccessDelta, AccessStatusEnum } from './access.types.js';

/** Refuses an access that the user cannot have, by what a statement has found. */
export function assertMayHaveAccess(found: {
  readonly user_ok: boolean;
  readonly tenant_ok: boolean;
  readonly realm_ok: boolean;
}): void {
  if (!found.user_ok) throw new NestAuthError('USER_NOT_FOUND', 'The access was asked for the id of no user');
  if (!found.tenant_ok) {
    throw new NestAuthError(
      'TENANT_NOT_FOUND',
      'The access was asked for a tenant that does not exist or is not active',
    );
  }
  if (!found.realm_ok) {
    throw new NestAuthError(
      'TENANT_SCOPE_MISMATCH',
      "The access lies outside the user's realm: a tenant's own user has access to that tenant only",
    );
  }
}

/** Refuses roles that do not exist, or that an access of this kind cannot have. */
export function assertRolesFit({
  unknown,
  misplaced,
}: {
  unknown: readonly string[];
  misplaced: readonly string[];
}): void {
  if (unknown.length > 0) {
    throw new NestAuthError('ROLE_NOT_FOUND', 'Some roles do not exist or are not active; see details.ids', {
      details: { ids: unknown },
    });
  }
  if (misplaced.length > 0) {
    throw new NestAuthError(
      'ROLE_SCOPE_MISMATCH',
      'Some roles belong to another tenant, or to a guard that this access cannot have; see details.ids',
      { details: { ids: misplaced } },
    );
  }
}

export function noAccess(method: string): NestAuthError {
  return new NestAuthError('ACCESS_NOT_FOUND', `${method} was called for a user without access to the tenant`);
}

export function noPermission(method: string, permission: string): NestAuthError {
  return new NestAuthError(
    'PERMISSION_NOT_FOUND',
    `${method} was given the name of no permission that the access can have (see details.fields); create it first`,
    { details: { fields: [permission] } },
  );
}

/** Refuses what would run out before it begins, by the clock of the database. */
export function expired(method: string): NestAuthError {
  const issue = { path: 'expiresAt', message: 'must be in the future' };
  return new NestAuthError('VALIDATION_FAILED', `${method} was refused: ${issue.path} ${issue.message}`, {
    details: { issues: [issue] },
  });
}

/** The delta of an access that was made, or changed otherwise, with no role given or taken. */
export function emptyDelta(): AccessDelta {
  return { added: [], removed: [] };
}

/** Refuses a status that is none. */
export function assertStatus(status: unknown): void {
  if (Object.values(AccessStatusEnum).some((known) => known === status)) return;
  const issue = { path: 'status', message: `must be one of ${Object.values(AccessStatusEnum).join(', ')}` };
  throw new NestAuthError('VALIDATION_FAILED', `setUserAccessStatus was refused: ${issue.path} ${issue.message}`, {
    details: { issues: [issue] },
  });
}

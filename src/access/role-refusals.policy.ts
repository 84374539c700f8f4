import { NestAuthError } from '../errors/nest-auth.error.js';

/** The ways in which a call about a role is refused. */

export function invalid(path: string, message: string, what: string): NestAuthError {
  return new NestAuthError('VALIDATION_FAILED', `${what}: ${path} ${message}`, {
    details: { issues: [{ path, message }] },
  });
}

export function noRole(method: string): NestAuthError {
  return new NestAuthError('ROLE_NOT_FOUND', `${method} was called with the id of no role`);
}

export function nameTaken(method: string, cause?: unknown): NestAuthError {
  return new NestAuthError(
    'ROLE_ALREADY_EXISTS',
    `${method} was given the name of another role of the same owner and guard; choose another`,
    { details: { fields: ['name'] }, cause },
  );
}

export function unknownPermissions(method: string, names: readonly string[]): NestAuthError {
  return new NestAuthError(
    'PERMISSION_NOT_FOUND',
    `${method} was given ${names.length} names that are no permissions of the role's guard (see details.fields); create them first`,
    { details: { fields: names } },
  );
}

export function inUse(cause?: unknown): NestAuthError {
  return new NestAuthError(
    'ROLE_IN_USE',
    'deleteRole found accesses that have the role, or roles that inherit from it; take it from them first',
    {
      cause,
    },
  );
}

import { NestAuthError } from '../errors/nest-auth.error.js';

/**
 * One answer for a token that is unknown, used, replaced or expired, and for an invitation that does not hold any more.
 * `cause`: why, for the log of the application; it is in no answer.
 */
export function invitationInvalid(cause?: unknown): NestAuthError {
  return new NestAuthError('INVITATION_INVALID', 'The invitation cannot be used (any more); ask for a new one', {
    cause,
  });
}

export function alreadyPending(id: string): NestAuthError {
  return new NestAuthError(
    'INVITATION_ALREADY_PENDING',
    'The address has an invitation to the tenant (its id is in details.ids); send that one again with resendInvitation',
    { details: { ids: [id] } },
  );
}

export function invitationNotFound(method: string): NestAuthError {
  return new NestAuthError('INVITATION_NOT_FOUND', `${method} was called for no invitation of the tenant`);
}

export function notPending(method: string): NestAuthError {
  return new NestAuthError(
    'INVITATION_NOT_PENDING',
    `${method} was called for an invitation that was accepted, declined or revoked; send a new one`,
  );
}

export function notForUser(): NestAuthError {
  return new NestAuthError(
    'INVITATION_NOT_FOR_USER',
    'The invitation went to another address than that of the user; sign in as the person who was invited',
  );
}

export function emailUnverified(): NestAuthError {
  return new NestAuthError(
    'INVITATION_EMAIL_UNVERIFIED',
    'The account with the invited address has not verified it, so it may be anybody’s; verify it, or reset the password, first',
  );
}

export function userNotActive(id: string): NestAuthError {
  return new NestAuthError('USER_NOT_ACTIVE', 'The user with the invited address is not active', {
    details: { ids: [id] },
  });
}

/** What was chosen for a new user is neither given to one who is there already nor silently dropped. */
export function hasAccount(fields: readonly string[]): NestAuthError {
  return new NestAuthError(
    'EMAIL_ALREADY_EXISTS',
    'A user has the invited address already; accept without what is for a new one (see details.fields)',
    { details: { fields } },
  );
}

export function addressTaken(cause: unknown): NestAuthError {
  return new NestAuthError(
    'TRANSACTION_CONFLICT',
    'Somebody has made an account with the invited address at the same moment; try again',
    { cause, details: { retryable: true } },
  );
}

/** Who invites must belong to what the invitation is to. */
export function inviterMayNot(): NestAuthError {
  return new NestAuthError(
    'GRANT_NOT_HELD',
    'Whoever invites must be active, and an active member of the tenant or of the platform',
    { details: { permissions: [] } },
  );
}

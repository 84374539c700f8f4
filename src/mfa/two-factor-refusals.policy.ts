import { NestAuthError } from '../errors/nest-auth.error.js';

/** One answer for a challenge that is unknown, over or tried too often, and for a code that is wrong or used. */
export function secondFactorInvalid(): NestAuthError {
  return new NestAuthError('SECOND_FACTOR_INVALID', 'The second factor is refused; try another code, or sign in again');
}

/** A challenge stays when the caller's transaction is rolled back, so there is none for a user who would not. */
export function notCommitted(kinds: readonly string[]): NestAuthError {
  return new NestAuthError(
    kinds.length === 0 ? 'SECOND_FACTOR_ENROLMENT_REQUIRED' : 'SECOND_FACTOR_REQUIRED',
    'A second factor is demanded of a user whom this transaction has made: commit it and let the person sign in, or call this outside of transactions',
  );
}

export function notEnabled(userId: string): NestAuthError {
  return new NestAuthError('SECOND_FACTOR_NOT_ENABLED', 'The user has no second factor, or none that is waiting', {
    details: { ids: [userId] },
  });
}

/** What was shown belongs to another stamp than the user has by now. */
export function changedMeanwhile(): NestAuthError {
  return new NestAuthError('REAUTHENTICATION_REQUIRED', 'The user has changed meanwhile; show the password again');
}

export function alreadyEnabled(userId: string): NestAuthError {
  return new NestAuthError('SECOND_FACTOR_ALREADY_ENABLED', 'The user has an authenticator; disable it first', {
    details: { ids: [userId] },
  });
}

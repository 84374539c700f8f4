import { NestAuthError } from '../errors/nest-auth.error.js';

/** One answer for all reasons: whoever guesses learns nothing but that it was no hit. */
export function invalidToken(): NestAuthError {
  return new NestAuthError(
    'ONE_TIME_TOKEN_INVALID',
    'The link or the code is not good, or is no longer: it was used or replaced, has expired, or was tried too often',
  );
}

export function wrongPassword(): NestAuthError {
  return new NestAuthError(
    'INVALID_CREDENTIALS',
    'The current password is not that of the user, or may not be tried now',
  );
}

export function reauthenticationRequired(): NestAuthError {
  return new NestAuthError(
    'REAUTHENTICATION_REQUIRED',
    'A user without a password must have signed in recently for this: pass the id of such a session',
  );
}

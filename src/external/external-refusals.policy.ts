import { NestAuthError } from '../errors/nest-auth.error.js';

/** Why something about a sign-in by a provider is refused. What a provider or a browser has sent is never repeated. */

export function invalidSignIn(why: string): NestAuthError {
  return new NestAuthError('EXTERNAL_SIGN_IN_INVALID', `The sign-in is refused: ${why}; begin it again`);
}

export function providerUnavailable(provider: string, why: string): NestAuthError {
  return new NestAuthError('PROVIDER_UNAVAILABLE', `The identity provider ${provider} cannot be used: ${why}`);
}

export function linkRequired(): NestAuthError {
  return new NestAuthError(
    'LINK_REQUIRED',
    'A user with this email exists; sign in as that user and link the account from there',
    { details: { fields: ['email'] } },
  );
}

export function lastWayIn(): NestAuthError {
  return new NestAuthError(
    'LAST_SIGN_IN_METHOD',
    'unlink: the user has no password and no other account to sign in with; add one first',
  );
}

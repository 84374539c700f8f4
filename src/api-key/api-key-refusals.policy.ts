import { NestAuthError } from '../errors/nest-auth.error.js';

/** The ways in which a call about keys and service accounts is refused. */

/** As many names as a refusal tells. */
const NAMED = 100;

export function notHeld(scopes: readonly string[]): NestAuthError {
  return new NestAuthError(
    'GRANT_NOT_HELD',
    'What the key would open is not held (see details.permissions); a key opens nothing that its user, or the key by which it is made, cannot',
    { details: { permissions: scopes.toSorted().slice(0, NAMED) } },
  );
}

export function notForOthers(): NestAuthError {
  return new NestAuthError(
    'PERMISSION_DENIED',
    "Nobody is handed another user's key: with it they would be that user. Make a service account instead",
  );
}

export function noKey(method: string): NestAuthError {
  return new NestAuthError('API_KEY_NOT_FOUND', `${method}: the owner has no such key, or it is over`);
}

export function invalidKey(): NestAuthError {
  return new NestAuthError('API_KEY_INVALID', 'The API key is not good, or is no longer');
}

export function endsWrongly(maxDays: number): NestAuthError {
  const message = `must be to come, and at most ${maxDays} days ahead (apiKeys.maxDays)`;
  return new NestAuthError('VALIDATION_FAILED', `The API key cannot be made: expiresAt ${message}`, {
    details: { issues: [{ path: 'expiresAt', message }] },
  });
}

export function noAccount(method: string): NestAuthError {
  return new NestAuthError('SERVICE_ACCOUNT_NOT_FOUND', `${method}: the tenant has no such service account`);
}

export function accountNameTaken(): NestAuthError {
  return new NestAuthError(
    'SERVICE_ACCOUNT_ALREADY_EXISTS',
    'create was given the name of another service account of the tenant; choose another',
    { details: { fields: ['name'] } },
  );
}

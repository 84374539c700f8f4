import { METADATA_LIMITS } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { NestAuthUser } from './user.entity.js';
import type { PreparedUpdate } from './user-input.policy.js';

/** Why something about a user is refused. */

export function userNotFound(id: string): NestAuthError {
  return new NestAuthError('USER_NOT_FOUND', 'There is no such user', { details: { ids: [id] } });
}

export function userDisabled(id: string): NestAuthError {
  return new NestAuthError('USER_DISABLED', 'The user is disabled, which is for good; nobody activates it any more', {
    details: { ids: [id] },
  });
}

export function userOnLegalHold(id: string): NestAuthError {
  return new NestAuthError('USER_ON_LEGAL_HOLD', 'A legal hold keeps the user; release it first', {
    details: { ids: [id] },
  });
}

export function tenantNotFound(): NestAuthError {
  return new NestAuthError('TENANT_NOT_FOUND', 'The tenant does not exist or is not active');
}

export function staleVersion(): NestAuthError {
  return new NestAuthError(
    'STALE_VERSION',
    'The user has changed since it was read; read it again and repeat the change',
  );
}

/** `hidden`: row-level security is on, so what holds the login may be a row of another tenant, and stays unnamed. */
export function lostEveryRace(hidden = false): NestAuthError {
  if (hidden) return new NestAuthError('LOGIN_UNAVAILABLE', 'A login of the input cannot be used in this tenant');
  return new NestAuthError('TRANSACTION_CONFLICT', 'The login was taken and freed again several times; try again', {
    details: { retryable: true },
  });
}

export function refusePlatformTenant(): never {
  throw new NestAuthError('VALIDATION_FAILED', 'A platform user is bound to no tenant; use createUser with tenantId', {
    details: { issues: [{ path: 'tenantId', message: 'must be absent' }] },
  });
}

/** Somebody who had an email or a phone keeps at least one of them. */
export function assertStaysRecognisable(before: NestAuthUser, update: PreparedUpdate): void {
  const email = update.email === undefined ? before.email : update.email;
  const phone = update.phone === undefined ? before.phone : update.phone;
  if (email !== null || phone !== null) return;
  throw new NestAuthError('VALIDATION_FAILED', 'The last of email and phone cannot be removed', {
    details: { issues: [{ path: 'email', message: 'or phone must stay' }] },
  });
}

export function metadataTooLarge(): NestAuthError {
  const message = `would be more than ${METADATA_LIMITS.bytes} bytes of JSON when merged; remove keys first`;
  return new NestAuthError('VALIDATION_FAILED', `The user cannot be updated: metadata ${message}`, {
    details: { issues: [{ path: 'metadata', message }] },
  });
}

/** What the statement for metadata alone checks by itself, for a row that is held. */
export function assertMetadataFits({ metadata }: NestAuthUser, update: PreparedUpdate): void {
  const merged = Object.entries({ ...metadata, ...update.metadata }).filter(([, value]) => value !== null);
  const size = (value: object): number => Buffer.byteLength(JSON.stringify(value));
  if (size(Object.fromEntries(merged)) > Math.max(METADATA_LIMITS.bytes, size(metadata))) throw metadataTooLarge();
}

/** A password that a hook adds comes too late to be hashed, and would be handed to events. */
export function assertNoHookPassword(input: object): void {
  if (!('password' in input)) return;
  throw new NestAuthError('VALIDATION_FAILED', 'The hook user.beforeCreate returned a password; it cannot set one', {
    details: { issues: [{ path: 'password', message: 'cannot be set by a hook' }] },
  });
}

/** What a foreign key answers: PostgreSQL 18 has a state of its own for `ON DELETE RESTRICT`. */
const STILL_REFERRED_TO = new Set(['23503', '23001']);

/** A foreign key of the host that points at the user; ours all cascade. */
export function asUserInUse(error: unknown): unknown {
  if (!(error instanceof NestAuthError) || !STILL_REFERRED_TO.has(error.details.sqlState ?? '')) return error;
  return new NestAuthError(
    'USER_IN_USE',
    `The user is still referred to by ${error.details.table ?? 'another table'}; delete that row first, in the same transaction`,
    { details: error.details, cause: error },
  );
}

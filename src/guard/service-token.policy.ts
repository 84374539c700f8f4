import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { NestAuthError } from '../errors/nest-auth.error.js';

const PREFIX = 'nasvc_';
const NAME = /^[a-z][a-z0-9-]{0,62}$/;
/** 256 random bits: nobody guesses them, so one round of SHA-256 is enough to keep them. */
const TOKEN = /^nasvc_([a-z][a-z0-9-]{0,62})\.[A-Za-z0-9_-]{43}$/;
const HASH = /^[0-9a-f]{64}$/;

/** A new token of a service, and the hash by which it is known. */
export interface ServiceToken {
  /** For the service; it is kept nowhere else. */
  readonly token: string;
  /** For `secretHashes` of the option `guard.services`. */
  readonly hash: string;
}

/**
 * Makes a token for a service: 256 random bits, in a form that scanners for secrets can be taught (`nasvc_…`).
 *
 * Errors: `VALIDATION_FAILED` for a name of anything but lower-case letters, digits and `-`.
 */
export function generateServiceToken(name: string): ServiceToken {
  if (!isServiceName(name)) {
    const issues = [{ path: 'name', message: 'must be of lower-case letters, digits and -, a letter first' }];
    throw new NestAuthError('VALIDATION_FAILED', 'The service cannot have this name', { details: { issues } });
  }
  const token = `${PREFIX}${name}.${randomBytes(32).toString('base64url')}`;
  return { token, hash: digest(token).toString('hex') };
}

export function isServiceName(name: unknown): name is string {
  return typeof name === 'string' && NAME.test(name);
}

export function isServiceHash(hash: unknown): hash is string {
  return typeof hash === 'string' && HASH.test(hash);
}

/** The service that a token says it is of; null for what is no token of a service. */
export function serviceNamedBy(token: unknown): string | null {
  return typeof token === 'string' ? (TOKEN.exec(token)?.[1] ?? null) : null;
}

/** Compares with every hash, whichever fits, and in a time that tells nothing of them. */
export function matchesHash(token: string, hashes: readonly Buffer[]): boolean {
  const given = digest(token);
  return hashes.map((hash) => timingSafeEqual(given, hash)).includes(true);
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

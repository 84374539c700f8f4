import { createHash, createHmac, randomBytes } from 'node:crypto';
import { parse, stringify } from 'uuid';
import type { SecretSettings, SecretUse } from './secret.settings.js';

/** What a one-time secret is for; what was made for one purpose is unknown to every other. */
export type OneTimePurpose =
  | 'email_verification'
  | 'phone_verification'
  | 'email_change'
  | 'phone_change'
  | 'password_reset'
  | 'invitation'
  | 'second_factor_code';

/**
 * What is stored of a one-time secret: by it and a key of the application, whoever mails the secret makes it again, and
 * whoever has the database alone cannot.
 */
export interface OneTimeSecretSeed {
  readonly keyId: string;
  readonly salt: Buffer;
}

export interface IssuedOneTimeSecret extends OneTimeSecretSeed {
  /** What the secret is compared with. */
  readonly hash: Buffer;
}

/** `<id of the holder>.<256 bits>`, both in base64url: with the id the look-up touches one node of a cluster. */
const TOKEN = /^([\w-]{22})\.([\w-]{43})$/;
const SALT_BYTES = 32;

/** The decimal digits of a code: guessed once in a million, and only a few guesses are taken. */
const CODE_DIGITS = 6;
const CODE = new RegExp(`^[0-9]{${CODE_DIGITS}}$`);

/** A token for `holderId`, the user or the row that it belongs to: only what is stored of it. */
export function issueToken(secrets: SecretSettings, purpose: OneTimePurpose, holderId: string): IssuedOneTimeSecret {
  const seed = newSeed(secrets);
  return { ...seed, hash: sha256(tokenOf(secrets, purpose, holderId, seed) as string) };
}

/** The token that was issued, to be sent; null when its key is gone. */
export function tokenOf(
  secrets: SecretSettings,
  purpose: OneTimePurpose,
  holderId: string,
  seed: OneTimeSecretSeed,
): string | null {
  const mac = macOf(secrets, 'one-time token', purpose, holderId, seed);
  return mac && `${Buffer.from(parse(holderId)).toString('base64url')}.${mac.toString('base64url')}`;
}

/** Whose a token is and what is stored of it; null for what cannot be a token. */
export function readToken(token: unknown): { readonly holderId: string; readonly hash: Buffer } | null {
  const [, holder] = (typeof token === 'string' ? TOKEN.exec(token) : null) ?? [];
  if (holder === undefined) return null;
  try {
    return { holderId: stringify(Buffer.from(holder, 'base64url')), hash: sha256(token as string) };
  } catch {
    // Sixteen bytes that are no UUID.
    return null;
  }
}

/** A code for `holderId`: only what is stored of it. */
export function issueCode(secrets: SecretSettings, purpose: OneTimePurpose, holderId: string): IssuedOneTimeSecret {
  const seed = newSeed(secrets);
  const code = codeOf(secrets, purpose, holderId, seed) as string;
  return { ...seed, hash: codeHash(secrets, seed.keyId, purpose, holderId, code) };
}

/** The code that was issued, to be sent; null when its key is gone. */
export function codeOf(
  secrets: SecretSettings,
  purpose: OneTimePurpose,
  holderId: string,
  seed: OneTimeSecretSeed,
): string | null {
  const mac = macOf(secrets, 'one-time code', purpose, holderId, seed);
  return mac && (mac.readBigUInt64BE() % 10n ** BigInt(CODE_DIGITS)).toString().padStart(CODE_DIGITS, '0');
}

/**
 * What a code may be stored as, one for each key, for `code_hash = any(…)`; empty for what cannot be a code. A plain
 * hash of six digits is no secret: this one takes the key.
 */
export function readCode(secrets: SecretSettings, purpose: OneTimePurpose, holderId: string, code: unknown): Buffer[] {
  if (typeof code !== 'string' || !CODE.test(code)) return [];
  return secrets.ids.map((keyId) => codeHash(secrets, keyId, purpose, holderId, code));
}

function newSeed(secrets: SecretSettings): OneTimeSecretSeed {
  const [keyId] = secrets.ids;
  return { keyId, salt: randomBytes(SALT_BYTES) };
}

function macOf(
  secrets: SecretSettings,
  use: SecretUse,
  purpose: OneTimePurpose,
  holderId: string,
  { keyId, salt }: OneTimeSecretSeed,
): Buffer | null {
  const key = secrets.keyFor(keyId, use);
  if (key === undefined) return null;
  return createHmac('sha256', key).update(`${purpose}\0${holderId.toLowerCase()}\0`).update(salt).digest();
}

function codeHash(
  secrets: SecretSettings,
  keyId: string,
  purpose: OneTimePurpose,
  holderId: string,
  code: string,
): Buffer {
  const key = secrets.keyFor(keyId, 'code hash') as Buffer;
  return createHmac('sha256', key).update(`${purpose}\0${holderId.toLowerCase()}\0${code}`).digest();
}

function sha256(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

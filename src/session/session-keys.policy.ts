import { createPrivateKey, createPublicKey, generateKeyPairSync, hkdfSync, type KeyObject } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import type { SessionKey } from './session.types.js';

/** By curve: the one algorithm that a key of it is used with. A token cannot choose another. */
const ALGORITHMS: Readonly<Record<string, string>> = { Ed25519: 'EdDSA', 'P-256': 'ES256' };

/** A key, read. */
export interface LoadedKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly publicKey: KeyObject;
  /** Undefined for one that only verifies. */
  readonly privateKey: KeyObject | undefined;
  /** From which the successors of refresh tokens are derived; undefined without the private part. */
  readonly refreshSecret: Buffer | undefined;
  readonly publicJwk: SessionKey;
}

/**
 * Makes a key for `session.keys`: keep it with the application's other secrets, and give every process the same. To
 * rotate, put a new one before it, and take the old one away when its last access token has expired.
 */
export function generateSessionKeys(): SessionKey[] {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { kty, crv, x, d } = privateKey.export({ format: 'jwk' }) as Omit<SessionKey, 'kid'>;
  return [{ kid: uuidv7(), kty, crv, x, ...(d === undefined ? {} : { d }) }];
}

/** Reads a key; a string says what is wrong with it, and repeats nothing of it. */
export function loadKey(key: SessionKey): LoadedKey | string {
  if (typeof key !== 'object' || key === null) return 'must be a JSON Web Key';
  if (typeof key.kid !== 'string' || !/^[\w.-]{1,200}$/.test(key.kid)) {
    return 'needs a kid of letters, digits, _, - and .';
  }
  const algorithm = ALGORITHMS[key.crv];
  if (algorithm === undefined) return `must be of the curve ${Object.keys(ALGORITHMS).join(' or ')}`;
  const { kid, kty, crv, x, y, d } = key;
  const jwk = { kty, crv, x, ...(y === undefined ? {} : { y }) };
  try {
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
    const privateKey = d === undefined ? undefined : createPrivateKey({ key: { ...jwk, d }, format: 'jwk' });
    const publicJwk = { kid, alg: algorithm, use: 'sig', ...jwk };
    return { kid, algorithm, publicKey, privateKey, refreshSecret: d === undefined ? undefined : derive(d), publicJwk };
  } catch {
    return 'cannot be read as a JSON Web Key of its curve';
  }
}

/** One secret for one purpose: what is derived by it says nothing about the key. */
function derive(d: string): Buffer {
  return Buffer.from(hkdfSync('sha256', Buffer.from(d, 'base64url'), '', 'nest-auth-identity refresh successor', 32));
}

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { SecretSettings } from './secret.settings.js';

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Something encrypted, as it is stored. */
export interface SealedValue {
  readonly keyId: string;
  /** Initialisation vector, authentication tag, ciphertext. */
  readonly sealed: Buffer;
}

/**
 * Encrypts by the newest key (AES-256-GCM, NIST SP 800-38D).
 *
 * @param owner - What it belongs to, such as `totp:<user id>`: put anywhere else it does not open.
 */
export function seal(secrets: SecretSettings, owner: string, plain: Buffer): SealedValue {
  const [keyId] = secrets.ids;
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, secrets.keyFor(keyId, 'sealed value') as Buffer, iv);
  cipher.setAAD(Buffer.from(`${keyId}\0${owner}`));
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()]);
  return { keyId, sealed: Buffer.concat([iv, cipher.getAuthTag(), ciphertext]) };
}

/** Throws `SECRET_UNREADABLE` when its key is gone, or when it was changed or belongs to something else. */
export function unseal(secrets: SecretSettings, owner: string, { keyId, sealed }: SealedValue): Buffer {
  const key = secrets.keyFor(keyId, 'sealed value');
  if (key === undefined)
    throw unreadable(keyId, `add the key ${keyId} to secrets.keys, behind the newest, until rotateSecrets has run`);
  try {
    const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(`${keyId}\0${owner}`));
    decipher.setAuthTag(sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
  } catch {
    // What the cipher says names nothing that helps.
    throw unreadable(keyId, 'it was changed, or the key has another secret now');
  }
}

function unreadable(keyId: string, why: string): NestAuthError {
  return new NestAuthError('SECRET_UNREADABLE', `A secret sealed by the key ${keyId} cannot be decrypted: ${why}`);
}

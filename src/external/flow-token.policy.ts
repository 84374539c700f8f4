import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

const SECRET_BYTES = 32;
const FORM = /^[\w-]{43}$/;
const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** 256 bits in base64url, for the flow token and for `state`. */
export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

/** What is stored of a flow token; null for what cannot be one. */
export function flowHash(token: unknown): Buffer | null {
  return typeof token === 'string' && FORM.test(token) ? createHash('sha256').update(token).digest() : null;
}

/** Encrypted for whoever has the token: a copy of the database tells nothing of a sign-in that is under way. */
export function seal(token: string, content: object): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, keyOf(token), iv);
  const sealed = Buffer.concat([cipher.update(JSON.stringify(content)), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]);
}

/** Throws when it was sealed for another token, or changed since. */
export function unseal(token: string, sealed: Buffer): unknown {
  const decipher = createDecipheriv(CIPHER, keyOf(token), sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  const content = Buffer.concat([decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
  return JSON.parse(content.toString());
}

function keyOf(token: string): Buffer {
  return Buffer.from(hkdfSync('sha256', token, '', 'nest-auth-identity external flow', 32));
}

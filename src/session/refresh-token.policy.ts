import { createHash, createHmac, randomBytes } from 'node:crypto';
import { parse, stringify } from 'uuid';

/** `<user id>.<256 bits>`, both in base64url: with the user's id the look-up touches one node of a cluster. */
const FORM = /^([\w-]{22})\.([\w-]{43})$/;
const SECRET_BYTES = 32;

/** A refresh token that has the right form, and what is stored of it. */
export interface ReadRefreshToken {
  readonly userId: string;
  readonly hash: Buffer;
}

export function newRefreshToken(userId: string): string {
  return encode(userId, randomBytes(SECRET_BYTES));
}

/** Null for what cannot be a token of ours. */
export function readRefreshToken(token: unknown): ReadRefreshToken | null {
  const [, user] = (typeof token === 'string' ? FORM.exec(token) : null) ?? [];
  if (user === undefined) return null;
  try {
    return { userId: stringify(Buffer.from(user, 'base64url')), hash: hashOf(token as string) };
  } catch {
    // Sixteen bytes that are no UUID.
    return null;
  }
}

export function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

export function newSeed(): Buffer {
  return randomBytes(SECRET_BYTES);
}

/**
 * The token that follows. Whoever refreshes with the same token in the reuse window must get the same one, and nobody
 * keeps it: it takes the token, the seed from the database and the key of the application to make it again.
 */
export function successorOf(token: string, userId: string, seed: Buffer, secret: Buffer): string {
  return encode(userId, createHmac('sha256', secret).update(seed).update(token).digest());
}

function encode(userId: string, secret: Buffer): string {
  return `${Buffer.from(parse(userId)).toString('base64url')}.${secret.toString('base64url')}`;
}

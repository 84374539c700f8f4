import { createHash, randomBytes } from 'node:crypto';
import { parse } from 'uuid';

/** Whose key it is, which is also where its row stands. */
export type KeyKind = 'user' | 'service_account';

/** What the text of a key says, which anybody can read who has it. */
export interface KeyText {
  readonly kind: KeyKind;
  /** By which the row is found at one place: the user, or the tenant of the service account. */
  readonly holderId: string;
  readonly keyId: string;
}

/** A text that is formed like a key of ours, with the hash by which the key is known. */
export interface ReadKey extends KeyText {
  readonly hash: Buffer;
}

const KINDS = { user: 1, service_account: 2 } as const satisfies Record<KeyKind, number>;
const ID_BYTES = 16;
/** 256 random bits: nobody guesses them, so one round of SHA-256 is enough to keep them. */
const SECRET_BYTES = 32;
const CHECK_BYTES = 4;
const CHECK_AT = 1 + 2 * ID_BYTES + SECRET_BYTES;
/** A multiple of three bytes, so that no bit of the last letter is left over: there is one way to write each key. */
const LETTERS = ((CHECK_AT + CHECK_BYTES) / 3) * 4;
const BODY = new RegExp(`^[A-Za-z0-9_-]{${LETTERS}}$`);

/** Makes the text of a key, with a secret that has never been. */
export function makeKeyText(prefix: string, { kind, holderId, keyId }: KeyText): { text: string; hash: Buffer } {
  const said = Buffer.concat([Buffer.from([KINDS[kind]]), parse(holderId), parse(keyId), randomBytes(SECRET_BYTES)]);
  const text = prefix + Buffer.concat([said, checksum(prefix, said)]).toString('base64url');
  return { text, hash: hashOf(text) };
}

/** Null for what is no key of ours, a mistyped or shortened one too: nobody has to be asked about it. */
export function readKeyText(prefix: string, text: unknown): ReadKey | null {
  if (typeof text !== 'string' || !text.startsWith(prefix)) return null;
  const body = text.slice(prefix.length);
  if (!BODY.test(body)) return null;
  const bytes = Buffer.from(body, 'base64url');
  const said = bytes.subarray(0, CHECK_AT);
  if (!checksum(prefix, said).equals(bytes.subarray(CHECK_AT))) return null;
  const kind = (Object.keys(KINDS) as KeyKind[]).find((one) => KINDS[one] === said[0]);
  if (kind === undefined) return null;
  const [holderId, keyId] = [idAt(said, 1), idAt(said, 1 + ID_BYTES)];
  return { kind, holderId, keyId, hash: hashOf(text) };
}

/** It keeps nothing secret: whoever finds such a text can tell, without asking anybody, whether it is a key. */
function checksum(prefix: string, said: Buffer): Buffer {
  return createHash('sha256').update(prefix).update(said).digest().subarray(0, CHECK_BYTES);
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function idAt(said: Buffer, at: number): string {
  const hex = said.toString('hex', at, at + ID_BYTES);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

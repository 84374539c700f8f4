import { hkdfSync } from 'node:crypto';
import { NestAuthError } from '../errors/nest-auth.error.js';

/** A key of the application that the database does not have. */
export interface SecretKey {
  /** Names the key beside what was made with it: letters, digits, `_`, `-` and `.`, at most 32. Never used again for another. */
  readonly id: string;
  /** At least 32 characters of chance, such as those of `openssl rand -base64 32`. Every process has the same. */
  readonly secret: string;
}

export interface SecretOptions {
  /**
   * Newest first: the first makes, all are understood. One-time tokens and codes are derived from them, and the seeds of
   * second factors are encrypted by them.
   * @default [] what needs one throws `INVALID_OPTIONS`
   */
  readonly keys?: readonly SecretKey[];
}

/** What a key is used for; one use tells nothing about another. */
export type SecretUse = 'one-time token' | 'one-time code' | 'code hash' | 'sealed value';

export const SECRET_FIELDS = ['keys'];

const ID = /^[\w.-]{1,32}$/;
const MIN_SECRET_LENGTH = 32;
const KEY_BYTES = 32;

/** The keys of the application, checked. */
export class SecretSettings {
  readonly #secrets: ReadonlyMap<string, string>;
  readonly #derived = new Map<string, Buffer>();

  constructor({ keys = [] }: SecretOptions = {}) {
    if (!Array.isArray(keys)) refuse('keys', 'must be an array of { id, secret }');
    for (const [index, key] of keys.entries()) assertKey(key, index);
    this.#secrets = new Map(keys.map(({ id, secret }) => [id, secret]));
    if (this.#secrets.size < keys.length) refuse('keys', 'must have an id of its own each');
  }

  get isInUse(): boolean {
    return this.#secrets.size > 0;
  }

  /** The ids, the making one first. Throws `INVALID_OPTIONS` when there are none: none is ever made up. */
  get ids(): readonly [string, ...string[]] {
    const [first, ...rest] = this.#secrets.keys();
    if (first === undefined) refuse('keys', 'is needed for this; `openssl rand -base64 32` makes a secret to keep');
    return [first, ...rest];
  }

  /** 256 bits for one use, by HKDF (RFC 5869); undefined for a key that is not there any more. */
  keyFor(id: string, use: SecretUse): Buffer | undefined {
    const secret = this.#secrets.get(id);
    if (secret === undefined) return undefined;
    const name = `${use}:${id}`;
    const known = this.#derived.get(name);
    if (known !== undefined) return known;
    const derived = Buffer.from(hkdfSync('sha256', secret, '', `nest-auth-identity ${use}`, KEY_BYTES));
    this.#derived.set(name, derived);
    return derived;
  }
}

function assertKey(key: SecretKey | null | undefined, index: number): void {
  if (typeof key?.id !== 'string' || !ID.test(key.id))
    refuse(`keys[${index}].id`, 'must be 1 to 32 letters, digits, _, - and .');
  if (typeof key.secret !== 'string' || key.secret.length < MIN_SECRET_LENGTH)
    refuse(`keys[${index}].secret`, `must be a text of at least ${MIN_SECRET_LENGTH} characters`);
}

function refuse(name: string, message: string): never {
  const option = `secrets.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

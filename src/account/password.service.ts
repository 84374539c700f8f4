import { availableParallelism } from 'node:os';
import { randomBytes } from 'node:crypto';
import argon2 from 'argon2';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { HashedPassword } from './hashed-password.js';
import { encodeLegacyHash, type LegacyHashInput, readImportedHash } from './imported-hash.policy.js';
import { loadBcrypt, verifyImportedHash } from './imported-hash.verifier.js';

/** How passwords are hashed. */
export interface PasswordSettings {
  /** Memory of one hash, in KiB. @default 19456 */
  readonly memoryKiB: number;
  /** Passes over the memory. @default 2 */
  readonly iterations: number;
  /** Lanes. @default 1 */
  readonly parallelism: number;
  /** Hashes computed at once; each holds `memoryKiB`. @default the number of cores, at most 4 */
  readonly maxConcurrent: number;
  /** Hashes that may wait; one more is refused with `HASHING_BUSY`. @default 1000 */
  readonly maxQueued: number;
}

export const DEFAULT_PASSWORD_SETTINGS: PasswordSettings = {
  memoryKiB: 19_456,
  iterations: 2,
  parallelism: 1,
  maxConcurrent: Math.min(4, availableParallelism()),
  maxQueued: 1_000,
};

/**
 * The weakest argon2id parameters OWASP accepts, as memory in KiB by number of passes.
 * @see https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
 */
const FLOOR_BY_ITERATIONS: readonly number[] = [47_104, 19_456, 12_288, 9_216, 7_168];

/** Longer input costs more than any passphrase is worth (OWASP ASVS 6.2.9); nothing is ever cut off. */
const MAX_PASSWORD_BYTES = 4_096;

/** PHC string of any argon2 variant; the salt has 8 bytes at least. */
const ARGON2 = /^\$argon2(?:id|i|d)\$v=19\$m=\d{1,10},t=\d{1,10},p=\d{1,3}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{6,}$/;

const hashes = new WeakSet<object>();

/** What an imported hash of argon2 may cost. */
const MAX_IMPORTED_MEMORY_KIB = 262_144;
const MAX_IMPORTED_PASSES = 16;

/** Hashes and verifies passwords with argon2id, a bounded number at once. Touches no database. */
export class PasswordService {
  readonly #settings: PasswordSettings;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #dummy: Promise<HashedPassword> | undefined;

  constructor(settings: PasswordSettings = DEFAULT_PASSWORD_SETTINGS) {
    assertStrongEnough(settings);
    this.#settings = settings;
  }

  /**
   * Hashes a password, for `createUser({ password })` or `setPassword`. Call it before a transaction begins: hashing
   * takes tens of milliseconds, during which an open transaction would hold a connection and its locks. Whoever hashes a
   * password that somebody has chosen asks `PasswordPolicy.assertAcceptable` before: a hash is not judged any more.
   *
   * @throws `VALIDATION_FAILED` for an empty or oversized password, `HASHING_BUSY` when the queue is full.
   */
  async hash(password: string): Promise<HashedPassword> {
    assertPasswordSize(password);
    const bytes = Buffer.from(password);
    const { memoryKiB, iterations, parallelism } = this.#settings;
    const phc = await this.#bounded(() =>
      argon2.hash(bytes, { type: argon2.argon2id, memoryCost: memoryKiB, timeCost: iterations, parallelism }),
    );
    return brand(phc);
  }

  /**
   * Whether `password` is the one that was hashed. Without a stored hash the answer is false at the same cost, so that
   * the time does not tell whether there is one (OWASP ASVS 6.3.8). A hash of another system takes as long as it takes.
   *
   * @throws `HASHING_BUSY` when the queue is full; `INVALID_OPTIONS` for a hash of bcrypt without the package `bcrypt`.
   */
  async verify(stored: string | null, password: string): Promise<boolean> {
    if (typeof password !== 'string' || password === '' || Buffer.byteLength(password) > MAX_PASSWORD_BYTES)
      return false;
    const imported = stored === null ? null : readImportedHash(stored);
    if (imported !== null) return this.#bounded(() => verifyImportedHash(imported, password));
    // What is no hash at all matches nothing, like none.
    const real = stored !== null && ARGON2.test(stored);
    const against = real ? stored : (await this.#dummyHash()).phc;
    const matches = await this.#bounded(() => argon2.verify(against, Buffer.from(password)));
    return real && matches;
  }

  /**
   * Takes a hash that another system has made, for `createUser({ password })`, `createUsers` or `setPassword`. It is
   * verified as it is, and replaced by one of argon2id when the person signs in.
   *
   * Forms: bcrypt (`$2a$`, `$2b$`, `$2y$`; needs the package `bcrypt`), argon2, scrypt in PHC form, PBKDF2 as PHC, passlib
   * and Django write it. For `hash + salt` see {@link legacy}.
   *
   * @throws `VALIDATION_FAILED` for another form, or one that costs too much; `INVALID_OPTIONS` without `bcrypt`.
   */
  async importHash(stored: string): Promise<HashedPassword> {
    const imported = typeof stored === 'string' ? readImportedHash(stored) : null;
    if (imported?.scheme === 'bcrypt') await loadBcrypt();
    if (imported === null && !isImportableArgon2(stored)) {
      const message = 'must be a hash of a known form, with parameters that one sign-in may cost';
      throw new NestAuthError('VALIDATION_FAILED', `The hash cannot be imported: it ${message}`, {
        details: { issues: [{ path: 'stored', message }] },
      });
    }
    return brand(stored);
  }

  /**
   * The form in which a hash and its salt are kept, for {@link importHash}: `$pbkdf2-sha512$i=10000$<salt>$<hash>` or
   * `$scrypt$ln=14,r=8,p=1$<salt>$<hash>`, both in Base64 without padding.
   *
   * @throws `VALIDATION_FAILED` for what cannot be one.
   */
  static legacy(input: LegacyHashInput): string {
    return encodeLegacyHash(input);
  }

  /** Whether a stored hash was made by another algorithm, or with other parameters, than those of now. */
  needsRehash(stored: string): boolean {
    if (!ARGON2.test(stored) || !stored.startsWith('$argon2id$')) return true;
    const { memoryKiB, iterations, parallelism } = this.#settings;
    return argon2.needsRehash(stored, { memoryCost: memoryKiB, timeCost: iterations, parallelism });
  }

  #dummyHash(): Promise<HashedPassword> {
    this.#dummy ??= this.hash(randomBytes(16).toString('hex')).catch((error: unknown) => {
      // A full queue passes; kept, its refusal would answer for everybody without a password from then on.
      this.#dummy = undefined;
      throw error;
    });
    return this.#dummy;
  }

  async #bounded<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#settings.maxConcurrent) await this.#turn();
    else this.#running += 1;
    try {
      return await work();
    } finally {
      // The place is handed on, not freed and taken again, so that nobody can slip in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.length >= this.#settings.maxQueued) {
      throw new NestAuthError('HASHING_BUSY', `${this.#settings.maxQueued} passwords are already waiting to be hashed`);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** True for what `PasswordService.hash` returned, and for nothing that came from outside. */
export function isHashedPassword(value: unknown): value is HashedPassword {
  return typeof value === 'object' && value !== null && hashes.has(value);
}

/** Of argon2, within the limits. */
function isImportableArgon2(stored: unknown): boolean {
  if (typeof stored !== 'string' || !ARGON2.test(stored)) return false;
  const [, memory, passes, lanes] = /\$m=(\d+),t=(\d+),p=(\d+)\$/.exec(stored) ?? [];
  return (
    Number(memory) <= MAX_IMPORTED_MEMORY_KIB &&
    Number(passes) <= MAX_IMPORTED_PASSES &&
    Number(lanes) <= MAX_IMPORTED_PASSES
  );
}

function brand(phc: string): HashedPassword {
  const hashed = Object.freeze({ phc }) as HashedPassword;
  hashes.add(hashed);
  return hashed;
}

/** Refuses what cannot be hashed at all, whatever else is asked of a password. */
export function assertPasswordSize(password: unknown): asserts password is string {
  const bytes = typeof password === 'string' ? Buffer.byteLength(password) : 0;
  if (bytes > 0 && bytes <= MAX_PASSWORD_BYTES) return;
  const message = `must be a string of 1 to ${MAX_PASSWORD_BYTES} bytes`;
  throw new NestAuthError('VALIDATION_FAILED', `The password cannot be used: it ${message}`, {
    details: { issues: [{ path: 'password', message }] },
  });
}

/** Refuses settings below the floor, or that could not work, by name. */
export function assertStrongEnough({
  memoryKiB,
  iterations,
  parallelism,
  maxConcurrent,
  maxQueued,
}: PasswordSettings): void {
  const floor = FLOOR_BY_ITERATIONS[Math.min(iterations, FLOOR_BY_ITERATIONS.length) - 1];
  if (floor === undefined || !Number.isInteger(iterations))
    refuse('password.iterations', 'must be a whole number, at least 1');
  else if (!Number.isInteger(memoryKiB) || memoryKiB < floor) {
    refuse('password.memoryKiB', `must be at least ${floor} with ${iterations} iterations (OWASP)`);
  }
  if (!Number.isInteger(parallelism) || parallelism < 1)
    refuse('password.parallelism', 'must be a whole number, at least 1');
  if (!Number.isInteger(maxConcurrent) || maxConcurrent < 1) {
    refuse('password.maxConcurrent', 'must be a whole number, at least 1');
  }
  if (!Number.isInteger(maxQueued) || maxQueued < 0) refuse('password.maxQueued', 'must be a whole number, at least 0');
}

function refuse(option: string, message: string): never {
  throw new NestAuthError('INVALID_OPTIONS', `${option} ${message}`, { details: { option } });
}

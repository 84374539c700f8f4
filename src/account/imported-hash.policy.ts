import { NestAuthError } from '../errors/nest-auth.error.js';

/** A hash that another system has made, read. The values are within what one sign-in may cost. */
export type ImportedHash =
  | { readonly scheme: 'bcrypt'; readonly encoded: string }
  | {
      readonly scheme: 'scrypt';
      readonly cost: number;
      readonly blockSize: number;
      readonly parallelization: number;
      readonly salt: Buffer;
      readonly hash: Buffer;
    }
  | {
      readonly scheme: 'pbkdf2';
      readonly digest: string;
      readonly iterations: number;
      readonly salt: Buffer;
      readonly hash: Buffer;
    };

/** `hash + salt` of another system, as `PasswordService.legacy` takes them. */
export interface LegacyHashInput {
  /** `scrypt` with the parameters of Node, `N = 16384, r = 8, p = 1`, unless others are given. */
  readonly algorithm: 'pbkdf2-sha1' | 'pbkdf2-sha256' | 'pbkdf2-sha512' | 'scrypt';
  /** Text in `encoding`, or the bytes. */
  readonly hash: string | Uint8Array;
  /** As it was given to the algorithm: a text stands for its UTF-8 bytes, also where it looks like hex. */
  readonly salt: string | Uint8Array;
  /** Of PBKDF2, and needed there. */
  readonly iterations?: number;
  /** Bytes of the hash; only checked. */
  readonly keyLength?: number;
  /** Of scrypt: `N`, a power of two. @default 16384 */
  readonly cost?: number;
  /** Of scrypt: `r`. @default 8 */
  readonly blockSize?: number;
  /** Of scrypt: `p`. @default 1 */
  readonly parallelization?: number;
  /** Of `hash`, when it is a text. @default 'hex' */
  readonly encoding?: 'hex' | 'base64';
}

const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
const SCRYPT = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]+={0,2})$/;
/** PHC writes `i=1000`, passlib the number alone and `.` for `+`; both leave out `sha1`. */
const PBKDF2 =
  /^\$pbkdf2(?:-(sha1|sha256|sha512))?\$(?:i=)?(\d{1,9})(?:,l=\d+)?\$([A-Za-z0-9+/.]*={0,2})\$([A-Za-z0-9+/.]+={0,2})$/;
const DJANGO = /^pbkdf2_(sha1|sha256)\$(\d{1,9})\$([^$]+)\$([A-Za-z0-9+/]+={0,2})$/;

/** What a stranger may make a process spend on one hash: some seconds, and 128 MiB. */
const MAX_BCRYPT_COST = 15;
const MAX_ITERATIONS = 5_000_000;
const MAX_SCRYPT_BYTES = 134_217_728;
const MAX_SCRYPT_WORK = 8_388_608;
const MIN_HASH_BYTES = 16;
const MAX_BYTES = 1_024;

/** Null for what is of none of the forms, or costs more than one sign-in may. */
export function readImportedHash(stored: string): ImportedHash | null {
  const bcrypt = BCRYPT.exec(stored);
  if (bcrypt !== null) return readBcrypt(stored, Number(bcrypt[1]));
  const scrypt = SCRYPT.exec(stored);
  if (scrypt !== null) {
    const [, ln, r, p, salt = '', hash = ''] = scrypt;
    const numbers = { cost: 2 ** Number(ln), blockSize: Number(r), parallelization: Number(p) };
    return bounded({ scheme: 'scrypt', ...numbers, salt: bytesOf(salt), hash: bytesOf(hash) });
  }
  const [, digest = 'sha1', iterations, salt, hash = ''] = PBKDF2.exec(stored) ?? [];
  if (salt !== undefined) return pbkdf2(digest, iterations, bytesOf(salt), hash);
  const [, name, count, text, djangoHash = ''] = DJANGO.exec(stored) ?? [];
  return text === undefined || name === undefined ? null : pbkdf2(name, count, Buffer.from(text), djangoHash);
}

/** The PHC string of `hash + salt`. Throws `VALIDATION_FAILED` for what cannot be one. */
export function encodeLegacyHash(input: LegacyHashInput): string {
  const { algorithm, encoding = 'hex', iterations, keyLength } = input;
  const hash = typeof input.hash === 'string' ? Buffer.from(input.hash, encoding) : Buffer.from(input.hash);
  const isWhole =
    typeof input.hash !== 'string' || hash.toString(encoding).length >= input.hash.replace(/=+$/, '').length;
  if (!isWhole) refuse('hash', `is no ${encoding}`);
  if (keyLength !== undefined && keyLength !== hash.length)
    refuse('keyLength', `is not that of the hash, ${hash.length}`);
  const ends = `${phc(Buffer.from(input.salt))}$${phc(hash)}`;
  const encoded =
    algorithm === 'scrypt' ? `$scrypt$${costsOf(input)}$${ends}` : `$${algorithm}$i=${iterations}$${ends}`;
  if (readImportedHash(encoded) === null) refuse('hash', 'has parameters that are not known, missing, or too costly');
  return encoded;
}

function costsOf({ cost = 16_384, blockSize = 8, parallelization = 1 }: LegacyHashInput): string {
  return `ln=${Math.log2(cost)},r=${blockSize},p=${parallelization}`;
}

function readBcrypt(stored: string, cost: number): ImportedHash | null {
  // `2y` is what PHP calls the same algorithm.
  return cost < 4 || cost > MAX_BCRYPT_COST ? null : { scheme: 'bcrypt', encoded: `$2b${stored.slice(3)}` };
}

function pbkdf2(digest: string, iterations: string | undefined, salt: Buffer, hash: string): ImportedHash | null {
  return bounded({ scheme: 'pbkdf2', digest, iterations: Number(iterations), salt, hash: bytesOf(hash) });
}

function bounded(read: Exclude<ImportedHash, { readonly scheme: 'bcrypt' }>): ImportedHash | null {
  const { salt, hash } = read;
  if (hash.length < MIN_HASH_BYTES || hash.length > MAX_BYTES || salt.length > MAX_BYTES) return null;
  if (read.scheme === 'pbkdf2') return read.iterations < 1 || read.iterations > MAX_ITERATIONS ? null : read;
  const { cost, blockSize, parallelization } = read;
  if (cost < 2 || blockSize < 1 || parallelization < 1) return null;
  const isTooMuch = 128 * cost * blockSize > MAX_SCRYPT_BYTES || cost * blockSize * parallelization > MAX_SCRYPT_WORK;
  return isTooMuch ? null : read;
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text.replaceAll('.', '+'), 'base64');
}

function phc(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

function refuse(path: string, message: string): never {
  throw new NestAuthError('VALIDATION_FAILED', `The hash cannot be imported: ${path} ${message}`, {
    details: { issues: [{ path, message }] },
  });
}

import { pbkdf2, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { ImportedHash } from './imported-hash.policy.js';

type Bcrypt = Pick<typeof import('bcrypt'), 'compare'>;
type Scrypt = (
  password: string,
  salt: Buffer,
  length: number,
  options: import('node:crypto').ScryptOptions,
) => Promise<Buffer>;

const runPbkdf2 = promisify(pbkdf2);
const runScrypt = promisify(scrypt) as Scrypt;

/** Whether the password is the one that another system has hashed. Runs in the threads of libuv, none of it here. */
export async function verifyImportedHash(imported: ImportedHash, password: string): Promise<boolean> {
  // Like every bcrypt it looks at 72 bytes and no more: that is what the other system has hashed.
  if (imported.scheme === 'bcrypt') return (await loadBcrypt()).compare(password, imported.encoded);
  const { salt, hash } = imported;
  const made =
    imported.scheme === 'pbkdf2'
      ? await runPbkdf2(password, salt, imported.iterations, hash.length, imported.digest)
      : await runScrypt(password, salt, hash.length, {
          N: imported.cost,
          r: imported.blockSize,
          p: imported.parallelization,
          // What the algorithm needs by definition; Node's own limit is that of its defaults.
          maxmem: 128 * imported.cost * imported.blockSize + 128 * imported.blockSize * (imported.parallelization + 2),
        });
  return timingSafeEqual(made, hash);
}

/** The optional package, which only those need who bring hashes of bcrypt. */
export async function loadBcrypt(): Promise<Bcrypt> {
  const loaded = await import('bcrypt').catch((cause: unknown) => {
    throw new NestAuthError('INVALID_OPTIONS', 'A hash of bcrypt needs the package bcrypt; install it', {
      details: { option: 'bcrypt' },
      cause,
    });
  });
  return loaded.default;
}

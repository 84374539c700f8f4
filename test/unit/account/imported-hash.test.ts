import { describe, expect, it } from '@jest/globals';
import bcrypt from 'bcrypt';

import type { LegacyHashInput } from '../../../src/account/imported-hash.policy.js';
import { isHashedPassword, PasswordService } from '../../../src/account/password.service.js';

const service = new PasswordService();

/** Made by others: the manual of PHP, RFC 7914, RFC 6070, the documentation of passlib, and Python's hashlib. */
const KNOWN: readonly (readonly [what: string, stored: string, password: string])[] = [
  ['bcrypt of PHP', '$2y$10$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a', 'rasmuslerdorf'],
  [
    'scrypt',
    PasswordService.legacy({
      algorithm: 'scrypt',
      hash: '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
      salt: 'SodiumChloride',
    }),
    'pleaseletmein',
  ],
  [
    'PBKDF2 with SHA-1',
    PasswordService.legacy({
      algorithm: 'pbkdf2-sha1',
      hash: '4b007901b765489abead49d926f721d065a429c1',
      salt: 'salt',
      iterations: 4_096,
    }),
    'password',
  ],
  [
    'PBKDF2 of passlib',
    '$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk',
    'toomanysecrets',
  ],
  [
    'PBKDF2 of Django',
    'pbkdf2_sha256$10000$s1w0UXDd00XB$H+FgFXDfFlGC3M20gnQWHT33L/3pPIABymvwLC1ijXs=',
    'correct horse',
  ],
  [
    'hash and salt of crypto.pbkdf2Sync(password, salt, 1000, 64, sha512)',
    PasswordService.legacy({
      algorithm: 'pbkdf2-sha512',
      hash: '638dcd6d5b0c6f752e589a5bdb47dcdd860d3495ca08623409d0d631cf2c37b4969a8c405ae7c86f19f2cfe9d2cbbca7b3505ad63a17db5d4c9a9b5e0c42dfc3',
      salt: 'a1b2c3d4',
      iterations: 1_000,
      keyLength: 64,
    }),
    'correct horse',
  ],
  [
    'hash and salt of crypto.scryptSync(password, salt, 64)',
    PasswordService.legacy({
      algorithm: 'scrypt',
      hash: Buffer.from(
        '7d659108ac7e445c5d804bec074ae9536fb9463a1b68af58b55d107c546dbe73a3c78f9494d06ad75219e135372e85b9ebd8cdc074c3ac496570a167d261da68',
        'hex',
      ).toString('base64'),
      encoding: 'base64',
      salt: Buffer.from('a1b2c3d4'),
    }),
    'correct horse',
  ],
];

describe('a hash of another system', () => {
  it.each(KNOWN)(
    '%s is taken, verifies the password and no other, and wants to be replaced',
    async (_, stored, right) => {
      const imported = await service.importHash(stored);
      expect(isHashedPassword(imported)).toBe(true);
      expect(imported.phc).toBe(stored);
      expect(await service.verify(stored, right)).toBe(true);
      expect(await service.verify(stored, `${right}x`)).toBe(false);
      expect(await service.verify(stored, '')).toBe(false);
      expect(service.needsRehash(stored)).toBe(true);
    },
  );

  it('SEC-04: of bcrypt is of 72 bytes, as the other system has made it; its replacement is of all', async () => {
    const password = 'x'.repeat(72);
    const stored = await bcrypt.hash(`${password}a`, 4);
    await service.importHash(stored);
    expect(await service.verify(stored, `${password}b`)).toBe(true);
    const { phc } = await service.hash(`${password}a`);
    expect(await service.verify(phc, `${password}b`)).toBe(false);
  });

  it('of another variant of argon2 is replaced, too', async () => {
    const argon2i = '$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$JQyLVOJmPFVSQVPDBWQAfyRVpzFKDTKTPyRQTnZkNUo';
    await expect(service.importHash(argon2i)).resolves.toMatchObject({ phc: argon2i });
    expect(service.needsRehash(argon2i)).toBe(true);
  });

  it.each([
    '',
    'plain text',
    '5f4dcc3b5aa765d61d8327deb882cf99',
    '$2b$16$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a',
    '$2b$03$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a',
    '$2b$10$short',
    '$scrypt$ln=18,r=8,p=1$c2FsdA$aGFzaGhhc2hoYXNoaGFzaA',
    '$scrypt$ln=14,r=8,p=99$c2FsdA$aGFzaGhhc2hoYXNoaGFzaA',
    '$scrypt$ln=0,r=8,p=1$c2FsdA$aGFzaGhhc2hoYXNoaGFzaA',
    '$pbkdf2-sha256$i=5000001$c2FsdA$aGFzaGhhc2hoYXNoaGFzaA',
    '$pbkdf2-sha256$i=0$c2FsdA$aGFzaGhhc2hoYXNoaGFzaA',
    '$pbkdf2-md5$i=1000$c2FsdA$aGFzaGhhc2hoYXNoaGFzaA',
    '$pbkdf2-sha256$i=1000$c2FsdA$c2hvcnQ',
    '$argon2id$v=19$m=1048576,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$JQyLVOJmPFVSQVPDBWQAfyRVpzFKDTKTPyRQTnZkNUo',
    '$argon2id$v=19$m=19456,t=1000,p=1$c29tZXNhbHRzb21lc2FsdA$JQyLVOJmPFVSQVPDBWQAfyRVpzFKDTKTPyRQTnZkNUo',
    null,
    { phc: 'x' },
  ])('%j is refused, as it is none, or costs more than one sign-in may', async (stored) => {
    await expect(service.importHash(stored as string)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  it.each<[string, Partial<LegacyHashInput>]>([
    ['no iterations', { iterations: undefined as never }],
    ['a half of an iteration', { iterations: 0.5 }],
    ['another length', { keyLength: 32 }],
    ['a hash that is no hex', { hash: 'xyz'.repeat(20) }],
    ['a cost that is no power of two', { algorithm: 'scrypt', cost: 1_000 }],
    ['an unknown algorithm', { algorithm: 'md5' as never }],
  ])('legacy refuses %s', (_, wrong) => {
    const right: LegacyHashInput = { algorithm: 'pbkdf2-sha512', hash: 'ab'.repeat(64), salt: 's', iterations: 1_000 };
    expect(() => PasswordService.legacy(right)).not.toThrow();
    expect(() => PasswordService.legacy({ ...right, ...wrong })).toThrow(
      expect.objectContaining({ code: 'VALIDATION_FAILED' }),
    );
  });

  it('is verified in its turn, like every other', async () => {
    const narrow = new PasswordService({
      memoryKiB: 19_456,
      iterations: 2,
      parallelism: 1,
      maxConcurrent: 1,
      maxQueued: 0,
    });
    const stored = (await service.importHash(KNOWN[0]?.[1] ?? '')).phc;
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => narrow.verify(stored, 'rasmuslerdorf')));
    expect(
      outcomes.map((one) => (one.status === 'rejected' ? (one.reason as { code: string }).code : one.value)),
    ).toEqual([true, 'HASHING_BUSY', 'HASHING_BUSY']);
  });
});

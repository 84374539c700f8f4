import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';
import {
  codeOf,
  issueCode,
  issueToken,
  type OneTimePurpose,
  readCode,
  readToken,
  tokenOf,
} from '../../../src/secret/one-time-secret.policy.js';
import { SecretSettings } from '../../../src/secret/secret.settings.js';

const OLD = { id: 'old', secret: 'a secret of the year before, long enough' };
const NEW = { id: 'new', secret: 'another secret, of this year, long enough' };
const secrets = new SecretSettings({ keys: [NEW, OLD] });
const PURPOSES: readonly OneTimePurpose[] = [
  'email_verification',
  'phone_verification',
  'email_change',
  'phone_change',
  'password_reset',
  'invitation',
  'second_factor_code',
];

const holder = uuidv7();

describe('one-time tokens', () => {
  it('SEC-20 are made again from what is stored and the key, and stored as a hash', () => {
    const issued = issueToken(secrets, 'password_reset', holder);
    const token = tokenOf(secrets, 'password_reset', holder, issued) as string;
    expect(readToken(token)).toEqual({ holderId: holder, hash: issued.hash });
    expect(createHash('sha256').update(token).digest()).toEqual(issued.hash);
    const stored = Buffer.concat([issued.salt, issued.hash, Buffer.from(issued.keyId)]);
    expect(stored.includes(Buffer.from(token.slice(23), 'base64url'))).toBe(false);
  });

  it('SEC-20 are never the same twice', () => {
    const made = Array.from({ length: 1_000 }, () => {
      const issued = issueToken(secrets, 'password_reset', holder);
      return tokenOf(secrets, 'password_reset', holder, issued);
    });
    expect(new Set(made).size).toBe(1_000);
  });

  it('SEC-21 are others for every purpose, holder, salt and key', () => {
    const { keyId, salt } = issueToken(secrets, 'password_reset', holder);
    const others = issueToken(secrets, 'password_reset', holder);
    const made = [
      ...PURPOSES.map((purpose) => tokenOf(secrets, purpose, holder, { keyId, salt })?.slice(23)),
      tokenOf(secrets, 'password_reset', uuidv7(), { keyId, salt })?.slice(23),
      tokenOf(secrets, 'password_reset', holder, { keyId, salt: others.salt })?.slice(23),
      tokenOf(secrets, 'password_reset', holder, { keyId: 'old', salt })?.slice(23),
    ];
    expect(new Set(made).size).toBe(PURPOSES.length + 3);
  });

  it('are understood while their key is there, and made by the newest', () => {
    const issued = issueToken(new SecretSettings({ keys: [OLD] }), 'invitation', holder);
    expect(issued.keyId).toBe('old');
    const token = tokenOf(secrets, 'invitation', holder, issued) as string;
    expect(readToken(token)?.hash).toEqual(issued.hash);
    expect(issueToken(secrets, 'invitation', holder).keyId).toBe('new');
    expect(tokenOf(new SecretSettings({ keys: [NEW] }), 'invitation', holder, issued)).toBeNull();
  });

  it.each([undefined, null, 1, {}, '', 'x', `${'a'.repeat(22)}.${'b'.repeat(42)}`, ' '.repeat(66)])(
    'are none of %p',
    (given) => {
      expect(readToken(given)).toBeNull();
    },
  );
});

describe('one-time codes', () => {
  it('have six digits, are made again, and are stored by the key', () => {
    const issued = issueCode(secrets, 'phone_verification', holder);
    const code = codeOf(secrets, 'phone_verification', holder, issued) as string;
    expect(code).toMatch(/^[0-9]{6}$/);
    expect(readCode(secrets, 'phone_verification', holder, code)).toContainEqual(issued.hash);
    expect(readCode(secrets, 'phone_change', holder, code)).not.toContainEqual(issued.hash);
    expect(readCode(secrets, 'phone_verification', uuidv7(), code)).not.toContainEqual(issued.hash);
    // Whoever has the database tries a million codes in a second, and finds none without the key.
    const stranger = new SecretSettings({ keys: [{ id: 'new', secret: 'what somebody without the key would try' }] });
    expect(readCode(stranger, 'phone_verification', holder, code)).not.toContainEqual(issued.hash);
  });

  it('are spread over all digits', () => {
    const made = Array.from({ length: 2_000 }, () =>
      codeOf(secrets, 'phone_verification', holder, issueCode(secrets, 'phone_verification', holder)),
    );
    const first = new Set(made.map((code) => code?.[0]));
    expect(first.size).toBe(10);
    expect(new Set(made).size).toBeGreaterThan(1_980);
  });

  it('made by an older key are understood while it is there', () => {
    const issued = issueCode(new SecretSettings({ keys: [OLD] }), 'phone_verification', holder);
    const code = codeOf(secrets, 'phone_verification', holder, issued);
    expect(readCode(secrets, 'phone_verification', holder, code)).toContainEqual(issued.hash);
  });

  it.each([undefined, null, 123456, '12345', '1234567', '12345a', '１２３４５６', ' 12345', ['123456']])(
    'are none of %p',
    (given) => {
      expect(readCode(secrets, 'phone_verification', holder, given)).toEqual([]);
    },
  );
});

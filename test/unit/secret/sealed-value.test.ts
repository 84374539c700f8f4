import { describe, expect, it } from '@jest/globals';
import { isNestAuthError } from '../../../src/errors/nest-auth.error.js';
import { seal, unseal } from '../../../src/secret/sealed-value.js';
import { SecretSettings, type SecretKey } from '../../../src/secret/secret.settings.js';

const OLD: SecretKey = { id: 'old', secret: 'a secret of the year before, long enough' };
const NEW: SecretKey = { id: 'new', secret: 'another secret, of this year, long enough' };
const secrets = new SecretSettings({ keys: [NEW, OLD] });
const plain = Buffer.from('the seed of somebody');

const codeOf = (fn: () => unknown): unknown => {
  try {
    return fn();
  } catch (error) {
    return isNestAuthError(error) ? error.code : error;
  }
};

describe('a sealed value', () => {
  it('SEC-49 opens for its owner, by its key, and by nothing else', () => {
    const sealed = seal(secrets, 'totp:1', plain);
    expect(unseal(secrets, 'totp:1', sealed)).toEqual(plain);
    expect(sealed.sealed.includes(plain)).toBe(false);
    expect(codeOf(() => unseal(secrets, 'totp:2', sealed))).toBe('SECRET_UNREADABLE');
    expect(codeOf(() => unseal(secrets, 'totp:1', { ...sealed, keyId: 'old' }))).toBe('SECRET_UNREADABLE');
    expect(codeOf(() => unseal(new SecretSettings({ keys: [OLD] }), 'totp:1', sealed))).toBe('SECRET_UNREADABLE');
    const impostor = new SecretSettings({ keys: [{ ...NEW, secret: `${NEW.secret}!` }] });
    expect(codeOf(() => unseal(impostor, 'totp:1', sealed))).toBe('SECRET_UNREADABLE');
  });

  it('does not open when any bit of it was changed', () => {
    const { keyId, sealed } = seal(secrets, 'totp:1', plain);
    for (let index = 0; index < sealed.length; index += 1) {
      const changed = Buffer.from(sealed);
      changed[index] = (changed[index] as number) ^ 1;
      expect(codeOf(() => unseal(secrets, 'totp:1', { keyId, sealed: changed }))).toBe('SECRET_UNREADABLE');
    }
    expect(codeOf(() => unseal(secrets, 'totp:1', { keyId, sealed: sealed.subarray(0, 20) }))).toBe(
      'SECRET_UNREADABLE',
    );
  });

  it('is another each time', () => {
    expect(seal(secrets, 'totp:1', plain).sealed).not.toEqual(seal(secrets, 'totp:1', plain).sealed);
  });
});

describe('the keys', () => {
  it.each([
    ['no array', { keys: 'x' }],
    ['null', { keys: [null] }],
    ['a short secret', { keys: [{ id: 'a', secret: 'short' }] }],
    ['no id', { keys: [{ id: '', secret: OLD.secret }] }],
    ['an id with a space', { keys: [{ id: 'a b', secret: OLD.secret }] }],
    ['the same id twice', { keys: [OLD, { ...NEW, id: 'old' }] }],
  ])('SEC-66 are refused: %s', (_, options) => {
    expect(codeOf(() => new SecretSettings(options as never))).toBe('INVALID_OPTIONS');
  });

  it('SEC-66 are never made up', () => {
    const none = new SecretSettings();
    expect(none.isInUse).toBe(false);
    expect(codeOf(() => seal(none, 'totp:1', plain))).toBe('INVALID_OPTIONS');
  });

  it('are another for each use', () => {
    const uses = ['one-time token', 'one-time code', 'code hash', 'sealed value'] as const;
    expect(new Set(uses.map((use) => secrets.keyFor('new', use)?.toString('hex'))).size).toBe(uses.length);
    expect(secrets.keyFor('gone', 'sealed value')).toBeUndefined();
  });
});

import { describe, expect, it } from '@jest/globals';

import { prepareCreate, prepareIdentity, prepareUpdate } from '../../../src/account/user-input.policy.js';
import { isNestAuthError } from '../../../src/errors/nest-auth.error.js';

const email = 'ada@example.com';
const id = '01a1fb24-0fde-73a3-a684-6db91d4ba5d7';

/** The paths that are named in a refusal, or undefined for an input that is taken. */
function pathsRefused(prepare: () => unknown): string[] | undefined {
  try {
    prepare();
    return undefined;
  } catch (error) {
    if (!isNestAuthError(error, 'VALIDATION_FAILED')) throw error;
    return (error.details.issues ?? []).map(({ path }) => path);
  }
}
const create = (input: unknown) => pathsRefused(() => prepareCreate(input as never, undefined));
const update = (input: unknown) => pathsRefused(() => prepareUpdate(input as never, undefined));
const nested = (depth: number): object => (depth === 0 ? {} : { a: nested(depth - 1) });

describe.each([
  ['a creation', create],
  ['an update', update],
])('the input of %s', (_what, refused) => {
  it.each([
    'id',
    'realmId',
    'tenantId',
    'emailNorm',
    'emailVerifiedAt',
    'phoneVerifiedAt',
    'passwordHash',
    'status',
    'version',
    'createdAt',
    'deletedAt',
    'isMfaEnabled',
    'userAccesses',
    'Email',
    '__proto__',
    'constructor',
  ])('may not hold %s', (field) => {
    expect(refused(JSON.parse(`{"email":"${email}","${field}":"x"}`))).toContain(field);
  });

  it('may not hold an unknown field that is undefined', () => {
    expect(refused({ email, role: undefined })).toEqual(['role']);
  });

  it.each([null, undefined, 'text', 42, [], [{ email }], true, () => email])('may not be %p', (input) => {
    expect(refused(input)).toEqual(['input']);
  });

  it.each([
    ['email', { email: ['ada@example.com'] }],
    ['email', { email: { $ne: null } }],
    ['email', { email: { '@instanceof': 'FindOperator' } }],
    ['email', { email: 42 }],
    ['email', { email: '' }],
    ['phone', { email, phone: 4_915_112_345_678 }],
    ['phone', { email, phone: ['+4915112345678'] }],
    ['phone', { email, phone: '' }],
    ['phoneCountryCode', { email, phoneCountryCode: 49 }],
    ['isActive', { email, isActive: 'true' }],
    ['isActive', { email, isActive: null }],
    ['metadata', { email, metadata: null }],
    ['metadata', { email, metadata: [] }],
    ['metadata', { email, metadata: 'text' }],
    ['metadata', { email, metadata: { a: undefined } }],
    ['metadata', { email, metadata: { a: Number.NaN } }],
    ['metadata', { email, metadata: { a: 1n } }],
    ['metadata', { email, metadata: { a: new Date() } }],
    ['metadata', { email, metadata: new Map() }],
    ['metadata', { email, metadata: { a: () => 1 } }],
    ['metadata', { email, metadata: { a: 'NUL \u0000' } }],
    ['metadata', { email, metadata: { 'key\u0000': 1 } }],
    ['metadata', { email, metadata: { a: '\uD800' } }],
    ['metadata', { email, metadata: { a: 'x'.repeat(65_536) } }],
    ['metadata', { email, metadata: nested(9) }],
    ['metadata', { email, metadata: Object.fromEntries(Array.from({ length: 257 }, (_, index) => [`k${index}`, 1])) }],
    ['metadata', { email, metadata: JSON.parse('{"__proto__":{"polluted":true}}') as object }],
    ['metadata', { email, metadata: JSON.parse('{"a":[{"constructor":{"prototype":{}}}]}') as object }],
  ])('is refused by the name of %s: %p (SEC-83, SEC-88)', (path, input) => {
    expect(refused(input)).toEqual([path]);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('names everything that is wrong at once, and repeats no value', () => {
    const input = { email: 'secret-value', phone: 'secret-value', isActive: 'secret-value', extra: 'secret-value' };
    expect(refused(input)?.toSorted()).toEqual(['email', 'extra', 'isActive', 'phone']);
    expect(() => prepareCreate(input as never, undefined)).toThrow(expect.not.stringContaining('secret-value'));
  });
});

describe('the input of a creation', () => {
  it.each([{}, { email: null }, { email: undefined, phone: null }, { identities: [] }, { metadata: { a: 1 } }])(
    'must make the user recognisable: %p',
    (input) => {
      expect(create(input)).toEqual(['email']);
    },
  );

  it.each([
    ['password', { password: 42 }],
    ['password', { password: ['x'] }],
    ['password', { password: { phc: '$argon2id$…' } }],
    ['roleIds', { roleIds: null }],
    ['roleIds', { roleIds: id }],
    ['roleIds[0]', { roleIds: ['admin'] }],
    ['roleIds[1]', { roleIds: [id, { id }] }],
    ['roleIds', { roleIds: Array.from({ length: 101 }, () => id) }],
    ['platformRoleIds[0]', { platformRoleIds: [null] }],
    ['identities', { identities: { length: 1 } }],
    [
      'identities',
      { identities: Array.from({ length: 21 }, (_, index) => ({ provider: 'google', providerId: `${index}` })) },
    ],
    ['identities[0].provider', { identities: [{ provider: 'email', providerId: email }] }],
    ['identities[0].provider', { identities: [{ provider: '', providerId: 'x' }] }],
    ['identities[0].providerId', { identities: [{ provider: 'google', providerId: 42 }] }],
    ['identities[0].providerId', { identities: [{ provider: 'google', providerId: 'x'.repeat(256) }] }],
    ['identities[0].metadata', { identities: [{ provider: 'google', providerId: 'x', metadata: [] }] }],
    [
      'identities[1]',
      {
        identities: [
          { provider: 'google', providerId: 'x' },
          { provider: 'google', providerId: 'x' },
        ],
      },
    ],
  ])('is refused by the name of %s: %p', (path, input) => {
    expect(create({ email, ...input })).toEqual([path]);
  });

  it.each([[null], ['google'], [{ provider: 'google', providerId: 'x', userId: id }]])(
    'refuses an identity that is %p',
    (identity) => {
      expect(create({ email, identities: [identity] })?.length).toBeGreaterThan(0);
    },
  );

  it('keeps the email as typed but for the space around it, and each role once', () => {
    const upper = id.toUpperCase();
    expect(prepareCreate({ email: ' Ada@Example.com ', roleIds: [id, upper] }, undefined)).toMatchObject({
      email: 'Ada@Example.com',
      emailNorm: 'ada@example.com',
      roleIds: [id],
      isActive: true,
      metadata: {},
    });
  });

  it('takes a prototype-less object and an instance of a class for what they are', () => {
    class Dto {
      email = email;
    }
    expect(create(new Dto())).toBeUndefined();
    expect(create(Object.assign(Object.create(null) as object, { email }))).toBeUndefined();
  });
});

describe('the input of an update', () => {
  it.each([1.5, '1', null, Number.NaN])('refuses %p as expectedVersion', (expectedVersion) => {
    expect(update({ expectedVersion })).toEqual(['expectedVersion']);
  });

  it('tells "as it is" from "remove it"', () => {
    expect(prepareUpdate({}, undefined)).toEqual({});
    expect(prepareUpdate({ email: undefined as never }, undefined)).toEqual({});
    expect(prepareUpdate({ email: null, phone: null }, undefined)).toEqual({ email: null, phone: null });
  });
});

describe('prepareIdentity', () => {
  it("normalises email and phone as the user's own, and keeps an account id as it is", () => {
    expect(prepareIdentity('email', ' Ada＠Example.com', undefined)).toEqual({ provider: 'email', providerId: email });
    expect(prepareIdentity('phone', '0151 12345678', 'DE')).toEqual({
      provider: 'phone',
      providerId: '+4915112345678',
    });
    expect(prepareIdentity('google', 'MixedCase', undefined)).toEqual({ provider: 'google', providerId: 'MixedCase' });
  });

  it.each([
    ['email', ''],
    ['email', null],
    ['phone', undefined],
    ['phone', '0151 12345678'],
    ['google', ''],
    ['google', null],
    ['', 'x'],
    [null, 'x'],
    ['google', ['x']],
    ['go\u0000ogle', 'x'],
    ['x'.repeat(65), 'x'],
  ])('refuses %p with %p', (provider, providerId) => {
    expect(pathsRefused(() => prepareIdentity(provider as string, providerId as string, undefined))).toHaveLength(1);
  });
});

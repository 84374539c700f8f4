import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import {
  NestAuthEvents,
  type NestAuthModuleOptions,
  type SignUpInput,
  TenantModeEnum,
  UserStatusEnum,
} from '../../../src/index.js';
import { AppUser, freshEmail, freshPhone, type NestApp, startNestApp, useNestApp } from '../../support/nest-app.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { type RlsApp, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { activitiesOf, auth, AUTH, keys, PASSWORD, query } from './fixture.js';

const withMode = (signUp: 'pending' | 'open', more: NestAuthModuleOptions = {}): NestAuthModuleOptions => ({
  ...AUTH,
  ...more,
  session: { keys, signUp },
});

/** The host's row, in the same transaction. */
const hooks: NestAuthModuleOptions['user'] = {
  afterCreate: async ({ id }, { metadata }, manager) => {
    const displayName = (metadata as { displayName?: string } | undefined)?.displayName ?? null;
    await manager.getRepository(AppUser).save({ authUserId: id, displayName });
  },
};

const app = useNestApp({ auth: withMode('pending', { user: hooks }) });
let open: NestApp;

beforeAll(async () => {
  open = await startNestApp(app.url, { auth: withMode('open', { user: hooks }) });
});
afterAll(() => open.close());
afterEach(() => {
  jest.restoreAllMocks();
});

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'done',
    (error: { code?: string }) => error.code,
  );

describe('signUp', () => {
  it('SEC-12: is closed unless it is opened', async () => {
    const closed = await startNestApp(app.url, { auth: AUTH });
    try {
      const hash = jest.spyOn(closed.passwords, 'hash');
      const email = freshEmail();
      expect(await codeOf(auth(closed).signUp({ email, password: PASSWORD }))).toBe('SIGN_UP_CLOSED');
      expect(hash).not.toHaveBeenCalled();
      expect(await closed.users.getUserByEmail(email)).toBeNull();
    } finally {
      await closed.close();
    }
  });

  it('pending makes a user who waits, with the row of the host, and tells it as a registration', async () => {
    const email = freshEmail();
    const result = await auth(app).signUp(
      { email, password: PASSWORD, metadata: { displayName: 'Ada' } },
      { ip: '203.0.113.5' },
    );
    expect(result).toMatchObject({ status: 'pending', session: null });
    const user = result.createdUser();
    expect(user).toMatchObject({ email, status: UserStatusEnum.PENDING, emailVerifiedAt: null });
    const id = user?.id ?? '';
    expect(await query(app.url, 'select display_name from app_users where auth_user_id = $1', [id])).toEqual([
      { display_name: 'Ada' },
    ]);
    expect((await activitiesOf(app.url, id)).map(({ type }) => type)).toEqual([NestAuthEvents.USER_CREATED]);
    expect(app.events.slice(-2).map(({ name }) => name)).toEqual([
      NestAuthEvents.USER_CREATED,
      NestAuthEvents.USER_REGISTERED,
    ]);
    expect(await codeOf(auth(app).signIn({ email, password: PASSWORD }))).toBe('INVALID_CREDENTIALS');
  });

  it('open makes an active user, who is signed in', async () => {
    const phone = freshPhone();
    const result = await auth(open).signUp({ phone, password: PASSWORD });
    expect(result.status).toBe('active');
    expect(await auth(open).me(result.session?.accessToken ?? '')).toMatchObject({ user: { phone } });
    await expect(auth(open).signIn({ phone, password: PASSWORD })).resolves.toBeDefined();
  });

  it('open tells that a login is taken, by its name', async () => {
    const email = freshEmail();
    await auth(open).signUp({ email, password: PASSWORD });
    await expect(
      auth(open).signUp({ email: email.toUpperCase(), password: 'another horse of the same colour' }),
    ).rejects.toMatchObject({
      code: 'EMAIL_ALREADY_EXISTS',
      details: { fields: ['email'] },
    });
    await expect(auth(open).signIn({ email, password: PASSWORD })).resolves.toBeDefined();
  });

  it('is rolled back whole when the row of the host cannot be written', async () => {
    const email = freshEmail();
    await expect(
      auth(open).signUp({ email, password: PASSWORD, metadata: { displayName: 'refused' } }),
    ).rejects.toBeDefined();
    expect(await open.users.getUserByEmail(email)).toBeNull();
  });

  it('open with a hook that keeps the user from being active answers no session', async () => {
    const wary = await startNestApp(app.url, {
      auth: withMode('open', { user: { beforeCreate: (input) => ({ ...input, isActive: false }) } }),
    });
    try {
      const result = await auth(wary).signUp({ email: freshEmail(), password: PASSWORD });
      expect(result).toMatchObject({ status: 'pending', session: null });
      expect(result.createdUser()?.status).toBe(UserStatusEnum.PENDING);
    } finally {
      await wary.close();
    }
  });
});

describe('SEC-08: a pending sign-up with a login that is taken', () => {
  it('answers what a new one does, with as many hashes, and no sooner', async () => {
    const email = freshEmail();
    const phone = freshPhone();
    const hash = jest.spyOn(app.passwords, 'hash');
    const attempt = async (input: SignUpInput) => {
      const begun = performance.now();
      const result = await auth(app).signUp(input);
      return { result, took: performance.now() - begun, hashes: hash.mock.calls.splice(0).length };
    };
    const fresh = await attempt({ email, phone, password: PASSWORD });
    for (const input of [{ email }, { phone }, { email: freshEmail(), phone }]) {
      const taken = await attempt({ ...input, password: 'another horse of the same colour' });
      expect(JSON.stringify(taken.result)).toBe(JSON.stringify(fresh.result));
      expect(Object.keys(taken.result)).toEqual(Object.keys(fresh.result));
      expect(taken.hashes).toBe(fresh.hashes);
      expect(taken.took).toBeGreaterThanOrEqual(499);
      // Only trusted code is told.
      expect(taken.result.createdUser()).toBeNull();
    }
    expect(fresh.took).toBeGreaterThanOrEqual(499);
    expect(JSON.stringify(fresh.result)).toBe('{"status":"pending","session":null}');
    const rows = await query(app.url, 'select password_hash from nest_auth_users where email_norm = $1', [email]);
    expect(rows).toHaveLength(1);
  });
});

describe('SEC-87: what a sign-up brings along', () => {
  it.each([
    'id',
    'roleIds',
    'platformRoleIds',
    'isActive',
    'status',
    'emailVerifiedAt',
    'emailVerified',
    'realmId',
    'version',
    'createdAt',
    'identities',
    'role',
  ])('is refused when it is %s', async (field) => {
    const email = freshEmail();
    const input = { email, password: PASSWORD, [field]: 'x' } as SignUpInput;
    for (const one of [app, open]) expect(await codeOf(auth(one).signUp(input))).toBe('VALIDATION_FAILED');
    expect(await app.users.getUserByEmail(email)).toBeNull();
  });

  it.each<[string, unknown]>([
    ['no login', { password: PASSWORD }],
    ['no password', { email: 'a@example.com' }],
    ['a hash for a password', { email: 'a@example.com', password: { phc: 'x' } }],
    ['an empty password', { email: 'a@example.com', password: '' }],
    ['what is no email', { email: 'a', password: PASSWORD }],
    ['a tenant where it is no part of the login', { email: 'a@example.com', password: PASSWORD, tenantId: 'TENANT' }],
  ])('is refused with %s', async (_, input) => {
    const given = JSON.parse(JSON.stringify(input).replace('TENANT', app.seed.tenantId)) as SignUpInput;
    expect(await codeOf(auth(app).signUp(given))).toBe('VALIDATION_FAILED');
  });
});

describe('in every tenancy', () => {
  it('ISOLATED: the tenant is required, and a part of the login', async () => {
    const isolated = await startNestApp(app.url, {
      auth: withMode('open', { tenant: { mode: TenantModeEnum.ISOLATED } }),
    });
    try {
      const email = freshEmail();
      const { tenantId, otherTenantId } = app.seed;
      expect(await codeOf(auth(isolated).signUp({ email, password: PASSWORD }))).toBe('TENANT_REQUIRED');
      const one = await auth(isolated).signUp({ email, password: PASSWORD, tenantId });
      const other = await auth(isolated).signUp({
        email,
        password: 'another horse of the same colour',
        tenantId: otherTenantId,
      });
      expect([one.session?.tenantId, other.session?.tenantId]).toEqual([tenantId, otherTenantId]);
      expect(await codeOf(auth(isolated).signUp({ email, password: PASSWORD, tenantId }))).toBe('EMAIL_ALREADY_EXISTS');
      const unknown = '01890000-0000-7000-8000-000000000000';
      expect(await codeOf(auth(isolated).signUp({ email, password: PASSWORD, tenantId: unknown }))).toBe(
        'TENANT_NOT_FOUND',
      );
    } finally {
      await isolated.close();
    }
  });

  it('DISABLED: everybody is in the built-in tenant', async () => {
    const single = await startNestApp(app.url, {
      auth: withMode('open', { tenant: { mode: TenantModeEnum.DISABLED } }),
    });
    try {
      const { session } = await auth(single).signUp({ email: freshEmail(), password: PASSWORD });
      expect(session?.tenantId).toBe('00000000-0000-0000-0000-000000000000');
    } finally {
      await single.close();
    }
  });

  it('SHARED: with a default tenant in that, else in none', async () => {
    const shared = await startNestApp(app.url, {
      auth: withMode('open', { tenant: { defaultTenantId: app.seed.tenantId } }),
    });
    try {
      const { session } = await auth(shared).signUp({ email: freshEmail(), password: PASSWORD });
      expect(session?.tenantId).toBe(app.seed.tenantId);
      const none = await auth(open).signUp({ email: freshEmail(), password: PASSWORD });
      expect(none.session?.tenantId).toBeNull();
    } finally {
      await shared.close();
    }
  });

  describe('with row-level security', () => {
    let database: RlsDatabase;
    let secured: RlsApp;

    beforeAll(async () => {
      database = await createRlsDatabase();
      const started = await startRlsApp(database, { auth: withMode('open') });
      secured = { ...started, ...(await seedTenants(started)) };
    });
    afterAll(async () => {
      await secured.close();
      await database.drop();
    });

    it('nobody needs a tenant to run in, failures are counted, and only the platform unlocks', async () => {
      const email = freshEmail();
      const { session } = await auth(secured).signUp({ email, password: PASSWORD });
      const id = session?.userId ?? '';
      expect(await codeOf(auth(secured).signIn({ email, password: 'wrong' }))).toBe('INVALID_CREDENTIALS');
      const unlock = () => auth(secured).unlock(id);
      expect(await codeOf(secured.tenant.run(secured.a.id, unlock))).toBe('TENANT_CONTEXT_MISMATCH');
      expect(await secured.tenant.withoutTenant('support', unlock)).toBe(true);
    });
  });
});

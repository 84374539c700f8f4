import { describe, expect, it } from '@jest/globals';
import { v4 as uuidv4 } from 'uuid';

import { NIL_UUID, UserCreatedEvent, UserRegisteredEvent } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { AppUser, freshEmail, freshPhone, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { brokenUsers, countRows, dumpTables } from '../../support/tables.js';

const app = useNestApp({ pool: 20, auth: { phone: { defaultRegion: 'DE' } } });

async function rowsOf(userId: string): Promise<Record<string, unknown>> {
  return withClient(app.url, async (client) => {
    const { rows } = await client.query(
      `select
        (select jsonb_agg(provider || ':' || provider_id order by provider) from nest_auth_identities where user_id = $1) as identities,
        (select jsonb_agg(tenant_id) from nest_auth_user_accesses where user_id = $1) as accesses,
        (select count(*)::integer from nest_auth_user_access_roles where user_id = $1) as roles,
        (select count(*)::integer from nest_auth_platform_accesses where user_id = $1) as platform,
        (select count(*)::integer from nest_auth_platform_access_roles where user_id = $1) as platform_roles`,
      [userId],
    );
    return rows[0] as Record<string, unknown>;
  });
}

describe('createUser', () => {
  it('leaves one user and one identity for an email', async () => {
    const email = freshEmail();
    const user = await app.users.createUser({ email: ` ${email.toUpperCase()} ` });
    expect(user).toMatchObject({ email: email.toUpperCase(), isActive: true, status: 'active', version: 1 });
    expect(await rowsOf(user.id)).toEqual({
      identities: [`email:${email}`],
      accesses: null,
      roles: 0,
      platform: 0,
      platform_roles: 0,
    });
  });

  it('leaves two identities for email and phone, and one access with its roles for a tenant', async () => {
    const [email, phone] = [freshEmail(), freshPhone()];
    const { tenantId, member, editor } = app.seed;
    const user = await app.users.createUser({ email, phone, roleIds: [member, editor, member] }, tenantId);
    expect(await rowsOf(user.id)).toEqual({
      identities: [`email:${email}`, `phone:${phone}`],
      accesses: [tenantId],
      roles: 2,
      platform: 0,
      platform_roles: 0,
    });
  });

  it('stores a national number in E.164, whichever way its country is named', async () => {
    const { phone: first } = await app.users.createUser({ phone: '01511 9000001' });
    const { phone: second } = await app.users.createUser({ phone: '1511 9000002', phoneCountryCode: '+49' });
    const { phone: third } = await app.users.createUser({ phone: '202 456 1414', phoneCountryCode: 'US' });
    expect([first, second, third]).toEqual(['+4915119000001', '+4915119000002', '+12024561414']);
  });

  it('makes a user of provider accounts alone', async () => {
    const identities = [
      { provider: 'google', providerId: uuidv4(), metadata: { hd: 'example.com' } },
      { provider: 'github', providerId: '42' },
    ];
    const user = await app.users.createUser({ identities });
    expect(user.email).toBeNull();
    expect((await rowsOf(user.id))['identities']).toEqual([`github:42`, `google:${identities[0]?.providerId}`]);
  });

  it('gives platform access and admin roles to a platform user, and no tenant', async () => {
    const user = await app.users.createPlatformUser({ email: freshEmail(), platformRoleIds: [app.seed.admin] });
    expect(await rowsOf(user.id)).toMatchObject({ accesses: null, platform: 1, platform_roles: 1 });
    expect(await countRows(app.url, 'nest_auth_users', 'id = $1 and realm_id = $2', [user.id, NIL_UUID])).toBe(1);
  });

  it('gives platform access without roles to a platform user who has none', async () => {
    const user = await app.users.createPlatformUser({ email: freshEmail() });
    expect(await rowsOf(user.id)).toMatchObject({ platform: 1, platform_roles: 0 });
  });

  it('creates a pending user when isActive is false', async () => {
    const user = await app.users.createUser({ email: freshEmail(), isActive: false });
    expect(user).toMatchObject({ isActive: false, status: 'pending' });
  });

  it('returns the row that a later read finds, column by column', async () => {
    const made = await app.users.createUser({ email: freshEmail(), phone: freshPhone(), metadata: { a: [1, null] } });
    const read = await app.users.getUserById(made.id);
    expect(read).toEqual(made);
  });

  it.each([
    ['nothing to be recognised by', {}, 'VALIDATION_FAILED'],
    ['what is no email', { email: 'not-an-email' }, 'VALIDATION_FAILED'],
    ['roles without a tenant', { email: freshEmail(), roleIds: [uuidv4()] }, 'TENANT_REQUIRED'],
    ['a role id that is no UUID', { email: freshEmail(), roleIds: ['x'] }, 'VALIDATION_FAILED'],
  ])('refuses %s by a code', async (_what, input, code) => {
    await expect(app.users.createUser(input)).rejects.toMatchObject({ code });
  });

  it.each([
    ['an unknown role', () => [uuidv4()], 'ROLE_NOT_FOUND'],
    ['a role of another tenant', () => [app.seed.foreign], 'ROLE_SCOPE_MISMATCH'],
    ['a role of the admin guard', () => [app.seed.admin], 'ROLE_SCOPE_MISMATCH'],
    ['one good and one foreign role', () => [app.seed.member, app.seed.foreign], 'ROLE_SCOPE_MISMATCH'],
  ])('leaves nothing behind for %s', async (_what, roleIds, code) => {
    const before = await dumpTables(app.url);
    await expect(
      app.users.createUser({ email: freshEmail(), phone: freshPhone(), roleIds: roleIds() }, app.seed.tenantId),
    ).rejects.toMatchObject({ code });
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it('leaves nothing behind for an unknown, an inactive and a malformed tenant', async () => {
    const inactive = await app.tenants.createTenant({ name: 'Off', slug: 'off', isActive: false });
    const before = await dumpTables(app.url);
    for (const [tenantId, code] of [
      [uuidv4(), 'TENANT_NOT_FOUND'],
      [inactive.id, 'TENANT_NOT_FOUND'],
      [NIL_UUID, 'TENANT_NOT_FOUND'],
      ['acme', 'VALIDATION_FAILED'],
    ] as const) {
      await expect(app.users.createUser({ email: freshEmail() }, tenantId)).rejects.toMatchObject({ code });
    }
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it.each([
    ['null', null],
    ['of an unknown source', { source: 'nowhere' }],
    ['with an unknown field', { ip: '10.0.0.1' }],
  ])('refuses a context that is %s, and leaves nothing behind', async (_what, context) => {
    const before = await dumpTables(app.url);
    await expect(app.users.createUser({ email: freshEmail() }, null, context as never)).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it('names every field in conflict', async () => {
    const [email, phone] = [freshEmail(), freshPhone()];
    await app.users.createUser({ email });
    await app.users.createUser({ phone });
    await expect(app.users.createUser({ email: email.toUpperCase(), phone })).rejects.toMatchObject({
      code: 'EMAIL_ALREADY_EXISTS',
      details: { fields: ['email', 'phone'] },
    });
    await expect(app.users.createUser({ phone })).rejects.toMatchObject({ code: 'PHONE_ALREADY_EXISTS' });
  });

  it('announces a signup as created and registered, with tenant and input, and never the password', async () => {
    const email = freshEmail();
    const { length } = app.events;
    await app.users.createUser({ email, password: 'correct horse battery staple' }, app.seed.tenantId, {
      source: 'signup',
    });
    const [created, registered] = app.events.slice(length);
    expect(created).toBeInstanceOf(UserCreatedEvent);
    expect(created).toMatchObject({ tenantId: app.seed.tenantId, input: { email }, context: { source: 'signup' } });
    expect(registered).toBeInstanceOf(UserRegisteredEvent);
    expect(created).not.toHaveProperty('input.password');
  });
});

type Call = (index: number, manager?: Parameters<typeof app.users.createUser>[3]) => Promise<unknown>;

describe('50 creations at once', () => {
  const races: [string, () => { call: Call; code: string; winners: number }][] = [
    [
      'of one email',
      () => {
        const email = freshEmail();
        const call: Call = (index, m) =>
          app.users.createUser({ email: index % 2 ? email : email.toUpperCase() }, null, {}, m);
        return { call, code: 'EMAIL_ALREADY_EXISTS', winners: 1 };
      },
    ],
    [
      'of one phone',
      () => {
        const phone = freshPhone();
        return {
          call: (_, m) => app.users.createUser({ phone }, null, {}, m),
          code: 'PHONE_ALREADY_EXISTS',
          winners: 1,
        };
      },
    ],
    [
      'of one email and phone in a tenant',
      () => {
        const [email, phone] = [freshEmail(), freshPhone()];
        const call: Call = (_, m) =>
          app.users.createUser({ email, phone, roleIds: [app.seed.member] }, app.seed.tenantId, {}, m);
        return { call, code: 'EMAIL_ALREADY_EXISTS', winners: 1 };
      },
    ],
    [
      'by different people of one provider account',
      () => {
        const identities = [{ provider: 'google', providerId: uuidv4() }];
        const call: Call = (_, m) => app.users.createUser({ email: freshEmail(), identities }, null, {}, m);
        return { call, code: 'IDENTITY_ALREADY_EXISTS', winners: 1 };
      },
    ],
  ];

  it.each(races)('%s, each by itself, make one user and 49 typed conflicts', async (_what, race) => {
    for (let round = 0; round < 3; round += 1) {
      const { call, code } = race();
      const { won, codes } = await outcomesOf(times(50, (index) => call(index)));
      expect(won).toHaveLength(1);
      expect(codes).toEqual({ [code]: 49 });
    }
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it.each(races)('%s, each in a transaction of the host, make one user and 49 typed conflicts', async (_what, race) => {
    for (let round = 0; round < 3; round += 1) {
      const { call, code } = race();
      const { won, codes } = await outcomesOf(
        times(50, (index) => app.dataSource.transaction((manager) => call(index, manager))),
      );
      expect(won).toHaveLength(1);
      expect(codes).toEqual({ [code]: 49 });
    }
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it('with emails and phones crossed make one user a key and only typed conflicts', async () => {
    for (let round = 0; round < 3; round += 1) {
      const emails = times(5, freshEmail);
      const phones = times(5, freshPhone);
      const { won, codes } = await outcomesOf(
        times(50, (index) =>
          app.users.createUser({
            email: emails[index % 5] ?? '',
            phone: phones[(index * 3 + Math.floor(index / 5)) % 5] ?? '',
          }),
        ),
      );
      expect(won.length).toBeGreaterThanOrEqual(1);
      expect(
        Object.keys(codes).filter((code) => !['EMAIL_ALREADY_EXISTS', 'PHONE_ALREADY_EXISTS'].includes(code)),
      ).toEqual([]);
    }
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it('of the documented recipe make one auth user and one host row', async () => {
    const [email, phone] = [freshEmail(), freshPhone()];
    const before = await countRows(app.url, 'app_users');
    const { won, codes } = await outcomesOf(
      times(50, () =>
        app.users.runInTransaction(async (manager) => {
          const user = await app.users.createUser({ email, phone }, undefined, undefined, manager);
          await user.findOrCreateIdentity('email', email, manager);
          return manager.save(manager.create(AppUser, { authUserId: user.id }));
        }),
      ),
    );
    expect(won).toHaveLength(1);
    expect(codes).toEqual({ EMAIL_ALREADY_EXISTS: 49 });
    expect(await countRows(app.url, 'app_users')).toBe(before + 1);
  });

  it('in a tenant, on a pool of 20 that all hold a connection, do not wait for each other for ever', async () => {
    const { won } = await outcomesOf(
      times(50, () =>
        app.users.runInTransaction((manager) =>
          app.users.createUser({ email: freshEmail() }, app.seed.tenantId, {}, manager),
        ),
      ),
    );
    expect(won).toHaveLength(50);
  });
});

describe('a conflict', () => {
  it.each([
    ['email', 'EMAIL_ALREADY_EXISTS', () => ({ email: freshEmail() })],
    ['phone', 'PHONE_ALREADY_EXISTS', () => ({ phone: freshPhone() })],
    [
      'provider account',
      'IDENTITY_ALREADY_EXISTS',
      () => ({ identities: [{ provider: 'google', providerId: uuidv4() }] }),
    ],
  ])("of %s leaves the caller's transaction usable, and another creation in it commits", async (_what, code, make) => {
    const taken = make();
    await app.users.createUser(taken);
    const email = freshEmail();
    const user = await app.users.runInTransaction(async (manager) => {
      await expect(app.users.createUser(taken, null, {}, manager)).rejects.toMatchObject({ code });
      await expect(app.users.createUser(taken)).rejects.toMatchObject({ code });
      return app.users.createUser({ email }, null, {}, manager);
    });
    expect(await app.users.getUserByEmail(email)).toMatchObject({ id: user.id });
  });

  it('inside one transaction with itself is typed and keeps the first', async () => {
    const email = freshEmail();
    await app.users.runInTransaction(async () => {
      await app.users.createUser({ email });
      await expect(app.users.createUser({ email })).rejects.toMatchObject({ code: 'EMAIL_ALREADY_EXISTS' });
    });
    expect(await countRows(app.url, 'nest_auth_users', 'email_norm = $1', [email])).toBe(1);
  });

  it('that disappears while it is being named lets the creation through', async () => {
    const email = freshEmail();
    const first = await app.users.createUser({ email });
    const deleted = app.users.deleteUser(first.id);
    const { codes } = await outcomesOf([app.users.createUser({ email })]);
    await deleted;
    expect([{}, { EMAIL_ALREADY_EXISTS: 1 }]).toContainEqual(codes);
    expect(await brokenUsers(app.url)).toEqual([]);
  });
});

import { beforeAll, describe, expect, it } from '@jest/globals';

import { type GetUsersOptions, UserStatusEnum } from '../../../src/index.js';
import { freshEmail, freshPhone, times, useNestApp } from '../../support/nest-app.js';

const app = useNestApp();
let roleName: string;

beforeAll(async () => {
  await app.users.createUsers(
    times(1_000, () => ({ email: freshEmail() })),
    { tenantId: app.seed.tenantId },
  );
  const role = await app.roles.getRoleById(app.seed.editor);
  roleName = role?.name ?? '';
}, 60_000);

async function walk(options: GetUsersOptions, onPage?: () => Promise<unknown>): Promise<string[]> {
  const seen: string[] = [];
  let after: string | null = null;
  do {
    const page = await app.users.getUsersPage({ ...options, ...(after === null ? {} : { after }) });
    seen.push(...page.items.map(({ id }) => id));
    after = page.nextCursor;
    await onPage?.();
  } while (after !== null);
  return seen;
}

describe('lists of users', () => {
  it('hold 20 unless told, and refuse more than 200', async () => {
    expect(await app.users.getUsers()).toHaveLength(20);
    expect(await app.users.getUsers({ limit: 200 })).toHaveLength(200);
    for (const limit of [0, 201, -1, 1.5, '20', Number.NaN]) {
      await expect(app.users.getUsers({ limit: limit as number })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    }
  });

  it.each([
    ['all', (): GetUsersOptions => ({})],
    ['the members of a tenant', (): GetUsersOptions => ({ tenantId: app.seed.tenantId })],
    ['all, newest first', (): GetUsersOptions => ({ sortOrder: 'desc' })],
  ])('of %s are walked without a skip or a double while rows are inserted', async (_what, options) => {
    const before = await walk({ ...options(), limit: 200 });
    const during = await walk({ ...options(), limit: 150 }, () =>
      app.users.createUser({ email: freshEmail() }, app.seed.tenantId),
    );
    expect(new Set(during).size).toBe(during.length);
    expect(during.filter((id) => before.includes(id))).toEqual(before);
  });

  it('refuse cursors that were made by another list, another filter or another hand (SEC-89)', async () => {
    const { nextCursor: cursor } = await app.users.getUsersPage({ tenantId: app.seed.tenantId, limit: 1 });
    const good = cursor ?? '';
    const forged = Buffer.from(JSON.stringify(['users', "'; drop table nest_auth_users; --"])).toString('base64url');
    const wrong: GetUsersOptions[] = [
      { after: good },
      { after: good, tenantId: app.seed.otherTenantId },
      { after: good, tenantId: app.seed.tenantId, isActive: true },
      { after: good, tenantId: app.seed.tenantId, sortOrder: 'desc' },
      { after: good.slice(0, -4), tenantId: app.seed.tenantId },
      { after: forged },
      { after: '' },
      { after: good, tenantId: app.seed.tenantId, offset: 1 },
      { after: { length: 1 } as never },
    ];
    for (const options of wrong) {
      await expect(app.users.getUsersPage(options)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    }
    await expect(app.users.getUsersPage({ after: good, tenantId: app.seed.tenantId })).resolves.toBeDefined();
  });

  it('count what they filter', async () => {
    const [items, count] = await app.users.getUsersAndCount({ tenantId: app.seed.tenantId, limit: 1 });
    expect(items).toHaveLength(1);
    expect(count).toBe((await walk({ tenantId: app.seed.tenantId, limit: 200 })).length);
    expect(await app.users.countUsers({ tenantId: app.seed.otherTenantId })).toBe(0);
  });

  it('filter by status, activity, role and platform', async () => {
    const { tenantId, editor, admin } = app.seed;
    const pending = await app.users.createUser({ email: freshEmail(), isActive: false, roleIds: [editor] }, tenantId);
    const root = await app.users.createPlatformUser({ email: freshEmail(), platformRoleIds: [admin] });
    const { name: adminRole = '' } = (await app.roles.getRoleById(admin)) ?? {};
    const ids = async (options: GetUsersOptions) => (await app.users.getUsers(options)).map(({ id }) => id);
    expect(await ids({ status: UserStatusEnum.PENDING })).toEqual([pending.id]);
    expect(await ids({ status: [UserStatusEnum.PENDING, UserStatusEnum.DISABLED] })).toEqual([pending.id]);
    expect(await ids({ status: [] })).toEqual([]);
    expect(await ids({ isActive: false })).toEqual([pending.id]);
    expect(await ids({ role: { name: roleName, guard: 'portal' }, tenantId })).toEqual([pending.id]);
    expect(await ids({ role: { name: roleName, guard: 'admin' } })).toEqual([]);
    expect(await ids({ platform: true })).toEqual([root.id]);
    const byRole = await app.users.getUsersByRole(roleName, 'portal', tenantId);
    expect(byRole.map(({ id }) => id)).toEqual([pending.id]);
    expect(await app.users.getUsersByRole(roleName, 'portal', app.seed.otherTenantId)).toEqual([]);
    expect((await app.users.getPlatformUsersByRole(adminRole)).map(({ id }) => id)).toEqual([root.id]);
    expect(await app.users.getPlatformUsersAndCount()).toMatchObject([[{ id: root.id }], 1]);
  });

  it('search for the beginning of email or phone literally (SEC-84)', async () => {
    const phone = freshPhone();
    const odd = await app.users.createUser({ email: 'zz%a_b\\c@example.com'.replace('\\', '+') });
    const plain = await app.users.createUser({ email: 'zzqaxb@example.com', phone });
    const found = async (search: string) => (await app.users.getUsers({ search })).map(({ id }) => id);
    expect(await found('zz%')).toEqual([odd.id]);
    expect(await found('ZZ%A_')).toEqual([odd.id]);
    expect(await found('zz_')).toEqual([]);
    expect(await found('%z')).toEqual([]);
    expect(await found('zzq')).toEqual([plain.id]);
    expect(await found(phone.slice(0, 12))).toContain(plain.id);
    for (const search of ['z', '', '  ', 'x'.repeat(101), 'a\u0000b', ['zz']]) {
      await expect(app.users.getUsers({ search: search as string })).rejects.toMatchObject({
        code: 'VALIDATION_FAILED',
      });
    }
  });

  it.each([
    { order: { email: 'ASC' } },
    { where: { passwordHash: 'x' } },
    { sortOrder: 'desc; drop table nest_auth_users' },
    { status: 'passwordHash' },
    { isActive: 'true' },
    { role: 'admin' },
    { role: { name: ['a'], guard: 'admin' } },
    { tenantId: undefined },
    { tenantId: { '@instanceof': 'FindOperator' } },
    { relations: { passwordHash: true } },
    { relations: { identities: { user: true } } },
    { relations: ['identities'] },
    { relations: { userAccesses: { tenant: 'yes' } } },
    { offset: -1 },
  ])('refuse %j by code', async (options) => {
    await expect(app.users.getUsers(options as never)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  it('load relations that are asked for, in the order of the list', async () => {
    const { tenantId, editor } = app.seed;
    const user = await app.users.createUser({ email: freshEmail(), roleIds: [editor] }, tenantId);
    const relations = {
      identities: true,
      userAccesses: { tenant: true, roles: { permissions: true } },
      platformAccess: { roles: true },
    } as const;
    const loaded = await app.users.getUserById(user.id, { relations });
    expect(loaded).toMatchObject({
      identities: [{ provider: 'email' }],
      userAccesses: [{ tenantId, tenant: { id: tenantId }, roles: [{ id: editor }] }],
      platformAccess: null,
    });
    expect(loaded?.userAccesses?.[0]?.roles?.[0]?.permissions).toHaveLength(2);
    const page = await app.users.getUsers({ relations: { identities: true }, limit: 50 });
    expect(page.map(({ id }) => id)).toEqual((await app.users.getUsers({ limit: 50 })).map(({ id }) => id));
    await expect(app.users.getUserById(user.id, { relations: { sessions: true } as never })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
  });
});

describe('look-ups of one user', () => {
  it('find an email in any spelling, and nobody for what is no email', async () => {
    const email = freshEmail();
    const { id } = await app.users.createUser({ email });
    const full = email.replace('@', '＠').toUpperCase();
    expect(await app.users.getUserByEmail(` ${full} `)).toMatchObject({ id });
    expect(await app.users.emailExists(full)).toBe(true);
    for (const nobody of ['', 'x', "' or 1=1 --", `${email}.`, 'a@b@c.de']) {
      expect(await app.users.getUserByEmail(nobody)).toBeNull();
    }
  });

  it.each([undefined, null, {}, ['a@b.de'], { '@instanceof': 'FindOperator' }, 42])(
    'refuse %p by code',
    async (value) => {
      const bad = value as never;
      const refusal = { code: 'VALIDATION_FAILED' };
      await expect(app.users.getUserByEmail(bad)).rejects.toMatchObject(refusal);
      await expect(app.users.getUserByPhone(bad)).rejects.toMatchObject(refusal);
      await expect(app.users.getUserById(bad)).rejects.toMatchObject(refusal);
      await expect(app.users.getTenantsByEmail(bad)).rejects.toMatchObject(refusal);
    },
  );
});

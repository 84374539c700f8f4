import { describe, expect, test } from '@jest/globals';
import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import { AccessStatusEnum } from '../../../src/access/access.types.js';
import { NestAuthUser } from '../../../src/account/user.entity.js';
import { NIL_UUID, TenantModeEnum } from '../../../src/tenant/tenant.types.js';
import {
  type Access,
  addRole,
  addTenant,
  addUser,
  counting,
  outcomes,
  refusedInside,
  useAccess,
  waitingFor,
} from './fixture.js';

const shared = useAccess();
const isolated = useAccess(TenantModeEnum.ISOLATED);
const disabled = useAccess(TenantModeEnum.DISABLED);

function outside({ dataSource }: Access): EntityManager {
  return dataSource.manager;
}

async function rolesOf({ dataSource }: Access, userId: string, tenantId: string): Promise<string[]> {
  const rows = await dataSource.query<{ role_id: string }[]>(
    'select role_id from nest_auth_user_access_roles where user_id = $1 and tenant_id = $2 order by role_id',
    [userId, tenantId],
  );
  return rows.map(({ role_id: id }) => id);
}

describe('the roles of an access', () => {
  test('are set by one statement, which also makes the access', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const roles = [await addRole(shared, { tenantId }), await addRole(shared)];
    shared.events.length = 0;
    const { result, sent } = await counting(shared, () =>
      shared.operations.roles.setUserAccessRoles(outside(shared), userId, tenantId, [
        ...roles,
        ...roles,
        roles[0]?.toUpperCase() ?? '',
      ]),
    );
    expect(sent).toHaveLength(1);
    expect(result).toEqual({ added: roles, removed: [] });
    expect(await rolesOf(shared, userId, tenantId)).toEqual(roles);
    expect(await shared.operations.findUserAccess(outside(shared), userId, tenantId)).toMatchObject({
      isDefault: true,
    });
    expect(shared.events).toMatchObject([{ userId, tenantId, roles: { added: roles, removed: [] } }]);
  });

  test('are replaced by one statement that tells what it did', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const [a, b, c] = [await addRole(shared), await addRole(shared), await addRole(shared)];
    await shared.access.addUserAccessRoles(userId, tenantId, [a, b]);
    const { result, sent } = await counting(shared, () =>
      shared.operations.roles.setUserAccessRoles(outside(shared), userId, tenantId, [b, c]),
    );
    expect(sent).toHaveLength(1);
    expect(result).toEqual({ added: [c], removed: [a] });
    expect(await shared.operations.roles.setUserAccessRoles(outside(shared), userId, tenantId, [])).toEqual({
      added: [],
      removed: [b, c],
    });
  });

  test('that are already as wished change nothing and announce nothing', async () => {
    const [userId, tenantId, role] = [await addUser(shared), await addTenant(shared), await addRole(shared)];
    await shared.access.addUserAccessRoles(userId, tenantId, [role]);
    shared.events.length = 0;
    await shared.operations.roles.setUserAccessRoles(outside(shared), userId, tenantId, [role]);
    await shared.access.addUserAccessRoles(userId, tenantId, [role]);
    await shared.access.removeUserAccessRoles(userId, tenantId, [await addRole(shared)]);
    expect(await shared.operations.findUserAccess(outside(shared), userId, tenantId)).toMatchObject({ version: 1 });
    expect(shared.events.filter(({ name }) => name.includes('access'))).toEqual([]);
  });

  test('are added and taken away without touching the others, inactive ones too', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const [a, b] = [await addRole(shared), await addRole(shared)];
    await shared.access.addUserAccessRoles(userId, tenantId, [a]);
    expect(await shared.access.addUserAccessRoles(userId, tenantId, [a, b])).toEqual({ added: [b], removed: [] });
    await shared.roles.updateRole(a, { isActive: false });
    expect(await shared.access.removeUserAccessRoles(userId, tenantId, [a])).toEqual({ added: [], removed: [a] });
    expect(await rolesOf(shared, userId, tenantId)).toEqual([b]);
  });

  test('are taken from nobody without making an access', async () => {
    const [userId, tenantId, role] = [await addUser(shared), await addTenant(shared), await addRole(shared)];
    expect(await shared.access.removeUserAccessRoles(userId, tenantId, [role])).toEqual({ added: [], removed: [] });
    expect(await shared.operations.findUserAccess(outside(shared), userId, tenantId)).toBeNull();
  });

  test.each([true, false])('that waited for another change follow it (access there before: %p)', async (before) => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const [a, b] = [await addRole(shared), await addRole(shared)];
    if (before) await shared.operations.ensureUserAccess(outside(shared), userId, tenantId);
    const settled = await waitingFor(
      shared,
      (m) => shared.operations.roles.setUserAccessRoles(m, userId, tenantId, [a]),
      () => shared.operations.roles.setUserAccessRoles(outside(shared), userId, tenantId, [b]),
    );
    expect(settled).toEqual({ status: 'fulfilled', value: { added: [b], removed: [a] } });
    expect(await rolesOf(shared, userId, tenantId)).toEqual([b]);
  });

  test.each([true, false])(
    'set 50 times at once are exactly one of the sets (access there before: %p)',
    async (before) => {
      const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
      const roles: string[] = [];
      for (let index = 0; index < 100; index += 1) roles.push(await addRole(shared));
      const sets = Array.from({ length: 50 }, (_, index) => roles.slice(index * 2, index * 2 + 2).toSorted());
      if (before) await shared.operations.ensureUserAccess(outside(shared), userId, tenantId);
      const calls = sets.map((set) =>
        shared.operations.roles.setUserAccessRoles(outside(shared), userId, tenantId, set),
      );
      expect(await outcomes(calls)).toEqual({ ok: 50 });
      expect(sets).toContainEqual(await rolesOf(shared, userId, tenantId));
    },
  );

  test('set at once inside transactions are exactly one of the sets', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const sets: string[][] = [];
    for (let index = 0; index < 10; index += 1) sets.push([await addRole(shared), await addRole(shared)].toSorted());
    const calls = sets.map((set) =>
      shared.host.run(async (m) => {
        await shared.operations.roles.setUserAccessRoles(m, userId, tenantId, set);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }),
    );
    expect(await outcomes(calls)).toEqual({ ok: 10 });
    expect(sets).toContainEqual(await rolesOf(shared, userId, tenantId));
  });

  test('that cannot be set change nothing and leave the transaction of the caller usable', async () => {
    const [userId, tenantId, other] = [await addUser(shared), await addTenant(shared), await addTenant(shared)];
    const good = await addRole(shared, { tenantId });
    const foreign = await addRole(shared, { tenantId: other });
    const admin = await addRole(shared, { guard: 'admin' });
    const inactive = await addRole(shared, { isActive: false });
    const asleep = await addTenant(shared, false);
    const set =
      (...args: [string, string, string[]]) =>
      (m: EntityManager) =>
        shared.operations.roles.setUserAccessRoles(m, ...args);
    await refusedInside(shared, 'ROLE_NOT_FOUND', set(userId, tenantId, [good, uuidv7()]));
    await refusedInside(shared, 'ROLE_NOT_FOUND', set(userId, tenantId, [good, inactive]));
    await refusedInside(shared, 'ROLE_SCOPE_MISMATCH', set(userId, tenantId, [good, foreign]));
    await refusedInside(shared, 'ROLE_SCOPE_MISMATCH', set(userId, tenantId, [good, admin]));
    await refusedInside(shared, 'USER_NOT_FOUND', set(uuidv7(), tenantId, [good]));
    await refusedInside(shared, 'TENANT_NOT_FOUND', set(userId, uuidv7(), []));
    await refusedInside(shared, 'TENANT_NOT_FOUND', set(userId, asleep, []));
    await refusedInside(shared, 'TENANT_NOT_FOUND', set(userId, NIL_UUID, []));
    await refusedInside(shared, 'VALIDATION_FAILED', set(userId, tenantId, ['x']));
    expect(await shared.operations.findUserAccess(outside(shared), userId, tenantId)).toBeNull();
    await expect(set(userId, tenantId, [foreign])(outside(shared))).rejects.toMatchObject({
      details: { ids: [foreign] },
    });
  });

  test('of another tenant or of the admin guard are refused by the database too', async () => {
    const [userId, tenantId, other] = [await addUser(shared), await addTenant(shared), await addTenant(shared)];
    await shared.operations.ensureUserAccess(outside(shared), userId, tenantId);
    const foreign = await addRole(shared, { tenantId: other });
    const admin = await addRole(shared, { guard: 'admin' });
    const insert = (role: string, owner: string, guard: string) =>
      shared.dataSource.query(
        `insert into nest_auth_user_access_roles (user_id, tenant_id, role_id, role_tenant_id, guard)
        values ($1, $2, $3, $4, $5)`,
        [userId, tenantId, role, owner, guard],
      );
    await expect(insert(foreign, other, 'portal')).rejects.toMatchObject({ code: '23514' });
    await expect(insert(foreign, tenantId, 'portal')).rejects.toMatchObject({ code: '23503' });
    await expect(insert(admin, NIL_UUID, 'admin')).rejects.toMatchObject({ code: '23514' });
    await expect(insert(admin, NIL_UUID, 'portal')).rejects.toMatchObject({ code: '23503' });
  });

  test('in ISOLATED tenancy go to people of the tenant only', async () => {
    const [mine, other] = [await addTenant(isolated), await addTenant(isolated)];
    const [member, platform] = [await addUser(isolated, { realmId: mine }), await addUser(isolated)];
    const role = await addRole(isolated);
    expect(await isolated.access.addUserAccessRoles(member, mine, [role])).toEqual({ added: [role], removed: [] });
    for (const [user, tenant] of [
      [member, other],
      [platform, mine],
    ] as const) {
      await refusedInside(isolated, 'TENANT_SCOPE_MISMATCH', (m) =>
        isolated.access.addUserAccessRoles(user, tenant, [role], m),
      );
      await refusedInside(isolated, 'TENANT_SCOPE_MISMATCH', (m) =>
        isolated.operations.ensureUserAccess(m, user, tenant),
      );
    }
  });

  test('in DISABLED tenancy are those of the built-in tenant', async () => {
    const [userId, role] = [await addUser(disabled), await addRole(disabled)];
    expect(await disabled.access.addUserAccessRoles(userId, NIL_UUID, [role])).toEqual({ added: [role], removed: [] });
    await refusedInside(disabled, 'TENANT_NOT_FOUND', (m) =>
      disabled.access.addUserAccessRoles(userId, uuidv7(), [role], m),
    );
    expect(await disabled.operations.getUserTenants(outside(disabled), userId)).toMatchObject([{ id: NIL_UUID }]);
  });

  test('assigned by the entity are forgotten there, so that a save does not bring the old ones back', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const [a, b] = [await addRole(shared), await addRole(shared)];
    const access = await shared.operations.ensureUserAccess(outside(shared), userId, tenantId);
    await access.assignRoles([a]);
    access.roles = [];
    const { result, sent } = await counting(shared, () => access.assignRoles([b]));
    expect(sent).toHaveLength(1);
    expect(result).toEqual({ added: [b], removed: [a] });
    expect(access).toMatchObject({ version: 3 });
    expect(access.roles).toBeUndefined();
    await access.save();
    expect(await rolesOf(shared, userId, tenantId)).toEqual([b]);
  });
});

describe('the platform roles of a user', () => {
  test('are set by one statement, and exactly one of 50 sets at once remains', async () => {
    const userId = await addUser(shared);
    const roles: string[] = [];
    for (let index = 0; index < 50; index += 1) roles.push(await addRole(shared, { guard: 'admin' }));
    const { result, sent } = await counting(shared, () =>
      shared.access.setPlatformAccessRoles(userId, roles.slice(0, 1)),
    );
    expect(sent).toHaveLength(1);
    expect(result).toEqual({ added: roles.slice(0, 1), removed: [] });
    const calls = roles.map((role) => shared.access.setPlatformAccessRoles(userId, [role]));
    expect(await outcomes(calls)).toEqual({ ok: 50 });
    const left = await shared.dataSource.query('select 1 from nest_auth_platform_access_roles where user_id = $1', [
      userId,
    ]);
    expect(left).toHaveLength(1);
  });

  test.each([true, false])('that waited for another change follow it (access there before: %p)', async (before) => {
    const userId = await addUser(shared);
    const [a, b] = [await addRole(shared, { guard: 'admin' }), await addRole(shared, { guard: 'admin' })];
    if (before) await shared.operations.ensurePlatformAccess(outside(shared), userId);
    const settled = await waitingFor(
      shared,
      (m) => shared.access.setPlatformAccessRoles(userId, [a], m),
      () => shared.access.setPlatformAccessRoles(userId, [b]),
    );
    expect(settled).toEqual({ status: 'fulfilled', value: { added: [b], removed: [a] } });
  });

  test('are refused outside the nil realm and the admin guard, and the transaction of the caller stays usable', async () => {
    const [userId, portal] = [await addUser(shared), await addRole(shared)];
    const member = await addUser(isolated, { realmId: await addTenant(isolated) });
    await refusedInside(shared, 'ROLE_SCOPE_MISMATCH', (m) =>
      shared.access.setPlatformAccessRoles(userId, [portal], m),
    );
    await refusedInside(shared, 'ROLE_NOT_FOUND', (m) => shared.access.setPlatformAccessRoles(userId, [uuidv7()], m));
    await refusedInside(shared, 'USER_NOT_FOUND', (m) => shared.access.setPlatformAccessRoles(uuidv7(), [], m));
    await refusedInside(isolated, 'TENANT_SCOPE_MISMATCH', (m) =>
      isolated.access.setPlatformAccessRoles(member, [], m),
    );
    await refusedInside(isolated, 'TENANT_SCOPE_MISMATCH', (m) => isolated.operations.ensurePlatformAccess(m, member));
    expect(await shared.operations.findPlatformAccess(outside(shared), userId)).toBeNull();
  });

  test('need an access that 50 calls at once make once', async () => {
    const userId = await addUser(shared);
    shared.events.length = 0;
    const calls = Array.from({ length: 50 }, () => shared.operations.ensurePlatformAccess(outside(shared), userId));
    expect(await outcomes(calls)).toEqual({ ok: 50 });
    expect(shared.events).toMatchObject([{ name: 'nest_auth.platform_access.changed', userId }]);
  });
});

describe('an access', () => {
  test('of 50 ensured at once is made once, without an error', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    shared.events.length = 0;
    const calls = Array.from({ length: 50 }, () =>
      shared.operations.ensureUserAccess(outside(shared), userId, tenantId),
    );
    expect(await outcomes(calls)).toEqual({ ok: 50 });
    expect(shared.events).toMatchObject([{ name: 'nest_auth.user_access.changed', userId, tenantId }]);
  });

  test('to 20 tenants ensured at once is the default in one of them', async () => {
    const userId = await addUser(shared);
    const tenants: string[] = [];
    for (let index = 0; index < 20; index += 1) tenants.push(await addTenant(shared));
    const calls = tenants.map((tenant, index) =>
      index % 2 === 0
        ? shared.operations.ensureUserAccess(outside(shared), userId, tenant)
        : shared.operations.roles.setUserAccessRoles(outside(shared), userId, tenant, []),
    );
    expect(await outcomes(calls)).toEqual({ ok: 20 });
    const rows = await shared.dataSource.query<{ is_default: boolean }[]>(
      'select is_default from nest_auth_user_accesses where user_id = $1',
      [userId],
    );
    expect(rows.filter((row) => row.is_default)).toHaveLength(1);
    expect(rows).toHaveLength(20);
  });

  test('made while another first one is being made is not a second default, and no error', async () => {
    const [first, second] = [await addTenant(shared), await addTenant(shared)];
    const ways: ((userId: string) => Promise<unknown>)[] = [
      (userId: string) => shared.operations.ensureUserAccess(outside(shared), userId, second),
      (userId: string) => shared.operations.roles.setUserAccessRoles(outside(shared), userId, second, []),
    ];
    for (const make of ways) {
      const userId = await addUser(shared);
      const settled = await waitingFor(
        shared,
        (m) => shared.operations.ensureUserAccess(m, userId, first),
        () => make(userId),
      );
      expect(settled.status).toBe('fulfilled');
      const made = await shared.operations.findUserAccess(outside(shared), userId, second);
      expect(made).toMatchObject({ isDefault: false });
    }
  });

  test('is ensured and found by one statement each', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const made = await counting(shared, () => shared.operations.ensureUserAccess(outside(shared), userId, tenantId));
    const found = await counting(shared, () => shared.operations.findUserAccess(outside(shared), userId, tenantId));
    expect([made.sent.length, found.sent.length]).toEqual([1, 1]);
    expect(found.result).toEqual(made.result);
    expect(made.result.createdAt).toBeInstanceOf(Date);
  });

  test('that cannot be made leaves the transaction of the caller usable', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const asleep = await addTenant(shared, false);
    await refusedInside(shared, 'USER_NOT_FOUND', (m) => shared.operations.ensureUserAccess(m, uuidv7(), tenantId));
    await refusedInside(shared, 'TENANT_NOT_FOUND', (m) => shared.operations.ensureUserAccess(m, userId, uuidv7()));
    await refusedInside(shared, 'TENANT_NOT_FOUND', (m) => shared.operations.ensureUserAccess(m, userId, asleep));
  });

  test('is deleted with its roles, and the second time it is not there', async () => {
    const [userId, tenantId, role] = [await addUser(shared), await addTenant(shared), await addRole(shared)];
    await shared.access.addUserAccessRoles(userId, tenantId, [role]);
    shared.events.length = 0;
    const { result, sent } = await counting(shared, () =>
      shared.operations.deleteUserAccess(outside(shared), userId, tenantId),
    );
    expect([result, sent.length]).toEqual([true, 1]);
    expect(await shared.operations.deleteUserAccess(outside(shared), userId, tenantId)).toBe(false);
    expect(shared.events.map(({ name }) => name)).toEqual(['nest_auth.user_access.deleted']);
    await shared.roles.deleteRole(role);
  });

  test('is suspended by one statement and announced once', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    await shared.operations.ensureUserAccess(outside(shared), userId, tenantId);
    shared.events.length = 0;
    const suspend = () => shared.access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.SUSPENDED);
    const { result, sent } = await counting(shared, suspend);
    expect(sent).toHaveLength(1);
    expect(result).toMatchObject({ status: 'suspended', version: 2 });
    expect(await suspend()).toMatchObject({ status: 'suspended', version: 2 });
    expect(shared.events).toHaveLength(1);
    const absent = await addTenant(shared);
    await refusedInside(shared, 'ACCESS_NOT_FOUND', (m) =>
      shared.access.setUserAccessStatus(userId, absent, AccessStatusEnum.ACTIVE, m),
    );
    await refusedInside(shared, 'VALIDATION_FAILED', (m) =>
      shared.access.setUserAccessStatus(userId, tenantId, 'gone' as never, m),
    );
  });

  test('chosen as the default 30 times at once, with others being made, is the default in one tenant', async () => {
    const userId = await addUser(shared);
    const tenants: string[] = [];
    for (let index = 0; index < 10; index += 1) tenants.push(await addTenant(shared));
    for (const tenant of tenants) await shared.operations.ensureUserAccess(outside(shared), userId, tenant);
    await shared.dataSource.query('update nest_auth_user_accesses set is_default = false where user_id = $1', [userId]);
    const more = [await addTenant(shared), await addTenant(shared)];
    const calls = [...tenants, ...tenants, ...tenants].map((tenant) => shared.access.setDefaultAccess(userId, tenant));
    const others = more.map((tenant) => shared.operations.ensureUserAccess(outside(shared), userId, tenant));
    expect(await outcomes([...calls, ...others])).toEqual({ ok: 32 });
    const rows = await shared.dataSource.query(
      'select 1 from nest_auth_user_accesses where user_id = $1 and is_default',
      [userId],
    );
    expect(rows).toHaveLength(1);
    const last = tenants[3] as string;
    expect(await shared.access.setDefaultAccess(userId, last)).toMatchObject({ isDefault: true, tenantId: last });
    const none = await addTenant(shared);
    await refusedInside(shared, 'ACCESS_NOT_FOUND', (m) => shared.access.setDefaultAccess(userId, none, m));
  });

  test('is reached through the user entity, on the manager that loaded it', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    await shared.host.run(async (m) => {
      const user = await m.findOneByOrFail(NestAuthUser, { id: userId });
      expect(await user.getUserAccess(tenantId)).toBeNull();
      const access = await user.getUserAccess(tenantId, true);
      expect(access).toMatchObject({ userId, tenantId });
      expect(await user.getPlatformAccess(true)).toMatchObject({ userId });
    });
    expect(await shared.operations.findUserAccess(outside(shared), userId, tenantId)).not.toBeNull();
  });

  test('lists the tenants of a user that are active, page by page', async () => {
    const userId = await addUser(shared);
    const tenants: string[] = [];
    for (let index = 0; index < 5; index += 1) tenants.push(await addTenant(shared));
    for (const tenant of tenants) await shared.operations.ensureUserAccess(outside(shared), userId, tenant);
    await shared.access.setUserAccessStatus(userId, tenants[1] as string, AccessStatusEnum.SUSPENDED);
    await shared.tenants.updateTenant(tenants[2] as string, { isActive: false });
    const first = await counting(shared, () =>
      shared.operations.getUserTenantsPage(outside(shared), userId, { limit: 2 }),
    );
    expect(first.sent).toHaveLength(1);
    const after = first.result.nextCursor as string;
    const second = await shared.operations.getUserTenants(outside(shared), userId, { limit: 2, after });
    expect([...first.result.items, ...second].map(({ id }) => id)).toEqual([tenants[0], tenants[3], tenants[4]]);
    const stranger = await addUser(shared);
    await expect(shared.operations.getUserTenants(outside(shared), stranger, { after })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
  });
});

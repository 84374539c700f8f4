import { describe, expect, test } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { NIL_UUID, TenantModeEnum } from '../../../src/tenant/tenant.types.js';
import {
  addPermissions,
  addRole,
  addTenant,
  addUser,
  counting,
  outcomes,
  refusedInside,
  unique,
  useAccess,
  waitingFor,
} from './fixture.js';

const shared = useAccess();
const disabled = useAccess(TenantModeEnum.DISABLED);

describe('a role', () => {
  test('is made with its permissions by one statement', async () => {
    const permissions = await addPermissions(shared, 3);
    const tenantId = await addTenant(shared);
    const { result: role, sent } = await counting(shared, () =>
      shared.roles.createRole({
        name: 'editor',
        guard: 'portal',
        tenantId,
        permissions: [...permissions, ...permissions],
      }),
    );
    expect(sent).toHaveLength(1);
    expect(role).toMatchObject({ tenantId, ownerTenantId: tenantId, isSystem: false, isActive: true, version: 1 });
    const read = await counting(shared, () => shared.roles.getRoleById(role.id, { relations: { permissions: true } }));
    expect(read.sent).toHaveLength(1);
    expect(read.result?.permissions?.map(({ name }) => name).toSorted()).toEqual([...permissions].toSorted());
    expect(read.result?.hasAllPermissions(permissions)).toBe(true);
    expect(read.result?.permissions?.[0]?.createdAt).toBeInstanceOf(Date);
  });

  test('without permissions has an empty list of them when they are loaded', async () => {
    const id = await addRole(shared);
    const role = await shared.roles.getRoleById(id, { relations: { permissions: true } });
    expect(role?.permissions).toEqual([]);
    expect((await shared.roles.getRoleById(id))?.permissions).toBeUndefined();
  });

  test.each(['system', 'tenant'])('of the %s, of 50 made at once with one name, exists once', async (owner) => {
    const name = unique('race');
    const whose = owner === 'system' ? { isSystem: true } : { tenantId: await addTenant(shared) };
    const calls = Array.from({ length: 50 }, () => shared.roles.createRole({ name, guard: 'portal', ...whose }));
    expect(await outcomes(calls)).toEqual({ ok: 1, ROLE_ALREADY_EXISTS: 49 });
  });

  test('has the same name in two tenants, two guards and the system', async () => {
    const name = unique('same');
    const calls = [
      { guard: 'portal', tenantId: await addTenant(shared) },
      { guard: 'portal', tenantId: await addTenant(shared) },
      { guard: 'portal', isSystem: true },
      { guard: 'partner', isSystem: true },
    ].map((whose) => shared.roles.createRole({ name, ...whose }));
    expect(await outcomes(calls)).toEqual({ ok: 4 });
  });

  test('that cannot be made leaves the transaction of the caller usable and writes nothing', async () => {
    const tenantId = await addTenant(shared);
    const [permission] = await addPermissions(shared, 1);
    const [partner] = await addPermissions(shared, 1, 'partner');
    const name = unique('refused');
    const create = (input: object) => (m: Parameters<Parameters<typeof refusedInside>[2]>[0]) =>
      shared.roles.createRole({ name, guard: 'portal', tenantId, ...input }, m);
    await refusedInside(shared, 'TENANT_NOT_FOUND', create({ tenantId: uuidv7() }));
    await refusedInside(shared, 'PERMISSION_NOT_FOUND', create({ permissions: [permission, 'nope'] }));
    await refusedInside(shared, 'PERMISSION_NOT_FOUND', create({ permissions: [partner] }));
    await refusedInside(shared, 'VALIDATION_FAILED', create({ tenantId: null }));
    await refusedInside(shared, 'VALIDATION_FAILED', create({ isSystem: true }));
    await refusedInside(shared, 'VALIDATION_FAILED', create({ guard: 'admin' }));
    await refusedInside(shared, 'VALIDATION_FAILED', create({ guard: 'nobody' }));
    expect(await shared.roles.getRoleByName(name, 'portal', tenantId)).toBeNull();
    await shared.roles.createRole({ name, guard: 'portal', tenantId });
    await refusedInside(shared, 'ROLE_ALREADY_EXISTS', create({}));
  });

  test('names every unknown permission when it is refused', async () => {
    const input = { name: unique('x'), guard: 'portal', isSystem: true, permissions: ['b?', 'a?'] };
    await expect(shared.roles.createRole(input)).rejects.toMatchObject({ details: { fields: ['a?', 'b?'] } });
  });

  test('belongs to the system in DISABLED tenancy unless told otherwise', async () => {
    const role = await disabled.roles.createRole({ name: 'member', guard: 'portal' });
    expect(role).toMatchObject({ tenantId: null, isSystem: true, ownerTenantId: NIL_UUID });
  });

  test('is found by name within its owner and guard only', async () => {
    const [mine, other] = [await addTenant(shared), await addTenant(shared)];
    const name = unique('named');
    const { id } = await shared.roles.createRole({ name, guard: 'portal', tenantId: mine });
    expect(await shared.roles.getRoleByName(name, 'portal', mine)).toMatchObject({ id });
    expect(await shared.roles.getRoleByName(name, 'portal', other)).toBeNull();
    expect(await shared.roles.getRoleByName(name, 'portal')).toBeNull();
    expect(await shared.roles.getRoleByName(name, 'partner', mine)).toBeNull();
  });

  test('keeps what an update does not name, and is not overwritten when it was changed meanwhile', async () => {
    const id = await addRole(shared);
    const { result, sent } = await counting(shared, () =>
      shared.roles.updateRole(id, { description: 'new', metadata: { a: 1 }, expectedVersion: 1 }),
    );
    expect(sent).toHaveLength(1);
    expect(result).toMatchObject({ description: 'new', metadata: { a: 1 }, version: 2, isActive: true });
    await refusedInside(shared, 'STALE_VERSION', (m) =>
      shared.roles.updateRole(id, { isActive: false, expectedVersion: 1 }, m),
    );
    await refusedInside(shared, 'ROLE_NOT_FOUND', (m) => shared.roles.updateRole(uuidv7(), { isActive: false }, m));
    const other = await shared.roles.createRole({ name: unique('other'), guard: 'portal', isSystem: true });
    await refusedInside(shared, 'ROLE_ALREADY_EXISTS', (m) => shared.roles.updateRole(id, { name: other.name }, m));
  });

  test('that nobody has is deleted with its grants of permissions', async () => {
    const id = await addRole(shared, { permissions: await addPermissions(shared, 2) });
    const { sent } = await counting(shared, () => shared.roles.deleteRole(id));
    expect(sent).toHaveLength(1);
    expect(await shared.roles.getRoleById(id)).toBeNull();
    await refusedInside(shared, 'ROLE_NOT_FOUND', (m) => shared.roles.deleteRole(id, m));
  });

  test('that somebody has is not deleted', async () => {
    const tenantId = await addTenant(shared);
    const [mine, platform] = [await addRole(shared, { tenantId }), await addRole(shared, { guard: 'admin' })];
    const userId = await addUser(shared);
    await shared.access.addUserAccessRoles(userId, tenantId, [mine]);
    await shared.access.setPlatformAccessRoles(userId, [platform]);
    await refusedInside(shared, 'ROLE_IN_USE', (m) => shared.roles.deleteRole(mine, m));
    await refusedInside(shared, 'ROLE_IN_USE', (m) => shared.roles.deleteRole(platform, m));
  });

  test('that is assigned by an open transaction is in use, and the transaction of the caller stays usable', async () => {
    const tenantId = await addTenant(shared);
    const [roleId, userId] = [await addRole(shared, { tenantId }), await addUser(shared)];
    const { status } = await waitingFor(
      shared,
      (m) => shared.access.addUserAccessRoles(userId, tenantId, [roleId], m),
      () => refusedInside(shared, 'ROLE_IN_USE', (m) => shared.roles.deleteRole(roleId, m)),
    );
    expect(status).toBe('fulfilled');
  });

  test('that is deleted by an open transaction is not found by whoever assigns it', async () => {
    const [tenantId, roleId, userId] = [await addTenant(shared), await addRole(shared), await addUser(shared)];
    const { status } = await waitingFor(
      shared,
      (m) => shared.roles.deleteRole(roleId, m),
      () =>
        refusedInside(shared, 'ROLE_NOT_FOUND', (m) => shared.access.addUserAccessRoles(userId, tenantId, [roleId], m)),
    );
    expect(status).toBe('fulfilled');
  });

  test('that is assigned while it is deleted is either in use or not found, never half of both', async () => {
    for (let round = 0; round < 20; round += 1) {
      const tenantId = await addTenant(shared);
      const [roleId, userId] = [await addRole(shared, { tenantId }), await addUser(shared)];
      const counts = await outcomes([
        shared.roles.deleteRole(roleId),
        shared.access.addUserAccessRoles(userId, tenantId, [roleId]),
      ]);
      expect([
        { ok: 1, ROLE_IN_USE: 1 },
        { ok: 1, ROLE_NOT_FOUND: 1 },
      ]).toContainEqual(counts);
    }
  });
});

describe('the permissions of a role', () => {
  test('are replaced by one statement that tells what it did', async () => {
    const [a, b, c] = (await addPermissions(shared, 3)) as [string, string, string];
    const id = await addRole(shared, { permissions: [a, b] });
    shared.events.length = 0;
    const { result, sent } = await counting(shared, () => shared.roles.setRolePermissions(id, [b, c, c]));
    expect(sent).toHaveLength(1);
    expect(result).toEqual({ added: [c], removed: [a] });
    expect(shared.events).toMatchObject([{ roleId: id, permissions: { added: [c], removed: [a] } }]);
  });

  test('count the version up only when they change', async () => {
    const names = await addPermissions(shared, 2);
    const id = await addRole(shared, { permissions: names });
    shared.events.length = 0;
    expect(await shared.roles.setRolePermissions(id, names)).toEqual({ added: [], removed: [] });
    expect(await shared.roles.addRolePermissions(id, names)).toEqual({ added: [], removed: [] });
    expect(await shared.roles.getRoleById(id)).toMatchObject({ version: 1 });
    expect(shared.events).toEqual([]);
    await shared.roles.setRolePermissions(id, []);
    expect(await shared.roles.getRoleById(id)).toMatchObject({ version: 2 });
  });

  test('are added and taken away without touching the others', async () => {
    const [a, b, c] = (await addPermissions(shared, 3)) as [string, string, string];
    const id = await addRole(shared, { permissions: [a] });
    expect(await shared.roles.addRolePermissions(id, [a, b])).toEqual({ added: [b], removed: [] });
    expect(await shared.roles.removeRolePermissions(id, [a, c])).toEqual({ added: [], removed: [a] });
    const role = await shared.roles.getRoleById(id, { relations: { permissions: true } });
    expect(role?.permissions?.map(({ name }) => name)).toEqual([b]);
  });

  test('stay as they are when one is unknown or of another guard', async () => {
    const [a, b] = (await addPermissions(shared, 2)) as [string, string];
    const [partner] = (await addPermissions(shared, 1, 'partner')) as [string];
    const id = await addRole(shared, { permissions: [a] });
    await refusedInside(shared, 'PERMISSION_NOT_FOUND', (m) => shared.roles.setRolePermissions(id, [b, 'nope'], m));
    await refusedInside(shared, 'PERMISSION_NOT_FOUND', (m) => shared.roles.addRolePermissions(id, [b, partner], m));
    await refusedInside(shared, 'ROLE_NOT_FOUND', (m) => shared.roles.setRolePermissions(uuidv7(), [a], m));
    const role = await shared.roles.getRoleById(id, { relations: { permissions: true } });
    expect(role).toMatchObject({ version: 1, permissions: [{ name: a }] });
  });

  test('of a foreign guard are refused by the database too', async () => {
    const id = await addRole(shared);
    const partner = await shared.permissions.createPermission({ name: unique('p'), guard: 'partner' });
    const insert = `insert into nest_auth_role_permissions (role_id, permission_id, guard) values ($1, $2, $3)`;
    for (const guard of ['portal', 'partner']) {
      await expect(shared.dataSource.query(insert, [id, partner.id, guard])).rejects.toMatchObject({ code: '23503' });
    }
  });

  test('that waited for another change are compared with what that change has left', async () => {
    const [a, b, c] = (await addPermissions(shared, 3)) as [string, string, string];
    const id = await addRole(shared, { permissions: [a] });
    const settled = await waitingFor(
      shared,
      (m) => shared.roles.setRolePermissions(id, [b], m),
      () => shared.roles.setRolePermissions(id, [c]),
    );
    expect(settled).toEqual({ status: 'fulfilled', value: { added: [c], removed: [b] } });
    const role = await shared.roles.getRoleById(id, { relations: { permissions: true } });
    expect(role).toMatchObject({ version: 3, permissions: [{ name: c }] });
  });

  test('set 50 times at once are exactly one of the sets', async () => {
    const names = await addPermissions(shared, 100);
    const sets = Array.from({ length: 50 }, (_, index) => names.slice(index * 2, index * 2 + 2).toSorted());
    const id = await addRole(shared);
    expect(await outcomes(sets.map((set) => shared.roles.setRolePermissions(id, set)))).toEqual({ ok: 50 });
    const role = await shared.roles.getRoleById(id, { relations: { permissions: true } });
    expect(sets).toContainEqual(role?.permissions?.map(({ name }) => name).toSorted());
    expect(role?.version).toBe(51);
  });
});

describe('a list of roles', () => {
  test('holds those of the tenant and of the system, and never of another tenant', async () => {
    const [mine, other] = [await addTenant(shared), await addTenant(shared)];
    const [own, foreign, system] = [
      await addRole(shared, { tenantId: mine, guard: 'partner' }),
      await addRole(shared, { tenantId: other, guard: 'partner' }),
      await addRole(shared, { guard: 'partner' }),
    ];
    const idsOf = async (options: object): Promise<string[]> =>
      (await shared.roles.getRoles({ guard: 'partner', limit: 100, ...options })).map(({ id }) => id);
    expect(await idsOf({ tenantId: mine })).toEqual(expect.arrayContaining([own, system]));
    expect(await idsOf({ tenantId: mine })).not.toContain(foreign);
    expect(await idsOf({ tenantId: mine, ownOnly: true })).toEqual([own]);
    expect(await idsOf({ tenantId: mine, systemOnly: true })).not.toContain(own);
    expect(await idsOf({})).toEqual(
      (await shared.roles.getSystemRoles({ guard: 'partner', limit: 100 })).map(({ id }) => id),
    );
    await expect(idsOf({ ownOnly: true })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  test('refuses the cursor of another tenant', async () => {
    const [mine, other] = [await addTenant(shared), await addTenant(shared)];
    for (const tenantId of [mine, mine, other, other]) await addRole(shared, { tenantId });
    const options = { limit: 1, ownOnly: true };
    const { result: page, sent } = await counting(shared, () =>
      shared.roles.getRolesPage({ ...options, tenantId: mine }),
    );
    const after = page.nextCursor as string;
    expect(sent).toHaveLength(1);
    expect((await shared.roles.getRolesPage({ ...options, tenantId: mine, after })).nextCursor).toBeNull();
    await expect(shared.roles.getRolesPage({ ...options, tenantId: other, after })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
  });
});

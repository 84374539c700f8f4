import { beforeEach, describe, expect, test } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { AccessStatusEnum } from '../../../src/access/access.types.js';
import { NIL_UUID } from '../../../src/tenant/tenant.types.js';
import { addPermissions, addRole, addTenant, addUser, counting, unique, useAccess } from './fixture.js';

const shared = useAccess();

let userId: string;
let tenantId: string;
let roleId: string;
let permissions: [string, string, string];

beforeEach(async () => {
  userId = await addUser(shared);
  tenantId = await addTenant(shared);
  permissions = (await addPermissions(shared, 3)) as [string, string, string];
  roleId = await addRole(shared, { tenantId, permissions: permissions.slice(0, 2) });
  await shared.access.addUserAccessRoles(userId, tenantId, [roleId]);
});

async function explained(permission = permissions[0], tenant = tenantId, user = userId): Promise<unknown> {
  const { allowed, reason } = await shared.access.explain(user, tenant, permission);
  expect(await shared.access.can(user, tenant, permission)).toBe(allowed);
  return reason;
}

describe('what a user may do in a tenant', () => {
  test('is the sorted union of all roles, read by one statement', async () => {
    const second = await addRole(shared, { permissions: [permissions[1], permissions[2]] });
    await shared.access.addUserAccessRoles(userId, tenantId, [second]);
    const { result, sent } = await counting(shared, () => shared.access.getPermissions(userId, tenantId));
    expect(sent).toHaveLength(1);
    expect(result).toEqual([...permissions].toSorted());
    const roles = await counting(shared, () => shared.access.getRoles(userId, tenantId));
    expect(roles.sent).toHaveLength(1);
    expect(roles.result.map(({ id }) => id)).toEqual([roleId, second]);
  });

  test('is asked for by one statement each', async () => {
    const [a, b, c] = permissions;
    const { access, operations, dataSource } = shared;
    const { result, sent } = await counting(shared, async () => [
      await access.can(userId, tenantId, a),
      await access.can(userId, tenantId, c),
      await access.canAll(userId, tenantId, [a, b, a]),
      await access.canAll(userId, tenantId, [a, c]),
      await access.canAny(userId, tenantId, [c, b]),
      await access.canAny(userId, tenantId, [c]),
      (await access.explain(userId, tenantId, a)).allowed,
      await operations.isUserInTenant(dataSource.manager, userId, tenantId),
      await access.canOnPlatform(userId, a),
    ]);
    expect(result).toEqual([true, false, true, false, true, false, true, true, false]);
    expect(sent).toHaveLength(result.length);
  });

  test('is seen inside the transaction that changes it, and not after its rollback', async () => {
    await expect(
      shared.host.run(async (m) => {
        await shared.roles.addRolePermissions(roleId, [permissions[2]], m);
        expect(await shared.access.can(userId, tenantId, permissions[2], m)).toBe(true);
        expect(await shared.access.can(userId, tenantId, permissions[2])).toBe(true);
        throw new Error('undo');
      }),
    ).rejects.toThrow('undo');
    expect(await shared.access.can(userId, tenantId, permissions[2])).toBe(false);
  });

  test('is explained by every role that grants it', async () => {
    const second = await addRole(shared, { permissions: [permissions[0]] });
    await shared.access.addUserAccessRoles(userId, tenantId, [second]);
    const { allowed, reason, path } = await shared.access.explain(userId, tenantId, permissions[0]);
    expect({ allowed, reason }).toEqual({ allowed: true, reason: 'GRANTED' });
    expect(path?.map(({ role }) => role.id)).toEqual([roleId, second]);
    expect(path?.[0]).toMatchObject({ role: { name: expect.any(String) }, permission: permissions[0] });
  });

  test('is nothing through anything inactive, and the reason says which', async () => {
    const { access, roles, tenants, dataSource, operations } = shared;
    const nothing = async (reason: string): Promise<void> => {
      expect(await explained()).toBe(reason);
      expect(await access.getPermissions(userId, tenantId)).toEqual([]);
      expect(await access.getRoles(userId, tenantId)).toEqual([]);
      expect(await access.canAny(userId, tenantId, permissions)).toBe(false);
      const member = await operations.isUserInTenant(dataSource.manager, userId, tenantId);
      expect(member).toBe(reason === 'ROLE_INACTIVE');
    };
    expect(await explained()).toBe('GRANTED');
    await roles.updateRole(roleId, { isActive: false });
    await nothing('ROLE_INACTIVE');
    await roles.updateRole(roleId, { isActive: true });
    await access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.SUSPENDED);
    await nothing('ACCESS_SUSPENDED');
    await access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.ACTIVE);
    await tenants.updateTenant(tenantId, { isActive: false });
    await nothing('TENANT_INACTIVE');
    await tenants.updateTenant(tenantId, { isActive: true });
    const disabled = `status = 'disabled', is_active = false, disabled_at = now()`;
    await dataSource.query(`update nest_auth_users set ${disabled} where id = $1`, [userId]);
    await nothing('USER_INACTIVE');
    await dataSource.query(`update nest_auth_users set deleted_at = now(), parked_identities = '[]' where id = $1`, [
      userId,
    ]);
    await nothing('USER_NOT_FOUND');
    const active = `status = 'active', is_active = true, disabled_at = null, deleted_at = null, parked_identities = null`;
    await dataSource.query(`update nest_auth_users set ${active} where id = $1`, [userId]);
    expect(await explained()).toBe('GRANTED');
  });

  test('is nothing for anything unknown, and the reason says which', async () => {
    expect(await explained(permissions[0], tenantId, uuidv7())).toBe('USER_NOT_FOUND');
    expect(await explained(permissions[0], uuidv7())).toBe('TENANT_NOT_FOUND');
    expect(await explained(permissions[0], await addTenant(shared))).toBe('NO_ACCESS');
    expect(await explained(permissions[2])).toBe('PERMISSION_NOT_GRANTED');
    expect(await explained('no such permission')).toBe('PERMISSION_UNKNOWN');
    await shared.access.removeUserAccessRoles(userId, tenantId, [roleId]);
    expect(await explained()).toBe('NO_ROLE');
  });

  test('is not what a role of the same user grants in another tenant', async () => {
    const other = await addTenant(shared);
    await shared.operations.ensureUserAccess(shared.dataSource.manager, userId, other);
    expect(await explained(permissions[0], other)).toBe('NO_ROLE');
    expect(await shared.access.getPermissions(userId, other)).toEqual([]);
  });

  test('is refused without a permission to ask for, or with ids that are none', async () => {
    const { access } = shared;
    const refused = { code: 'VALIDATION_FAILED' };
    await expect(access.canAll(userId, tenantId, [])).rejects.toMatchObject(refused);
    await expect(access.canAny(userId, tenantId, [])).rejects.toMatchObject(refused);
    await expect(access.can(undefined as never, tenantId, 'x')).rejects.toMatchObject(refused);
    await expect(access.getPermissions(userId, undefined as never)).rejects.toMatchObject(refused);
    await expect(access.can(userId, NIL_UUID, 'x')).rejects.toMatchObject({ code: 'TENANT_NOT_FOUND' });
  });
});

describe('what a user may do on the platform', () => {
  test('comes from platform roles only, and never reaches into a tenant', async () => {
    const [name] = (await addPermissions(shared, 1, 'admin')) as [string];
    const admin = await addRole(shared, { guard: 'admin', permissions: [name] });
    await shared.access.setPlatformAccessRoles(userId, [admin]);
    const { result, sent } = await counting(shared, () => shared.access.getPlatformPermissions(userId));
    expect(sent).toHaveLength(1);
    expect(result).toEqual([name]);
    expect(await shared.access.canOnPlatform(userId, name)).toBe(true);
    expect(await shared.access.canOnPlatform(userId, permissions[0])).toBe(false);
    expect(await explained(name)).toBe('PERMISSION_UNKNOWN');
    expect(await shared.access.getPermissions(userId, tenantId)).not.toContain(name);
  });

  test('is nothing through anything inactive', async () => {
    const [name] = (await addPermissions(shared, 1, 'admin')) as [string];
    const admin = await addRole(shared, { guard: 'admin', permissions: [name] });
    await shared.access.setPlatformAccessRoles(userId, [admin]);
    const sql = (text: string): Promise<unknown> => shared.dataSource.query(text, [userId]);
    const allowed = (): Promise<boolean> => shared.access.canOnPlatform(userId, name);
    await shared.roles.updateRole(admin, { isActive: false });
    expect(await allowed()).toBe(false);
    await shared.roles.updateRole(admin, { isActive: true });
    await sql(`update nest_auth_platform_accesses set status = 'suspended' where user_id = $1`);
    expect(await allowed()).toBe(false);
    await sql(`update nest_auth_platform_accesses set status = 'active' where user_id = $1`);
    await sql(
      `update nest_auth_users set status = 'inactive', is_active = false, deactivated_at = now() where id = $1`,
    );
    expect(await allowed()).toBe(false);
    await sql(`update nest_auth_users set status = 'active', is_active = true, deactivated_at = null where id = $1`);
    expect(await allowed()).toBe(true);
  });

  test('is told apart from a tenant where a permission of the same name exists in both guards', async () => {
    const name = unique('both');
    for (const guard of ['admin', 'portal']) await shared.permissions.createPermission({ name, guard });
    const admin = await addRole(shared, { guard: 'admin', permissions: [name] });
    await shared.access.setPlatformAccessRoles(userId, [admin]);
    expect(await explained(name)).toBe('PERMISSION_NOT_GRANTED');
    expect(await shared.access.canOnPlatform(userId, name)).toBe(true);
  });
});

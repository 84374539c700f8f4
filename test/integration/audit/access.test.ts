import { describe, expect, test } from '@jest/globals';

import { AccessStatusEnum } from '../../../src/access/access.types.js';
import { NIL_UUID } from '../../../src/tenant/tenant.types.js';
import {
  type Access,
  addPermissions,
  addRole,
  addTenant,
  addUser,
  counting,
  outcomes,
  unique,
  useAccess,
  waitingFor,
} from '../access/fixture.js';
import { type ActivityLine, asAdmin, linesOf, WHO } from './lines.js';

const shared = useAccess();
const outside = ({ dataSource }: Access) => dataSource.manager;

const setRoles = (userId: string, tenantId: string, roleIds: readonly string[], m = outside(shared)) =>
  shared.host.operate(m, (manager) => shared.operations.roles.setUserAccessRoles(manager, userId, tenantId, roleIds));

/** What `fn` has added to the log about `subjectId`. */
async function written(subjectId: string, fn: () => Promise<unknown>): Promise<ActivityLine[]> {
  const { length } = await linesOf(shared.dataSource, subjectId);
  await asAdmin(fn);
  return (await linesOf(shared.dataSource, subjectId)).slice(length);
}

const sorted = (...ids: string[]): string[] => ids.toSorted();

async function namesOf(ids: readonly string[]): Promise<Record<string, string>> {
  const rows = await shared.dataSource.query<{ id: string; name: string }[]>(
    'select id, name from nest_auth_roles where id = any($1)',
    [ids],
  );
  return Object.fromEntries(rows.map(({ id, name }) => [id, name]));
}

describe('the roles of an access', () => {
  test('are told old and new, with who did it, in the statement that changes them', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const [one, two] = [await addRole(shared), await addRole(shared, { tenantId })];
    const about = { ...WHO, type: 'nest_auth.user_access.changed', subject: 'user_access', userId, tenantId };
    const { result: first, sent } = await counting(shared, () =>
      written(userId, () => setRoles(userId, tenantId, [one])),
    );
    expect(sent.filter((sql) => sql.includes('insert into nest_auth_activities'))).toHaveLength(1);
    expect(first).toEqual([
      {
        ...about,
        before: null,
        after: { status: 'active', isDefault: true, roleIds: [one] },
        details: { added: [one], removed: [], names: await namesOf([one]) },
      },
    ]);
    expect(await written(userId, () => shared.access.addUserAccessRoles(userId, tenantId, [two]))).toEqual([
      {
        ...about,
        before: { roleIds: [one] },
        after: { roleIds: sorted(one, two) },
        details: { added: [two], removed: [], names: await namesOf([two]) },
      },
    ]);
    const access = await shared.operations.findUserAccess(outside(shared), userId, tenantId);
    expect(await written(userId, async () => access?.assignRoles([two]))).toEqual([
      {
        ...about,
        before: { roleIds: sorted(one, two) },
        after: { roleIds: [two] },
        details: { added: [], removed: [one], names: await namesOf([one]) },
      },
    ]);
    expect(await written(userId, () => shared.access.removeUserAccessRoles(userId, tenantId, [two]))).toEqual([
      expect.objectContaining({ before: { roleIds: [two] }, after: { roleIds: [] } }),
    ]);
  });

  test('on the platform are told the same way', async () => {
    const userId = await addUser(shared);
    const root = await addRole(shared, { guard: 'admin' });
    const about = { ...WHO, type: 'nest_auth.platform_access.changed', subject: 'platform_access', userId };
    expect(await written(userId, () => shared.operations.ensurePlatformAccess(outside(shared), userId))).toEqual([
      { ...about, tenantId: null, before: null, after: { status: 'active', roleIds: [] }, details: null },
    ]);
    expect(await written(userId, () => shared.access.setPlatformAccessRoles(userId, [root]))).toEqual([
      {
        ...about,
        tenantId: null,
        before: { roleIds: [] },
        after: { roleIds: [root] },
        details: { added: [root], removed: [], names: await namesOf([root]) },
      },
    ]);
  });

  test('changed 20 times at once make an unbroken chain of before and after', async () => {
    const [userId, tenantId] = [await addUser(shared), await addTenant(shared)];
    const roles: string[] = [];
    for (let index = 0; index < 7; index += 1) roles.push(await addRole(shared));
    const calls = Array.from({ length: 20 }, (_, index) => {
      const some = [roles[index % 7], roles[(index * 5 + 1) % 7]] as string[];
      const { access } = shared;
      if (index % 3 === 0) return setRoles(userId, tenantId, some);
      return index % 3 === 1
        ? access.addUserAccessRoles(userId, tenantId, some)
        : access.removeUserAccessRoles(userId, tenantId, some);
    });
    await outcomes(calls);
    const lines = await linesOf(shared.dataSource, userId);
    expect(lines.length).toBeGreaterThan(5);
    const held = await shared.dataSource.query<{ id: string }[]>(
      'select role_id as id from nest_auth_user_access_roles where user_id = $1 order by 1',
      [userId],
    );
    expect(lines.at(-1)?.after).toHaveProperty(
      'roleIds',
      held.map(({ id }) => id),
    );
    for (const [index, { before }] of lines.entries()) {
      const last = lines[index - 1]?.after;
      expect(before).toEqual(last == null ? null : { roleIds: last['roleIds'] });
    }
    const { version } = (await shared.operations.findUserAccess(outside(shared), userId, tenantId)) ?? {};
    expect(version).toBe(lines.length);
  });
});

describe('an access', () => {
  test('is told when it is made, suspended, and removed with what it was', async () => {
    const [userId, tenantId, role] = [await addUser(shared), await addTenant(shared), await addRole(shared)];
    const about = { ...WHO, subject: 'user_access', userId, tenantId, details: null };
    const changed = { ...about, type: 'nest_auth.user_access.changed' };
    expect(await written(userId, () => shared.operations.ensureUserAccess(outside(shared), userId, tenantId))).toEqual([
      { ...changed, before: null, after: { status: 'active', isDefault: true, roleIds: [] } },
    ]);
    await setRoles(userId, tenantId, [role]);
    const suspend = () => shared.access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.SUSPENDED);
    expect(await written(userId, suspend)).toEqual([
      { ...changed, before: { status: 'active' }, after: { status: 'suspended' } },
    ]);
    expect(await written(userId, suspend)).toEqual([]);
    const remove = () => shared.operations.deleteUserAccess(outside(shared), userId, tenantId);
    expect(await written(userId, remove)).toEqual([
      {
        ...about,
        type: 'nest_auth.user_access.deleted',
        before: { status: 'suspended', isDefault: true, roleIds: [role] },
        after: null,
      },
    ]);
    expect(await written(userId, remove)).toEqual([]);
  });

  test('that is given a role while it is removed is told with that role', async () => {
    const [userId, tenantId, role] = [await addUser(shared), await addTenant(shared), await addRole(shared)];
    await shared.operations.ensureUserAccess(outside(shared), userId, tenantId);
    await waitingFor(
      shared,
      (m) => shared.access.addUserAccessRoles(userId, tenantId, [role], m),
      () => shared.operations.deleteUserAccess(outside(shared), userId, tenantId),
    );
    expect((await linesOf(shared.dataSource, userId)).at(-1)?.before).toHaveProperty('roleIds', [role]);
  });

  test('that becomes the default is told in its tenant, and the former one in the other; so are the events', async () => {
    const userId = await addUser(shared);
    const [former, next] = [await addTenant(shared), await addTenant(shared)];
    for (const id of [former, next]) await shared.operations.ensureUserAccess(outside(shared), userId, id);
    shared.events.length = 0;
    const lines = await written(userId, () => shared.access.setDefaultAccess(userId, next));
    expect(lines.map(({ tenantId, before, after }) => ({ tenantId, before, after }))).toEqual([
      { tenantId: former, before: { isDefault: true }, after: { isDefault: false } },
      { tenantId: next, before: { isDefault: false }, after: { isDefault: true } },
    ]);
    expect(shared.events).toEqual([former, next].map((tenantId) => expect.objectContaining({ tenantId, userId })));
    expect(await written(userId, () => shared.access.setDefaultAccess(userId, next))).toEqual([]);
    expect(shared.events).toHaveLength(2);
  });
});

describe('a role', () => {
  test('is told when it is made, changed, given permissions, and deleted with them', async () => {
    const tenantId = await addTenant(shared);
    const names = await addPermissions(shared, 3);
    const [a, b, c] = names.toSorted() as [string, string, string];
    const name = unique('audited');
    const { id } = await asAdmin(() =>
      shared.roles.createRole({
        name,
        guard: 'portal',
        tenantId,
        permissions: [b, a],
        metadata: { colour: 'red', apiKey: 'x' },
      }),
    );
    await asAdmin(() =>
      shared.roles.updateRole(id, { description: 'new', metadata: { colour: 'blue', size: 1, apiKey: 'y' } }),
    );
    await asAdmin(() => shared.roles.setRolePermissions(id, [c, a]));
    // Nothing to do, and refused.
    await asAdmin(() => shared.roles.updateRole(id, { description: 'new' }));
    await asAdmin(() => shared.roles.addRolePermissions(id, [c]));
    await expect(shared.roles.addRolePermissions(id, ['no:such'])).rejects.toMatchObject({
      code: 'PERMISSION_NOT_FOUND',
    });
    await asAdmin(() => shared.roles.deleteRole(id));
    const about = { ...WHO, subject: 'role', userId: null, tenantId, details: null };
    expect(await linesOf(shared.dataSource, id)).toEqual([
      {
        ...about,
        type: 'nest_auth.role.created',
        before: null,
        after: {
          name,
          guard: 'portal',
          isActive: true,
          isOwner: false,
          permissions: [a, b],
          metadata: { colour: 'red', apiKey: '[redacted]' },
        },
      },
      {
        ...about,
        type: 'nest_auth.role.updated',
        before: { description: null, metadata: { colour: 'red', size: null, apiKey: '[redacted]' } },
        after: { description: 'new', metadata: { colour: 'blue', size: 1, apiKey: '[redacted]' } },
      },
      {
        ...about,
        type: 'nest_auth.role.permissions_changed',
        before: { permissions: [a, b] },
        after: { permissions: [a, c] },
        details: { added: [c], removed: [b] },
      },
      {
        ...about,
        type: 'nest_auth.role.deleted',
        before: expect.objectContaining({ name, description: 'new', permissions: [a, c] }),
        after: null,
      },
    ]);
  });

  test('renamed by another while it is changed is told as it was then', async () => {
    const id = await addRole(shared);
    const name = unique('renamed');
    const second = unique('again');
    await waitingFor(
      shared,
      (m) => shared.roles.updateRole(id, { name }, m),
      () => shared.roles.updateRole(id, { name: second }),
    );
    const [, ...changes] = await linesOf(shared.dataSource, id);
    expect(changes.map(({ before, after }) => [before, after])).toEqual([
      [expect.anything(), { name }],
      [{ name }, { name: second }],
    ]);
  });
});

describe('permissions', () => {
  test('are told one by one, also when many are made by one statement', async () => {
    const [known] = await addPermissions(shared, 1);
    const names = [unique('p'), unique('p')];
    const inputs = [known as string, ...names].map((name) => ({ name, guard: 'portal' }));
    const { created } = await asAdmin(() => shared.permissions.createPermissions(inputs));
    expect(created).toHaveLength(2);
    const about = { ...WHO, subject: 'permission', userId: null, tenantId: null, details: null };
    const [first, second] = created;
    const { id, name } = first as { id: string; name: string };
    await asAdmin(() => shared.permissions.updatePermission(id, { category: 'x' }));
    await asAdmin(() => shared.permissions.deletePermission(id));
    expect(await linesOf(shared.dataSource, id)).toEqual([
      { ...about, type: 'nest_auth.permission.created', before: null, after: { name, guard: 'portal' } },
      { ...about, type: 'nest_auth.permission.updated', before: { category: null }, after: { category: 'x' } },
      {
        ...about,
        type: 'nest_auth.permission.deleted',
        before: { name, guard: 'portal', category: 'x' },
        after: null,
      },
    ]);
    expect(await linesOf(shared.dataSource, second?.id as string)).toHaveLength(1);
  });
});

describe('what is refused or rolled back', () => {
  test('leaves no activity', async () => {
    const [userId, tenantId, role] = [await addUser(shared), await addTenant(shared), await addRole(shared)];
    const inactive = await addRole(shared, { isActive: false });
    const foreign = await addRole(shared, { tenantId: await addTenant(shared) });
    for (const bad of [inactive, foreign, NIL_UUID]) {
      await expect(setRoles(userId, tenantId, [role, bad])).rejects.toBeDefined();
    }
    const undo = new Error('undo');
    const rolledBack = shared.host.run(async (m) => {
      await setRoles(userId, tenantId, [role], m);
      await shared.access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.SUSPENDED, m);
      throw undo;
    });
    await expect(rolledBack).rejects.toBe(undo);
    expect(await linesOf(shared.dataSource, userId)).toEqual([]);
  });
});

import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import { NestAuthRole } from '../../../src/access/role.entity.js';
import { NestAuthRoleParent } from '../../../src/access/role-parent.entities.js';
import { MAX_INHERITANCE_STEPS } from '../../../src/access/role-parents.queries.js';
import { RoleParentsChangedEvent } from '../../../src/events/nest-auth.events.js';
import { linesOf } from '../audit/lines.js';
import {
  addPermissions,
  addRole,
  addTenant,
  addUser,
  counting,
  outcomes,
  refusedInside,
  useAccess,
  waitingFor,
} from './fixture.js';

jest.setTimeout(120_000);

const shared = useAccess();

let userId: string;
let tenantId: string;
let permission: string;

beforeEach(async () => {
  userId = await addUser(shared);
  tenantId = await addTenant(shared);
  [permission] = (await addPermissions(shared, 1)) as [string];
});

/** Roles of the tenant, each inheriting from the one before it. */
async function line(length: number, of: string | null = tenantId): Promise<string[]> {
  const roles: string[] = [];
  for (let index = 0; index < length; index += 1) {
    const role = await addRole(shared, of === null ? {} : { tenantId: of });
    const below = roles.at(-1);
    if (below !== undefined) await shared.roles.setRoleParents(role, [below]);
    roles.push(role);
  }
  return roles;
}

const idsOf = (roles: readonly { readonly id: string }[]): string[] => roles.map(({ id }) => id).toSorted();

/** Whether the graph, as it was committed, has a ring: by SQL that knows nothing of ours. */
async function rings(): Promise<number> {
  const [row] = await shared.dataSource.query<[{ rings: number }]>(`
    with recursive way as (
      select role_id as start, parent_id as id, array[role_id, parent_id] as path from nest_auth_role_parents
      union all
      select way.start, h.parent_id, path || h.parent_id from way join nest_auth_role_parents h on h.role_id = way.id
      where way.id <> way.start and cardinality(path) < 30)
    select count(*)::integer as rings from way where id = start`);
  return row.rings;
}

describe('a role that inherits from others', () => {
  test('grants what they do, over several steps, and each question is one statement', async () => {
    const [base, middle, top] = (await line(3)) as [string, string, string];
    await shared.roles.addRolePermissions(base, [permission]);
    await shared.access.addUserAccessRoles(userId, tenantId, [top]);
    const { access } = shared;
    const { result, sent } = await counting(shared, async () => [
      await access.can(userId, tenantId, permission),
      await access.canAll(userId, tenantId, [permission]),
      await access.canAny(userId, tenantId, [permission, 'other']),
      await access.getPermissions(userId, tenantId),
      idsOf(await access.getRoles(userId, tenantId)),
      (await access.getGrants(userId, tenantId))?.can(permission),
      (await access.explain(userId, tenantId, permission)).path?.map(({ through }) => through?.map(({ id }) => id)),
    ]);
    expect(result).toEqual([
      true,
      true,
      true,
      [permission],
      [base, middle, top].toSorted(),
      true,
      [[top, middle, base]],
    ]);
    expect(sent).toHaveLength(result.length);
    const grants = await access.getGrants(userId, tenantId);
    expect(grants?.roleIds.toSorted()).toEqual([base, middle, top].toSorted());
    expect(grants?.roles).toHaveLength(3);
  });

  test('grants nothing through an inactive one, at either end or between, which is named', async () => {
    const roles = (await line(3)) as [string, string, string];
    const [base, middle, top] = roles;
    await shared.roles.addRolePermissions(base, [permission]);
    await shared.access.addUserAccessRoles(userId, tenantId, [top]);
    for (const inactive of roles) {
      await shared.roles.updateRole(inactive, { isActive: false });
      const { reason, missing } = await shared.access.explain(userId, tenantId, permission);
      expect([reason, missing?.role?.id]).toEqual(['ROLE_INACTIVE', inactive]);
      expect(await shared.access.can(userId, tenantId, permission)).toBe(false);
      await shared.roles.updateRole(inactive, { isActive: true });
    }
    await shared.roles.updateRole(middle, { isActive: false });
    const grants = await shared.access.getGrants(userId, tenantId);
    // What a cache must forget when one of them changes: the one in the way too, and nothing behind it.
    expect(grants?.roleIds.toSorted()).toEqual([middle, top].toSorted());
    expect(idsOf(await shared.access.getRoles(userId, tenantId))).toEqual([top]);
  });

  test('is granted by the shortest of several ways, once', async () => {
    const [base, middle, top] = (await line(3)) as [string, string, string];
    await shared.roles.addRoleParents(top, [base]);
    await shared.roles.addRolePermissions(base, [permission]);
    await shared.access.addUserAccessRoles(userId, tenantId, [top, middle]);
    const { path } = await shared.access.explain(userId, tenantId, permission);
    expect(path).toHaveLength(1);
    expect(path?.[0]?.through?.map(({ id }) => id)).toHaveLength(2);
    expect(await shared.access.getPermissions(userId, tenantId)).toEqual([permission]);
  });

  test('inherits from the system and its own tenant on the platform too', async () => {
    const [name] = (await addPermissions(shared, 1, 'admin')) as [string];
    const base = await addRole(shared, { guard: 'admin', permissions: [name] });
    const top = await addRole(shared, { guard: 'admin' });
    await shared.roles.setRoleParents(top, [base]);
    await shared.access.setPlatformAccessRoles(userId, [top]);
    expect(await shared.access.canOnPlatform(userId, name)).toBe(true);
    expect(await shared.access.getPlatformPermissions(userId)).toEqual([name]);
    expect(await shared.access.can(userId, tenantId, name)).toBe(false);
  });
});

describe('what a role inherits from', () => {
  test('is set, added to and taken from by one statement each, with version, activity and event', async () => {
    const [a, b, c] = (await line(1)).concat(await addRole(shared), await addRole(shared, { tenantId })) as [
      string,
      string,
      string,
    ];
    const role = await addRole(shared, { tenantId });
    shared.events.length = 0;
    const calls = await counting(shared, async () => [
      await shared.roles.setRoleParents(role, [a, b, a.toUpperCase()]),
      await shared.roles.addRoleParents(role, [b, c]),
      await shared.roles.addRoleParents(role, [c]),
      await shared.roles.removeRoleParents(role, [a, a]),
      await shared.roles.setRoleParents(role, [b]),
    ]);
    expect(calls.sent).toHaveLength(5);
    const none = { added: [], removed: [] };
    expect(calls.result).toEqual([
      { added: [a, b].toSorted(), removed: [] },
      { added: [c], removed: [] },
      none,
      { added: [], removed: [a] },
      { added: [], removed: [c] },
    ]);
    const read = await shared.roles.getRoleById(role, { relations: { parents: true, permissions: true } });
    expect(read).toMatchObject({ version: 5, permissions: [] });
    expect(idsOf(read?.parents ?? [])).toEqual([b]);
    expect(shared.events.map((event) => (event as RoleParentsChangedEvent).parents)).toEqual(
      calls.result.filter((delta) => delta.added.length + delta.removed.length > 0),
    );
    const told = (await linesOf(shared.dataSource, role)).filter(
      ({ type }) => type === 'nest_auth.role.parents_changed',
    );
    expect(told.map(({ subject, tenantId: of, before, after }) => ({ subject, of, before, after }))).toEqual([
      { subject: 'role', of: tenantId, before: { parentIds: [] }, after: { parentIds: [a, b].toSorted() } },
      {
        subject: 'role',
        of: tenantId,
        before: { parentIds: [a, b].toSorted() },
        after: { parentIds: [a, b, c].toSorted() },
      },
      {
        subject: 'role',
        of: tenantId,
        before: { parentIds: [a, b, c].toSorted() },
        after: { parentIds: [b, c].toSorted() },
      },
      { subject: 'role', of: tenantId, before: { parentIds: [b, c].toSorted() }, after: { parentIds: [b] } },
    ]);
  });

  test('goes with a transaction that is rolled back', async () => {
    const [base, top] = (await line(2)) as [string, string];
    const other = await addRole(shared, { tenantId });
    await expect(
      shared.host.run(async (m) => {
        await shared.roles.setRoleParents(top, [other], m);
        throw new Error('undo');
      }),
    ).rejects.toThrow('undo');
    const read = await shared.roles.getRoleById(top, { relations: { parents: true } });
    expect(idsOf(read?.parents ?? [])).toEqual([base]);
    expect(read?.version).toBe(2);
  });

  test('is a relation for the ORM, which cannot write it where it may not be', async () => {
    const [base, top] = (await line(2)) as [string, string];
    const loaded = await shared.dataSource.manager.findOneOrFail(NestAuthRole, {
      where: { id: top },
      relations: { parents: true },
    });
    expect(idsOf(loaded.parents ?? [])).toEqual([base]);
    const foreign = await addRole(shared, { tenantId: await addTenant(shared) });
    const write = (parentId: string, parentTenantId: string): Promise<unknown> =>
      shared.dataSource.manager.insert(NestAuthRoleParent, {
        roleId: top,
        parentId,
        roleTenantId: tenantId,
        parentTenantId,
        guard: 'portal',
      });
    await expect(write(foreign, tenantId)).rejects.toMatchObject({ constraint: 'nest_auth_role_parents_parent_fk' });
    await expect(write(foreign, uuidv7())).rejects.toMatchObject({ constraint: 'nest_auth_role_parents_scope_ck' });
    await expect(write(top, tenantId)).rejects.toMatchObject({ constraint: 'nest_auth_role_parents_self_ck' });
  });

  test('SEC-61 is refused of another tenant or guard, and for what is no role, before anything is written', async () => {
    const role = await addRole(shared, { tenantId });
    const system = await addRole(shared);
    const foreign = await addRole(shared, { tenantId: await addTenant(shared) });
    const partner = await addRole(shared, { guard: 'partner' });
    const set = (id: string, parents: readonly string[]) => (m: EntityManager) =>
      shared.roles.setRoleParents(id, parents, m);
    await refusedInside(shared, 'ROLE_SCOPE_MISMATCH', set(role, [system, foreign]));
    await refusedInside(shared, 'ROLE_SCOPE_MISMATCH', set(role, [partner]));
    // Else every tenant would hold what this one lets its role grant.
    await refusedInside(shared, 'ROLE_SCOPE_MISMATCH', set(system, [role]));
    await refusedInside(shared, 'ROLE_NOT_FOUND', set(role, [uuidv7()]));
    await refusedInside(shared, 'ROLE_NOT_FOUND', set(uuidv7(), [role]));
    await refusedInside(shared, 'VALIDATION_FAILED', set(role, ['nobody']));
    await refusedInside(shared, 'VALIDATION_FAILED', set('nobody', [role]));
    const error = await shared.roles.setRoleParents(role, [foreign, partner]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ details: { ids: [foreign, partner].toSorted() } });
    expect((await shared.roles.getRoleById(role))?.version).toBe(1);
  });

  test('is no ring, of any length', async () => {
    const roles = await line(4);
    const [base, second, , top] = roles as [string, string, string, string];
    for (const parent of [base, second, top]) {
      const error = await shared.roles.addRoleParents(base, [parent]).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'ROLE_CYCLE', details: { ids: [parent] } });
    }
    await refusedInside(shared, 'ROLE_CYCLE', (m) => shared.roles.setRoleParents(base, [top], m));
    expect((await shared.roles.getRoleById(base))?.version).toBe(1);
  });

  test('is no longer line than the most, counted from both ends of what is added', async () => {
    const grow = { code: 'ROLE_DEPTH_EXCEEDED' };
    for (const owner of [tenantId, null]) {
      const lower = await line(5, owner);
      const upper = await line(MAX_INHERITANCE_STEPS - 4, owner);
      // Four steps, one, and three: the most there may be.
      await shared.roles.setRoleParents(upper[0] as string, [lower[4] as string]);
      const more = await addRole(shared, owner === null ? {} : { tenantId: owner });
      await expect(shared.roles.setRoleParents(more, [upper.at(-1) as string])).rejects.toMatchObject(grow);
      await expect(shared.roles.setRoleParents(lower[0] as string, [more])).rejects.toMatchObject(grow);
      await refusedInside(shared, grow.code, (m) => shared.roles.setRoleParents(lower[0] as string, [more], m));
      await shared.roles.setRoleParents(more, [upper.at(-2) as string]);
    }
  });

  test('is counted for the tenant and for the system apart, so that neither is in the way of the other', async () => {
    const [system, own] = [await line(MAX_INHERITANCE_STEPS + 1, null), await line(MAX_INHERITANCE_STEPS + 1)];
    await shared.roles.setRoleParents(own[0] as string, [system.at(-1) as string]);
    await shared.roles.addRolePermissions(system[0] as string, [permission]);
    await shared.access.addUserAccessRoles(userId, tenantId, [own.at(-1) as string]);
    expect(await shared.access.can(userId, tenantId, permission)).toBe(true);
    const { path } = await shared.access.explain(userId, tenantId, permission);
    expect(path?.[0]?.through).toHaveLength(2 * (MAX_INHERITANCE_STEPS + 1));
  });

  test('keeps a role from being deleted, and goes with the role that inherits', async () => {
    const [base, top] = (await line(2)) as [string, string];
    await refusedInside(shared, 'ROLE_IN_USE', (m) => shared.roles.deleteRole(base, m));
    await shared.roles.deleteRole(top);
    await shared.roles.deleteRole(base);
    const left = await shared.dataSource.query<unknown[]>('select 1 from nest_auth_role_parents where parent_id = $1', [
      base,
    ]);
    expect(left).toEqual([]);
  });

  test('comes while the role is deleted: one of both is refused', async () => {
    const [base, role] = [await addRole(shared, { tenantId }), await addRole(shared, { tenantId })];
    const late = await waitingFor(
      shared,
      (m) => shared.roles.setRoleParents(role, [base], m),
      () => shared.roles.deleteRole(base),
    );
    expect(late).toMatchObject({ status: 'rejected', reason: { code: 'ROLE_IN_USE' } });
    const other = await addRole(shared, { tenantId });
    const later = await waitingFor(
      shared,
      (m) => shared.roles.deleteRole(other, m),
      () => shared.roles.addRoleParents(role, [other]),
    );
    expect(later).toMatchObject({ status: 'rejected', reason: { code: 'ROLE_NOT_FOUND' } });
  });
});

describe('many who change what inherits from what at once', () => {
  test('make no ring of 20 roles, each by a call of its own', async () => {
    for (const owner of [{ tenantId }, {}]) {
      const roles = await Promise.all(Array.from({ length: 20 }, () => addRole(shared, owner)));
      const calls = roles.map((role, index) => shared.roles.addRoleParents(role, [roles.at(index - 1) as string]));
      const counts = await outcomes(calls);
      expect(counts['ok']).toBeGreaterThan(1);
      expect((counts['ROLE_CYCLE'] ?? 0) + (counts['ROLE_DEPTH_EXCEEDED'] ?? 0)).toBe(20 - (counts['ok'] as number));
      expect(await rings()).toBe(0);
    }
  });

  test.each([2, 3, 5])('make no ring of %d roles in transactions that stay open together', async (size) => {
    const roles = await Promise.all(Array.from({ length: size }, () => addRole(shared, { tenantId })));
    const counts = await outcomes(
      roles.map((role, index) =>
        shared.host.run((m) => shared.roles.addRoleParents(role, [roles.at(index - 1) as string], m)),
      ),
    );
    expect(counts).toEqual({ ok: size - 1, ROLE_CYCLE: 1 });
    expect(await rings()).toBe(0);
  });

  test.each(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const)(
    'see the first when they waited for it, at %s',
    async (isolation) => {
      const [one, two] = [await addRole(shared, { tenantId }), await addRole(shared, { tenantId })];
      const late = await waitingFor(
        shared,
        (m) => shared.roles.setRoleParents(one, [two], m),
        () => shared.host.run((m) => shared.roles.setRoleParents(two, [one], m), { isolation, retries: 0 }),
      );
      const code = isolation === 'READ COMMITTED' ? 'ROLE_CYCLE' : 'TRANSACTION_CONFLICT';
      expect(late).toMatchObject({ status: 'rejected', reason: { code } });
      expect(await rings()).toBe(0);
    },
  );

  test.each(['tenant', 'system'])('make no line of the %s that is too long together', async (whose) => {
    const owner = whose === 'tenant' ? tenantId : null;
    const [lower, upper] = [await line(5, owner), await line(4, owner)];
    const more = await addRole(shared, owner === null ? {} : { tenantId: owner });
    // Each alone fits: four steps below one and three above it, or five below and none above.
    const late = await waitingFor(
      shared,
      (m) => shared.roles.setRoleParents(upper[0] as string, [lower[4] as string], m),
      () => shared.roles.setRoleParents(lower[0] as string, [more]),
    );
    expect(late).toMatchObject({ status: 'rejected', reason: { code: 'ROLE_DEPTH_EXCEEDED' } });
  });

  test('of one role leave exactly one set', async () => {
    const parents = await Promise.all(Array.from({ length: 10 }, () => addRole(shared, { tenantId })));
    const role = await addRole(shared, { tenantId });
    const counts = await outcomes(parents.map((parent) => shared.roles.setRoleParents(role, [parent])));
    expect(counts).toEqual({ ok: 10 });
    const read = await shared.roles.getRoleById(role, { relations: { parents: true } });
    expect(read?.parents).toHaveLength(1);
    expect(read?.version).toBe(11);
  });

  test('of two tenants and the system do not wait for each other', async () => {
    const other = await addTenant(shared);
    const [mine, theirs] = [await addRole(shared, { tenantId }), await addRole(shared, { tenantId: other })];
    const [base, top] = [await addRole(shared), await addRole(shared)];
    await shared.host.run(async (m) => {
      await shared.roles.setRoleParents(mine, [top], m);
      await shared.roles.setRoleParents(theirs, [top]);
      await shared.roles.setRoleParents(top, [base]);
    });
    const read = await shared.roles.getRoleById(top, { relations: { parents: true } });
    expect(idsOf(read?.parents ?? [])).toEqual([base]);
  });
});

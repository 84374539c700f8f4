import { describe, expect, test } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import {
  addPermissions,
  addRole,
  counting,
  outcomes,
  refusedInside,
  unique,
  useAccess,
  waitingFor,
} from './fixture.js';

const shared = useAccess();

describe('a permission', () => {
  test('of 50 made at once with one name exists once', async () => {
    const input = { name: unique('race'), guard: 'portal' };
    const calls = Array.from({ length: 50 }, () => shared.permissions.createPermission(input));
    expect(await outcomes(calls)).toEqual({ ok: 1, PERMISSION_ALREADY_EXISTS: 49 });
  });

  test('is made by one statement and found by id and by name in its guard', async () => {
    const name = unique('found');
    const { result, sent } = await counting(shared, () =>
      shared.permissions.createPermission({ name, guard: 'portal', category: 'c', metadata: { a: 'ü"' } }),
    );
    expect(sent).toHaveLength(1);
    expect(await shared.permissions.getPermissionById(result.id)).toMatchObject({
      name,
      category: 'c',
      metadata: { a: 'ü"' },
    });
    expect(await shared.permissions.getPermissionByName(name, 'portal')).toMatchObject({ id: result.id });
    expect(await shared.permissions.getPermissionByName(name, 'partner')).toBeNull();
  });

  test('that cannot be made or changed leaves the transaction of the caller usable', async () => {
    const [taken, mine] = (await addPermissions(shared, 2)) as [string, string];
    const { permissions } = shared;
    const { id } = (await permissions.getPermissionByName(mine, 'portal')) ?? { id: '' };
    await refusedInside(shared, 'PERMISSION_ALREADY_EXISTS', (m) =>
      permissions.createPermission({ name: taken, guard: 'portal' }, m),
    );
    await refusedInside(shared, 'PERMISSION_ALREADY_EXISTS', (m) =>
      permissions.updatePermission(id, { name: taken }, m),
    );
    await refusedInside(shared, 'PERMISSION_NOT_FOUND', (m) =>
      permissions.updatePermission(uuidv7(), { name: 'x' }, m),
    );
    await refusedInside(shared, 'VALIDATION_FAILED', (m) =>
      permissions.createPermission({ name: 'x', guard: 'nobody' }, m),
    );
    expect(await permissions.updatePermission(id, { category: 'new' })).toMatchObject({ name: mine, category: 'new' });
  });

  test('that a role holds is not deleted', async () => {
    const names = await addPermissions(shared, 1);
    const roleId = await addRole(shared, { permissions: names });
    const { id } = (await shared.permissions.getPermissionByName(names[0] as string, 'portal')) ?? { id: '' };
    await refusedInside(shared, 'PERMISSION_IN_USE', (m) => shared.permissions.deletePermission(id, m));
    await shared.roles.setRolePermissions(roleId, []);
    const { sent } = await counting(shared, () => shared.permissions.deletePermission(id));
    expect(sent).toHaveLength(1);
    await refusedInside(shared, 'PERMISSION_NOT_FOUND', (m) => shared.permissions.deletePermission(id, m));
  });

  test('that is granted by an open transaction is in use, and the transaction of the caller stays usable', async () => {
    const [name] = (await addPermissions(shared, 1)) as [string];
    const { id } = (await shared.permissions.getPermissionByName(name, 'portal')) ?? { id: '' };
    const roleId = await addRole(shared);
    const { status } = await waitingFor(
      shared,
      (m) => shared.roles.addRolePermissions(roleId, [name], m),
      () => refusedInside(shared, 'PERMISSION_IN_USE', (m) => shared.permissions.deletePermission(id, m)),
    );
    expect(status).toBe('fulfilled');
  });

  test('that is granted while it is deleted is either in use or not found, never half of both', async () => {
    for (let round = 0; round < 20; round += 1) {
      const [name] = (await addPermissions(shared, 1)) as [string];
      const { id } = (await shared.permissions.getPermissionByName(name, 'portal')) ?? { id: '' };
      const roleId = await addRole(shared);
      const counts = await outcomes([
        shared.permissions.deletePermission(id),
        shared.roles.addRolePermissions(roleId, [name]),
      ]);
      expect([
        { ok: 1, PERMISSION_IN_USE: 1 },
        { ok: 1, PERMISSION_NOT_FOUND: 1 },
      ]).toContainEqual(counts);
    }
  });
});

describe('a set of permissions', () => {
  test('is made as far as it does not exist', async () => {
    const rows = ['a', 'b'].map((name) => ({ name: unique(name), guard: 'portal' }));
    const [first] = rows as [{ name: string; guard: string }];
    await shared.permissions.createPermission({ ...first, description: 'as it was' });
    shared.events.length = 0;
    const { created, existing } = await shared.permissions.createPermissions([
      ...rows,
      { ...first, description: 'new' },
    ]);
    expect(created.map(({ name }) => name)).toEqual([rows[1]?.name]);
    expect(existing).toMatchObject([{ name: first.name, description: 'as it was' }]);
    expect(shared.events).toHaveLength(1);
    expect(await shared.permissions.createPermissions([])).toEqual({ created: [], existing: [] });
  });

  test('made by 20 processes at once in any order is there once, and every call tells of all', async () => {
    const rows = Array.from({ length: 50 }, () => ({ name: unique('boot'), guard: 'portal' }));
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        shared.permissions.createPermissions(index % 2 === 0 ? rows : rows.toReversed()),
      ),
    );
    expect(results.flatMap(({ created }) => created)).toHaveLength(50);
    expect(results.map(({ created, existing }) => created.length + existing.length)).toEqual(Array(20).fill(50));
  });

  test('that another transaction is making is found there, not missed', async () => {
    const rows = ['x', 'y'].map((name) => ({ name: unique(name), guard: 'portal' }));
    const settled = await waitingFor(
      shared,
      (m) => shared.permissions.createPermissions(rows.slice(1), m),
      () => shared.permissions.createPermissions(rows),
    );
    expect(settled).toMatchObject({
      value: { created: [{ name: rows[0]?.name }], existing: [{ name: rows[1]?.name }] },
    });
  });

  test('made in two orders at once makes nobody wait for ever', async () => {
    for (let round = 0; round < 10; round += 1) {
      const rows = Array.from({ length: 300 }, () => ({ name: unique('order'), guard: 'portal' }));
      const calls = [rows, rows.toReversed()].map((set) =>
        shared.host.run((m) => shared.permissions.createPermissions(set, m), { retries: 0 }),
      );
      expect(await outcomes(calls)).toEqual({ ok: 2 });
    }
  });

  test('with one row that is wrong is refused as a whole and names the row', async () => {
    const rows = [
      { name: unique('ok'), guard: 'portal' },
      { name: '', guard: 'portal' },
    ];
    await expect(shared.permissions.createPermissions(rows)).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
      details: { issues: [{ path: '[1].name' }] },
    });
    expect(await shared.permissions.getPermissionByName(rows[0]?.name ?? '', 'portal')).toBeNull();
  });
});

describe('a list of permissions', () => {
  test('is narrowed by guard, category and search, and read page by page', async () => {
    const category = unique('category');
    const rows = Array.from({ length: 5 }, (_, index) => ({
      name: unique(`listed-${index}`),
      guard: 'portal',
      category,
    }));
    await shared.permissions.createPermissions(rows);
    const { result: first, sent } = await counting(shared, () =>
      shared.permissions.getPermissionsPage({ category, limit: 3 }),
    );
    expect(sent).toHaveLength(1);
    const second = await shared.permissions.getPermissionsPage({
      category,
      limit: 3,
      after: first.nextCursor as string,
    });
    expect([...first.items, ...second.items].map(({ name }) => name)).toEqual(rows.map(({ name }) => name));
    expect(second.nextCursor).toBeNull();
    expect(await shared.permissions.getPermissions({ category, search: 'LISTED-4' })).toHaveLength(1);
    expect(await shared.permissions.getPermissions({ category, guard: 'partner' })).toEqual([]);
  });
});

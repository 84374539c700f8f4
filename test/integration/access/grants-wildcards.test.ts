import { beforeEach, describe, expect, test } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import { addRole, addTenant, addUser, counting, refusedInside, unique, useAccess } from './fixture.js';

const shared = useAccess();

let userId: string;
let tenantId: string;
/** A word of its own for each test: names are unique in a guard. */
let of: string;

beforeEach(async () => {
  userId = await addUser(shared);
  tenantId = await addTenant(shared);
  of = unique('thing');
});

async function know(...names: string[]): Promise<void> {
  await shared.permissions.createPermissions(names.map((name) => ({ name, guard: 'portal' })));
}

async function hold(...names: string[]): Promise<string> {
  const role = await addRole(shared, { tenantId, permissions: names });
  await shared.access.addUserAccessRoles(userId, tenantId, [role]);
  return role;
}

/** Every way to ask, all of the same opinion. */
async function can(name: string): Promise<boolean> {
  const { access } = shared;
  const answers = [
    await access.can(userId, tenantId, name),
    await access.canAll(userId, tenantId, [name]),
    await access.canAny(userId, tenantId, [name]),
    (await access.getGrants(userId, tenantId))?.can(name) ?? false,
    (await access.explain(userId, tenantId, name)).allowed,
  ];
  expect(new Set(answers).size).toBe(1);
  return answers[0] as boolean;
}

describe('the name of a permission', () => {
  test.each(['*', 'a.*', 'a:*', 'a.b:*', 'a b.*', '-.*'])('may be the wildcard %s', async (name) => {
    const wildcard = name === '*' ? name : `${of}.${name}`;
    const { created, existing } = await shared.permissions.createPermissions([{ name: wildcard, guard: 'portal' }]);
    expect([...created, ...existing].map((permission) => permission.name)).toEqual([wildcard]);
  });

  test.each(['a*', '*a', '**', '*.*', '*.read', 'a.*.b', 'a.b*', '.*', 'a.**', '*:', '* ', 'a/*'])(
    'cannot be %s',
    async (name) => {
      const refused = (call: (m: EntityManager) => Promise<unknown>) =>
        refusedInside(shared, 'VALIDATION_FAILED', call);
      await refused((m) => shared.permissions.createPermission({ name, guard: 'portal' }, m));
      await refused((m) =>
        shared.permissions.createPermissions(
          [
            { name: of, guard: 'portal' },
            { name, guard: 'portal' },
          ],
          m,
        ),
      );
      const plain = await shared.permissions.createPermission({ name: of, guard: 'portal' });
      await refused((m) => shared.permissions.updatePermission(plain.id, { name }, m));
      expect((await shared.permissions.getPermissionById(plain.id))?.name).toBe(of);
    },
  );
});

describe('a wildcard that is held', () => {
  test('covers what is below it and nothing else', async () => {
    await know(`${of}.line.*`, `${of}.line.read`, `${of}.line.item:add`, `${of}.read`, `${of}.linen`);
    await hold(`${of}.line.*`);
    for (const name of [`${of}.line.read`, `${of}.line.item:add`, `${of}.line.item.*`, `${of}.line.*`]) {
      expect([name, await can(name)]).toEqual([name, true]);
    }
    for (const name of [
      `${of}.read`,
      `${of}.line`,
      `${of}.linen`,
      `${of}.*`,
      '*',
      `${of}.line*`,
      `${of}.*.read`,
      'other',
    ]) {
      expect([name, await can(name)]).toEqual([name, false]);
    }
  });

  test('is expanded to the permissions there are, in one statement', async () => {
    await know(`${of}.*`, `${of}.read`, `${of}.write`, `${of}:write`, `other-${of}.read`);
    await hold(`${of}.*`);
    const { result, sent } = await counting(shared, () => shared.access.getPermissions(userId, tenantId));
    expect(sent).toHaveLength(1);
    expect(result).toEqual([`${of}.*`, `${of}.read`, `${of}.write`]);
  });

  test('of the whole guard covers all of the tenant, and nothing of the platform', async () => {
    await know('*', `${of}.read`);
    await shared.permissions.createPermissions([
      { name: '*', guard: 'admin' },
      { name: `${of}.root`, guard: 'admin' },
    ]);
    await hold('*');
    expect(await can(`${of}.read`)).toBe(true);
    const names = await shared.access.getPermissions(userId, tenantId);
    expect(names).toEqual(expect.arrayContaining(['*', `${of}.read`]));
    expect(names).not.toContain(`${of}.root`);
    expect(await shared.access.canOnPlatform(userId, `${of}.root`)).toBe(false);
    await shared.access.setPlatformAccessRoles(userId, [await addRole(shared, { guard: 'admin', permissions: ['*'] })]);
    expect(await shared.access.canOnPlatform(userId, `${of}.root`)).toBe(true);
    const platform = await shared.access.getPlatformPermissions(userId);
    expect(platform).toEqual(expect.arrayContaining(['*', `${of}.root`]));
    expect(platform).not.toContain(`${of}.read`);
  });

  test('is named by the explanation beside the role that holds it, the narrowest first', async () => {
    await know(`${of}.*`, `${of}.line.*`, `${of}.line.read`);
    const role = await hold(`${of}.*`, `${of}.line.*`);
    const { path } = await shared.access.explain(userId, tenantId, `${of}.line.read`);
    expect(path).toEqual([
      { role: { id: role, name: expect.any(String) }, permission: `${of}.line.read`, wildcard: `${of}.line.*` },
    ]);
  });

  test('is met by a question with letters of LIKE and of patterns as by any other', async () => {
    await know(`${of}.*`);
    await hold(`${of}.*`);
    expect(await can(`${of}.%`)).toBe(true);
    expect(await can(`${of}_%`)).toBe(false);
    expect(await can('%.*')).toBe(false);
    expect(await can(`${of.slice(0, -1)}_.read`)).toBe(false);
  });
});

describe('a question about a wildcard', () => {
  test('is yes when one grants all below and nothing below is denied', async () => {
    await know(`${of}.*`, `${of}.read`, `${of}.line.*`, `${of}.line.read`);
    await hold(`${of}.*`);
    const { access } = shared;
    expect(await can(`${of}.line.*`)).toBe(true);
    await access.denyPermission(userId, tenantId, `${of}.line.read`);
    expect([await can(`${of}.*`), await can(`${of}.line.*`), await can(`${of}.read`)]).toEqual([false, false, true]);
    const { reason, direct } = await access.explain(userId, tenantId, `${of}.*`);
    expect([reason, direct?.map(({ permission }) => permission)]).toEqual(['DENIED', [`${of}.line.read`]]);
    expect(await access.getPermissions(userId, tenantId)).toEqual([`${of}.read`]);
  });

  test('is no for whoever holds every permission below one by one: more may come', async () => {
    await know(`${of}.*`, `${of}.read`);
    await hold(`${of}.read`);
    expect(await can(`${of}.*`)).toBe(false);
  });
});

describe('a wildcard that is denied', () => {
  test('denies everything below, whatever grants it', async () => {
    await know(`${of}.*`, `${of}.read`, `${of}.line.read`, `other-${of}.read`);
    await hold(`${of}.*`, `${of}.read`, `${of}.line.read`, `other-${of}.read`);
    await shared.access.grantPermission(userId, tenantId, `${of}.read`);
    await shared.access.denyPermission(userId, tenantId, `${of}.*`);
    for (const name of [`${of}.*`, `${of}.read`, `${of}.line.read`, `${of}.unheard`]) {
      expect([name, await can(name)]).toEqual([name, false]);
    }
    expect(await can(`other-${of}.read`)).toBe(true);
    expect(await shared.access.getPermissions(userId, tenantId)).toEqual([`other-${of}.read`]);
  });
});

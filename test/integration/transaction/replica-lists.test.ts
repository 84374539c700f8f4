import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { PageOptions } from '../../../src/transaction/keyset.js';
import { createTestDatabase, type TestDatabase, withClient } from '../../support/database.js';
import { expectCleanPools } from '../../support/identity-fixture.js';
import { freshEmail, type NestApp, seed, type Seed, startNestApp, useNestApp } from '../../support/nest-app.js';

const STALE = { replica: true } as const;
/** The only one on the replica; nobody has it on the primary. */
const OLD_EMAIL = 'known@replica.example';

const databases: TestDatabase[] = [];
let app: NestApp;
let seeded: Seed;
let userId: string;

/** Not a copy at all: another database stands in for one, so that every answer tells where it comes from. */
beforeAll(async () => {
  databases.push(await createTestDatabase(), await createTestDatabase());
  const [primary, replica] = databases as [TestDatabase, TestDatabase];
  const old = await startNestApp(replica.url);
  await old.users.createUser({ email: OLD_EMAIL });
  await old.close();
  app = await startNestApp(primary.url, {
    pool: 1,
    dataSource: { replication: { master: { url: primary.url }, slaves: [{ url: replica.url }] } } as object,
  });
  seeded = await seed(app);
  const fresh = await app.users.createUser({ email: freshEmail(), roleIds: [seeded.member] }, seeded.tenantId);
  userId = fresh.id;
});

afterAll(async () => {
  expectCleanPools(app.dataSource);
  await app.close();
  for (const database of databases) await database.drop();
});

type List = (options: PageOptions) => Promise<unknown>;

/** Everything that takes the option, with how many rows the primary has and the replica has not. */
const LISTS: readonly (readonly [string, List])[] = [
  ['users.getUsers', (options) => app.users.getUsers({ tenantId: seeded.tenantId, ...options })],
  [
    'users.getUsersPage',
    async (options) => (await app.users.getUsersPage({ tenantId: seeded.tenantId, ...options })).items,
  ],
  [
    'users.getUsersAndCount',
    async (options) => (await app.users.getUsersAndCount({ tenantId: seeded.tenantId, ...options }))[0],
  ],
  ['users.getUserTenants', (options) => app.users.getUserTenants(userId, undefined, options)],
  ['tenants.getTenants', (options) => app.tenants.getTenants(options)],
  ['tenants.getTenantsPage', async (options) => (await app.tenants.getTenantsPage(options)).items],
  ['tenants.getTenantsAndCount', async (options) => (await app.tenants.getTenantsAndCount(options))[0]],
  ['roles.getRoles', (options) => app.roles.getRoles(options)],
  ['roles.getRolesPage', async (options) => (await app.roles.getRolesPage(options)).items],
  ['roles.getSystemRoles', (options) => app.roles.getSystemRoles(options)],
  ['permissions.getPermissions', (options) => app.permissions.getPermissions(options)],
  ['permissions.getPermissionsPage', async (options) => (await app.permissions.getPermissionsPage(options)).items],
];

describe('a list, with a replica that has not heard of anything yet', () => {
  it.each(LISTS)('%s is read at the primary, and at the replica only when that is asked for', async (_, list) => {
    expect(await list({})).not.toEqual([]);
    expect(await list({ replica: false })).not.toEqual([]);
    expect(await list(STALE)).toEqual([]);
    expect(await list({})).not.toEqual([]);
  });

  it.each(LISTS)('%s sees what its transaction has written, also when a replica would do', async (_, list) => {
    await app.users.runInTransaction(async () => expect(await list(STALE)).not.toEqual([]));
  });

  it('of users shows the old ones of the replica, with their relations', async () => {
    const users = await app.users.getUsers({ ...STALE, relations: { identities: true } });
    expect(users).toMatchObject([{ email: OLD_EMAIL, identities: [{ provider: 'email' }] }]);
    expect(await app.users.getUsersAndCount(STALE)).toMatchObject([[{ email: OLD_EMAIL }], 1]);
    expect(await app.users.countUsers({ ...STALE, search: 'known@' })).toBe(1);
    expect(await app.users.countUsers({ search: 'known@' })).toBe(0);
  });

  it('sees a row that was written a moment ago inside the transaction alone', async () => {
    const email = freshEmail();
    await app.users.runInTransaction(async (manager) => {
      await app.users.createUser({ email });
      expect(await app.users.getUsers({ ...STALE, search: email })).toHaveLength(1);
      expect(await app.users.getUsers({ ...STALE, search: email }, manager)).toHaveLength(1);
    });
    expect(await app.users.getUsers({ search: email })).toHaveLength(1);
    expect(await app.users.getUsers({ ...STALE, search: email })).toEqual([]);
  });

  it('stays on the manager that it is given', async () => {
    expect(await app.users.getUsers({ ...STALE, search: 'known@' }, app.manager)).toEqual([]);
  });

  it('gives entities whose helpers write at the primary', async () => {
    const [user] = await app.users.getUsers(STALE);
    await expect(user?.getUserAccess(seeded.tenantId, true)).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
  });

  it('refuses what is no yes or no, and looks up nobody at the replica', async () => {
    for (const replica of ['true', 1, null]) {
      await expect(app.users.getUsers({ replica: replica as never })).rejects.toMatchObject({
        code: 'VALIDATION_FAILED',
      });
    }
    expect(await app.users.getUserByEmail(OLD_EMAIL)).toBeNull();
    await expect(app.users.getUserById(userId, { replica: true } as never)).resolves.toMatchObject({ id: userId });
  });
});

describe('a list, with what this run of the tests has for a replica', () => {
  const plain = useNestApp();
  /** `npm run test:replica` has a real one, which is five seconds late; otherwise there is the primary alone. */
  const isLate = process.env['NEST_AUTH_TEST_REPLICA'] !== undefined;

  it('shows a fresh row, and only a replica that is late does not', async () => {
    const search = freshEmail();
    await plain.users.createUser({ email: search });
    expect(await plain.users.getUsers({ search, replica: true })).toHaveLength(isLate ? 0 : 1);
    expect(await plain.users.getUsers({ search })).toHaveLength(1);
    await plain.users.runInTransaction(async () => {
      expect(await plain.users.getUsers({ search, replica: true })).toHaveLength(1);
    });
  });
});

describe('the connections of the replica', () => {
  it('are given back, also when the list fails', async () => {
    const [, replica] = databases as [TestDatabase, TestDatabase];
    await withClient(replica.url, (client) => client.query('alter table nest_auth_permissions rename to hidden'));
    await expect(app.permissions.getPermissions(STALE)).rejects.toMatchObject({ code: 'DATABASE_ERROR' });
    await withClient(replica.url, (client) => client.query('alter table hidden rename to nest_auth_permissions'));
    // The pool has one connection: a lost one would be waited for.
    expect(await app.permissions.getPermissions(STALE)).toEqual([]);
  });
});

import { beforeAll, describe, expect, it, jest } from '@jest/globals';

import { generateSessionKeys, runOutsideTransaction } from '../../../src/index.js';
import { LOCK_WAITS, withClient } from '../../support/database.js';
import { eventually, useFixture } from '../../support/identity-fixture.js';
import { race, startRacingProcess } from '../../support/racing-processes.js';
import { UserLifecycleService } from '../../../src/lifecycle/user-lifecycle.service.js';

jest.setTimeout(120_000);

const alone = useFixture({ pool: 20 });
/** What depends on the user or the access ends with it, so that to leave takes a transaction. */
const withSessions = useFixture({ pool: 20, auth: { session: { keys: generateSessionKeys() } } });
let app = alone;
const lifecycle = (): UserLifecycleService => app.context.get(UserLifecycleService);

let ownerRole: string;
/** As many as were asked for. */
type Owners = [string, string, ...string[]];

let serial = 0;

async function use(fixture: typeof alone): Promise<void> {
  app = fixture;
  const known = await app.roles.getRoleByName('owner', 'portal');
  const wanted = { name: 'owner', guard: 'portal', isSystem: true, isOwner: true };
  ownerRole = (known ?? (await app.roles.createRole(wanted))).id;
}

async function addTenant(): Promise<string> {
  const slug = `raced-${(serial += 1)}`;
  return (await app.tenants.createTenant({ name: slug, slug })).id;
}

async function addUser(): Promise<string> {
  return (await app.users.createUser({ email: `racer-${(serial += 1)}@example.test` })).id;
}

async function owned(count: number): Promise<{ tenantId: string; owners: Owners }> {
  const tenantId = await addTenant();
  const owners = await Promise.all(
    Array.from({ length: count }, async () => {
      const userId = await addUser();
      await app.users.setUserAccessRoles(userId, tenantId, [ownerRole]);
      return userId;
    }),
  );
  return { tenantId, owners: owners as Owners };
}

const ownersOf = async (tenantId: string): Promise<string[]> =>
  (await app.access.getOwners(tenantId)).map(({ id }) => id);

const ways: ((userId: string, tenantId: string) => Promise<unknown>)[] = [
  (id, tenantId) => app.access.removeUserAccessRoles(id, tenantId, [ownerRole]),
  (id) => lifecycle().disableById(id),
  (id, tenantId) => app.users.deleteUserAccess(id, tenantId),
  (id) => app.users.deleteUser(id),
  (id) => app.users.updateUserStatus(id, false),
];

async function outcomes(calls: readonly Promise<unknown>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const settled of await Promise.allSettled(calls)) {
    const code =
      settled.status === 'fulfilled' ? 'left' : String((settled.reason as { code?: string }).code ?? settled.reason);
    counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
}

/** Runs `second` while the transaction of `first` is open and in its way; then commits. */
async function overlapping<T>(
  first: (manager: import('typeorm').EntityManager) => Promise<unknown>,
  second: () => Promise<T>,
): Promise<PromiseSettledResult<T>> {
  const runner = app.host.openRunner();
  await runner.startTransaction();
  await first(runner.manager);
  const settled = Promise.allSettled([second()]);
  await eventually(async () => {
    const { rows } = await withClient(app.url, (client) => client.query(LOCK_WAITS));
    return rows.length > 0;
  });
  await runner.commitTransaction();
  await runner.release();
  const [result] = await settled;
  return result;
}

describe.each([
  ['by one statement', alone],
  ['by a transaction', withSessions],
])('owners who leave at once, %s,', (_how, fixture) => {
  beforeAll(() => use(fixture));

  it.each([2, 20])('%i of them leave one behind, whichever way they go', async (count) => {
    for (let round = 0; round < 3; round += 1) {
      const { tenantId, owners } = await owned(count);
      const calls = owners.map((id, index) =>
        (ways[(index + round) % ways.length] as (typeof ways)[number])(id, tenantId),
      );
      expect(await outcomes(calls)).toEqual({ left: count - 1, LAST_OWNER: 1 });
      expect(await ownersOf(tenantId)).toHaveLength(1);
    }
  });

  it('cannot remove each other', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { tenantId, owners } = await owned(2);
      const calls = owners.map((id) => app.users.deleteUserAccess(id, tenantId));
      expect(await outcomes(calls)).toEqual({ left: 1, LAST_OWNER: 1 });
    }
  });

  it('cannot remove each other in transactions of the host, which are never retried for it', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { tenantId, owners } = await owned(2);
      const calls = owners.map((id) =>
        app.users.runInTransaction(() => app.users.deleteUserAccess(id, tenantId), { retries: 0 }),
      );
      expect(await outcomes(calls)).toEqual({ left: 1, LAST_OWNER: 1 });
    }
  });

  it('in several processes over one database leave one behind', async () => {
    const { tenantId, owners } = await owned(20);
    const hows = ['remove', 'demote', 'disable', 'delete'];
    const steps = owners.map((userId, index): [string, string] => [hows[index % 4] as string, userId]);
    const processes = Array.from({ length: 4 }, (_, index) =>
      startRacingProcess('owner', app.url, tenantId, steps.slice(index * 5, index * 5 + 5), ownerRole),
    );
    const answers = (await race<string[]>(processes)).flat();
    expect(answers.filter((answer) => answer !== 'left')).toEqual(['LAST_OWNER']);
    expect(await ownersOf(tenantId)).toHaveLength(1);
  });
});

describe('somebody because of whom an owner may leave', () => {
  beforeAll(() => use(alone));

  it('cannot be disabled meanwhile, when the tenant was just handed over', async () => {
    const { tenantId, owners } = await owned(1);
    const to = await addUser();
    const second = await overlapping(
      (manager) => app.access.transferOwnership(tenantId, owners[0], to, manager),
      () => lifecycle().disableById(to),
    );
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'LAST_OWNER' } });
    expect(await ownersOf(tenantId)).toEqual([to]);
  });

  it.each<[string, (id: string) => Promise<unknown>]>([
    ['deleted', (id: string) => app.users.deleteUser(id)],
    ['deactivated', (id: string) => app.users.updateUserStatus(id, false)],
  ])('cannot be %s meanwhile', async (_, end) => {
    const { tenantId, owners } = await owned(1);
    const to = await addUser();
    const second = await overlapping(
      (manager) => app.access.transferOwnership(tenantId, owners[0], to, manager),
      () => end(to),
    );
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'LAST_OWNER' } });
    expect(await ownersOf(tenantId)).toEqual([to]);
  });

  it('cannot lose the access meanwhile, when the role has just come to make owners', async () => {
    const { tenantId, owners } = await owned(1);
    const role = await app.roles.createRole({ name: 'manager', guard: 'portal', tenantId });
    const other = await addUser();
    await app.users.setUserAccessRoles(other, tenantId, [role.id]);
    const second = await overlapping(
      async (manager) => {
        await app.roles.updateRole(role.id, { isOwner: true }, manager);
        await app.users.deleteUserAccess(owners[0], tenantId, manager);
      },
      () => app.users.deleteUserAccess(other, tenantId),
    );
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'LAST_OWNER' } });
    expect(await ownersOf(tenantId)).toEqual([other]);
  });

  it('does not stay an owner by a role that ceases to make owners meanwhile', async () => {
    const { tenantId, owners } = await owned(1);
    const role = await app.roles.createRole({ name: 'manager', guard: 'portal', tenantId, isOwner: true });
    const other = await addUser();
    await app.users.setUserAccessRoles(other, tenantId, [role.id]);
    const second = await overlapping(
      (manager) => app.roles.updateRole(role.id, { isOwner: false }, manager),
      () => app.users.deleteUserAccess(owners[0], tenantId),
    );
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'LAST_OWNER' } });
    expect(await ownersOf(tenantId)).toEqual(owners);
  });

  it('does not come to be one by such a role, when activated meanwhile', async () => {
    const { tenantId, owners } = await owned(1);
    const role = await app.roles.createRole({ name: 'manager', guard: 'portal', tenantId, isOwner: true });
    const other = await addUser();
    await app.users.setUserAccessRoles(other, tenantId, [role.id]);
    await lifecycle().deactivateById(other);
    const second = await overlapping(
      async (manager) => {
        await app.roles.updateRole(role.id, { isOwner: false }, manager);
        await runOutsideTransaction(() => lifecycle().reactivateById(other));
      },
      () => app.users.deleteUserAccess(owners[0], tenantId),
    );
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'LAST_OWNER' } });
    expect(await ownersOf(tenantId)).toEqual(owners);
  });

  it('is not somebody who is being disabled', async () => {
    const { tenantId, owners } = await owned(2);
    const second = await overlapping(
      (manager) => lifecycle().disableById(owners[0], manager),
      () => app.users.deleteUserAccess(owners[1], tenantId),
    );
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'LAST_OWNER' } });
    expect(await ownersOf(tenantId)).toEqual([owners[1]]);
  });

  it('refuses a stale snapshot as well', async () => {
    const { tenantId, owners } = await owned(2);
    const stale = app.users.runInTransaction(
      async (manager) => {
        await manager.query('select 1 from nest_auth_users limit 1');
        await app.users.runInTransaction(() => app.users.deleteUserAccess(owners[0], tenantId), {
          nested: 'independent',
        });
        await app.users.deleteUserAccess(owners[1], tenantId, manager);
      },
      { isolation: 'REPEATABLE READ', retries: 0 },
    );
    await expect(stale).rejects.toMatchObject({ code: 'TRANSACTION_CONFLICT' });
    expect(await ownersOf(tenantId)).toEqual([owners[1]]);
  });
});

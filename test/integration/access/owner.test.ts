import { beforeAll, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import { AccessStatusEnum, type NestAuthUserAccess } from '../../../src/index.js';
import { NestAuthUserAccess as UserAccess } from '../../../src/access/user-access.entity.js';
import { NestAuthUser } from '../../../src/account/user.entity.js';
import { UserLifecycleService } from '../../../src/lifecycle/user-lifecycle.service.js';
import { useFixture } from '../../support/identity-fixture.js';

const app = useFixture({ pool: 10 });

let ownerRole: string;
let memberRole: string;
/** As many as were asked for. */
type Owners = [string, string, ...string[]];

let serial = 0;

beforeAll(async () => {
  ownerRole = (await app.roles.createRole({ name: 'owner', guard: 'portal', isSystem: true, isOwner: true })).id;
  memberRole = (await app.roles.createRole({ name: 'member', guard: 'portal', isSystem: true })).id;
});

const next = (): number => (serial += 1);
const lifecycle = (): UserLifecycleService => app.context.get(UserLifecycleService);

async function addTenant(): Promise<string> {
  const slug = `owned-${next()}`;
  return (await app.tenants.createTenant({ name: slug, slug })).id;
}

async function addUser(): Promise<string> {
  return (await app.users.createUser({ email: `owner-${next()}@example.test`, isActive: true })).id;
}

async function addOwner(tenantId: string, roleId = ownerRole): Promise<string> {
  const userId = await addUser();
  await app.users.setUserAccessRoles(userId, tenantId, [roleId]);
  return userId;
}

/** A tenant with so many owners. */
async function owned(count: number): Promise<{ tenantId: string; owners: Owners }> {
  const tenantId = await addTenant();
  const owners: string[] = [];
  for (let index = 0; index < count; index += 1) owners.push(await addOwner(tenantId));
  return { tenantId, owners: owners as Owners };
}

async function ownersOf(tenantId: string): Promise<string[]> {
  return (await app.access.getOwners(tenantId)).map(({ id }) => id);
}

const lastOwner = (...tenantIds: string[]) => ({
  code: 'LAST_OWNER',
  details: { tenantIds: tenantIds.toSorted() },
});

type Departure = (userId: string, tenantId: string, manager: EntityManager) => Promise<unknown>;

/** Everything by which somebody ceases to own a tenant. */
const departures: Record<string, Departure> = {
  'removing the role': (id, tenantId) => app.access.removeUserAccessRoles(id, tenantId, [ownerRole]),
  'setting other roles': (id, tenantId) => app.users.setUserAccessRoles(id, tenantId, [memberRole]),
  'setting other roles by the entity': async (id, tenantId, m) => (await accessOf(id, tenantId, m)).assignRoles([]),
  'suspending the access': (id, tenantId) => app.access.setUserAccessStatus(id, tenantId, AccessStatusEnum.SUSPENDED),
  'removing the access': (id, tenantId) => app.users.deleteUserAccess(id, tenantId),
  'deactivating the user': (id) => lifecycle().deactivateById(id),
  'disabling the user': (id) => lifecycle().disableById(id),
  'updating the status': (id) => app.users.updateUserStatus(id, false),
  'deactivating with a new email': (id) =>
    app.users.updateUser(id, { isActive: false, email: `moved-${next()}@example.test` }),
  'deleting the user': (id) => app.users.deleteUser(id),
  'saving the user inactive': async (id, _, m) => {
    const user = await m.findOneByOrFail(NestAuthUser, { id });
    user.isActive = false;
    return m.save(user);
  },
  'removing the user entity': async (id, _, m) => m.remove(await m.findOneByOrFail(NestAuthUser, { id })),
  'saving the access suspended': async (id, tenantId, m) => {
    const access = await accessOf(id, tenantId, m);
    access.status = AccessStatusEnum.SUSPENDED;
    return m.save(access);
  },
};

function accessOf(userId: string, tenantId: string, manager: EntityManager): Promise<NestAuthUserAccess> {
  return manager.findOneByOrFail(UserAccess, { userId, tenantId });
}

describe('the last owner of a tenant', () => {
  it.each(Object.entries(departures))('is not lost by %s', async (_, leave) => {
    const { tenantId, owners } = await owned(1);
    await expect(leave(owners[0], tenantId, app.dataSource.manager)).rejects.toMatchObject(lastOwner(tenantId));
    expect(await ownersOf(tenantId)).toEqual(owners);
  });

  it.each(Object.entries(departures))('may be one of two, who leaves by %s', async (_, leave) => {
    const { tenantId, owners } = await owned(2);
    const { manager } = app.dataSource;
    await leave(owners[0], tenantId, manager);
    expect(await ownersOf(tenantId)).toEqual([owners[1]]);
    await expect(leave(owners[1], tenantId, manager)).rejects.toMatchObject(lastOwner(tenantId));
  });

  it.each(Object.entries(departures))('is refused for %s before anything is written', async (_, leave) => {
    const { tenantId, owners } = await owned(1);
    const name = `after-refusal-${next()}`;
    await app.users.runInTransaction(async (manager) => {
      await expect(leave(owners[0], tenantId, manager)).rejects.toMatchObject(lastOwner(tenantId));
      await manager.query('insert into app_people (name) values ($1)', [name]);
    });
    expect(await app.dataSource.query('select 1 from app_people where name = $1', [name])).toHaveLength(1);
  });

  it('is one whose role does not run out, if there is one', async () => {
    const { tenantId, owners } = await owned(2);
    const [temporary, lasting] = owners;
    await app.dataSource.query(
      `update nest_auth_user_access_roles set expires_at = now() + interval '1 day' where user_id = $1`,
      [temporary],
    );
    await expect(app.users.deleteUserAccess(lasting, tenantId)).rejects.toMatchObject(lastOwner(tenantId));
    await app.users.deleteUserAccess(temporary, tenantId);
    expect(await ownersOf(tenantId)).toEqual([lasting]);
  });

  it('is not somebody whose role has run out, or who is not active', async () => {
    const { tenantId, owners } = await owned(3);
    const [expired, inactive, last = ''] = owners;
    await app.dataSource.query(
      `update nest_auth_user_access_roles set expires_at = now() - interval '1 second' where user_id = $1`,
      [expired],
    );
    await lifecycle().deactivateById(inactive);
    expect(await ownersOf(tenantId)).toEqual([last]);
    await expect(app.users.deleteUser(last)).rejects.toMatchObject(lastOwner(tenantId));
    await app.users.deleteUser(expired);
    await app.users.deleteUser(inactive);
  });

  it('keeps one of two roles of owners, and may change the one for the other', async () => {
    const tenantId = await addTenant();
    const other = (await app.roles.createRole({ name: 'founder', guard: 'portal', tenantId, isOwner: true })).id;
    const userId = await addOwner(tenantId);
    await app.users.setUserAccessRoles(userId, tenantId, [other]);
    await app.access.addUserAccessRoles(userId, tenantId, [ownerRole, memberRole]);
    await app.access.removeUserAccessRoles(userId, tenantId, [other, memberRole]);
    await expect(app.access.removeUserAccessRoles(userId, tenantId, [ownerRole])).rejects.toMatchObject(
      lastOwner(tenantId),
    );
  });

  it('may go when the tenant is closed, and a tenant without owners is nobody’s concern', async () => {
    const { tenantId, owners } = await owned(1);
    await app.tenants.updateTenant(tenantId, { isActive: false });
    await app.users.deleteUserAccess(owners[0], tenantId);
    await app.tenants.updateTenant(tenantId, { isActive: true });
    expect(await ownersOf(tenantId)).toEqual([]);
    const member = await addOwner(tenantId, memberRole);
    await app.users.deleteUserAccess(member, tenantId);
    await app.tenants.deleteTenant(tenantId);
  });

  it('of several tenants names every tenant that would be without', async () => {
    const one = await owned(1);
    const two = await owned(1);
    const shared = await owned(2);
    const [userId] = one.owners;
    for (const { tenantId } of [two, shared]) await app.users.setUserAccessRoles(userId, tenantId, [ownerRole]);
    await app.users.deleteUserAccess(two.owners[0], two.tenantId);
    await expect(app.users.deleteUser(userId)).rejects.toMatchObject(lastOwner(one.tenantId, two.tenantId));
    expect(await ownersOf(shared.tenantId)).toHaveLength(3);
  });
});

describe('a role of owners', () => {
  it.each<[string, { isActive?: boolean; isOwner?: boolean }]>([
    ['deactivated', { isActive: false }],
    ['made an ordinary one', { isOwner: false }],
  ])('is not %s where that would leave a tenant without', async (_, change) => {
    const tenantId = await addTenant();
    const role = await app.roles.createRole({ name: 'founder', guard: 'portal', tenantId, isOwner: true });
    await addOwner(tenantId, role.id);
    await expect(app.roles.updateRole(role.id, change)).rejects.toMatchObject(lastOwner(tenantId));
    role.isActive = change.isActive ?? true;
    role.isOwner = change.isOwner ?? true;
    await expect(app.dataSource.manager.save(role)).rejects.toMatchObject(lastOwner(tenantId));
    const second = await addOwner(tenantId);
    await app.roles.updateRole(role.id, change);
    expect(await ownersOf(tenantId)).toEqual([second]);
  });

  it('is left by somebody who has another one, in any order', async () => {
    const tenantId = await addTenant();
    const role = await app.roles.createRole({ name: 'founder', guard: 'portal', tenantId, isOwner: true });
    const userId = await addOwner(tenantId, role.id);
    await app.access.addUserAccessRoles(userId, tenantId, [ownerRole]);
    await app.roles.updateRole(role.id, { isOwner: false });
    await expect(app.access.removeUserAccessRoles(userId, tenantId, [ownerRole])).rejects.toMatchObject(
      lastOwner(tenantId),
    );
    await app.roles.updateRole(role.id, { isOwner: true });
    await app.access.removeUserAccessRoles(userId, tenantId, [ownerRole]);
  });

  it('is no role of the platform', async () => {
    const admin = { name: `admin-${next()}`, guard: 'admin', isSystem: true };
    await expect(app.roles.createRole({ ...admin, isOwner: true })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
    const role = await app.roles.createRole(admin);
    await expect(app.roles.updateRole(role.id, { isOwner: true })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });
});

describe('a batch', () => {
  const batch = () => lifecycle().deactivateInactiveUsers({ activeGracePeriodInMonths: 1 });
  const age = (ids: readonly string[]) =>
    app.dataSource.query(
      `update nest_auth_users set activated_at = now() - interval '2 years', created_at = now() - interval '2 years' where id = any($1)`,
      [ids],
    );

  it('leaves the last owners out and says so, one of those who would leave at once', async () => {
    const alone = await owned(1);
    const three = await owned(3);
    const two = await owned(2);
    const member = await addOwner(alone.tenantId, memberRole);
    await age([...alone.owners, ...three.owners, two.owners[0], member]);
    const foreseen = await lifecycle().deactivateInactiveUsers({ activeGracePeriodInMonths: 1, dryRun: true });
    const done = await batch();
    expect(done.processed).toBe(4);
    expect(done.skipped).toHaveLength(2);
    expect(done.skipped).toContainEqual({ id: alone.owners[0], reason: 'LAST_OWNER' });
    expect({ ...foreseen, skipped: foreseen.skipped.length }).toEqual({ ...done, skipped: 2 });
    expect(await ownersOf(three.tenantId)).toHaveLength(1);
    expect(await ownersOf(two.tenantId)).toEqual([two.owners[1]]);
    expect((await batch()).skipped).toHaveLength(2);
  });
});

describe('getOwners and transferOwnership', () => {
  it('hand a tenant over in one transaction, with all roles of owners', async () => {
    const { tenantId, owners } = await owned(1);
    const [from] = owners;
    await app.access.addUserAccessRoles(from, tenantId, [memberRole]);
    const to = await addUser();
    expect(await app.access.transferOwnership(tenantId, from, to)).toEqual([ownerRole]);
    expect(await ownersOf(tenantId)).toEqual([to]);
    expect((await app.access.getRoles(from, tenantId)).map(({ id }) => id)).toEqual([memberRole]);
    await expect(app.access.transferOwnership(tenantId, from, to)).rejects.toMatchObject({ code: 'OWNER_NOT_FOUND' });
  });

  it('refuse whoever cannot receive it, and leave the transaction usable', async () => {
    const { tenantId, owners } = await owned(1);
    const [from] = owners;
    const inactive = await addUser();
    await lifecycle().deactivateById(inactive);
    const suspended = await addOwner(tenantId, memberRole);
    await app.access.setUserAccessStatus(suspended, tenantId, AccessStatusEnum.SUSPENDED);
    const refusals: [string, string, string, string][] = [
      [tenantId, from, from, 'VALIDATION_FAILED'],
      [tenantId, from, inactive, 'USER_NOT_ACTIVE'],
      [tenantId, from, suspended, 'ACCESS_NOT_FOUND'],
      [tenantId, from, tenantId, 'USER_NOT_FOUND'],
      [from, from, suspended, 'TENANT_NOT_FOUND'],
      [tenantId, suspended, from, 'OWNER_NOT_FOUND'],
    ];
    await app.users.runInTransaction(async (manager) => {
      for (const [tenant, giver, receiver, code] of refusals) {
        await expect(app.access.transferOwnership(tenant, giver, receiver, manager)).rejects.toMatchObject({ code });
      }
    });
    expect(await ownersOf(tenantId)).toEqual([from]);
  });

  it('of ten transfers at once let one through', async () => {
    const { tenantId, owners } = await owned(1);
    const receivers = await Promise.all(Array.from({ length: 10 }, addUser));
    const settled = await Promise.allSettled(
      receivers.map((to) => app.access.transferOwnership(tenantId, owners[0], to)),
    );
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await ownersOf(tenantId)).toHaveLength(1);
  });
});

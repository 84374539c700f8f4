import { beforeAll, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import { IdentityContext } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { createFixture, eventually, useFixture } from '../../support/identity-fixture.js';
import { recordStatements } from '../../support/wire.js';

const app = useFixture({ pool: 10 });

let serial = 0;
const next = (prefix: string): string => `${prefix}-${(serial += 1)}`;

let tenantId: string;
/** Has `invoice.read` and `member.*` in the tenant. */
let clerk: string;
let owner: string;
/** May do everything on the platform. */
let staff: string;
const roles: Record<string, string> = {};

const NAMES = ['invoice.read', 'invoice.pay', 'invoice.*', 'member.*', 'member.add'];

beforeAll(async () => {
  await app.permissions.createPermissions([
    ...NAMES.map((name) => ({ name, guard: 'portal' })),
    { name: '*', guard: 'admin' },
    { name: 'invoice.pay', guard: 'admin' },
  ]);
  tenantId = await addTenant();
  await addRole('clerk', ['invoice.read', 'member.*']);
  await addRole('reader', ['invoice.read']);
  await addRole('payer', ['invoice.pay']);
  await addRole('all-invoices', ['invoice.*']);
  await addRole('adder', ['member.add']);
  await addRole('owner', [], { isOwner: true });
  await addRole('admin', ['*'], { guard: 'admin' });
  await addRole('admin-payer', ['invoice.pay'], { guard: 'admin' });
  roles['heir'] = (await app.roles.createRole({ name: 'heir', guard: 'portal', isSystem: true })).id;
  await app.roles.addRoleParents(roles['heir'], [roles['payer'] as string]);
  clerk = await addMember('clerk');
  owner = await addMember('owner');
  staff = await addUser();
  await app.access.setPlatformAccessRoles(staff, [roles['admin'] as string]);
});

async function addTenant(): Promise<string> {
  const slug = next('delegated');
  return (await app.tenants.createTenant({ name: slug, slug })).id;
}

async function addUser(): Promise<string> {
  return (await app.users.createUser({ email: `${next('person')}@example.test` })).id;
}

async function addMember(...names: string[]): Promise<string> {
  const userId = await addUser();
  await app.users.setUserAccessRoles(userId, tenantId, names.map(role));
  return userId;
}

async function addRole(name: string, permissions: string[], more: object = {}): Promise<void> {
  const made = await app.roles.createRole({ name, guard: 'portal', isSystem: true, permissions, ...more });
  roles[name] = made.id;
}

function role(name: string): string {
  return roles[name] as string;
}

function as<T>(id: string, fn: () => Promise<T>): Promise<T> {
  return IdentityContext.run({ actor: { type: 'user', id } }, fn);
}

const notHeld = (...permissions: string[]) => ({ code: 'GRANT_NOT_HELD', details: { permissions } });

describe('SEC-31: a user who acts', () => {
  it('gives roles that grant what the user holds, by the same name or a wildcard above', async () => {
    const to = await addUser();
    expect(await as(clerk, () => app.access.addUserAccessRoles(to, tenantId, [role('reader'), role('adder')]))).toEqual(
      {
        added: [role('reader'), role('adder')].toSorted(),
        removed: [],
      },
    );
  });

  const gifts: Record<string, [(to: string) => Promise<unknown>, ...string[]]> = {
    addUserAccessRoles: [(to) => app.access.addUserAccessRoles(to, tenantId, [role('payer')]), 'invoice.pay'],
    setUserAccessRoles: [
      (to) => app.users.setUserAccessRoles(to, tenantId, [role('payer'), role('reader')]),
      'invoice.pay',
    ],
    'setUserAccessRoles to oneself': [
      () => app.users.setUserAccessRoles(clerk, tenantId, [role('clerk'), role('payer')]),
      'invoice.pay',
    ],
    'a role that inherits it': [(to) => app.access.addUserAccessRoles(to, tenantId, [role('heir')]), 'invoice.pay'],
    'a wildcard above what is held': [
      (to) => app.access.addUserAccessRoles(to, tenantId, [role('all-invoices')]),
      'invoice.*',
    ],
    'a role for a time': [
      (to) => app.access.grantAccessRole(to, tenantId, role('payer'), { expiresAt: new Date(Date.now() + 60_000) }),
      'invoice.pay',
    ],
    grantPermission: [
      async (to) => {
        await IdentityContext.run({ actor: { type: 'system' } }, () => app.users.ensureUserAccess(to, tenantId));
        return app.access.grantPermission(to, tenantId, 'invoice.pay');
      },
      'invoice.pay',
    ],
    'assignRoles of the entity': [
      async (to) => (await app.users.ensureUserAccess(to, tenantId)).assignRoles([role('payer')]),
      'invoice.pay',
    ],
    createUser: [
      () => app.users.createUser({ email: `${next('made')}@example.test`, roleIds: [role('payer')] }, tenantId),
      'invoice.pay',
    ],
    'createRole of the tenant': [
      () => app.roles.createRole({ name: next('role'), guard: 'portal', tenantId, permissions: ['invoice.pay'] }),
      'invoice.pay',
    ],
  };

  it.each(Object.entries(gifts))('cannot give what the user does not hold: %s', async (_, [give, ...names]) => {
    const to = await addUser();
    await app.users.runInTransaction(async (manager) => {
      await expect(as(clerk, () => give(to))).rejects.toMatchObject(notHeld(...names));
      // Before anything was written: the transaction goes on.
      await manager.query('select 1');
    });
    expect(await app.access.can(to, tenantId, 'invoice.pay')).toBe(false);
    expect(await app.access.can(clerk, tenantId, 'invoice.pay')).toBe(false);
  });

  it.each(Object.entries(gifts))('may give it as a platform administrator: %s', async (_, [give]) => {
    const to = await addUser();
    await expect(as(staff, () => give(to))).resolves.toBeDefined();
    await app.users.setUserAccessRoles(clerk, tenantId, [role('clerk')]);
  });

  it('cannot give more to a role that others have, nor make one of the system', async () => {
    const own = await app.roles.createRole({
      name: next('own'),
      guard: 'portal',
      tenantId,
      permissions: ['invoice.pay'],
    });
    await as(clerk, async () => {
      await expect(app.roles.addRolePermissions(own.id, ['invoice.*'])).rejects.toMatchObject(notHeld('invoice.*'));
      await expect(app.roles.addRoleParents(own.id, [role('heir')])).rejects.toMatchObject(notHeld('invoice.pay'));
      // What is there already is not given, and what is held is.
      await app.roles.setRolePermissions(own.id, ['invoice.pay', 'invoice.read']);
      await app.roles.addRoleParents(own.id, [role('adder')]);
      // Held in one tenant only, and a role of the system counts in all.
      await expect(app.roles.addRolePermissions(role('adder'), ['invoice.read'])).rejects.toMatchObject(
        notHeld('invoice.read'),
      );
      await expect(
        app.roles.createRole({ name: next('system'), guard: 'portal', isSystem: true, permissions: ['invoice.read'] }),
      ).rejects.toMatchObject(notHeld('invoice.read'));
    });
  });

  it('cannot make an inactive role active that grants more, nor rename a permission to more', async () => {
    const own = await app.roles.createRole({
      name: next('own'),
      guard: 'portal',
      tenantId,
      isActive: false,
      permissions: ['invoice.pay'],
    });
    const permission = await app.permissions.createPermission({ name: next('renamed'), guard: 'portal' });
    await as(clerk, async () => {
      await expect(app.roles.updateRole(own.id, { isActive: true })).rejects.toMatchObject(notHeld('invoice.pay'));
      await app.roles.updateRole(own.id, { description: 'still inactive' });
      await expect(app.permissions.updatePermission(permission.id, { name: 'admin.*' })).rejects.toMatchObject(
        notHeld('admin.*'),
      );
      await app.permissions.updatePermission(permission.id, { description: 'as it was' });
    });
    await as(staff, () => app.roles.updateRole(own.id, { isActive: true }));
  });

  it('takes away whatever there is, and ends no denial of what the user does not hold', async () => {
    const to = await addMember('payer');
    await as(clerk, async () => {
      await app.access.denyPermission(to, tenantId, 'invoice.pay');
      await expect(app.access.revokePermission(to, tenantId, 'invoice.pay')).rejects.toMatchObject(
        notHeld('invoice.pay'),
      );
      await app.access.removeUserAccessRoles(to, tenantId, [role('payer')]);
      await app.users.deleteUserAccess(to, tenantId);
    });
  });

  it('cannot give what is denied, or was held in another tenant', async () => {
    const denied = await addMember('clerk');
    await app.access.denyPermission(denied, tenantId, 'invoice.read');
    const elsewhere = await addTenant();
    const to = await addUser();
    await expect(as(denied, () => app.access.addUserAccessRoles(to, tenantId, [role('reader')]))).rejects.toMatchObject(
      notHeld('invoice.read'),
    );
    await expect(as(clerk, () => app.access.addUserAccessRoles(to, elsewhere, [role('reader')]))).rejects.toMatchObject(
      notHeld('invoice.read'),
    );
  });

  it('makes owners as an owner only, or as somebody who may do everything on the platform', async () => {
    const to = await addUser();
    const refused = { code: 'GRANT_NOT_HELD', details: { permissions: [], ids: [role('owner')] } };
    const own = await app.roles.createRole({ name: next('own'), guard: 'portal', tenantId });
    await as(clerk, async () => {
      await expect(app.access.addUserAccessRoles(to, tenantId, [role('owner')])).rejects.toMatchObject(refused);
      await expect(app.access.transferOwnership(tenantId, owner, to)).rejects.toMatchObject(refused);
      await expect(app.roles.updateRole(own.id, { isOwner: true })).rejects.toMatchObject(notHeld());
      await expect(
        app.roles.createRole({ name: next('own'), guard: 'portal', tenantId, isOwner: true }),
      ).rejects.toMatchObject(notHeld());
    });
    await as(owner, () => app.access.addUserAccessRoles(to, tenantId, [role('owner')]));
    await as(to, () => app.access.removeUserAccessRoles(to, tenantId, [role('owner')]));
    await as(staff, async () => {
      await app.access.addUserAccessRoles(to, tenantId, [role('owner')]);
      await app.access.addUserAccessRoles(to, await addTenant(), [role('owner')]);
    });
  });

  it('is told of no role of another tenant what it grants', async () => {
    const elsewhere = await addTenant();
    const foreign = await app.roles.createRole({
      name: 'secret',
      guard: 'portal',
      tenantId: elsewhere,
      permissions: ['invoice.pay'],
    });
    await expect(as(clerk, () => app.access.addUserAccessRoles(clerk, tenantId, [foreign.id]))).rejects.toMatchObject({
      code: 'ROLE_SCOPE_MISMATCH',
    });
  });

  it('who is nobody, or not active, gives nothing', async () => {
    const gone = await addMember('clerk');
    await app.users.updateUserStatus(gone, false);
    for (const id of [gone, 'no-uuid']) {
      await expect(
        as(id, () => app.access.addUserAccessRoles(clerk, tenantId, [role('reader')])),
      ).rejects.toMatchObject(notHeld('invoice.read'));
    }
  });

  it('imports users with roles that the user may give, and is told of the others row by row', async () => {
    const rows = ['reader', 'payer', 'reader'].map((name) => ({
      email: `${next('imported')}@example.test`,
      roleIds: [role(name)],
    }));
    const { rows: results, created } = await as(clerk, () => app.users.createUsers(rows, { tenantId }));
    expect(created).toBe(2);
    expect(results.map(({ error }) => error?.code)).toEqual([undefined, 'GRANT_NOT_HELD', undefined]);
  });

  it('SEC-67: cannot give roles of the platform with whatever is held in a tenant', async () => {
    const everything = await addRoleWith(NAMES);
    const powerful = await addUser();
    await app.users.setUserAccessRoles(powerful, tenantId, [everything, role('owner')]);
    for (const to of [powerful, await addUser()]) {
      await expect(
        as(powerful, () => app.access.setPlatformAccessRoles(to, [role('admin-payer')])),
      ).rejects.toMatchObject(notHeld('invoice.pay'));
    }
    await as(staff, async () => app.access.setPlatformAccessRoles(await addUser(), [role('admin-payer')]));
  });
});

async function addRoleWith(permissions: readonly string[]): Promise<string> {
  return (await app.roles.createRole({ name: next('role'), guard: 'portal', isSystem: true, permissions })).id;
}

describe('SEC-62: what is checked and what is done', () => {
  const revocations: Record<string, (actor: string, manager: EntityManager, roleId: string) => Promise<unknown>> = {
    'taking the role away': (actor, m, roleId) => app.access.removeUserAccessRoles(actor, tenantId, [roleId], m),
    'taking the permission from the role': (_, m, roleId) =>
      app.roles.removeRolePermissions(roleId, ['invoice.pay'], m),
    'denying it': (actor, m) => app.access.denyPermission(actor, tenantId, 'invoice.pay', {}, m),
    'deactivating the actor': (actor, m) => app.users.updateUserStatus(actor, false, m),
    'suspending the access': (actor, m) => app.access.setUserAccessStatus(actor, tenantId, 'suspended' as never, m),
  };

  it.each(Object.entries(revocations))('are one: %s meanwhile ends it', async (_, revoke) => {
    const roleId = await addRoleWith(['invoice.pay']);
    const actor = await addUser();
    await app.users.setUserAccessRoles(actor, tenantId, [roleId]);
    const to = await addUser();
    const runner = app.host.openRunner();
    await runner.startTransaction();
    await revoke(actor, runner.manager, roleId);
    const given = Promise.allSettled([as(actor, () => app.access.addUserAccessRoles(to, tenantId, [role('payer')]))]);
    await eventually(async () => {
      const { rows } = await withClient(app.url, (client) =>
        client.query(`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`),
      );
      return rows.length > 0;
    });
    await runner.commitTransaction();
    await runner.release();
    expect(await given).toMatchObject([{ status: 'rejected', reason: notHeld('invoice.pay') }]);
  });

  it.each(Object.entries(revocations))('are one: %s waits until what was checked is done', async (_, revoke) => {
    const roleId = await addRoleWith(['invoice.pay']);
    const actor = await addUser();
    await app.users.setUserAccessRoles(actor, tenantId, [roleId]);
    const to = await addUser();
    const runner = app.host.openRunner();
    await runner.startTransaction();
    await as(actor, () => app.access.addUserAccessRoles(to, tenantId, [role('payer')], runner.manager));
    const order: string[] = [];
    const revoked = app.users
      .runInTransaction((manager) => revoke(actor, manager, roleId))
      .then(() => order.push('revoked'));
    await eventually(async () => {
      const { rows } = await withClient(app.url, (client) =>
        client.query(`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`),
      );
      return rows.length > 0;
    });
    order.push('given');
    await runner.commitTransaction();
    await runner.release();
    await revoked;
    expect(order).toEqual(['given', 'revoked']);
  });
});

describe('whoever is no user', () => {
  it.each(['system', 'service', 'job', 'anonymous'] as const)('%s gives everything, by one statement', async (type) => {
    const to = await addUser();
    const { statements } = await recordStatements(() =>
      IdentityContext.run({ actor: { type, id: 'nightly' } }, () =>
        app.access.addUserAccessRoles(to, tenantId, [role('payer')]),
      ),
    );
    expect(statements).toHaveLength(1);
  });

  it('and everybody, where it is switched off', async () => {
    const off = await createFixture(app.url, { auth: { access: { delegation: 'off' } } });
    try {
      const to = await addUser();
      await as(clerk, () => off.access.addUserAccessRoles(to, tenantId, [role('payer')]));
    } finally {
      await off.close();
    }
    await expect(
      createFixture(app.url, { auth: { access: { delegation: 'sometimes' as 'off' } } }),
    ).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
  });
});

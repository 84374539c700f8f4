import { describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { definePermissions, type PermissionRegistry, PermissionRegistryService } from '../../../src/index.js';
import { NestAuthEvents } from '../../../src/events/nest-auth.events.js';
import { createFixture, useFixture } from '../../support/identity-fixture.js';

const app = useFixture({ pool: 10, auth: { access: { guards: ['one', 'two', 'three', 'four', 'five', 'boot'] } } });
const registries = (): PermissionRegistryService => app.context.get(PermissionRegistryService);

const INVOICES = {
  permissions: {
    'invoice.read': { description: 'See invoices', category: 'billing' },
    'invoice.pay': { category: 'billing' },
    'invoice.*': {},
  },
  roles: {
    clerk: { permissions: ['invoice.read'], description: 'Reads' },
    manager: { permissions: ['invoice.pay'], inherits: ['clerk'] },
    owner: { permissions: ['invoice.*'], isOwner: true },
  },
} as const;

async function activities(fn: () => Promise<unknown>): Promise<string[]> {
  const [before] = await app.dataSource.query('select count(*)::integer as count from nest_auth_activities');
  await fn();
  const rows: { type: string }[] = await app.dataSource.query(
    'select type from nest_auth_activities order by xid, id offset $1',
    [(before as { count: number }).count],
  );
  return rows.map(({ type }) => type).toSorted();
}

describe('permissions that are declared in code', () => {
  it('are planned without being written, and applied once', async () => {
    const registry = definePermissions({ guard: 'one', ...INVOICES });
    const plan = await registries().plan(registry);
    expect(plan).toEqual({
      guard: 'one',
      permissions: { create: ['invoice.*', 'invoice.pay', 'invoice.read'], change: [], unknown: [] },
      roles: { create: ['clerk', 'manager', 'owner'], change: [], unknown: [] },
      isUpToDate: false,
    });
    expect(await registries().plan(registry)).toEqual(plan);

    const written = await activities(async () => expect(await registries().apply(registry)).toEqual(plan));
    expect(written).toEqual(
      [
        ...Array<string>(3).fill(NestAuthEvents.PERMISSION_CREATED),
        ...Array<string>(3).fill(NestAuthEvents.ROLE_CREATED),
        NestAuthEvents.ROLE_PARENTS_CHANGED,
      ].toSorted(),
    );
    const manager = await app.roles.getRoleByName('manager', 'one');
    const loaded = await app.roles.getRoleById(manager?.id ?? '', { relations: { permissions: true, parents: true } });
    expect(loaded?.permissions?.map(({ name }) => name)).toEqual(['invoice.pay']);
    expect(loaded?.parents?.map(({ name }) => name)).toEqual(['clerk']);
    expect(await app.roles.getRoleByName('owner', 'one')).toMatchObject({ isOwner: true, isSystem: true });

    app.events.length = 0;
    const again = await activities(async () => expect((await registries().apply(registry)).isUpToDate).toBe(true));
    expect(again).toEqual([]);
    expect(app.events).toEqual([]);
  });

  it('change what differs and nothing else, also when two roles change their places', async () => {
    await registries().apply(definePermissions({ guard: 'two', ...INVOICES }));
    await app.permissions.createPermission({ guard: 'two', name: 'report.read' });
    await app.roles.createRole({ guard: 'two', name: 'auditor', isSystem: true });
    const changed = definePermissions({
      guard: 'two',
      permissions: {
        ...INVOICES.permissions,
        'invoice.read': { description: null, category: 'billing' },
        'invoice.send': {},
      },
      roles: {
        clerk: { permissions: ['invoice.read', 'invoice.send'], inherits: ['manager'] },
        manager: { permissions: ['invoice.pay'], description: 'Pays' },
        owner: {},
      },
    });
    const plan = await registries().apply(changed);
    expect(plan.permissions).toEqual({
      create: ['invoice.send'],
      change: [{ name: 'invoice.read', fields: ['description'] }],
      unknown: ['report.read'],
    });
    const none = { added: [], removed: [] };
    expect(plan.roles).toEqual({
      create: [],
      change: [
        {
          name: 'clerk',
          fields: [],
          permissions: { added: ['invoice.send'], removed: [] },
          parents: { added: ['manager'], removed: [] },
        },
        { name: 'manager', fields: ['description'], permissions: none, parents: { added: [], removed: ['clerk'] } },
        { name: 'owner', fields: [], permissions: { added: [], removed: ['invoice.*'] }, parents: none },
      ],
      unknown: ['auditor'],
    });
    expect((await registries().plan(changed)).isUpToDate).toBe(true);
    // What is left out stays as it is.
    expect(await app.roles.getRoleByName('clerk', 'two')).toMatchObject({ description: 'Reads' });
    expect(await app.roles.getRoleByName('owner', 'two')).toMatchObject({ isOwner: true });
  });

  it('leave roles of tenants alone, and prune what nobody uses, or nothing', async () => {
    const wide = definePermissions({ guard: 'three', ...INVOICES });
    await registries().apply(wide);
    const tenant = await app.tenants.createTenant({ name: 'Own', slug: `own-${uuidv7()}` });
    const own = await app.roles.createRole({
      guard: 'three',
      name: 'own',
      tenantId: tenant.id,
      permissions: ['invoice.pay'],
    });
    const narrow = definePermissions({ guard: 'three', permissions: { 'invoice.read': {} }, roles: {} });
    expect((await registries().plan(narrow)).roles.unknown).toEqual(['clerk', 'manager', 'owner']);
    expect((await registries().apply(narrow)).isUpToDate).toBe(true);
    await expect(registries().apply(narrow, { prune: true })).rejects.toMatchObject({ code: 'PERMISSION_IN_USE' });
    expect((await registries().plan(wide)).isUpToDate).toBe(true);
    await app.roles.deleteRole(own.id);
    await registries().apply(narrow, { prune: true });
    expect((await registries().plan(narrow)).permissions.unknown).toEqual([]);
    expect((await registries().plan(wide)).roles.create).toEqual(['clerk', 'manager', 'owner']);
  });

  it('are applied with the caller’s transaction, and undone with it', async () => {
    const registry = definePermissions({ guard: 'four', ...INVOICES });
    const undone = app.users.runInTransaction(async (manager) => {
      await registries().apply(registry, {}, manager);
      expect((await registries().plan(registry, manager)).isUpToDate).toBe(true);
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    expect((await registries().plan(registry)).permissions.create).toHaveLength(3);
  });

  it('by many at once end with one result', async () => {
    const registry = definePermissions({ guard: 'five', ...INVOICES });
    const written = await activities(() => Promise.all(Array.from({ length: 8 }, () => registries().apply(registry))));
    expect(written).toHaveLength(7);
    expect((await registries().plan(registry)).isUpToDate).toBe(true);
  });

  it('are applied when applications start, two at once', async () => {
    const registry = definePermissions({ guard: 'boot', ...INVOICES });
    const auth = { access: { guards: ['boot'], registry } };
    const started = await Promise.all([createFixture(app.url, { auth }), createFixture(app.url, { auth })]);
    for (const one of started) await one.close();
    expect((await registries().plan(registry)).isUpToDate).toBe(true);
  });

  it('refuse names that are not declared, and what is no registry', async () => {
    const wrong = (): unknown =>
      definePermissions({
        permissions: { a: {} },
        roles: { r: { permissions: ['b' as 'a'], inherits: ['s' as 'r'] } },
      });
    expect(wrong).toThrow(expect.objectContaining({ code: 'VALIDATION_FAILED' }));
    const refused = { code: 'VALIDATION_FAILED' };
    await expect(registries().plan({} as PermissionRegistry)).rejects.toMatchObject(refused);
    const registry = definePermissions({ guard: 'one', permissions: { 'in*voice': {} } });
    await expect(registries().apply(registry)).rejects.toMatchObject(refused);
    await expect(registries().apply(registry, { prine: true } as object)).rejects.toMatchObject(refused);
    const ring = definePermissions({
      guard: 'one',
      permissions: {},
      roles: { x: { inherits: ['y'] }, y: { inherits: ['x'] } },
    });
    await expect(registries().apply(ring)).rejects.toMatchObject({ code: 'ROLE_CYCLE' });
    expect(await app.roles.getRoleByName('x', 'one')).toBeNull();
  });
});

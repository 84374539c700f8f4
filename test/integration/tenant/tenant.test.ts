import { describe, expect, test } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { NIL_UUID, TenantModeEnum } from '../../../src/tenant/tenant.types.js';
import {
  addRole,
  addTenant,
  addUser,
  counting,
  outcomes,
  refusedInside,
  unique,
  useAccess,
  waitingFor,
} from '../access/fixture.js';

const shared = useAccess();
const disabled = useAccess(TenantModeEnum.DISABLED);
const isolated = useAccess(TenantModeEnum.ISOLATED);

describe('a tenant', () => {
  test('is made by one statement and found by id and by slug', async () => {
    const slug = unique('found');
    const { result, sent } = await counting(shared, () => shared.tenants.createTenant({ name: 'Acme', slug }));
    expect(sent).toHaveLength(1);
    expect(await shared.tenants.getTenantById(result.id)).toMatchObject({
      slug,
      isActive: true,
      metadata: {},
      version: 1,
    });
    expect(await shared.tenants.getTenantBySlug(slug)).toMatchObject({ id: result.id });
  });

  test('saves unchanged after it was made', async () => {
    const tenant = await shared.tenants.createTenant({ name: 'Same', slug: unique('same') });
    const { sent } = await counting(shared, () => shared.dataSource.manager.save(tenant));
    expect(sent.filter((sql) => /^update/i.test(sql))).toEqual([]);
  });

  test('is announced after the commit and not after a rollback', async () => {
    shared.events.length = 0;
    await expect(
      shared.host.run(async (manager) => {
        await shared.tenants.createTenant({ name: 'Gone', slug: unique('gone') }, manager);
        throw new Error('undo');
      }),
    ).rejects.toThrow('undo');
    expect(shared.events).toEqual([]);
    await shared.tenants.createTenant({ name: 'Kept', slug: unique('kept') });
    expect(shared.events.map(({ name }) => name)).toEqual(['nest_auth.tenant.created']);
  });

  test('of 50 made at once with one slug exists once', async () => {
    const slug = unique('race');
    const calls = Array.from({ length: 50 }, () => shared.tenants.createTenant({ name: 'Race', slug }));
    expect(await outcomes(calls)).toEqual({ ok: 1, TENANT_ALREADY_EXISTS: 49 });
  });

  test.each(['', 'Upper', 'a--b', '-a', 'a-', 'a_b', 'ä', 'a'.repeat(64), 'a b', 'a\n'])(
    'with the slug %j is refused',
    async (slug) => {
      await expect(shared.tenants.createTenant({ name: 'X', slug })).rejects.toMatchObject({
        code: 'VALIDATION_FAILED',
      });
    },
  );

  test('with a field that is not one of the input is refused', async () => {
    const input = { name: 'X', slug: unique('x'), id: uuidv7() };
    await expect(shared.tenants.createTenant(input)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  test('with a taken slug leaves the transaction of the caller usable, made or renamed', async () => {
    const slug = unique('taken');
    await shared.tenants.createTenant({ name: 'First', slug });
    const other = await addTenant(shared);
    await refusedInside(shared, 'TENANT_ALREADY_EXISTS', (m) => shared.tenants.createTenant({ name: 'X', slug }, m));
    await refusedInside(shared, 'TENANT_ALREADY_EXISTS', (m) => shared.tenants.updateTenant(other, { slug }, m));
  });

  test('whose new slug is taken in a race leaves the transaction of the caller usable', async () => {
    const slug = unique('raced');
    const [first, second] = [await addTenant(shared), await addTenant(shared)];
    const { status } = await waitingFor(
      shared,
      (m) => m.query('update nest_auth_tenants set slug = $2 where id = $1', [first, slug]),
      () => refusedInside(shared, 'TENANT_ALREADY_EXISTS', (m) => shared.tenants.updateTenant(second, { slug }, m)),
    );
    expect(status).toBe('fulfilled');
  });

  test('keeps what an update does not name, merges metadata and counts its version', async () => {
    const { id } = await shared.tenants.createTenant({
      name: 'Old',
      slug: unique('merge'),
      description: 'kept',
      metadata: { a: 1, b: 2 },
    });
    const { result, sent } = await counting(shared, () =>
      shared.tenants.updateTenant(id, { name: 'New', metadata: { b: null, c: 3 }, expectedVersion: 1 }),
    );
    expect(sent).toHaveLength(1);
    expect(result).toMatchObject({ name: 'New', description: 'kept', metadata: { a: 1, c: 3 }, version: 2 });
  });

  test('that was changed since it was read is not overwritten', async () => {
    const id = await addTenant(shared);
    await shared.tenants.updateTenant(id, { name: 'Second' });
    await refusedInside(shared, 'STALE_VERSION', (m) =>
      shared.tenants.updateTenant(id, { name: 'Third', expectedVersion: 1 }, m),
    );
  });

  test('of 20 updates at once that expect one version takes one', async () => {
    const id = await addTenant(shared);
    const calls = Array.from({ length: 20 }, (_, index) =>
      shared.tenants.updateTenant(id, { name: `Name ${index}`, expectedVersion: 1 }),
    );
    expect(await outcomes(calls)).toEqual({ ok: 1, STALE_VERSION: 19 });
  });

  test('is neither written nor announced by an update that changes nothing', async () => {
    const { id, name } = await shared.tenants.createTenant({ name: 'Still', slug: unique('still') });
    shared.events.length = 0;
    expect(await shared.tenants.updateTenant(id, { name })).toMatchObject({ version: 1 });
    expect(shared.events).toEqual([]);
  });

  test('without anything of its own is deleted, and then is not there', async () => {
    const id = await addTenant(shared);
    const { sent } = await counting(shared, () => shared.tenants.deleteTenant(id));
    expect(sent).toHaveLength(1);
    expect(await shared.tenants.getTenantById(id)).toBeNull();
    await refusedInside(shared, 'TENANT_NOT_FOUND', (m) => shared.tenants.deleteTenant(id, m));
  });

  test('with an access, a role or a user of its own is not deleted', async () => {
    const [accessed, owning, populated] = [await addTenant(shared), await addTenant(shared), await addTenant(isolated)];
    await shared.operations.ensureUserAccess(shared.dataSource.manager, await addUser(shared), accessed);
    await addRole(shared, { tenantId: owning });
    await addUser(isolated, { realmId: populated });
    await refusedInside(shared, 'TENANT_IN_USE', (m) => shared.tenants.deleteTenant(accessed, m));
    await refusedInside(shared, 'TENANT_IN_USE', (m) => shared.tenants.deleteTenant(owning, m));
    await refusedInside(isolated, 'TENANT_IN_USE', (m) => isolated.tenants.deleteTenant(populated, m));
  });

  test('that gets a role while it is deleted is in use, and the transaction of the caller stays usable', async () => {
    const tenantId = await addTenant(shared);
    const { status } = await waitingFor(
      shared,
      (m) => shared.roles.createRole({ name: 'late', guard: 'portal', tenantId }, m),
      () => refusedInside(shared, 'TENANT_IN_USE', (m) => shared.tenants.deleteTenant(tenantId, m)),
    );
    expect(status).toBe('fulfilled');
  });

  test('with an id that is none is refused before anything is sent', async () => {
    const { sent } = await counting(shared, () =>
      outcomes([
        shared.tenants.getTenantById(undefined as never),
        shared.tenants.deleteTenant('x'),
        shared.tenants.updateTenant(null as never, {}),
      ]),
    );
    expect(sent).toEqual([]);
  });
});

describe('the built-in tenant', () => {
  test('is the only one in DISABLED tenancy, where none is made or deleted', async () => {
    expect(await disabled.tenants.getTenantById(NIL_UUID)).toMatchObject({ slug: 'default' });
    expect(await disabled.tenants.getTenantBySlug('default')).toMatchObject({ id: NIL_UUID });
    expect(await disabled.tenants.getTenants()).toHaveLength(1);
    await expect(disabled.tenants.createTenant({ name: 'X', slug: 'x' })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
    await expect(disabled.tenants.deleteTenant(NIL_UUID)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  test('is not seen, changed or deleted in any other tenancy', async () => {
    expect(await shared.tenants.getTenantById(NIL_UUID)).toBeNull();
    expect(await shared.tenants.getTenantBySlug('default')).toBeNull();
    expect((await shared.tenants.getTenants({ limit: 100 })).map(({ id }) => id)).not.toContain(NIL_UUID);
    await expect(shared.tenants.deleteTenant(NIL_UUID)).rejects.toMatchObject({ code: 'TENANT_NOT_FOUND' });
    await expect(shared.tenants.updateTenant(NIL_UUID, { name: 'X' })).rejects.toMatchObject({
      code: 'TENANT_NOT_FOUND',
    });
  });
});

describe('a list of tenants', () => {
  test('is read page by page without missing or repeating one', async () => {
    const search = unique('paged');
    for (let index = 0; index < 7; index += 1) {
      await shared.tenants.createTenant({ name: `${search} ${index}`, slug: unique('page') });
    }
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const options = { search, limit: 3, ...(after === undefined ? {} : { after }) };
      const { result: page, sent } = await counting(shared, () => shared.tenants.getTenantsPage(options));
      expect(sent).toHaveLength(1);
      seen.push(...page.items.map(({ name }) => name));
      after = page.nextCursor ?? undefined;
    } while (after !== undefined);
    expect(seen).toEqual(Array.from({ length: 7 }, (_, index) => `${search} ${index}`));
    expect(await shared.tenants.getTenants({ search, limit: 3, offset: 6 })).toHaveLength(1);
    expect(await shared.tenants.countTenants({ search })).toBe(7);
    const { result, sent } = await counting(shared, () => shared.tenants.getTenantsAndCount({ search, offset: 100 }));
    expect(result).toEqual([[], 7]);
    expect(sent).toHaveLength(1);
  });

  test('is searched literally', async () => {
    await shared.tenants.createTenant({ name: '100%_sure', slug: unique('literal') });
    expect(await shared.tenants.countTenants({ search: '100%_' })).toBe(1);
    expect(await shared.tenants.countTenants({ search: '%_%' })).toBe(0);
  });

  test('refuses a cursor that is malformed or of another search', async () => {
    const { nextCursor } = await shared.tenants.getTenantsPage({ limit: 1 });
    const refused = { code: 'VALIDATION_FAILED' };
    await expect(shared.tenants.getTenants({ after: nextCursor as string })).resolves.not.toEqual([]);
    await expect(shared.tenants.getTenants({ after: nextCursor as string, isActive: true })).rejects.toMatchObject(
      refused,
    );
    await expect(shared.tenants.getTenants({ after: `${nextCursor}x` })).rejects.toMatchObject(refused);
    await expect(shared.tenants.getTenants({ after: "' or 1=1" })).rejects.toMatchObject(refused);
    await expect(shared.tenants.getTenants({ after: nextCursor as string, offset: 1 })).rejects.toMatchObject(refused);
    await expect(shared.tenants.getTenants({ limit: 101 })).rejects.toMatchObject(refused);
  });
});

import { beforeAll, describe, expect, it } from '@jest/globals';
import {
  NestAuthEntities,
  NestAuthPermission,
  NestAuthRole,
  NestAuthTenant,
  NestAuthUser,
  RoleGuardEnum,
  TenantModeEnum,
} from '../../../src/index.js';
import { freshEmail, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';

const app = useNestApp({ auth: { tenant: { mode: TenantModeEnum.ISOLATED } } });

/** What says whose a row is. */
const OWNERS = ['tenantId', 'realmId', 'ownerTenantId', 'roleTenantId', 'userId'];

let userId = '';
beforeAll(async () => {
  userId = (await app.users.createUser({ email: freshEmail() }, app.seed.tenantId)).id;
});

interface Target {
  readonly entity: abstract new () => object;
  /** What a caller may set. */
  readonly open: readonly string[];
  readonly call: (field: Record<string, unknown>) => Promise<unknown>;
}

const TARGETS: Record<string, Target> = {
  createUser: {
    entity: NestAuthUser,
    open: ['email', 'phone', 'metadata', 'isActive', 'identities'],
    call: (field) => app.users.createUser({ email: freshEmail(), ...field }, app.seed.tenantId),
  },
  updateUser: {
    entity: NestAuthUser,
    open: ['email', 'phone', 'metadata'],
    call: (field) => app.users.updateUser(userId, { metadata: { a: 1 }, ...field }),
  },
  createRole: {
    entity: NestAuthRole,
    open: ['name', 'guard', 'tenantId', 'isSystem', 'isOwner', 'description', 'isActive', 'permissions', 'metadata'],
    call: (field) =>
      app.roles.createRole({ name: freshEmail(), guard: RoleGuardEnum.PORTAL, isSystem: true, ...field }),
  },
  updateRole: {
    entity: NestAuthRole,
    open: ['name', 'description', 'isActive', 'isOwner', 'metadata'],
    call: (field) => app.roles.updateRole(app.seed.member, { metadata: { a: 1 }, ...field }),
  },
  createTenant: {
    entity: NestAuthTenant,
    open: ['name', 'slug', 'description', 'isActive', 'metadata'],
    call: (field) => app.tenants.createTenant({ name: 'Made', slug: `made-${Date.now()}`, ...field }),
  },
  updateTenant: {
    entity: NestAuthTenant,
    open: ['name', 'slug', 'description', 'isActive', 'metadata'],
    call: (field) => app.tenants.updateTenant(app.seed.tenantId, { metadata: { a: 1 }, ...field }),
  },
  createPermission: {
    entity: NestAuthPermission,
    open: ['name', 'guard', 'description', 'category', 'metadata'],
    call: (field) => app.permissions.createPermission({ name: freshEmail(), guard: RoleGuardEnum.PORTAL, ...field }),
  },
};

describe('SEC-62 whose a row is', () => {
  it('is never updated through the ORM', () => {
    const owners = NestAuthEntities.flatMap((entity) =>
      app.dataSource
        .getMetadata(entity)
        .columns.filter(({ propertyName }) => OWNERS.includes(propertyName))
        .map(({ entityMetadata, databaseName, isUpdate, isPrimary }) => ({
          column: `${entityMetadata.tableName}.${databaseName}`,
          isUpdate,
          isPrimary,
        })),
    );
    expect(owners.length).toBeGreaterThan(10);
    const movable = owners.filter(({ isUpdate, isPrimary }) => isUpdate && !isPrimary).map(({ column }) => column);
    // The database itself lets nobody change the log: the tests of its chain.
    expect(movable.filter((column) => !column.startsWith('nest_auth_activities.'))).toEqual([]);
  });

  it('stays what it is when an entity with another owner is saved', async () => {
    const other = await app.tenants.createTenant({ name: 'Other', slug: 'other-owner' });
    const { id } = await app.roles.createRole({
      name: 'kept',
      guard: RoleGuardEnum.PORTAL,
      tenantId: app.seed.tenantId,
    });
    const role = await app.dataSource.manager.findOneByOrFail(NestAuthRole, { id });
    await app.dataSource.manager.save(Object.assign(role, { tenantId: other.id, ownerTenantId: other.id }));
    expect(await app.roles.getRoleById(id)).toMatchObject({ tenantId: app.seed.tenantId });
  });
});

describe('SEC-87 what an input may set', () => {
  it.each(Object.entries(TARGETS))('of %s is no column but those that are open', async (_name, target) => {
    const { columns, relations } = app.dataSource.getMetadata(target.entity as never);
    const closed = [...columns, ...relations]
      .map(({ propertyName }) => propertyName)
      .filter((name) => !target.open.includes(name));
    expect(closed).toContain('id');
    const before = await dumpTables(app.url);
    for (const field of closed) {
      const made = target.call({ [field]: field.endsWith('At') ? new Date() : '00000000-0000-4000-8000-000000000001' });
      await expect(made.then(() => field)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    }
    expect(await dumpTables(app.url)).toEqual(before);
  });
});

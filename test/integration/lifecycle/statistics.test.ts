import { describe, expect, it } from '@jest/globals';

import { UserLifecycleService, UserStatisticsService } from '../../../src/index.js';
import { freshEmail, useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { STATES, userIn } from './fixture.js';

const app = useNestApp();
const counts = () => app.context.get(UserStatisticsService);

describe('the statistics', () => {
  it('count users by status, tenant and role, without the soft-deleted, in one statement each', async () => {
    const lifecycle = app.context.get(UserLifecycleService);
    const { tenantId, otherTenantId, member, admin, foreign } = app.seed;
    for (const state of STATES) await userIn({ users: app.users, lifecycle }, state);
    const members = [];
    for (let count = 0; count < 3; count += 1) {
      members.push(await app.users.createUser({ email: freshEmail(), roleIds: [member] }, tenantId));
    }
    await app.users.createPlatformUser({ email: freshEmail(), platformRoleIds: [admin] });
    const gone = members[0]?.id ?? '';
    await lifecycle.disableById(gone);
    await lifecycle.softDeleteById(gone);

    const all = await recordStatements(() => counts().countUsers());
    expect(all.statements).toHaveLength(1);
    expect(all.result).toEqual({
      total: 7,
      byStatus: { pending: 1, active: 4, inactive: 1, disabled: 1, scheduled_deletion: 0 },
      softDeleted: 3,
    });
    expect(await counts().countUsers({ tenantId })).toMatchObject({ total: 2, softDeleted: 1 });
    expect(await counts().countByTenant({ limit: 500 })).toEqual(
      expect.arrayContaining([
        { tenantId, users: 2 },
        { tenantId: otherTenantId, users: 0 },
      ]),
    );
    const byRole = await counts().countByRole({ limit: 500 });
    expect(byRole).toEqual(
      expect.arrayContaining([
        { roleId: member, users: 2 },
        { roleId: admin, users: 1 },
      ]),
    );
    expect(await counts().countByRole({ tenantId: otherTenantId })).toContainEqual({ roleId: member, users: 0 });
    const inTenant = await counts().countByRole({ tenantId });
    expect(inTenant).toEqual(
      expect.arrayContaining([
        { roleId: member, users: 2 },
        { roleId: admin, users: 0 },
      ]),
    );
    expect(inTenant.map(({ roleId }) => roleId)).not.toContain(foreign);
    await app.dataSource.query('analyze nest_auth_users');
    expect(await counts().countUsers({ exact: false })).toMatchObject({ total: 7, softDeleted: 3 });
  });

  it('count each access to a role, in whatever tenant, and whoever is not active, a page at a time', async () => {
    const lifecycle = app.context.get(UserLifecycleService);
    const { tenantId, otherTenantId, editor, foreign } = app.seed;
    const both = await app.users.createUser({ email: freshEmail(), roleIds: [editor] }, tenantId);
    await app.users.setUserAccessRoles(both.id, otherTenantId, [editor, foreign]);
    await lifecycle.deactivateById(both.id);
    const expected = [
      { roleId: editor, users: 2 },
      { roleId: foreign, users: 1 },
    ];
    expect(await counts().countByRole()).toEqual(expect.arrayContaining(expected));
    expect(await counts().countByRole({ tenantId })).toContainEqual({ roleId: editor, users: 1 });
    for (const options of [{}, { tenantId: otherTenantId }]) {
      const all = await counts().countByRole(options);
      const [first] = await counts().countByRole({ ...options, limit: 1 });
      expect(all[0]).toEqual(first);
      expect(await counts().countByRole({ ...options, after: first?.roleId ?? '' })).toEqual(all.slice(1));
    }
    const tenants = await counts().countByTenant();
    const [first] = await counts().countByTenant({ limit: 1 });
    expect(tenants[0]).toEqual(first);
    expect(await counts().countByTenant({ after: first?.tenantId ?? '' })).toEqual(tenants.slice(1));
  });

  it('refuse what they do not know', async () => {
    const refused = { code: 'VALIDATION_FAILED' };
    await expect(counts().countUsers({ tenantId: 'x' })).rejects.toMatchObject(refused);
    await expect(counts().countByTenant({ limit: 501 })).rejects.toMatchObject(refused);
    await expect(counts().countByRole({ offset: 1 } as never)).rejects.toMatchObject(refused);
  });
});

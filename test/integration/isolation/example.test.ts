import { describe, expect, it, beforeAll } from '@jest/globals';

import { AppUser } from '../../../examples/portal/app/app-user.entity.js';
import { AppUsers1800000000000 } from '../../../examples/portal/migrations/1800000000000-app-users.js';
import { NestAuthEntities, tenantTableSql } from '../../../src/index.js';
import { expectTenantIsolation } from '../../../src/testing/index.js';
import { DataSource } from 'typeorm';
import { freshEmail } from '../../support/nest-app.js';
import { useRlsApp } from '../../support/rls-app.js';
import { connectAs } from '../../support/rls-database.js';

const app = useRlsApp({ dataSource: { entities: [...NestAuthEntities, AppUser] } as never });

beforeAll(async () => {
  const { app: appRole, platform: platformRole } = app.database.roles;
  const owner = await new DataSource(connectAs(app.database.ownerUrl)).initialize();
  const runner = owner.createQueryRunner();
  // The table of the shared test application has the name of the example's.
  await runner.query('drop table app_users');
  await new AppUsers1800000000000().up(runner);
  for (const sql of tenantTableSql({ table: 'app_users', userColumn: 'auth_user_id', appRole, platformRole }).up) {
    await runner.query(sql);
  }
  await runner.release();
  await owner.destroy();
});

describe("the example's AppUser under row-level security", () => {
  it('is created with its user in one transaction, and keeps the tenants apart', async () => {
    for (const tenant of [app.a, app.b]) {
      await app.tenant.run(tenant.id, () =>
        app.users.runInTransaction(async (manager) => {
          const user = await app.users.createUser({ email: freshEmail(), roleIds: [app.member] }, tenant.id);
          await manager.insert(AppUser, { id: crypto.randomUUID(), authUserId: user.id, displayName: 'Ann' });
        }),
      );
    }
    const report = await expectTenantIsolation(app.dataSource, [AppUser, ...NestAuthEntities]);
    expect(report.entities).toHaveLength(NestAuthEntities.length + 1);
    expect(await app.tenant.run(app.a.id, () => app.dataSource.getRepository(AppUser).count())).toBe(1);
  });

  it('is found leaking when its policies are taken away', async () => {
    const owner = await new DataSource(connectAs(app.database.ownerUrl)).initialize();
    await owner.query('alter table app_users disable row level security');
    await expect(expectTenantIsolation(app.dataSource, [AppUser])).rejects.toMatchObject({
      name: 'IsolationError',
      leaks: expect.arrayContaining([expect.objectContaining({ entity: 'AppUser', attempt: 'raw SELECT by key' })]),
    });
    await owner.query('alter table app_users enable row level security');
    await owner.destroy();
  });
});

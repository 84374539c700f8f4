import { describe, expect, it } from '@jest/globals';
import { TypeOrmModule } from '@nestjs/typeorm';

import { ActivityService, IdentityContext, NestAuthEvents } from '../../../src/index.js';
import { freshEmail, startNestApp } from '../../support/nest-app.js';
import { connectAs } from '../../support/rls-database.js';
import { useRlsApp } from '../../support/rls-app.js';
import { withClient } from '../../support/database.js';
import { sealAll } from './activities.js';

const app = useRlsApp();
const service = (): ActivityService => app.context.get(ActivityService);

describe('the activity log under row-level security', () => {
  it('is read, exported and added to within a tenant', async () => {
    await app.tenant.run(app.b.id, () => service().logActivity({ type: 'crm.note', subjectType: 'job' }));
    const seen = await app.tenant.run(app.a.id, async () => {
      const { tenantId } = await service().logActivity({ type: 'crm.note', subjectType: 'job' });
      expect(tenantId).toBe(app.a.id);
      return (await service().findActivities({}, { limit: 500 })).items;
    });
    expect(seen.filter(({ type }) => type === 'crm.note')).toHaveLength(1);
    expect(new Set(seen.map(({ tenantId }) => tenantId))).toEqual(new Set([app.a.id]));
    // The stream is taken where there is no tenant any more, and stays that of the call.
    const stream = await app.tenant.run(app.a.id, () => service().exportActivities({}, { format: 'jsonl' }));
    const lines = (await stream.toArray()).join('').trimEnd().split('\n');
    expect(lines).toHaveLength(seen.length);
    await expect(service().findActivities()).rejects.toMatchObject({ code: 'TENANT_REQUIRED' });
  });

  it('is added to for the tenant of the wall, also where the facts of the caller name another', async () => {
    const userId = await app.tenant.run(app.a.id, () =>
      IdentityContext.run({ tenantId: app.b.id }, async () => {
        const { id } = await app.users.createUser({ email: freshEmail() }, app.a.id);
        const logged = await service().logActivity({ type: 'crm.crossed', userId: id });
        expect(logged.tenantId).toBe(app.a.id);
        return id;
      }),
    );
    const crossed = async (tenant: string): Promise<unknown[]> => {
      const { items } = await app.tenant.run(tenant, () => service().findActivities({ userId }));
      return items.map(({ type, tenantId }) => [type, tenantId]);
    };
    // The same one as what was written with the change itself.
    expect(await crossed(app.a.id)).toEqual([
      ['crm.crossed', app.a.id],
      [NestAuthEvents.USER_CREATED, app.a.id],
    ]);
    expect(await crossed(app.b.id)).toEqual([]);
  });

  it('is sealed and verified for the whole platform, never for the part that one tenant sees', async () => {
    const refused = { code: 'ROW_SECURITY_REFUSED' };
    await app.tenant.run(app.a.id, async () => {
      await expect(service().sealActivities()).rejects.toMatchObject(refused);
      await expect(service().verifyActivities()).rejects.toMatchObject(refused);
    });
    const activities = {
      sealActivities: () => app.tenant.withoutTenant('seal', () => service().sealActivities()),
    } as ActivityService;
    // The fixture has put a seal there that is none.
    await withClient(app.database.url, (client) =>
      client.query(`set session_replication_role = 'replica'; delete from nest_auth_activity_seals`),
    );
    await sealAll(activities, app.database.url);
    const result = await app.tenant.withoutTenant('verify', () => service().verifyActivities());
    expect(result.problem).toBeNull();
    expect(result.activities).toBeGreaterThan(5);
  });

  it('has partitions that the owner makes, and that show nothing to whoever names them', async () => {
    const maintain = (): Promise<unknown> => app.tenant.withoutTenant('maintain', () => service().maintainPartitions());
    await expect(maintain()).rejects.toMatchObject({ code: 'AUDIT_OWNER_REQUIRED' });
    const owner = await startNestApp(app.database.url, {
      auth: {},
      dataSource: connectAs(app.database.ownerUrl) as Parameters<typeof TypeOrmModule.forRoot>[0] & object,
    });
    const asOwner = owner.context.get(ActivityService);
    // By its policies the owner sees nothing, as long as it is not let in.
    await expect(asOwner.maintainPartitions()).rejects.toMatchObject({ code: 'AUDIT_OWNER_REQUIRED' });
    const { roles } = app.database;
    await withClient(app.database.url, (client) => client.query(`grant ${roles.platform} to ${roles.owner}`));
    const { created } = await asOwner.maintainPartitions({ monthsAhead: 26 });
    expect(created).toHaveLength(2);
    await withClient(app.database.url, async (client) => {
      for (const { name } of created) {
        await client.query(`grant select on ${name} to ${roles.app}`);
        const { rows } = await client.query('select relrowsecurity as on from pg_class where oid = $1::regclass', [
          name,
        ]);
        expect(rows).toEqual([{ on: true }]);
      }
    });
    await owner.close();
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { NestAuthUser } from '../../../src/index.js';
import { freshEmail, times } from '../../support/nest-app.js';
import { type RlsTenant, seedTenant, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';

const TENANTS = 50;
const REQUESTS = 200;

/** `npm run test:pgbouncer` leads every DataSource through one in transaction mode. */
const IS_POOLED = process.env['NEST_AUTH_TEST_POOLER'] !== undefined;

type App = Awaited<ReturnType<typeof startRlsApp>>;

/** What one request of a tenant saw that it must not, in every way a host may ask. */
async function request(app: App, tenant: RlsTenant, index: number): Promise<string[]> {
  const repository = app.dataSource.getRepository(NestAuthUser);
  const ask: (() => Promise<string[]>)[] = [
    async () => (await repository.find()).map(({ id }) => id),
    async () => (await repository.createQueryBuilder('u').getMany()).map(({ id }) => id),
    async () => (await app.dataSource.query<{ id: string }[]>('select id from nest_auth_users')).map(({ id }) => id),
    async () => (await app.users.getUsers({ limit: 100 })).map(({ id }) => id),
    () =>
      app.users.runInTransaction(async (manager) => {
        await manager.query(`update nest_auth_user_accesses set metadata = jsonb_build_object('by', $1::text)`, [
          tenant.id,
        ]);
        await pause(Math.random() * 5);
        const rows = await manager.query<{ id: string }[]>('select user_id as id from nest_auth_user_accesses');
        return rows.map(({ id }) => id);
      }),
    async () => {
      await app.dataSource.transaction((manager) => manager.query('select 1 / 0')).catch(() => undefined);
      return (await repository.find()).map(({ id }) => id);
    },
    async () => [(await app.users.createUser({ email: freshEmail() }, tenant.id)).id].filter(() => false),
  ];
  return app.tenant.run(tenant.id, async () => {
    await pause(Math.random() * 5);
    return (ask[index % ask.length] as () => Promise<string[]>)();
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

describe(`${IS_POOLED ? 'through PgBouncer in transaction mode' : 'directly (through PgBouncer: npm run test:pgbouncer)'}, with a pool of 2`, () => {
  let database: RlsDatabase;
  let app: App;
  let tenants: RlsTenant[];

  beforeAll(async () => {
    database = await createRlsDatabase();
    app = await startRlsApp(database, { pool: 2 });
    await seedTenants(app);
    tenants = await app.tenant.withoutTenant('seed the test', async () => {
      const made: RlsTenant[] = [];
      for (let index = 0; index < TENANTS; index += 1) made.push(await seedTenant(app, `tenant-${index}`));
      return made;
    });
  }, 60_000);
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  it(`${REQUESTS} interleaved requests of ${TENANTS} tenants see and change nothing of each other`, async () => {
    const requests = times(REQUESTS, (index) => ({ tenant: tenants[index % TENANTS] as RlsTenant, index }));
    const seen = await Promise.all(requests.map(({ tenant, index }) => request(app, tenant, index >> 2)));
    const owners = await app.tenant.withoutTenant('check the test', () =>
      app.dataSource.query<{ user_id: string; tenant_id: string; by: string | null }[]>(
        `select user_id, tenant_id, metadata ->> 'by' as by from nest_auth_user_accesses`,
      ),
    );
    const ownerOf = new Map(owners.map((row) => [row.user_id, row.tenant_id]));
    const leaks = seen.flatMap((ids, index) => ids.filter((id) => ownerOf.get(id) !== requests[index]?.tenant.id));
    expect(leaks).toEqual([]);
    expect(seen.filter((ids) => ids.length >= 2).length).toBeGreaterThan(REQUESTS / 2);
    expect(owners.filter(({ by, tenant_id: tenant }) => by !== null && by !== tenant)).toEqual([]);
    expect(owners.some(({ by }) => by !== null)).toBe(true);
  }, 60_000);

  it('leaves no tenant behind on any connection', async () => {
    const rows = await Promise.all(
      times(4, () =>
        app.dataSource.query<{ tenant: string | null; users: number; role: string }[]>(
          `select nullif(current_setting('nest_auth.tenant_id', true), '') as tenant, current_user as role,
            (select count(*)::integer from nest_auth_users) as users, pg_sleep(0.01)`,
        ),
      ),
    );
    for (const [row] of rows) expect(row).toMatchObject({ tenant: null, users: 0, role: database.roles.app });
  });
});

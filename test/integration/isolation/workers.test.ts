import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { ScheduleModule } from '@nestjs/schedule';

import {
  ActivityService,
  type DeliveryContext,
  type IdentityEvent,
  IdentityFeedService,
  JobHistoryService,
  NestAuthModule,
  OnIdentityEvent,
  TenantContext,
} from '../../../src/index.js';
import { NestAuthScheduleModule, NestAuthScheduler } from '../../../src/schedule/index.js';
import { PREPARED } from '../../support/connection-mode.js';
import { withClient } from '../../support/database.js';
import { freshEmail } from '../../support/nest-app.js';
import { seedTenants, startRlsApp } from '../../support/rls-app.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { until } from '../../support/until.js';

jest.setTimeout(120_000);

const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

async function database(): Promise<RlsDatabase> {
  const made = await createRlsDatabase();
  open.push(() => made.drop());
  return made;
}

describe('with row-level security', () => {
  it('a durable subscriber hears of every tenant, and its handler stands in none until it enters one', async () => {
    const got: [unknown, number][] = [];

    @Injectable()
    class Subscriber {
      constructor(
        private readonly tenants: TenantContext,
        private readonly activities: ActivityService,
      ) {}

      @OnIdentityEvent('nest_auth.user.created', { subscriber: 'crm', backoffMs: 10 })
      async take({ tenantId, after }: IdentityEvent, _delivery: DeliveryContext): Promise<void> {
        await expect(this.activities.findActivities({})).rejects.toMatchObject({ code: 'TENANT_REQUIRED' });
        const { items } = await this.tenants.run(tenantId ?? '', () => this.activities.findActivities({}));
        got.push([after?.['email'], items.filter((item) => item.tenantId !== tenantId).length]);
      }
    }

    const app = await startRlsApp(await database(), {
      auth: { subscribers: { pollMs: 20, leaseMs: 600 } },
      providers: [Subscriber],
    });
    open.push(() => app.close());
    const { a, b } = await seedTenants(app);
    await until('those of the seed', () => got.length >= 4);
    got.length = 0;
    const [ann, bob] = [freshEmail(), freshEmail()];
    await app.tenant.run(a.id, () => app.users.createUser({ email: ann }, a.id));
    await app.tenant.run(b.id, () => app.users.createUser({ email: bob }, b.id));
    await until('both', () => got.length === 2);
    expect(got).toEqual([
      [ann, 0],
      [bob, 0],
    ]);
  });

  it('the feed shows a tenant its own events only, and the state of subscribers to the platform only', async () => {
    const app = await startRlsApp(await database());
    open.push(() => app.close());
    const { a } = await seedTenants(app);
    const feed = app.context.get(IdentityFeedService);
    const read = (): ReturnType<typeof feed.readEvents> => feed.readEvents({ limit: 1000 });
    // What is written while another test's transaction is open on this server can be read only when that is over.
    await until('the log', async () => (await app.tenant.withoutTenant('wait', read)).events.length > 5);
    await until('those of the tenant', async () => (await app.tenant.run(a.id, read)).events.length > 0);
    const mine = await app.tenant.run(a.id, read);
    const all = await app.tenant.withoutTenant('read the feed', read);
    expect(mine.events.length).toBeGreaterThan(0);
    expect(new Set(mine.events.map(({ tenantId }) => tenantId))).toEqual(new Set([a.id]));
    expect(all.events.length).toBeGreaterThan(mine.events.length);
    await withClient(app.database.url, (client) =>
      client.query(
        `insert into nest_auth_subscriptions (name, position_xid, position_id) values ('crm', 0, gen_random_uuid())`,
      ),
    );
    expect(await app.tenant.run(a.id, () => feed.getSubscriptions())).toEqual([]);
    expect(await app.tenant.withoutTenant('look', () => feed.getSubscriptions())).toHaveLength(1);
  });

  it('a scheduled batch works through every tenant, and its run is seen by the platform', async () => {
    const app = await startRlsApp(await database(), {
      imports: [
        EventEmitterModule.forRoot(),
        ScheduleModule.forRoot(),
        NestAuthModule.forRoot({ rls: true, statements: { prepared: PREPARED } }),
        NestAuthScheduleModule.forRoot({ jobs: { 'maintain-activities': { enabled: false } } }),
      ],
    });
    open.push(() => app.close());
    const { a, b } = await seedTenants(app);
    await withClient(app.database.url, (client) =>
      client.query(`update nest_auth_users set activated_at = now() - interval '7 months' where id = any($1::uuid[])`, [
        [...a.users, ...b.users],
      ]),
    );
    const scheduler = app.context.get(NestAuthScheduler);
    const outcome = await scheduler.runNow('deactivate-inactive-users', 'ada');
    const processed = a.users.length + b.users.length;
    expect(outcome).toEqual({ status: 'succeeded', counts: { processed, skipped: 0, failed: 0 } });
    const history = app.context.get(JobHistoryService);
    const runs = await app.tenant.withoutTenant('look at the jobs', () => history.getRuns({ status: 'succeeded' }));
    expect(runs).toMatchObject([{ startedBy: 'ada', counts: { processed } }]);
    expect(await scheduler.runNow('seal-activities', 'ada')).toMatchObject({ status: 'succeeded' });
  });
});

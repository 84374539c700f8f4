import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';

import {
  ActivityService,
  type NestAuthModuleOptions,
  type VerifyActivitiesOptions,
  type VerifyActivitiesResult,
} from '../../../src/index.js';
import { createTestDatabase, withClient } from '../../support/database.js';
import { type NestApp, outcomesOf, startNestApp, times } from '../../support/nest-app.js';
import { countRows } from '../../support/tables.js';
import { DAY_MS, inMonth, monthName, partition, plant, sealAll } from './activities.js';

const KEY = 'a secret that the database does not know';
const OLD_KEY = 'another secret that was used before that';

interface Chain {
  readonly url: string;
  readonly app: NestApp;
  readonly activities: ActivityService;
  readonly verify: (options?: VerifyActivitiesOptions) => Promise<VerifyActivitiesResult>;
  /** As somebody who can do everything in the database. */
  readonly tamper: (sql: string) => Promise<unknown>;
}

/** A log of its own, with some activities of this month and of the next one. */
async function withChain(
  fn: (chain: Chain) => Promise<void>,
  audit: NestAuthModuleOptions['audit'] = {},
): Promise<void> {
  const { url, drop } = await createTestDatabase();
  const app = await startNestApp(url, { auth: { audit } });
  const activities = app.context.get(ActivityService);
  try {
    await plant(url, { count: 60, at: inMonth(0, 19 * DAY_MS) });
    await plant(url, { count: 60, at: inMonth(1, 19 * DAY_MS) });
    await fn({
      url,
      app,
      activities,
      verify: (options) => activities.verifyActivities(options),
      tamper: (sql) => withClient(url, (client) => client.query(`set session_replication_role = 'replica'; ${sql}`)),
    });
  } finally {
    await app.close();
    await drop();
  }
}

/** The row of the log that stands at a place, in the order of the chain. */
const rowAt = (offset: number): string =>
  `(select id from nest_auth_activities order by xid, id offset ${offset} limit 1)`;

describe('the chain', () => {
  it('covers everything, a month at a time, and holds', () =>
    withChain(async ({ url, activities, verify }) => {
      const progress: number[] = [];
      const { seals, head } = await sealAll(activities, url, { batchSize: 25 });
      expect(seals).toBe(6);
      expect(head).toEqual({ position: 6, hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
      expect(await verify({ onProgress: ({ position }) => progress.push(position) })).toEqual({
        isIntact: true,
        problem: null,
        seals: 6,
        activities: 120,
        dropped: { months: [], activities: 0 },
        head,
      });
      expect(progress).toEqual([1, 2, 3, 4, 5, 6]);
      expect(await verify({ from: 3, to: 4 })).toMatchObject({ isIntact: true, seals: 2, activities: 35 });
      expect(await countRows(url, 'nest_auth_activity_seals', `month = '${monthName(0)}'`)).toBe(3);
    }));

  it('does not depend on the settings of a session', () =>
    withChain(async ({ url, activities, verify, tamper }) => {
      await activities.logActivity({ type: 'crm.note', subjectType: 'job', details: { a: 1.5, ü: [null, '\t"'] } });
      await sealAll(activities, url);
      await tamper(`do $$ begin execute format('alter database %I set timezone = ''Asia/Kathmandu''', current_database());
        execute format('alter database %I set datestyle = ''SQL, DMY''', current_database());
        execute format('alter database %I set extra_float_digits = 0', current_database()); end $$`);
      const again = await startNestApp(url);
      expect(await again.context.get(ActivityService).verifyActivities()).toMatchObject({
        isIntact: true,
        activities: 121,
      });
      await again.close();
      expect((await verify()).isIntact).toBe(true);
    }));

  it.each<[string, string, object]>([
    [
      'a changed activity',
      `update nest_auth_activities set after = '{"i": 0}' where id = ${rowAt(30)}`,
      { kind: 'ACTIVITIES_CHANGED', position: 2, sealed: 25, found: 25 },
    ],
    [
      'another time',
      `update nest_auth_activities set occurred_at = occurred_at + interval '1 millisecond' where id = ${rowAt(0)}`,
      { kind: 'ACTIVITIES_CHANGED', position: 1 },
    ],
    [
      'a deleted activity',
      `delete from nest_auth_activities where id = ${rowAt(0)}`,
      { kind: 'ACTIVITIES_MISSING', position: 1, sealed: 25, found: 24 },
    ],
    [
      'an activity put in between',
      `insert into nest_auth_activities (occurred_at, id, xid, type, actor_type, subject_type)
         select occurred_at, '00000000-0000-0000-0000-000000000001', xid, type, actor_type, subject_type
         from nest_auth_activities where id = ${rowAt(61)}`,
      { kind: 'ACTIVITIES_ADDED', position: 4, sealed: 25, found: 26 },
    ],
    [
      'a dropped month that retention knows nothing of',
      `drop table ${partition(0)}`,
      { kind: 'ACTIVITIES_MISSING', position: 1, month: monthName(0), found: 0 },
    ],
    [
      'a changed seal',
      `update nest_auth_activity_seals set activities = 24 where position = 2`,
      { kind: 'SEAL_CHANGED', position: 2 },
    ],
    [
      'a seal that was moved in time',
      `update nest_auth_activity_seals set sealed_at = sealed_at - interval '1 day' where position = 2`,
      { kind: 'SEAL_CHANGED', position: 2 },
    ],
    [
      'a seal taken from the middle',
      'delete from nest_auth_activity_seals where position = 4',
      { kind: 'SEAL_MISSING', position: 4 },
    ],
    [
      'the first seal taken',
      'delete from nest_auth_activity_seals where position = 1',
      { kind: 'SEAL_MISSING', position: 1 },
    ],
  ])('shows %s, and where', async (_, sql, problem) =>
    withChain(async ({ url, activities, verify, tamper }) => {
      await sealAll(activities, url, { batchSize: 25 });
      await tamper(sql);
      const result = await verify();
      expect(result.isIntact).toBe(false);
      expect(result.problem).toMatchObject(problem);
      expect(result.seals).toBe((result.problem?.position ?? 0) - 1);
    }),
  );

  it('that was cut short or made anew holds, unless a head was kept elsewhere', () =>
    withChain(async ({ url, activities, verify, tamper }) => {
      const { head } = await sealAll(activities, url, { batchSize: 25 });
      const expectedHead = head ?? { position: 0, hash: '' };
      expect((await verify({ expectedHead })).isIntact).toBe(true);
      await tamper('delete from nest_auth_activity_seals where position = 6');
      expect((await verify()).isIntact).toBe(true);
      expect((await verify({ expectedHead })).problem).toMatchObject({ kind: 'SEAL_MISSING', position: 6 });
      await tamper(`delete from nest_auth_activity_seals;
        update nest_auth_activities set type = 'test.forged' where id = ${rowAt(3)}`);
      await sealAll(activities, url, { batchSize: 25 });
      expect((await verify()).isIntact).toBe(true);
      expect((await verify({ expectedHead })).problem).toMatchObject({ kind: 'HEAD_DIFFERS', position: 6 });
    }));

  it('with a key cannot be made anew by somebody who has the database only', () =>
    withChain(
      async ({ url, activities, verify, tamper }) => {
        await sealAll(activities, url, { batchSize: 25 });
        const keyed = await startNestApp(url, { auth: { audit: { sealKeys: [KEY, OLD_KEY] } } });
        const service = keyed.context.get(ActivityService);
        await plant(url, { count: 5, at: inMonth(1, 20 * DAY_MS) });
        await sealAll(service, url);
        expect(await service.verifyActivities()).toMatchObject({ isIntact: true, seals: 7 });
        // Whoever has no key can neither go on with the chain nor judge it.
        const without = await startNestApp(url);
        const unkeyed = without.context.get(ActivityService);
        const refused = { code: 'INVALID_OPTIONS', details: { option: 'audit.sealKeys' } };
        await expect(unkeyed.sealActivities()).rejects.toMatchObject(refused);
        await expect(unkeyed.verifyActivities()).rejects.toMatchObject(refused);
        await tamper('delete from nest_auth_activity_seals');
        await sealAll(unkeyed, url, { batchSize: 25 });
        expect((await unkeyed.verifyActivities()).isIntact).toBe(true);
        expect((await service.verifyActivities()).problem).toMatchObject({ kind: 'SEAL_UNKEYED', position: 1 });
        expect((await service.verifyActivities({ unkeyedUntil: 6 })).isIntact).toBe(true);
        await tamper('delete from nest_auth_activity_seals');
        const forger = await startNestApp(url, { auth: { audit: { sealKeys: ['x'.repeat(40)] } } });
        await sealAll(forger.context.get(ActivityService), url);
        await forger.close();
        expect((await service.verifyActivities()).problem).toMatchObject({ kind: 'SEAL_CHANGED', position: 1 });
        await tamper(`update nest_auth_activity_seals set is_keyed = true`);
        expect((await service.verifyActivities()).problem).toMatchObject({ kind: 'SEAL_CHANGED', position: 1 });
        expect((await verify()).isIntact).toBe(false);
        await keyed.close();
        await without.close();
      },
      { sealKeys: [OLD_KEY] },
    ));

  it('waits for a transaction that is still running, and skips nothing of it', () =>
    withChain(async ({ url, app, activities, verify }) => {
      await sealAll(activities, url);
      const runner = app.dataSource.createQueryRunner();
      await runner.startTransaction();
      const slow = await activities.logActivity({ type: 'crm.slow', subjectType: 'job' }, runner.manager);
      const quick = await activities.logActivity({ type: 'crm.quick', subjectType: 'job' });
      expect(await activities.sealActivities()).toMatchObject({ activities: 0, isComplete: true });
      expect(Number(slow.xid)).toBeLessThan(Number(quick.xid));
      await runner.commitTransaction();
      await runner.release();
      expect(await sealAll(activities, url)).toMatchObject({ activities: 2 });
      expect(await verify()).toMatchObject({ isIntact: true, activities: 122 });
    }));

  it('is one chain when many processes seal at once while others write', () =>
    withChain(async ({ url, activities, verify }) => {
      const { errors } = await outcomesOf<unknown>([
        ...times(6, () => activities.sealActivities({ batchSize: 7 })),
        ...times(40, () => activities.logActivity({ type: 'crm.note', subjectType: 'job' })),
        ...times(6, () => activities.sealActivities({ batchSize: 11 })),
      ]);
      expect(errors).toEqual([]);
      await sealAll(activities, url, { batchSize: 7 });
      expect(await verify()).toMatchObject({ isIntact: true, activities: 160 });
      expect(await countRows(url, 'nest_auth_activity_seals')).toBe(
        await countRows(url, 'nest_auth_activity_seals', 'position <= (select count(*) from nest_auth_activity_seals)'),
      );
    }));

  it('goes on where it stopped when a call makes only so many seals', () =>
    withChain(async ({ activities, verify, url }) => {
      const first = await activities.sealActivities({ batchSize: 10, maxSeals: 2 });
      expect(first.seals).toBeLessThanOrEqual(2);
      await sealAll(activities, url, { batchSize: 10, maxSeals: 2 });
      expect(await verify()).toMatchObject({ isIntact: true, activities: 120 });
    }));

  it('is refused on a server that counts transactions from the start again', () =>
    withChain(async ({ url, activities, tamper }) => {
      await tamper(`update nest_auth_activities set xid = 10 where id = ${rowAt(0)}`);
      await sealAll(activities, url);
      await tamper(
        'update nest_auth_activity_seals set to_xid = 1000000000000 where position = 1; delete from nest_auth_activity_seals where position > 1',
      );
      await expect(activities.sealActivities()).rejects.toMatchObject({ code: 'ACTIVITY_LOG_RESTORED' });
    }));

  it('cannot be changed, deleted or emptied (SEC-90)', () =>
    withChain(async ({ url, activities }) => {
      await sealAll(activities, url);
      for (const sql of [
        `update nest_auth_activity_seals set hash = ''`,
        'delete from nest_auth_activity_seals',
        'truncate nest_auth_activity_seals',
      ]) {
        await expect(withClient(url, (client) => client.query(sql))).rejects.toMatchObject({ code: '42501' });
      }
    }));

  it('refuses options that mean nothing', () =>
    withChain(async ({ activities }) => {
      const calls = [
        () => activities.sealActivities({ batchSize: 0 }),
        () => activities.sealActivities({ size: 1 } as object),
        () => activities.verifyActivities({ from: 0 }),
        () => activities.verifyActivities({ expectedHead: undefined } as object),
        () => activities.verifyActivities({ expectedHead: { position: 1, hash: '' } }),
        () => activities.verifyActivities({ expected: randomUUID() } as object),
      ];
      for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    }));
});

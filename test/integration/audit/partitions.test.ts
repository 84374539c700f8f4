import { describe, expect, it } from '@jest/globals';

import { ActivityService } from '../../../src/index.js';
import { createTestDatabase, withClient } from '../../support/database.js';
import { type NestApp, outcomesOf, startNestApp, times } from '../../support/nest-app.js';
import { countRows, dumpTables } from '../../support/tables.js';
import { monthName, monthStart, partition, plant, sealAll } from './activities.js';

interface Log {
  readonly url: string;
  readonly app: NestApp;
  readonly activities: ActivityService;
  readonly sql: (text: string) => Promise<unknown>;
}

async function withLog(fn: (log: Log) => Promise<void>): Promise<void> {
  const { url, drop } = await createTestDatabase();
  const app = await startNestApp(url);
  try {
    const sql = (text: string): Promise<unknown> => withClient(url, (client) => client.query(text));
    await fn({ url, app, activities: app.context.get(ActivityService), sql });
  } finally {
    await app.close();
    await drop();
  }
}

const namesOf = (partitions: readonly { name: string }[]): string[] => partitions.map(({ name }) => name);

/** A partition for a month that is over, as one that was made in its time. */
const pastMonth = (from: number): string =>
  `create table ${partition(from)} partition of nest_auth_activities
     for values from ('${monthStart(from)}') to ('${monthStart(from + 1)}')`;

async function partitionsOf(url: string): Promise<string[]> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ name: string }>(
      `select relid::text as name from pg_partition_tree('nest_auth_activities') where isleaf order by 1`,
    ),
  );
  return rows.map(({ name }) => name);
}

describe('maintainPartitions', () => {
  it('makes the months ahead that are missing, and does nothing the second time', () =>
    withLog(async ({ url, activities, sql }) => {
      await sql(`drop table ${partition(2)}, ${partition(5)}`);
      const first = await activities.maintainPartitions({ monthsAhead: 5 });
      expect(namesOf(first.created)).toEqual([`public.${partition(2)}`, `public.${partition(5)}`]);
      expect(first).toMatchObject({ adopted: null, dropped: [], kept: [], blocked: [], dryRun: false });
      expect(await activities.maintainPartitions({ monthsAhead: 5 })).toMatchObject({ created: [] });
      await plant(url, { count: 3, at: monthStart(2) });
      expect(await countRows(url, partition(2))).toBe(3);
    }));

  it('makes partitions that are like the others: indexes, and no change, deletion or truncation', () =>
    withLog(async ({ url, activities, sql }) => {
      await sql(`drop table ${partition(1)}`);
      await activities.maintainPartitions({ monthsAhead: 1 });
      await plant(url, { count: 1, at: monthStart(1) });
      for (const text of [
        `update ${partition(1)} set type = 'x'`,
        `delete from ${partition(1)}`,
        `truncate ${partition(1)}`,
      ]) {
        await expect(sql(text)).rejects.toMatchObject({ code: '42501' });
      }
      const shape = async (name: string): Promise<string[]> => {
        const { rows } = await withClient(url, (client) =>
          client.query<{ def: string }>(
            `select regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') as def from pg_index
             where indrelid = $1::regclass order by 1`,
            [name],
          ),
        );
        return rows.map(({ def }) => def);
      };
      expect(await shape(partition(1))).toEqual(await shape(partition(0)));
      expect(await shape(partition(1))).toHaveLength(6);
    }));

  it('drops months that are older than the retention, as a whole, and the chain knows why they are gone', () =>
    withLog(async ({ url, activities, sql }) => {
      for (const month of [-4, -3, -2]) {
        await sql(pastMonth(month));
        await plant(url, { count: 10, at: monthStart(month) });
      }
      await plant(url, { count: 10, at: monthStart(0) });
      const { head } = await sealAll(activities, url);
      const rehearsed = await activities.maintainPartitions({ retentionMonths: 2, dryRun: true });
      expect(namesOf(rehearsed.dropped)).toEqual([partition(-4), partition(-3)]);
      expect(await countRows(url, 'nest_auth_activities')).toBe(40);
      const { dropped } = await activities.maintainPartitions({ retentionMonths: 2 });
      expect(dropped).toEqual(rehearsed.dropped);
      expect(await partitionsOf(url)).not.toContain(partition(-3));
      expect(await countRows(url, 'nest_auth_activities', `type = 'test.planted'`)).toBe(20);
      const told = await activities.findActivities({ type: 'nest_auth.activities.dropped' });
      expect(told.items.map(({ details }) => details?.['before'])).toEqual([monthStart(-2), monthStart(-3)]);
      const months = [-4, -3].map((month) => monthStart(month).slice(0, 7));
      expect(await activities.verifyActivities(head === null ? {} : { expectedHead: head })).toMatchObject({
        isIntact: true,
        activities: 20,
        dropped: { months, activities: 20 },
      });
      // What retention has not dropped is missed as before.
      await sql(`drop table ${partition(-2)}`);
      expect((await activities.verifyActivities()).problem).toMatchObject({
        kind: 'ACTIVITIES_MISSING',
        month: monthStart(-2).slice(0, 7),
      });
    }));

  it('keeps a month that is not wholly sealed, once there is a chain', () =>
    withLog(async ({ url, activities, sql }) => {
      await sql(pastMonth(-3));
      await plant(url, { count: 10, at: monthStart(-3) });
      await sealAll(activities, url);
      await plant(url, { count: 1, at: monthStart(-3) });
      const { dropped, kept } = await activities.maintainPartitions({ retentionMonths: 1 });
      expect({ dropped, kept: namesOf(kept) }).toEqual({ dropped: [], kept: [partition(-3)] });
      expect(await countRows(url, partition(-3))).toBe(11);
    }));

  it('never drops the running month, and none at all unless told', () =>
    withLog(async ({ activities, sql, url }) => {
      await sql(pastMonth(-30));
      const before = await partitionsOf(url);
      expect((await activities.maintainPartitions()).dropped).toEqual([]);
      expect(await partitionsOf(url)).toEqual(before);
      await expect(activities.maintainPartitions({ retentionMonths: 0 })).rejects.toMatchObject({
        code: 'VALIDATION_FAILED',
      });
      await expect(activities.maintainPartitions({ retentionMonths: undefined } as object)).rejects.toMatchObject({
        code: 'VALIDATION_FAILED',
      });
    }));

  it('makes the default partition that of its months when nobody has looked after them in time', () =>
    withLog(async ({ url, activities, sql }) => {
      await sql(`drop table ${partition(0)}, ${partition(1)}, ${partition(2)}`);
      await plant(url, { count: 5, at: monthStart(0) });
      await plant(url, { count: 5, at: monthStart(1) });
      await sealAll(activities, url);
      expect(await countRows(url, 'nest_auth_activities_default')).toBe(10);
      const rehearsed = await activities.maintainPartitions({ monthsAhead: 2, dryRun: true });
      const result = await activities.maintainPartitions({ monthsAhead: 2 });
      expect(result).toEqual({ ...rehearsed, dryRun: false });
      const adopted = `${partition(0)}_to_${monthName(1).replace('-', '_')}`;
      expect(result.adopted).toEqual({
        name: `public.${adopted}`,
        from: new Date(monthStart(0)),
        to: new Date(monthStart(2)),
      });
      expect(namesOf(result.created)).toEqual([`public.${partition(2)}`]);
      expect(await countRows(url, adopted)).toBe(10);
      expect(await countRows(url, 'nest_auth_activities_default')).toBe(0);
      await activities.logActivity({ type: 'crm.note', subjectType: 'job' });
      expect(await countRows(url, adopted)).toBe(11);
      for (const table of [adopted, 'nest_auth_activities_default']) {
        await expect(sql(`truncate ${table}`)).rejects.toMatchObject({ code: '42501' });
      }
      await expect(sql(`delete from ${adopted}`)).rejects.toMatchObject({ code: '42501' });
      expect((await activities.verifyActivities()).isIntact).toBe(true);
      expect(await activities.maintainPartitions({ monthsAhead: 2 })).toMatchObject({ adopted: null, created: [] });
    }));

  it('says which months it cannot make because of what the default partition holds', () =>
    withLog(async ({ url, activities, sql }) => {
      await sql(`drop table ${partition(3)}`);
      await plant(url, { count: 1, at: '2019-05-01T00:00:00Z' });
      await plant(url, { count: 1, at: monthStart(3) });
      const { adopted, created, blocked } = await activities.maintainPartitions({ monthsAhead: 3 });
      expect({ adopted, created, blocked: namesOf(blocked) }).toEqual({
        adopted: null,
        created: [],
        blocked: [`public.${partition(3)}`],
      });
    }));

  it('is done once by many processes at once', () =>
    withLog(async ({ url, activities, sql }) => {
      await sql(`drop table ${partition(1)}, ${partition(2)}`);
      await sql(pastMonth(-5));
      const { won, errors } = await outcomesOf(
        times(5, () => activities.maintainPartitions({ monthsAhead: 2, retentionMonths: 1, lockTimeoutMs: 20_000 })),
      );
      expect(errors).toEqual([]);
      expect(namesOf(won.flatMap(({ created }) => created)).toSorted()).toEqual([
        `public.${partition(1)}`,
        `public.${partition(2)}`,
      ]);
      expect(namesOf(won.flatMap(({ dropped }) => dropped))).toEqual([partition(-5)]);
      expect(await countRows(url, 'nest_auth_activities', `type = 'nest_auth.activities.dropped'`)).toBe(1);
    }));

  it('gives up a lock that it does not get, and goes on with the next call', () =>
    withLog(async ({ url, activities, sql }) => {
      await sql(pastMonth(-5));
      await withClient(url, async (client) => {
        await client.query('begin');
        await client.query('select count(*) from nest_auth_activities');
        const attempt = activities.maintainPartitions({ retentionMonths: 1, lockTimeoutMs: 50 });
        await expect(attempt).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
        await client.query('commit');
      });
      expect(namesOf((await activities.maintainPartitions({ retentionMonths: 1 })).dropped)).toEqual([partition(-5)]);
    }));

  it('is rolled back with its caller, and gives back the limit for locks', () =>
    withLog(async ({ url, app, activities, sql }) => {
      await sql(pastMonth(-5));
      await sql(`drop table ${partition(2)}`);
      const before = [await dumpTables(url), await partitionsOf(url)];
      const attempt = app.users.runInTransaction(async (manager) => {
        await manager.query(`set local lock_timeout = '7s'`);
        await activities.maintainPartitions({ retentionMonths: 1 }, manager);
        expect(await manager.query('show lock_timeout')).toEqual([{ lock_timeout: '7s' }]);
        throw new Error('undo');
      });
      await expect(attempt).rejects.toThrow('undo');
      expect([await dumpTables(url), await partitionsOf(url)]).toEqual(before);
    }));

  it('needs the role that owns the tables, and says so before anything is done', () =>
    withLog(async ({ url, app, activities }) => {
      const role = `audit_app_${process.pid}_${Date.now()}`;
      await withClient(url, (client) =>
        client.query(
          `create role ${role}; grant select, insert on nest_auth_activities, nest_auth_activity_seals to ${role}`,
        ),
      );
      const attempt = app.users.runInTransaction(async (manager) => {
        await manager.query(`set local role ${role}`);
        return activities.maintainPartitions({}, manager);
      });
      await expect(attempt).rejects.toMatchObject({ code: 'AUDIT_OWNER_REQUIRED' });
      await withClient(url, (client) => client.query(`drop owned by ${role}; drop role ${role}`));
    }));
});

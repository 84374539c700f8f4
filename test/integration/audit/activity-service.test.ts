import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import pg from 'pg';

import {
  ActivityService,
  ActorTypeEnum,
  IdentityContext,
  type LogActivityInput,
  NestAuthActivity,
  NestAuthActivitySeal,
  UserActivityTypeEnum,
} from '../../../src/index.js';
import { toNestAuthError } from '../../../src/errors/postgres-errors.js';
import { withClient } from '../../support/database.js';
import { useNestApp } from '../../support/nest-app.js';
import { countRows, dumpTables } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';
import { DAY_MS, inMonth, partition as partitionOf, plant, uuidOf } from './activities.js';

const sent: { text: string; values?: unknown[] }[] = [];
const send = pg.Client.prototype.query as (...args: unknown[]) => unknown;

// Before the application takes the driver's method: with the values, to explain a statement as it was sent.
pg.Client.prototype.query = function watched(this: pg.Client, ...args: unknown[]): unknown {
  const [config, values = []] = args as [string | { text: string; values?: unknown[] }, unknown[] | undefined];
  const query = typeof config === 'string' ? { text: config, values } : config;
  if (/from nest_auth_activities/.test(query.text)) sent.push(query);
  return send.apply(this, args);
} as typeof pg.Client.prototype.query;

const app = useNestApp();
const service = (): ActivityService => app.context.get(ActivityService);
const invalid = { code: 'VALIDATION_FAILED' };

describe('logActivity', () => {
  it('writes who, on whom, what and when in one statement, and answers it', async () => {
    const [userId, tenantId] = [randomUUID(), randomUUID()];
    const facts = {
      actor: { type: ActorTypeEnum.SERVICE, id: 'crm' },
      ip: '2001:db8::1',
      userAgent: 'test',
      requestId: 'r-1',
    };
    const { result, statements } = await recordStatements(() =>
      IdentityContext.run(facts, () =>
        service().logActivity({ type: 'crm.note_added', userId, tenantId, details: { note: 'hello' } }),
      ),
    );
    expect(statements).toHaveLength(1);
    expect(result).toBeInstanceOf(NestAuthActivity);
    expect(result).toMatchObject({
      type: 'crm.note_added',
      userId,
      tenantId,
      subjectType: 'user',
      subjectId: userId,
      actorType: 'service',
      actorId: 'crm',
      before: null,
      after: null,
      details: { note: 'hello' },
      ip: '2001:db8::1',
      userAgent: 'test',
      requestId: 'r-1',
    });
    expect(await app.manager.findOneByOrFail(NestAuthActivity, { id: result.id })).toEqual(result);
  });

  it('is rolled back with its caller', async () => {
    const userId = randomUUID();
    const attempt = app.users.runInTransaction(async () => {
      await service().logActivity({ type: 'crm.note_added', userId });
      throw new Error('undo');
    });
    await expect(attempt).rejects.toThrow('undo');
    expect(await countRows(app.url, 'nest_auth_activities', 'user_id = $1', [userId])).toBe(0);
  });

  it('takes the activity types of the lifecycle', async () => {
    for (const type of new Set(Object.values(UserActivityTypeEnum))) {
      const { type: written } = await service().logActivity({ type, userId: randomUUID() });
      expect(written).toBe(type);
    }
  });

  it('keeps no value of a key that sounds like a secret, at any depth', async () => {
    const { details, after } = await service().logActivity({
      type: 'crm.synced',
      subjectType: 'job',
      after: { apiKey: 'k', name: 'n' },
      details: { list: [{ accessToken: 't', count: 1 }], password: { old: 'a' } },
    });
    expect(after).toEqual({ apiKey: '[redacted]', name: 'n' });
    expect(details).toEqual({ list: [{ accessToken: '[redacted]', count: 1 }], password: '[redacted]' });
  });

  it.each<[string, object]>([
    ['a name without a dot', { type: 'note', userId: randomUUID() }],
    ['capitals', { type: 'Crm.note', userId: randomUUID() }],
    ['a name of the package that nobody else may use', { type: 'nest_auth.role.created', userId: randomUUID() }],
    ['the word of retention', { type: 'nest_auth.activities.dropped', userId: randomUUID() }],
    ['an id that is none', { type: 'crm.note', userId: 'x' }],
    ['nothing that it is about', { type: 'crm.note', userId: undefined }],
    ['an id of nothing', { type: 'crm.note', userId: randomUUID(), subjectId: randomUUID() }],
    ['a field it does not know', { type: 'crm.note', userId: randomUUID(), xid: '1' }],
    ['details that are no object', { type: 'crm.note', userId: randomUUID(), details: [1] }],
  ])('refuses %s', async (_, input) => {
    const before = await dumpTables(app.url);
    await expect(service().logActivity(input as LogActivityInput)).rejects.toMatchObject(invalid);
    expect(await dumpTables(app.url)).toEqual(before);
  });
});

describe('findActivities', () => {
  it('pages through what all filters match, newest first, without skipping or repeating any at equal times', async () => {
    const tenantId = randomUUID();
    for (const at of [inMonth(0, DAY_MS), inMonth(1, -10)]) {
      await plant(app.url, { count: 40, at, everyMs: 0, tenantId: `'${tenantId}'` });
      await plant(app.url, { count: 40, at, everyMs: 7, tenantId: `'${tenantId}'`, type: `'test.other'` });
    }
    const filter = { tenantId, type: ['test.planted', 'test.other'] };
    const seen: NestAuthActivity[] = [];
    for (let after: string | null = null, first = true; first || after !== null; first = false) {
      const page = await service().findActivities(filter, { limit: 17, ...(after === null ? {} : { after }) });
      seen.push(...page.items);
      after = page.nextCursor;
    }
    expect(new Set(seen.map(({ id }) => id)).size).toBe(160);
    expect(seen).toHaveLength(160);
    const keys = seen.map(({ occurredAt, id }) => `${occurredAt.toISOString()} ${id}`);
    expect(keys).toEqual(keys.toSorted().toReversed());
    const { items } = await service().findActivities({
      tenantId,
      type: 'test.other',
      from: new Date(inMonth(1, -3)),
      to: new Date(inMonth(1, 4)),
    });
    expect(items.map(({ after }) => after?.['i'])).toEqual([1]);
  });

  it('finds by actor, by kind of actor and by user', async () => {
    const [userId, actorId] = [randomUUID(), randomUUID()];
    await IdentityContext.run({ actor: { type: 'user', id: actorId } }, () =>
      service().logActivity({ type: 'crm.called', userId }),
    );
    await service().logActivity({ type: 'crm.called', userId });
    const found = async (filter: object): Promise<number> => (await service().findActivities(filter)).items.length;
    expect(await found({ userId })).toBe(2);
    expect(await found({ actorId })).toBe(1);
    expect(await found({ userId, actorType: 'system' })).toBe(1);
    expect(await found({ userId, actorId: randomUUID() })).toBe(0);
  });

  it('refuses filters that would be ignored or lost, and cursors of another filter', async () => {
    await plant(app.url, { count: 3, at: inMonth(0, 2 * DAY_MS) });
    const { nextCursor } = await service().findActivities({ type: 'test.planted' }, { limit: 1 });
    const calls = [
      () => service().findActivities({ userId: undefined }),
      () => service().findActivities({ type: [] }),
      () => service().findActivities({ user: randomUUID() } as object),
      () => service().findActivities({ from: '2026-01-01' as unknown as Date }),
      () => service().findActivities({}, { limit: 501 }),
      () => service().findActivities({}, { offset: 1 } as object),
      () => service().findActivities({ type: 'test.other' }, { after: nextCursor ?? '' }),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject(invalid);
  });
});

describe('the log itself', () => {
  it('cannot be changed, deleted or emptied by raw SQL, through the whole or through a partition', async () => {
    const { id } = await service().logActivity({ type: 'crm.note_added', userId: randomUUID() });
    await withClient(app.url, async (client) => {
      const { rows } = await client.query<{ name: string }>(
        `select tableoid::regclass::text as name from nest_auth_activities where id = $1`,
        [id],
      );
      const partition = rows[0]?.name ?? '';
      expect(partition).toMatch(/^nest_auth_activities_\d{4}_\d\d$/);
      for (const table of ['nest_auth_activities', partition]) {
        for (const sql of [
          `update ${table} set type = 'x' where id = '${id}'`,
          `delete from ${table} where id = '${id}'`,
          `truncate ${table}`,
        ]) {
          const error: unknown = await client.query(sql).catch((reason: unknown) => reason);
          expect(error).toMatchObject({ code: '42501', constraint: 'nest_auth_append_only' });
          expect(toNestAuthError(error)).toMatchObject({ code: 'ACTIVITY_APPEND_ONLY' });
        }
      }
    });
    expect(await countRows(app.url, 'nest_auth_activities', 'id = $1', [id])).toBe(1);
  });

  it('cannot be emptied by somebody who does not own it, triggers or not', async () => {
    const role = `audit_guest_${randomUUID().slice(0, 8)}`;
    await withClient(app.url, async (client) => {
      await client.query(
        `create role ${role}; grant select, insert, update, delete on nest_auth_activities to ${role}`,
      );
      await client.query(`set role ${role}`);
      for (const sql of [
        'truncate nest_auth_activities',
        'alter table nest_auth_activities disable trigger all',
        `set session_replication_role = 'replica'`,
        'drop table nest_auth_activities_default',
      ]) {
        await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
      }
      await client.query(`reset role; drop owned by ${role}; drop role ${role}`);
    });
  });

  it('is not written through the ORM, and the transaction that tried stays usable', async () => {
    const activity = await service().logActivity({ type: 'crm.note_added', userId: randomUUID() });
    const before = await dumpTables(app.url);
    const changed = Object.assign(new NestAuthActivity(), activity, { type: 'crm.forged' });
    await app.users.runInTransaction(async (manager) => {
      const ways = [
        () => manager.save(NestAuthActivity, changed),
        () => manager.insert(NestAuthActivity, { id: randomUUID(), type: 'crm.forged' }),
        () => manager.update(NestAuthActivity, { id: activity.id }, { type: 'crm.forged' }),
        () => manager.remove(activity),
        () => manager.delete(NestAuthActivity, { id: activity.id }),
        () => activity.remove(),
        () => manager.insert(NestAuthActivitySeal, { position: '1' }),
      ];
      for (const way of ways) await expect(way()).rejects.toMatchObject({ code: 'ENTITY_WRITE_REFUSED' });
      expect(await manager.count(NestAuthActivity)).toBeGreaterThan(0);
    });
    expect(await dumpTables(app.url)).toEqual(before);
  });
});

describe('the plans of the queries', () => {
  it('reach every filter by an index, in a log with a large month', async () => {
    const at = inMonth(0, 4 * DAY_MS);
    const [userId, tenantId] = [uuidOf('i % 500'), uuidOf('1000 + i % 100')];
    const [actorId, type] = [`'actor-' || i % 500`, `'test.type_' || i % 50`];
    await plant(app.url, { count: 20_000, at, everyMs: 60_000, userId, tenantId, actorId, type });
    await withClient(app.url, (client) => client.query('analyze nest_auth_activities'));
    const user = '00000000-0000-0000-0000-000000000007';
    const { nextCursor } = await service().findActivities({}, { limit: 10 });
    const calls: Record<string, () => Promise<unknown>> = {
      nothing: () => service().findActivities(),
      'a cursor': () => service().findActivities({}, { after: nextCursor ?? '' }),
      user: () => service().findActivities({ userId: user }),
      tenant: () => service().findActivities({ tenantId: '00000000-0000-0000-0000-0000000003e8' }),
      type: () => service().findActivities({ type: 'test.type_3' }),
      actor: () => service().findActivities({ actorId: 'actor-3' }),
      time: () =>
        service().findActivities({
          from: new Date(inMonth(0, 5 * DAY_MS)),
          to: new Date(inMonth(0, 5 * DAY_MS + 2 * 60 * 60_000)),
        }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const plan = await planOf(call);
      expect({ name, scans: plan.match(new RegExp(`Seq Scan on ${partitionOf(0)}`, 'g')) }).toEqual({
        name,
        scans: null,
      });
      expect(plan).toMatch(/Index (Only )?Scan/);
    }
  }, 60_000);
});

/** How PostgreSQL would do the one statement that a call sends. */
async function planOf(call: () => Promise<unknown>): Promise<string> {
  sent.length = 0;
  await call();
  expect(sent).toHaveLength(1);
  const [query] = sent;
  const { rows } = await withClient(app.url, (client) =>
    client.query<{ 'QUERY PLAN': string }>(`explain ${query?.text}`, query?.values),
  );
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}

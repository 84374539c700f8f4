import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { v4 as uuidv4 } from 'uuid';

import {
  type DeliveryContext,
  type DurableOptions,
  type IdentityEvent,
  IdentityFeedService,
  NestAuthEvents,
  OnIdentityEvent,
  PostponedError,
  UndeliverableError,
} from '../../../src/index.js';
import { LAST_ID, readFeed } from '../../../src/feed/feed.queries.js';
import { claim, register } from '../../../src/feed/subscription.queries.js';
import { TransactionHost } from '../../../src/transaction/transaction-host.js';
import { createTestDatabase, withClient } from '../../support/database.js';
import { freshEmail, type NestApp, startNestApp } from '../../support/nest-app.js';
import { until } from '../../support/until.js';
import { untilSent } from '../../support/wire.js';

jest.setTimeout(120_000);

type Handle = (event: IdentityEvent, delivery: DeliveryContext) => Promise<unknown>;

/** A provider whose method is a durable subscriber. */
function subscriberClass(types: string | string[], options: DurableOptions, handle: Handle): new () => object {
  @Injectable()
  class Subscriber {
    @OnIdentityEvent(types, options)
    async take(event: IdentityEvent, delivery: DeliveryContext): Promise<void> {
      await handle(event, delivery);
    }
  }
  return Subscriber;
}

const FAST = { pollMs: 20, leaseMs: 600 };
/** In what a worker sends: when it asks for the lease, and when it has it and reads. */
const ASKS_FOR_LEASE = /as held,\s.*as foreign\s/;
const READS_LOG = /as horizon left join lateral/;
const CRM = { subscriber: 'crm', backoffMs: 10 };
const open: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

async function database(): Promise<string> {
  const { url, drop } = await createTestDatabase();
  open.push(drop);
  return url;
}

async function start(
  url: string,
  classes: (new () => object)[],
  settings: object = FAST,
  pool = 4,
): Promise<NestApp & { feed: IdentityFeedService }> {
  const app = await startNestApp(url, { providers: classes, auth: { subscribers: settings }, pool });
  let closed = false;
  const close = async (): Promise<void> => {
    if (!closed) await app.close();
    closed = true;
  };
  open.push(close);
  return { ...app, close, feed: app.context.get(IdentityFeedService) };
}

const emailOf = ({ after }: IdentityEvent): unknown => after?.['email'];

describe('a durable subscriber', () => {
  it('gets what is committed, in order, with who and what, and nothing of a rollback', async () => {
    const url = await database();
    const got: IdentityEvent[] = [];
    const app = await start(url, [
      subscriberClass(NestAuthEvents.USER_CREATED, CRM, async (event) => void got.push(event)),
    ]);
    const [a, b, c] = [freshEmail(), freshEmail(), freshEmail()];
    const first = await app.users.createUser({ email: a });
    await expect(
      app.users.runInTransaction(async () => {
        await app.users.createUser({ email: c });
        throw new Error('undo');
      }),
    ).rejects.toThrow('undo');
    await app.users.createUser({ email: b });
    await until('both', () => got.length === 2);
    expect(got.map(emailOf)).toEqual([a, b]);
    expect(got[0]).toMatchObject({
      type: 'nest_auth.user.created',
      userId: first.id,
      subject: { type: 'user', id: first.id },
      actor: { type: 'system' },
    });
  });

  it('finds what happened while no process was running', async () => {
    const url = await database();
    const got: unknown[] = [];
    const classes = [subscriberClass(NestAuthEvents.USER_CREATED, CRM, async (event) => void got.push(emailOf(event)))];
    const before = await start(url, classes);
    await before.close();
    const other = await start(url, []);
    const emails = [freshEmail(), freshEmail(), freshEmail()];
    for (const email of emails) await other.users.createUser({ email });
    await start(url, classes);
    await until('all three', () => got.length === 3);
    expect(got).toEqual(emails);
  });

  it('begins with what happens from now on, or with the oldest entry', async () => {
    const url = await database();
    const early = freshEmail();
    const before = await start(url, []);
    await before.users.createUser({ email: early });
    // Another test's transaction on this server may be older, and still run: until then the entry counts as new.
    const types = [NestAuthEvents.USER_CREATED];
    await until(
      'the end of older transactions',
      async () => (await before.feed.readEvents({ types })).events.length === 1,
    );
    const [now, all]: unknown[][] = [[], []];
    const take = (list: unknown[]) => async (event: IdentityEvent) => void list.push(emailOf(event));
    const app = await start(url, [
      subscriberClass(NestAuthEvents.USER_CREATED, CRM, take(now as unknown[])),
      subscriberClass(
        NestAuthEvents.USER_CREATED,
        { subscriber: 'index', startFrom: 'beginning' },
        take(all as unknown[]),
      ),
    ]);
    const late = freshEmail();
    await app.users.createUser({ email: late });
    await until('the late one', () => now?.length === 1 && all?.length === 2);
    expect(now).toEqual([late]);
    expect(all).toEqual([early, late]);
  });

  it('does not skip the row of a transaction that began earlier and commits later (F36)', async () => {
    const url = await database();
    const got: unknown[] = [];
    const app = await start(url, [
      subscriberClass(NestAuthEvents.USER_CREATED, CRM, async (event) => void got.push(emailOf(event))),
    ]);
    const [slow, fast, after] = [freshEmail(), freshEmail(), freshEmail()];
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await app.users.createUser({ email: slow }, null, undefined, runner.manager);
    await app.users.createUser({ email: fast });
    // Enough looks at the log for a reader that goes by the last id to have passed it.
    await untilSent(READS_LOG, 4);
    expect(got).toEqual([]);
    await runner.commitTransaction();
    await runner.release();
    await app.users.createUser({ email: after });
    await until('all', () => got.length === 3);
    expect(got).toEqual([slow, fast, after]);
  });

  it('tries again with growing pauses, keeps the order, then buries the event and lets the others pass (F37)', async () => {
    const url = await database();
    const tried: string[] = [];
    const [poison, next] = [freshEmail(), freshEmail()];
    let heal = false;
    const handle: Handle = async (event, { attempt }) => {
      tried.push(`${String(emailOf(event))} ${attempt}`);
      if (emailOf(event) === poison && !heal) throw new Error('the CRM says no');
    };
    const app = await start(url, [subscriberClass('*', { ...CRM, maxAttempts: 3 }, handle)]);
    await app.users.createUser({ email: poison });
    await app.users.createUser({ email: next });
    await until('the next one', () => tried.includes(`${next} 1`));
    expect(tried).toEqual([`${poison} 1`, `${poison} 2`, `${poison} 3`, `${next} 1`]);
    const [letter, ...rest] = await app.feed.getDeadLetters('crm');
    expect(rest).toEqual([]);
    expect(letter).toMatchObject({ type: 'nest_auth.user.created', attempts: 3, error: 'Error: the CRM says no' });
    heal = true;
    await app.feed.retryDeadLetter('crm', letter?.eventId ?? '');
    await until('the letter to go', async () => (await app.feed.getDeadLetters('crm')).length === 0);
    expect(tried.at(-1)).toBe(`${poison} 4`);
    await expect(app.feed.retryDeadLetter('crm', letter?.eventId ?? '')).rejects.toMatchObject({
      code: 'DEAD_LETTER_NOT_FOUND',
    });
  });

  it('tries nothing again that says it cannot be delivered', async () => {
    const url = await database();
    const tried: unknown[] = [];
    const app = await start(url, [
      subscriberClass(NestAuthEvents.USER_CREATED, CRM, async (event) => {
        tried.push(emailOf(event));
        if (tried.length === 1) throw new UndeliverableError('no such account');
      }),
    ]);
    const [poison, next] = [freshEmail(), freshEmail()];
    await app.users.createUser({ email: poison });
    await app.users.createUser({ email: next });
    await until('the next one', () => tried.length > 1);
    expect(tried).toEqual([poison, next]);
    expect(await app.feed.getDeadLetters('crm')).toMatchObject([{ attempts: 1, retryAt: null }]);
  });

  it('sets aside what says it is not the time, lets the others pass, and tries it again by itself', async () => {
    const url = await database();
    const tried: string[] = [];
    const [later, next] = [freshEmail(), freshEmail()];
    let isTime = false;
    const app = await start(url, [
      subscriberClass(NestAuthEvents.USER_CREATED, CRM, async (event, { attempt }) => {
        tried.push(`${String(emailOf(event))} ${attempt}`);
        if (emailOf(event) !== later || isTime) return;
        // From the second attempt on it fails like any other: it stays aside all the same.
        throw attempt === 1 ? new PostponedError('come back later') : new Error('down');
      }),
    ]);
    await app.users.createUser({ email: later });
    await app.users.createUser({ email: next });
    await until('both', () => tried.includes(`${next} 1`) && tried.includes(`${later} 2`));
    // The first one cannot be delivered yet: had it kept its place, the next one would not have had its turn.
    isTime = true;
    await until('its end', async () => (await app.feed.getDeadLetters('crm')).length === 0);
    expect(tried.filter((one) => one.startsWith(next))).toHaveLength(1);
  });

  it('gives up in the end what was set aside', async () => {
    const url = await database();
    const app = await start(url, [
      subscriberClass(NestAuthEvents.USER_CREATED, { ...CRM, maxAttempts: 3 }, () =>
        Promise.reject(new PostponedError('come back later')),
      ),
    ]);
    await app.users.createUser({ email: freshEmail() });
    await until('the end', async () => (await app.feed.getDeadLetters('crm'))[0]?.retryAt === null);
    expect(await app.feed.getDeadLetters('crm')).toMatchObject([{ attempts: 3, retryRequested: false }]);
    expect((await app.feed.getSubscriptions())[0]?.deadLetters).toBe(1);
  });

  it('delivers again after a failure in between, and after a replay', async () => {
    const url = await database();
    const got: unknown[] = [];
    const app = await start(url, [
      subscriberClass(NestAuthEvents.USER_CREATED, CRM, async (event) => void got.push(emailOf(event))),
    ]);
    const [a, b] = [freshEmail(), freshEmail()];
    await app.users.createUser({ email: a });
    await until('the first', () => got.length === 1);
    const { cursor } = await app.feed.readEvents();
    await app.users.createUser({ email: b });
    await until('the second', () => got.length === 2);
    await app.feed.replay('crm', { after: cursor });
    await until('the second again', () => got.length === 3);
    await app.feed.replay('crm', 'beginning');
    await until('both again', () => got.length === 5);
    expect(got).toEqual([a, b, b, a, b]);
    await expect(app.feed.replay('nobody', 'beginning')).rejects.toMatchObject({ code: 'SUBSCRIPTION_NOT_FOUND' });
  });

  it('gives up an attempt that takes too long, and tells the handler', async () => {
    const url = await database();
    const signals: AbortSignal[] = [];
    const app = await start(url, [
      subscriberClass('*', { ...CRM, timeoutMs: 50 }, (_event, { signal, attempt }) => {
        signals.push(signal);
        return attempt === 1 ? new Promise(() => undefined) : Promise.resolve();
      }),
    ]);
    await app.users.createUser({ email: freshEmail() });
    await until('the second attempt', () => signals.length === 2);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    await until('its end', async () => (await app.feed.getSubscriptions())[0]?.attempts === 0);
    expect(await app.feed.getDeadLetters('crm')).toEqual([]);
  });

  it('with transactional: true, writes what it writes exactly once, together with its position', async () => {
    const url = await database();
    await withClient(url, (client) => client.query('create table seen (email text not null)'));
    let failing = 2;
    const app = await start(url, [
      subscriberClass(NestAuthEvents.USER_CREATED, { ...CRM, transactional: true }, async (event, { manager }) => {
        await manager?.query('insert into seen values ($1)', [emailOf(event)]);
        if ((failing -= 1) >= 0) throw new Error('after the write');
      }),
    ]);
    const emails = [freshEmail(), freshEmail()];
    for (const email of emails) await app.users.createUser({ email });
    const seen = (): Promise<unknown[]> =>
      withClient(url, async (client) =>
        (await client.query('select email from seen')).rows.map(({ email }) => email as unknown),
      );
    await until('both', async () => (await seen()).length === 2);
    expect(await seen()).toEqual(emails);
  });

  it.each<[string, (delivery: DeliveryContext) => Promise<unknown>]>([
    ['never settles', () => new Promise(() => undefined)],
    ['waits for the server', ({ manager }) => manager?.query('select pg_sleep(600)') ?? Promise.resolve()],
  ])('with transactional: true, gives the only connection back when its handler %s', async (_how, hang) => {
    const url = await database();
    const got: string[] = [];
    const [stuck, next] = [freshEmail(), freshEmail()];
    const handle: Handle = async (event, delivery) => {
      got.push(`${String(emailOf(event))} ${delivery.attempt}`);
      if (emailOf(event) === stuck) await hang(delivery);
    };
    const options = { ...CRM, transactional: true, timeoutMs: 100, maxAttempts: 2 };
    const app = await start(url, [subscriberClass(NestAuthEvents.USER_CREATED, options, handle)], FAST, 1);
    await app.users.createUser({ email: stuck });
    await until('the first attempt', () => got.length === 1);
    // Waits for the connection, and gets it.
    await app.users.createUser({ email: next });
    await until('the next one', () => got.includes(`${next} 1`));
    expect(got).toEqual([`${stuck} 1`, `${stuck} 2`, `${next} 1`]);
    expect(await app.feed.getDeadLetters('crm')).toMatchObject([{ attempts: 2 }]);
  });

  it('works with a pool of one connection', async () => {
    const url = await database();
    const got: unknown[] = [];
    const handle: Handle = async (event) => void got.push(emailOf(event));
    const app = await start(url, [subscriberClass('*', { ...CRM, transactional: true }, handle)], FAST, 1);
    const email = freshEmail();
    await app.users.createUser({ email });
    await until('the event', () => got.length === 1);
    expect(got).toEqual([email]);
  });

  it('finds what it was woken for although an older transaction was running then', async () => {
    const url = await database();
    const got: unknown[] = [];
    const hour = { pollMs: 3_600_000, leaseMs: 600 };
    const app = await start(url, [subscriberClass('*', CRM, async (event) => void got.push(emailOf(event)))], hour);
    const email = freshEmail();
    await withClient(url, async (older) => {
      await older.query('begin; select pg_current_xact_id()');
      const looked = untilSent(READS_LOG, 2);
      await app.users.createUser({ email });
      await looked;
      expect(got).toEqual([]);
      await older.query('commit');
    });
    await until('the event', () => got.length === 1);
    expect(got).toEqual([email]);
  });

  it('is woken by another process through LISTEN/NOTIFY, long before it would look by itself', async () => {
    const url = await database();
    const got: unknown[] = [];
    const hour = { pollMs: 3_600_000, leaseMs: 600, listen: true };
    await start(url, [subscriberClass('*', CRM, async (event) => void got.push(emailOf(event)))], hour);
    await until('LISTEN', () =>
      withClient(url, async (client) => {
        const { rows } = await client.query(`select 1 from pg_stat_activity where query = 'LISTEN nest_auth_feed'`);
        return rows.length > 0;
      }),
    );
    const other = await start(
      url,
      [subscriberClass(NestAuthEvents.TENANT_CREATED, { subscriber: 'other' }, async () => undefined)],
      hour,
    );
    const email = freshEmail();
    await other.users.createUser({ email });
    await until('the event', () => got.length === 1);
    expect(got).toEqual([email]);
  });
});

describe('the health check', () => {
  it('is told how long a subscriber is behind, and when that is too long', async () => {
    const url = await database();
    let isBroken = true;
    const handle: Handle = () => (isBroken ? Promise.reject(new Error('down')) : Promise.resolve());
    const app = await start(url, [subscriberClass('*', CRM, handle)], { ...FAST, maxLagMs: 100 });
    const { health } = app.context.get(TransactionHost);
    const read = async (): Promise<unknown> =>
      health
        .all()
        .find(({ name }) => name === 'subscribers')
        ?.read();
    expect(await read()).toEqual({ healthy: true, lagMs: { crm: 0 } });
    await app.users.createUser({ email: freshEmail() });
    await until('the lag', async () => !((await read()) as { healthy: boolean }).healthy);
    isBroken = false;
    await until('the end of the lag', async () => ((await read()) as { healthy: boolean }).healthy);
    expect(await read()).toEqual({ healthy: true, lagMs: { crm: 0 } });
  });
});

describe('a position that lies beyond the transactions of the server', () => {
  /** A subscriber whose position comes from a server that had seen more. */
  async function startBeyond(url: string, got: unknown[]): ReturnType<typeof start> {
    const before = await start(url, []);
    await register(before.manager, 'crm', false);
    await before.close();
    await withClient(url, (client) =>
      client.query('update nest_auth_subscriptions set position_xid = position_xid + 1000000000000'),
    );
    return start(url, [
      subscriberClass(NestAuthEvents.USER_CREATED, CRM, async (event) => void got.push(emailOf(event))),
    ]);
  }

  it('is one that is not behind the oldest running transaction', async () => {
    const app = await start(await database(), []);
    const everything = { types: null, tenantId: null };
    // One snapshot for all: the horizon moves with whatever else happens on the server.
    await app.dataSource.transaction('REPEATABLE READ', async (manager) => {
      const [row] = await manager.query<{ xid: string }[]>(
        'select pg_snapshot_xmin(pg_current_snapshot())::text as xid',
      );
      const horizon = BigInt(row?.xid ?? 0);
      const readFrom = (xid: bigint): Promise<unknown> =>
        readFeed(manager, { xid: String(xid), id: LAST_ID }, everything, 10);
      expect(await readFrom(horizon - 1n)).toEqual({ events: [], next: { xid: String(horizon - 1n), id: LAST_ID } });
      await expect(readFrom(horizon)).rejects.toMatchObject({ code: 'ACTIVITY_LOG_RESTORED' });
    });
  });

  it('is refused and unhealthy, instead of passing events by, until the subscriber is replayed', async () => {
    const url = await database();
    const got: unknown[] = [];
    const app = await startBeyond(url, got);
    const read = async (): Promise<unknown> =>
      app.context
        .get(TransactionHost)
        .health.all()
        .find(({ name }) => name === 'subscribers')
        ?.read();
    expect(await read()).toEqual({ healthy: false, lagMs: { crm: Number.POSITIVE_INFINITY } });
    const before = new Date(Date.now() - 60_000);
    const email = freshEmail();
    await app.users.createUser({ email });
    await untilSent(READS_LOG, 4);
    expect(got).toEqual([]);
    const [state] = await app.feed.getSubscriptions();
    await expect(app.feed.readEvents({ after: state?.cursor ?? '' })).rejects.toMatchObject({
      code: 'ACTIVITY_LOG_RESTORED',
    });
    await app.feed.replay('crm', before);
    await until('the event', () => got.length === 1);
    expect(got).toEqual([email]);
    await until('its health', async () => ((await read()) as { healthy: boolean }).healthy);
  });

  it('is left by a replay also when nothing has happened since', async () => {
    const url = await database();
    const got: unknown[] = [];
    const app = await startBeyond(url, got);
    await app.feed.replay('crm', new Date());
    const email = freshEmail();
    await app.users.createUser({ email });
    await until('the event', () => got.length === 1);
    expect(got).toEqual([email]);
  });
});

describe('a replay from a time', () => {
  it('does not skip the row of a transaction that still runs, and began before those that are there', async () => {
    const url = await database();
    const app = await start(url, []);
    await register(app.manager, 'crm', false);
    const [slow, fast] = [freshEmail(), freshEmail()];
    const since = new Date(Date.now() - 60_000);
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await app.users.createUser({ email: slow }, null, undefined, runner.manager);
    await app.users.createUser({ email: fast });
    await app.feed.replay('crm', since);
    await runner.commitTransaction();
    await runner.release();
    const [state] = await app.feed.getSubscriptions();
    const read = async (): Promise<unknown[]> => {
      const { events } = await app.feed.readEvents({
        after: state?.cursor ?? '',
        types: [NestAuthEvents.USER_CREATED],
      });
      return events.map(emailOf);
    };
    await until('both', async () => (await read()).includes(fast));
    expect(await read()).toEqual([slow, fast]);
  });
});

describe('two processes of one subscriber', () => {
  it('deliver each event once, and one takes over when the other stops', async () => {
    const url = await database();
    const got: string[] = [];
    const take = (who: string) =>
      subscriberClass('*', CRM, async (event) => void got.push(`${who} ${String(emailOf(event))}`));
    const first = await start(url, [take('first')]);
    await until('the lease', async () => (await first.feed.getSubscriptions())[0]?.isActive === true);
    const second = await start(url, [take('second')]);
    const [a, b] = [freshEmail(), freshEmail()];
    await second.users.createUser({ email: a });
    await until('a', () => got.length === 1);
    await first.close();
    await second.users.createUser({ email: b });
    await until('b', () => got.length === 2);
    expect(got).toEqual([`first ${a}`, `second ${b}`]);
  });

  it('cannot both move on: who has lost the lease while its handler ran delivers nothing further', async () => {
    const url = await database();
    const got: string[] = [];
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const first = await start(url, [
      subscriberClass('*', CRM, async (event, { attempt }) => {
        got.push(`first ${String(emailOf(event))} ${attempt}`);
        await held;
      }),
    ]);
    const [a, b] = [freshEmail(), freshEmail()];
    await first.users.createUser({ email: a });
    await until('the handler', () => got.length === 1);
    // As if its process had been frozen for longer than the lease.
    await withClient(url, (client) =>
      client.query(
        `update nest_auth_subscriptions set lease_owner = gen_random_uuid(), lease_until = now() + interval '1 hour'`,
      ),
    );
    release();
    await first.users.createUser({ email: b });
    // It tries to move on, and then asks for the lease in vain.
    await untilSent(ASKS_FOR_LEASE, 4);
    expect(got).toEqual([`first ${a} 1`]);
    const [state] = await first.feed.getSubscriptions();
    const left = () => first.feed.readEvents({ after: state?.cursor ?? '' });
    // The newest is hidden while an older transaction of any database of the server runs.
    await until('both', async () => (await left()).events.length === 2);
    expect(await left()).toMatchObject({ events: [{ after: { email: a } }, { after: { email: b } }] });
  });
});

describe('the lease', () => {
  it('is had by one of 20 workers that ask at once, and by one again when it has run out', async () => {
    const url = await database();
    const app = await start(url, []);
    await register(app.manager, 'crm', false);
    const owners = Array.from({ length: 20 }, () => uuidv4());
    const ask = async (): Promise<string[]> => {
      const claims = await Promise.all(owners.map((owner) => claim(app.manager, 'crm', owner, 600_000)));
      return owners.filter((_owner, index) => claims[index] !== null);
    };
    const first = await ask();
    expect(first).toHaveLength(1);
    // The same one has it still.
    expect(await ask()).toEqual(first);
    await withClient(url, (client) =>
      client.query(`update nest_auth_subscriptions set lease_until = now() - interval '1 second'`),
    );
    expect(await ask()).toHaveLength(1);
  });
});

describe('a mistake in a decorator', () => {
  const noop: Handle = () => Promise.resolve();
  it.each([
    ['an event that does not exist', [subscriberClass('nest_auth.user.creatd', CRM, noop)]],
    ['a subscriber without a name', [subscriberClass('*', { subscriber: '' }, noop)]],
    ['two handlers of one event', [subscriberClass('*', CRM, noop), subscriberClass('*', CRM, noop)]],
    ['different options', [subscriberClass('*', CRM, noop), subscriberClass('a.b', { ...CRM, maxAttempts: 1 }, noop)]],
    ['an unknown option', [subscriberClass('*', { ...CRM, retry: 1 } as DurableOptions, noop)]],
  ])('keeps the application from starting: %s', async (_name, classes) => {
    const url = await database();
    await expect(start(url, classes, { enabled: false })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
  });
});

describe('the feed', () => {
  it('pages through everything, by type and by tenant, and goes on from an empty page', async () => {
    const url = await database();
    const app = await start(url, []);
    const tenant = await app.tenants.createTenant({ name: 'Acme', slug: 'acme' });
    const emails = [freshEmail(), freshEmail(), freshEmail()];
    const types = [NestAuthEvents.USER_CREATED];
    for (const email of emails) await app.users.createUser({ email }, tenant.id);
    // What is written while another test's transaction is open on this server can be read only when that is over.
    const count = async (): Promise<number> => (await app.feed.readEvents({ types })).events.length;
    await until('the three', async () => (await count()) === 3);
    const first = await app.feed.readEvents({ types, limit: 2, tenantId: tenant.id });
    const second = await app.feed.readEvents({ types, limit: 2, after: first.cursor });
    const third = await app.feed.readEvents({ types, after: second.cursor });
    expect([...first.events, ...second.events].map(emailOf)).toEqual(emails);
    expect(third.events).toEqual([]);
    const late = freshEmail();
    await app.users.createUser({ email: late });
    await until('the late one', async () => (await count()) === 4);
    expect((await app.feed.readEvents({ types, after: third.cursor })).events.map(emailOf)).toEqual([late]);
    const ofTenant = (await app.feed.readEvents({ tenantId: tenant.id })).events;
    // The tenant itself, and the three.
    expect(ofTenant.map(({ tenantId }) => tenantId)).toEqual(Array.from({ length: 4 }, () => tenant.id));
  });

  it('refuses what cannot be a page', async () => {
    const url = await database();
    const app = await start(url, []);
    for (const options of [
      { limit: 0 },
      { limit: 1001 },
      { after: 'x' },
      { types: [] },
      { tenantId: 'x' },
      { what: 1 },
    ]) {
      await expect(app.feed.readEvents(options)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    }
  });
});

import { beforeEach, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import type { RunInTransactionOptions } from '../../../src/index.js';
import {
  AppPerson,
  committed,
  connectionsOf,
  gate,
  newlyCommitted,
  useFixture,
} from '../../support/identity-fixture.js';
import { freshEmail } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';

const setting = async (manager: EntityManager, name: string): Promise<string> => {
  const [row] = await manager.query<{ value: string }[]>(`select current_setting('${name}') as value`);
  return row?.value ?? 'none';
};

describe('the options of runInTransaction', () => {
  const app = useFixture();

  it.each(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const)('set the isolation %s', async (isolation) => {
    const { result, statements } = await recordStatements(() =>
      app.users.runInTransaction((manager) => setting(manager, 'transaction_isolation'), { isolation }),
    );
    expect(result).toBe(isolation.toLowerCase());
    expect(statements).toHaveLength(3);
  });

  it('set the timeouts of the server, in the same round trip as START, for this transaction only', async () => {
    const read = async (manager: EntityManager) => [
      await setting(manager, 'statement_timeout'),
      await setting(manager, 'idle_in_transaction_session_timeout'),
      await setting(manager, 'lock_timeout'),
    ];
    const options = { timeoutMs: 60_000, lockTimeoutMs: 2_000, isolation: 'SERIALIZABLE' } as const;
    const { result, statements } = await recordStatements(() => app.users.runInTransaction(read, options));
    expect(result).toEqual(['1min', '61s', '2s']);
    expect(statements).toHaveLength(5);
    expect(await app.users.runInTransaction(read)).toEqual(['0', '0', '0']);
  });

  it('reject with the timeout also when the server is the first to cancel the statement', async () => {
    const call = (): Promise<unknown> =>
      app.users.runInTransaction((manager) => manager.query('select pg_sleep(30)'), { timeoutMs: 50 });
    // The two timers race, so one try proves little.
    for (let round = 0; round < 10; round += 1) {
      await expect(call()).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT' });
    }
  });

  it('take the largest timeout that PostgreSQL takes', async () => {
    const max = 2_147_483_647;
    const call = app.users.runInTransaction(async () => 'done', { timeoutMs: max, lockTimeoutMs: max });
    await expect(call).resolves.toBe('done');
  });

  it.each([
    ['isolation', { isolation: 'READ UNCOMMITTED' }],
    ['isolation', { isolation: "SERIALIZABLE'; drop table nest_auth_users; --" }],
    ['nested', { nested: 'required' }],
    ['timeoutMs', { timeoutMs: 0 }],
    ['timeoutMs', { timeoutMs: 1.5 }],
    ['timeoutMs', { timeoutMs: '5; drop table nest_auth_users' }],
    ['timeoutMs', { timeoutMs: 2_147_483_648 }],
    ['lockTimeoutMs', { lockTimeoutMs: -1 }],
    ['lockTimeoutMs', { lockTimeoutMs: Number.NaN }],
    ['retries', { retries: -1 }],
    ['retries', { retries: 101 }],
    ['timeout', { timeout: 5 }],
  ])('are refused by name when %s is wrong: %j', async (path, options) => {
    let called = false;
    const { statements } = await recordStatements(() =>
      expect(
        app.users.runInTransaction(async () => (called = true), options as unknown as RunInTransactionOptions),
      ).rejects.toMatchObject({ code: 'VALIDATION_FAILED', details: { issues: [{ path }] } }),
    );
    expect([called, statements]).toEqual([false, []]);
  });

  it('work without a callback that is asynchronous, and reject when it throws at once', async () => {
    const thrown = new Error('at once');
    const call = app.users.runInTransaction(() => {
      throw thrown;
    });
    await expect(call).rejects.toBe(thrown);
  });
});

describe('a DataSource with an isolation level of its own', () => {
  const app = useFixture({ dataSource: { isolationLevel: 'SERIALIZABLE' } as object });
  const isolation = (manager: EntityManager) => setting(manager, 'transaction_isolation');

  it('gives it to every transaction that asks for no other', async () => {
    expect(await app.users.runInTransaction(isolation)).toBe('serializable');
    expect(await app.dataSource.transaction(isolation)).toBe('serializable');
  });

  it('is overruled by the call', async () => {
    expect(await app.users.runInTransaction(isolation, { isolation: 'READ COMMITTED' })).toBe('read committed');
    expect(await app.dataSource.transaction('REPEATABLE READ', isolation)).toBe('repeatable read');
  });
});

describe('a transaction that takes longer than timeoutMs', () => {
  const app = useFixture();
  let before: string[] = [];
  beforeEach(async () => {
    before = await committed(app.url);
  });
  const kept = () => newlyCommitted(app.url, before);

  it('is rolled back and rejects while its callback hangs, whose later work is refused, with and without a manager', async () => {
    const { opened, open } = gate();
    const finished = gate<unknown[]>();
    const connections = connectionsOf(app.dataSource);
    const call = app.users.runInTransaction(
      async (manager) => {
        await app.users.createUser({ email: freshEmail() });
        await opened;
        const late = [
          () => manager.insert(AppPerson, { name: freshEmail() }),
          () => manager.transaction((inner) => inner.insert(AppPerson, { name: freshEmail() })),
          () => app.users.createUser({ email: freshEmail() }, null, {}, manager),
          () => app.users.createUser({ email: freshEmail() }),
          () => app.users.runInTransaction((inner) => inner.insert(AppPerson, { name: freshEmail() })),
          () => app.dataSource.getRepository(AppPerson).insert({ name: freshEmail() }),
        ];
        const codes: unknown[] = [];
        for (const use of late) codes.push(await use().catch((error: { code: string }) => error.code));
        finished.open(codes);
      },
      { timeoutMs: 50 },
    );
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT' });
    open();
    const [escape, ...codes] = (await finished.opened).toReversed();
    expect(codes).toEqual(codes.map(() => 'TRANSACTION_TIMEOUT'));
    expect(escape).toBe('TRANSACTION_ESCAPED');
    expect(await kept()).toEqual([]);
    expect(app.events).toEqual([]);
    // Rolled back, not cut off: the connection is as good as before.
    expect(connectionsOf(app.dataSource)).toBe(Math.max(connections, 1));
  });

  it('is rolled back whole while a nested transaction hangs', async () => {
    const { opened, open } = gate();
    let hanging!: Promise<unknown>;
    const call = app.users.runInTransaction(
      async (manager) => {
        await manager.insert(AppPerson, { name: freshEmail() });
        hanging = manager.transaction(async (inner) => {
          await inner.insert(AppPerson, { name: freshEmail() });
          await opened;
        });
        await hanging;
      },
      { timeoutMs: 50 },
    );
    const { statements } = await recordStatements(() =>
      expect(call).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT' }),
    );
    open();
    await hanging.catch(() => undefined);
    expect(statements.filter((sql) => sql.startsWith('ROLLBACK'))).toEqual(['ROLLBACK']);
    expect(await kept()).toEqual([]);
  });

  it('is rolled back while a statement runs, which the server stops', async () => {
    const call = app.users.runInTransaction(
      async (manager) => {
        await manager.insert(AppPerson, { name: freshEmail() });
        await manager.query('select pg_sleep(60)');
      },
      { timeoutMs: 50 },
    );
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT' });
    expect(await kept()).toEqual([]);
  });

  it('is run once, although a lost connection would be retried', async () => {
    let attempts = 0;
    const call = app.users.runInTransaction(
      async () => {
        attempts += 1;
        await new Promise(() => undefined);
      },
      { timeoutMs: 20, retries: 5 },
    );
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT' });
    expect(attempts).toBe(1);
  });

  it('leaves the connection usable for the next one', async () => {
    const name = freshEmail();
    await app.users.runInTransaction((manager) => manager.insert(AppPerson, { name }), { timeoutMs: 60_000 });
    expect(await kept()).toEqual([name]);
  });
});

describe('a pool that is exhausted', () => {
  const app = useFixture({ pool: 1, dataSource: { connectTimeoutMS: 1_000 } as object });

  it('makes a call reject with CONNECTION_UNAVAILABLE, and serves the next one', async () => {
    const { opened, open } = gate();
    const begun = gate();
    const holder = app.users.runInTransaction(async () => {
      begun.open();
      await opened;
    });
    await begun.opened;
    await expect(app.users.runInTransaction(async () => undefined, { retries: 0 })).rejects.toMatchObject({
      code: 'CONNECTION_UNAVAILABLE',
    });
    await expect(app.users.createUser({ email: freshEmail() })).rejects.toMatchObject({
      code: 'CONNECTION_UNAVAILABLE',
    });
    open();
    await holder;
    await app.users.createUser({ email: freshEmail() });
  });

  it('makes an independent transaction wait for its share of time, and then reject', async () => {
    const call = app.users.runInTransaction(() =>
      app.users.runInTransaction(async () => undefined, { nested: 'independent', retries: 0 }),
    );
    await expect(call).rejects.toMatchObject({ code: 'CONNECTION_UNAVAILABLE' });
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import { type CommitOutcomeUnknownError, NestAuthError } from '../../../src/index.js';
import { useDatabase, withClient } from '../../support/database.js';
import {
  AppPerson,
  committed,
  createFixture,
  eventually,
  expectCleanPools,
  type Fixture,
  newlyCommitted,
  useFixture,
} from '../../support/identity-fixture.js';
import { freshEmail } from '../../support/nest-app.js';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.js';

interface DriverClient {
  once(event: string, listener: () => void): unknown;
}

const clientOf = async (manager: EntityManager) => (await manager.queryRunner?.connect()) as DriverClient;

/** Asked of the server: behind a pooler the driver knows another number. */
async function backendOf(manager: EntityManager): Promise<number> {
  const [row] = await manager.query<{ pid: number }[]>('select pg_backend_pid() as pid');
  return row?.pid ?? 0;
}

const ended = (client: DriverClient) => new Promise<void>((resolve) => client.once('end', resolve));

/** Ends the backend; resolves when it is gone and our side has been told. */
async function kill(url: string, manager: EntityManager): Promise<void> {
  const told = ended(await clientOf(manager));
  await terminate(url, await backendOf(manager));
  await told;
}

const terminate = (url: string, pid: number) =>
  withClient(url, (killer) => killer.query('select pg_terminate_backend($1, 10000)', [pid]));

/** Ends the backend as soon as it sleeps in a statement. */
async function killAsleep(url: string, pid: number): Promise<void> {
  await eventually(() =>
    withClient(url, async (looker) => {
      const { rows } = await looker.query(`select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'`, [
        pid,
      ]);
      return rows.length > 0;
    }),
  );
  await terminate(url, pid);
}

describe('a connection that is lost', () => {
  const app = useFixture();
  let before: string[] = [];
  beforeEach(async () => {
    before = await committed(app.url);
  });
  const kept = () => newlyCommitted(app.url, before);

  /** Where it is lost, in a callback that has written already and goes on to write. */
  const losses: Record<string, (manager: EntityManager) => Promise<unknown>> = {
    'between two statements, noticed': (manager) => kill(app.url, manager),
    'between two statements, unnoticed': async (manager) => terminate(app.url, await backendOf(manager)),
    'during a statement': async (manager) => {
      const killed = killAsleep(app.url, await backendOf(manager));
      const sleeping = manager.query('select pg_sleep(60)');
      await Promise.all([sleeping, killed]);
    },
    'during a statement whose error is swallowed': async (manager) => {
      const pid = await backendOf(manager);
      await Promise.all([manager.query('select pg_sleep(60)').catch(() => undefined), killAsleep(app.url, pid)]);
    },
    'by the idle timeout of the server': async (manager) => {
      const client = await clientOf(manager);
      const timedOut = ended(client);
      await manager.query('set local idle_in_transaction_session_timeout = 20');
      await timedOut;
    },
  };

  describe.each(Object.keys(losses))('%s', (where) => {
    const lose = losses[where] as (manager: EntityManager) => Promise<unknown>;

    it('makes the callback run again, which then is announced once', async () => {
      const email = freshEmail();
      let attempts = 0;
      await app.users.runInTransaction(async (manager) => {
        attempts += 1;
        await app.users.createUser({ email }, null, {}, manager);
        if (attempts === 1) await lose(manager);
      });
      expect(attempts).toBe(2);
      expect(await kept()).toEqual([email]);
      expect(app.events).toHaveLength(1);
    });

    it('is CONNECTION_LOST without retries; nothing is kept, nothing announced, and the next call works', async () => {
      const call = app.users.runInTransaction(
        async (manager) => {
          await app.users.createUser({ email: freshEmail() }, null, {}, manager);
          await lose(manager);
        },
        { retries: 0 },
      );
      await expect(call).rejects.toMatchObject({ code: 'CONNECTION_LOST', details: { retryable: true } });
      expect(await kept()).toEqual([]);
      expect(app.events).toEqual([]);
      const email = freshEmail();
      await app.users.createUser({ email });
      expect(await kept()).toEqual([email]);
    });

    it('lets nothing of the callback run outside, whatever it does next', async () => {
      const codes: unknown[] = [];
      const call = app.users.runInTransaction(
        async (manager) => {
          await app.users.createUser({ email: freshEmail() });
          await lose(manager).catch(() => undefined);
          const late = [
            () => manager.insert(AppPerson, { name: freshEmail() }),
            () => app.users.createUser({ email: freshEmail() }),
            () => app.users.createUser({ email: freshEmail() }, null, {}, manager),
            () => app.users.runInTransaction(() => app.users.createUser({ email: freshEmail() })),
            () => manager.transaction((inner) => inner.insert(AppPerson, { name: freshEmail() })),
          ];
          for (const use of late) codes.push(await use().catch((error: { code: string }) => error.code));
        },
        { retries: 0 },
      );
      await expect(call).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
      expect(codes).toEqual(codes.map(() => 'CONNECTION_LOST'));
      expect(await kept()).toEqual([]);
    });

    it('is CONNECTION_LOST for a transaction of the host and for a runner of the host', async () => {
      const call = app.dataSource.transaction(async (manager) => {
        await app.users.createUser({ email: freshEmail() }, null, {}, manager);
        await lose(manager);
        await manager.query('select 1');
      });
      await expect(call).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
      const runner = app.dataSource.createQueryRunner();
      await runner.startTransaction();
      await lose(runner.manager).catch(() => undefined);
      await expect(runner.commitTransaction()).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
      await runner.rollbackTransaction().catch(() => undefined);
      await runner.release();
      expect(await kept()).toEqual([]);
    });
  });

  it('names the real cause, which the driver tells only once', async () => {
    const call = app.users.runInTransaction((manager) => kill(app.url, manager), { retries: 0 });
    await expect(call).rejects.toMatchObject({ code: 'CONNECTION_LOST', cause: { code: '57P01' } });
  });

  it('while it lies idle in the pool bothers nobody', async () => {
    await withClient(app.url, (killer) =>
      killer.query(
        `select pg_terminate_backend(pid, 10000) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()`,
      ),
    );
    const email = freshEmail();
    await app.users.runInTransaction(() => app.users.createUser({ email }));
    expect(await kept()).toEqual([email]);
  });

  it('does not hide the error of a callback whose transaction could be rolled back', async () => {
    const mine = new NestAuthError('ROLE_NOT_FOUND', 'mine');
    const call = app.users.runInTransaction(async (manager) => {
      await manager.insert(AppPerson, { name: freshEmail() });
      throw mine;
    });
    await expect(call).rejects.toBe(mine);
    expect(await kept()).toEqual([]);
  });
});

describe('a connection that is lost around the COMMIT', () => {
  const database = useDatabase();
  let proxy: TcpProxy;
  let app: Fixture;
  beforeAll(async () => {
    proxy = await startTcpProxy(database.url);
    app = await createFixture(database.url, { dataSource: { url: proxy.url } as object });
  });
  beforeEach(() => {
    app.events.length = 0;
  });
  afterAll(async () => {
    expectCleanPools(app.dataSource);
    await app.close();
    await proxy.close();
  });

  it('after the server has done it: the outcome is unknown, resolves to committed, and nothing runs twice', async () => {
    const email = freshEmail();
    let attempts = 0;
    const call = app.users.runInTransaction(async (manager) => {
      attempts += 1;
      await app.users.createUser({ email }, null, {}, manager);
      void proxy.cut('COMMIT', 'before its reply reaches the client');
    });
    const error = await call.catch((caught: unknown) => caught as CommitOutcomeUnknownError);
    expect(error).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' });
    await expect((error as CommitOutcomeUnknownError).resolve()).resolves.toBe('committed');
    expect(attempts).toBe(1);
    expect(await committed(database.url)).toContain(email);
    // Nobody knew; what must arrive even then needs an outbox.
    expect(app.events).toEqual([]);
  });

  it('before the server got it: the outcome is unknown, resolves to aborted, and nothing runs twice', async () => {
    const email = freshEmail();
    let attempts = 0;
    const call = app.users.runInTransaction(async (manager) => {
      attempts += 1;
      await app.users.createUser({ email }, null, {}, manager);
      void proxy.cut('COMMIT', 'before it reaches the server');
    });
    const error = await call.catch((caught: unknown) => caught as CommitOutcomeUnknownError);
    expect(error).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' });
    await expect((error as CommitOutcomeUnknownError).resolve()).resolves.toBe('aborted');
    expect(attempts).toBe(1);
    expect(await committed(database.url)).not.toContain(email);
    await app.users.createUser({ email });
  });

  it('stays unknown when no statement of ours could note the transaction’s id', async () => {
    const call = app.users.runInTransaction(async (manager) => {
      await manager.insert(AppPerson, { name: freshEmail() });
      void proxy.cut('COMMIT', 'before its reply reaches the client');
    });
    const error = await call.catch((caught: unknown) => caught as CommitOutcomeUnknownError);
    expect(error).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' });
    await expect((error as CommitOutcomeUnknownError).resolve()).resolves.toBe('unknown');
  });

  it('is unknown in a transaction of the host too', async () => {
    const name = freshEmail();
    const call = app.dataSource.transaction(async (manager) => {
      await manager.insert(AppPerson, { name });
      void proxy.cut('COMMIT', 'before its reply reaches the client');
    });
    await expect(call).rejects.toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' });
    expect(await committed(database.url)).toContain(name);
  });

  it('in the ROLLBACK instead says the error of the callback, or that the connection was lost; nothing is kept', async () => {
    const email = freshEmail();
    const call = app.users.runInTransaction(
      async (manager) => {
        await app.users.createUser({ email }, null, {}, manager);
        void proxy.cut('ROLLBACK', 'before it reaches the server');
        throw new Error('mine');
      },
      { retries: 0 },
    );
    await expect(call).rejects.toBeInstanceOf(Error);
    await app.users.createUser({ email });
    expect(app.events).toHaveLength(1);
  });

  it('of a call that is one statement by itself: the outcome is unknown, as it may be committed', async () => {
    const email = freshEmail();
    void proxy.cut(email, 'before its reply reaches the client');
    await expect(app.users.createUser({ email })).rejects.toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' });
    expect(await committed(database.url)).toContain(email);
  });

  it('of such a call on a runner that had a transaction before is unknown as well', async () => {
    const email = freshEmail();
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.rollbackTransaction();
    void proxy.cut(email, 'before its reply reaches the client');
    await expect(app.users.createUser({ email }, null, {}, runner.manager)).rejects.toMatchObject({
      code: 'COMMIT_OUTCOME_UNKNOWN',
    });
    await runner.release();
    expect(await committed(database.url)).toContain(email);
  });

  it('of a call that only reads is CONNECTION_LOST', async () => {
    const email = freshEmail();
    void proxy.cut(email, 'before its reply reaches the client');
    await expect(app.users.getUserByEmail(email)).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
  });

  it('in START, where nothing can have happened yet, is simply tried again', async () => {
    const email = freshEmail();
    void proxy.cut('START TRANSACTION', 'before its reply reaches the client');
    await app.users.runInTransaction(() => app.users.createUser({ email }));
    expect(await committed(database.url)).toContain(email);
  });
});

import { describe, expect, it, beforeEach } from '@jest/globals';
import type { EntityManager, EntitySubscriberInterface } from 'typeorm';

import { AppPerson, committed, newlyCommitted, useFixture, withSubscriber } from '../../support/identity-fixture.js';
import { freshEmail } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';

const app = useFixture();
let before: string[] = [];
beforeEach(async () => {
  before = await committed(app.url);
});
const kept = () => newlyCommitted(app.url, before);

/** An error of PostgreSQL, swallowed. */
const swallowFailure = (manager: EntityManager) => manager.query('select 1/0').catch(() => undefined);

type Work = (manager: EntityManager) => Promise<unknown>;

/** The ways to open a transaction: by the package, by TypeORM, by a runner of the host's own. */
const WAYS: Record<string, (work: Work) => Promise<unknown>> = {
  runInTransaction: (work) => app.users.runInTransaction(work),
  'dataSource.transaction': (work) => app.dataSource.transaction(work),
  'dataSource.manager.transaction with an isolation level': (work) =>
    app.dataSource.manager.transaction('REPEATABLE READ', work),
  'a query runner of the host': async (work) => {
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    try {
      const result = await work(runner.manager);
      await runner.commitTransaction();
      return result;
    } catch (error) {
      await runner.rollbackTransaction();
      throw error;
    } finally {
      await runner.release();
    }
  },
};

describe.each(Object.keys(WAYS))('a transaction opened by %s', (way) => {
  const transact = (work: Work) => (WAYS[way] as (work: Work) => Promise<unknown>)(work);

  it('rejects with the first cause, keeps nothing and announces nothing when an SQL error was swallowed', async () => {
    const call = transact(async (manager) => {
      await app.users.createUser({ email: freshEmail() }, null, {}, manager);
      await swallowFailure(manager);
      await manager.query('select 1').catch(() => undefined);
    });
    await expect(call).rejects.toMatchObject({
      code: 'TRANSACTION_ABORTED',
      cause: { code: '22012' },
    });
    expect(await kept()).toEqual([]);
    expect(app.events).toEqual([]);
  });

  it('commits when a savepoint has undone the error', async () => {
    const email = freshEmail();
    await transact(async (manager) => {
      await app.users.createUser({ email }, null, {}, manager);
      await manager.transaction((inner) => inner.query('select 1/0')).catch(() => undefined);
    });
    expect(await kept()).toEqual([email]);
    expect(app.events).toHaveLength(1);
  });

  it('commits when a savepoint in raw SQL has undone the error', async () => {
    const email = freshEmail();
    await transact(async (manager) => {
      await manager.query('SAVEPOINT "Mine"');
      await app.users.createUser({ email: freshEmail() }, null, {}, manager);
      await swallowFailure(manager);
      await manager.query('ROLLBACK TO "Mine"');
      await app.users.createUser({ email }, null, {}, manager);
    });
    expect(await kept()).toEqual([email]);
    expect(app.events).toHaveLength(1);
  });

  it('keeps nothing when a nested transaction cannot start any more (T2)', async () => {
    const call = transact(async (manager) => {
      await manager.insert(AppPerson, { name: freshEmail() });
      await swallowFailure(manager);
      await manager.transaction(async () => undefined).catch(() => undefined);
      await manager.insert(AppPerson, { name: freshEmail() }).catch(() => undefined);
      await manager.query('insert into app_people (name) values ($1)', [freshEmail()]).catch(() => undefined);
    });
    await expect(call).rejects.toMatchObject({
      code: 'TRANSACTION_ABORTED',
      cause: { code: '22012' },
    });
    expect(await kept()).toEqual([]);
  });

  it('keeps nothing of what follows a raw ROLLBACK in its callback', async () => {
    const call = transact(async (manager) => {
      await manager.insert(AppPerson, { name: freshEmail() });
      await manager.query('ROLLBACK');
      await manager.insert(AppPerson, { name: freshEmail() }).catch(() => undefined);
      await manager.transaction(async () => undefined).catch(() => undefined);
      await manager.insert(AppPerson, { name: freshEmail() }).catch(() => undefined);
      await app.users.createUser({ email: freshEmail() }, null, {}, manager).catch(() => undefined);
    });
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED' });
    expect(await kept()).toEqual([]);
    expect(app.events).toEqual([]);
  });

  it('refuses what follows a raw COMMIT in its callback, which itself cannot be undone', async () => {
    const email = freshEmail();
    const late: unknown[] = [];
    await transact(async (manager) => {
      await app.users.createUser({ email }, null, {}, manager);
      await manager.query('COMMIT');
      late.push(await manager.insert(AppPerson, { name: freshEmail() }).catch((error: unknown) => error));
    }).catch(() => undefined);
    expect(late).toMatchObject([{ code: 'TRANSACTION_ENDED' }]);
    expect(await kept()).toEqual([email]);
    expect(app.events).toHaveLength(1);
  });

  it('rejects when PostgreSQL answers COMMIT with ROLLBACK', async () => {
    // A failure that no subscriber sees: only the tag of the COMMIT tells.
    const call = transact(async (manager) => {
      await manager.insert(AppPerson, { name: freshEmail() });
      const client = (await manager.queryRunner?.connect()) as { query(sql: string): Promise<unknown> };
      await client.query('select 1/0').catch(() => undefined);
    });
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED' });
    expect(await kept()).toEqual([]);
  });

  it('rejects when a deferred constraint fails at COMMIT', async () => {
    const call = transact(async (manager) => {
      await app.users.createUser({ email: freshEmail() }, null, {}, manager);
      await manager.query('insert into app_unique_at_commit values (1), (1)');
    });
    await expect(call).rejects.toMatchObject({ driverError: { code: '23505' } });
    expect(await kept()).toEqual([]);
    expect(app.events).toEqual([]);
  });

  it('keeps what a subscriber of the host writes before the COMMIT', async () => {
    const [name, audit] = [freshEmail(), freshEmail()];
    const subscriber: EntitySubscriberInterface = {
      async beforeTransactionCommit({ manager }) {
        await manager.query('insert into app_people (name) values ($1)', [audit]);
      },
    };
    await withSubscriber(app, subscriber, () => transact((manager) => manager.insert(AppPerson, { name })));
    expect(await kept()).toEqual([name, audit].toSorted());
  });

  it('rejects when a subscriber of the host fails before the COMMIT', async () => {
    const mine = new Error('not today');
    const subscriber: EntitySubscriberInterface = {
      beforeTransactionCommit: () => Promise.reject(mine),
    };
    const call = withSubscriber(app, subscriber, () =>
      transact((manager) => app.users.createUser({ email: freshEmail() }, null, {}, manager)),
    );
    await expect(call).rejects.toBe(mine);
    expect(await kept()).toEqual([]);
    expect(app.events).toEqual([]);
  });

  it("says the callback's error when a subscriber of the host fails in the rollback", async () => {
    const mine = new Error('the real one');
    for (const hook of ['beforeTransactionRollback', 'afterTransactionRollback'] as const) {
      let attempts = 0;
      const subscriber: EntitySubscriberInterface = { [hook]: () => Promise.reject(new Error('in the way')) };
      const call = withSubscriber(app, subscriber, () =>
        transact(async (manager) => {
          attempts += 1;
          await manager.insert(AppPerson, { name: freshEmail() });
          throw mine;
        }),
      );
      // A runner of the host is driven by the host, who is told of the failing rollback.
      const messages = [mine.message, ...(way === 'a query runner of the host' ? ['in the way'] : [])];
      const error = await call.catch((caught: Error) => caught);
      expect(messages).toContain((error as Error).message);
      expect(attempts).toBe(1);
    }
    expect(await kept()).toEqual([]);
  });
});

describe.each(['runInTransaction', 'dataSource.transaction'])('a committed transaction opened by %s', (way) => {
  const transact = (work: Work) => (WAYS[way] as (work: Work) => Promise<unknown>)(work);

  it('resolves when a subscriber of the host fails after the COMMIT, and reports that (T3)', async () => {
    const mine = new Error('too late');
    const email = freshEmail();
    const subscriber: EntitySubscriberInterface = { afterTransactionCommit: () => Promise.reject(mine) };
    const call = withSubscriber(app, subscriber, () =>
      transact(async (manager) => {
        await app.users.createUser({ email }, null, {}, manager);
        return 'done';
      }),
    );
    await expect(call).resolves.toBe('done');
    expect(app.reports).toMatchObject([{ error: mine }]);
    expect(await kept()).toEqual([email]);
    expect(app.events).toHaveLength(1);
  });

  it('gives no open transaction to the next borrower when a subscriber begins one after the COMMIT (T5)', async () => {
    const late: Promise<unknown>[] = [];
    const subscriber: EntitySubscriberInterface = {
      afterTransactionCommit({ manager }) {
        if (late.length > 0) return;
        const name = freshEmail();
        late.push(manager.transaction((inner) => inner.insert(AppPerson, { name })).catch(() => undefined));
      },
    };
    const next = freshEmail();
    await withSubscriber(app, subscriber, () => transact((manager) => manager.query('select 1')));
    await app.dataSource.query('insert into app_people (name) values ($1)', [next]);
    await Promise.all(late);
    expect(await kept()).toContain(next);
  });
});

describe('a transaction whose START fails', () => {
  it('leaves nothing behind that would begin the next one with a savepoint (R-12)', async () => {
    const refuse: EntitySubscriberInterface = {
      afterTransactionStart: () => Promise.reject(new Error('refused')),
    };
    const runner = app.dataSource.createQueryRunner();
    await expect(withSubscriber(app, refuse, () => runner.startTransaction())).rejects.toBeInstanceOf(Error);
    const { statements } = await recordStatements(async () => {
      await runner.startTransaction();
      await runner.commitTransaction();
    });
    await runner.release();
    expect(statements).toEqual(['START TRANSACTION', 'COMMIT']);
  });

  it('rejects with that failure, and the next one works', async () => {
    const mine = new Error('refused');
    for (const hook of ['beforeTransactionStart', 'afterTransactionStart'] as const) {
      const refuse: EntitySubscriberInterface = { [hook]: () => Promise.reject(mine) };
      await expect(withSubscriber(app, refuse, () => app.users.runInTransaction(async () => undefined))).rejects.toBe(
        mine,
      );
    }
    await expect(app.dataSource.transaction('CHAOS' as never, async () => undefined)).rejects.toBeInstanceOf(Error);
    const email = freshEmail();
    await app.users.runInTransaction((manager) => app.users.createUser({ email }, null, {}, manager));
    expect(await kept()).toEqual([email]);
  });

  it('poisons the outer one when it was nested and its savepoint had been set', async () => {
    const refuse: EntitySubscriberInterface = {
      afterTransactionStart: () => Promise.reject(new Error('refused')),
    };
    const call = app.users.runInTransaction(async (manager) => {
      await withSubscriber(app, refuse, () => manager.transaction(async () => undefined)).catch(() => undefined);
      await manager.insert(AppPerson, { name: freshEmail() });
    });
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED' });
    expect(await kept()).toEqual([]);
  });
});

describe('a query runner of the host', () => {
  it('can be used again after a rollback, and announces only what the second transaction did', async () => {
    const email = freshEmail();
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await app.users.createUser({ email: freshEmail() }, null, {}, runner.manager);
    await runner.rollbackTransaction();
    await runner.startTransaction();
    await app.users.createUser({ email }, null, {}, runner.manager);
    await runner.commitTransaction();
    await runner.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(await kept()).toEqual([email]);
    expect(app.events).toMatchObject([{ user: { email } }]);
  });

  it('is destroyed, not lent again, when it is released in the middle of a transaction', async () => {
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.manager.insert(AppPerson, { name: freshEmail() });
    await runner.release();
    const next = freshEmail();
    await Promise.all(
      [1, 2, 3].map((n) => app.dataSource.query('insert into app_people (name) values ($1)', [next + n])),
    );
    expect(await kept()).toEqual([1, 2, 3].map((n) => next + n));
  });

  it('opens a transaction for a call of several statements when it has none', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    const email = freshEmail();
    const runner = app.dataSource.createQueryRunner();
    const { statements, connections } = await recordStatements(() =>
      app.users.updateUser(user.id, { email }, runner.manager),
    );
    await runner.release();
    expect([statements[0], statements.at(-1), connections]).toEqual(['START TRANSACTION', 'COMMIT', 1]);
    expect((await app.users.getUserById(user.id))?.email).toBe(email);
  });

  it('runs such calls one after another when they are made at once', async () => {
    const emails = [1, 2, 3, 4].map(() => freshEmail());
    const users = await Promise.all(emails.map(() => app.users.createUser({ email: freshEmail() })));
    const runner = app.dataSource.createQueryRunner();
    await Promise.all(
      users.map(({ id }, n) => app.users.updateUser(id, { email: emails[n] as string }, runner.manager)),
    );
    await runner.release();
    expect(await kept()).toEqual(emails.toSorted());
  });
});

import { beforeEach, describe, expect, it } from '@jest/globals';
import type { QueryRunner } from 'typeorm';

import { NestAuthUser, runOutsideTransaction } from '../../../src/index.js';
import { AppPerson, committed, newlyCommitted, useFixture } from '../../support/identity-fixture.js';
import { freshEmail } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';

/** The place in this file from which it is called, as a stack names it. */
function here(): string {
  return /escape\.test\.ts:\d+/.exec(new Error('here').stack?.split('\n')[2] ?? '')?.[0] ?? 'nowhere';
}

describe('a query of the host that leaves the running transaction', () => {
  const app = useFixture({ pool: 1 });
  const people = () => app.dataSource.getRepository(AppPerson);
  const { query, transaction } = {
    query: () => app.dataSource.query('select 1'),
    transaction: () => app.dataSource.transaction(async () => undefined),
  };
  const name = freshEmail();

  // Each entry names its line and escapes on the same one. None of the callbacks awaits: the stack must not need it.
  const escapes: [string, { at: string; run: () => unknown }][] = [
    ['repository.find', { at: here(), run: () => people().find() }],
    ['repository.findOneBy', { at: here(), run: () => people().findOneBy({ name }) }],
    ['repository.count', { at: here(), run: () => people().count() }],
    ['repository.insert', { at: here(), run: () => people().insert({ name }) }],
    ['repository.update', { at: here(), run: () => people().update({ name }, { balance: 1 }) }],
    ['repository.delete', { at: here(), run: () => people().delete({ name }) }],
    ['repository.upsert', { at: here(), run: () => people().upsert({ name }, ['name']) }],
    ['repository.save', { at: here(), run: () => people().save({ name }) }],
    ['repository.remove', { at: here(), run: () => people().remove(Object.assign(new AppPerson(), { id: name })) }],
    ['repository.clear', { at: here(), run: () => people().clear() }],
    ['repository.query', { at: here(), run: () => people().query('select 1') }],
    ['dataSource.manager.save', { at: here(), run: () => app.dataSource.manager.save(AppPerson, { name }) }],
    ['dataSource.manager.query', { at: here(), run: () => app.dataSource.manager.query('select 1') }],
    ['a select builder', { at: here(), run: () => people().createQueryBuilder('p').getMany() }],
    ['a count builder', { at: here(), run: () => people().createQueryBuilder('p').getCount() }],
    ['an insert builder', { at: here(), run: () => people().createQueryBuilder().insert().values({ name }).execute() }],
    ['a stream', { at: here(), run: () => people().createQueryBuilder('p').stream() }],
    ['dataSource.query', { at: here(), run: () => app.dataSource.query('select 1') }],
    ['dataSource.transaction', { at: here(), run: () => app.dataSource.transaction(async () => undefined) }],
    ['dataSource.createQueryRunner', { at: here(), run: () => app.dataSource.createQueryRunner() }],
  ];

  it.each(escapes)('is refused, and its line is named: %s', async (_what, { at, run }) => {
    const { statements } = await recordStatements(() =>
      expect(app.users.runInTransaction(async () => run())).rejects.toMatchObject({
        code: 'TRANSACTION_ESCAPED',
        details: { hostStack: expect.arrayContaining([expect.stringContaining(at)]) },
      }),
    );
    expect(statements).toEqual(['START TRANSACTION', 'ROLLBACK']);
  });

  it('names the nearest line first, and none of a library', async () => {
    const error = await app.users
      .runInTransaction(async () => people().find())
      .catch((caught: { details: { hostStack: string[] } }) => caught);
    const { hostStack } = (error as { details: { hostStack: string[] } }).details;
    expect(hostStack[0]).toContain('escape.test.ts');
    expect(hostStack.filter((frame) => /node_modules|node:|\/src\//.test(frame))).toEqual([]);
  });

  it('is refused below awaited functions, in nested calls and in savepoints', async () => {
    const deep = async () => {
      await Promise.resolve();
      return query();
    };
    await app.users.runInTransaction(async (manager) => {
      await expect(deep()).rejects.toMatchObject({ code: 'TRANSACTION_ESCAPED' });
      await manager.transaction(() => expect(deep()).rejects.toMatchObject({ code: 'TRANSACTION_ESCAPED' }));
      const nested = app.users.runInTransaction(() =>
        expect(deep()).rejects.toMatchObject({ code: 'TRANSACTION_ESCAPED' }),
      );
      await nested;
    });
  });

  it('leaves the transaction usable when the refusal is caught', async () => {
    const email = freshEmail();
    await app.users.runInTransaction(async (manager) => {
      await transaction().catch(() => undefined);
      await app.users.createUser({ email }, null, {}, manager);
    });
    expect(await committed(app.url)).toContain(email);
  });

  it('is refused in a transaction of the host once the package takes part in it', async () => {
    const call = app.dataSource.transaction(async () => {
      await app.users.createUser({ email: freshEmail() });
      await query();
    });
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_ESCAPED' });
  });

  it('passes when it is announced by runOutsideTransaction', async () => {
    // With a pool of one the connection must be there before: here the transaction is over.
    await app.users.runInTransaction(async () => undefined);
    await expect(runOutsideTransaction(() => query())).resolves.toHaveLength(1);
  });
});

describe('a query outside the running transaction, on purpose', () => {
  const app = useFixture();
  let before: string[] = [];
  beforeEach(async () => {
    before = await committed(app.url);
  });
  const kept = () => newlyCommitted(app.url, before);
  const mine = new Error('mine');

  it('survives the rollback when it ran in runOutsideTransaction', async () => {
    const [name, email] = [freshEmail(), freshEmail()];
    const call = app.users.runInTransaction(async () => {
      await runOutsideTransaction(async () => {
        await app.dataSource.getRepository(AppPerson).insert({ name });
        await app.users.createUser({ email });
      });
      throw mine;
    });
    await expect(call).rejects.toBe(mine);
    expect(await kept()).toEqual([name, email].toSorted());
    expect(app.events).toHaveLength(1);
  });

  it('survives the rollback when dataSource.manager was passed to the call', async () => {
    const email = freshEmail();
    const call = app.users.runInTransaction(async () => {
      const user = await app.users.createUser({ email }, null, {}, app.dataSource.manager);
      await app.users.updateUser(user.id, { email: email.replace('person', 'renamed') }, app.dataSource.manager);
      throw mine;
    });
    await expect(call).rejects.toBe(mine);
    expect(await kept()).toEqual([email.replace('person', 'renamed')]);
  });

  it('is nobody else’s business in a transaction that the package never joined', async () => {
    const names = [freshEmail(), freshEmail()];
    await app.dataSource.transaction(async (manager) => {
      await manager.insert(AppPerson, { name: names[0] as string });
      await app.dataSource.getRepository(AppPerson).insert({ name: names[1] as string });
      await app.dataSource.transaction((other) => other.query('select 1'));
    });
    expect(await kept()).toEqual(names.toSorted());
  });

  it('may be a migration, a schema look-up or a runner when no transaction is running', async () => {
    await expect(app.dataSource.runMigrations()).resolves.toEqual([]);
    await expect(app.dataSource.showMigrations()).resolves.toBe(false);
    const runner: QueryRunner = app.dataSource.createQueryRunner();
    await expect(runner.hasTable('nest_auth_users')).resolves.toBe(true);
    await runner.release();
  });
});

describe("with onEscape: 'warn'", () => {
  const app = useFixture({ auth: { transaction: { onEscape: 'warn' } } });

  it.each([
    ['find', () => app.dataSource.getRepository(AppPerson).find()],
    ['save', () => app.dataSource.getRepository(AppPerson).save({ name: freshEmail() })],
    ['transaction', () => app.dataSource.transaction((manager) => manager.query('select 1'))],
  ] as const)('an escape by %s goes through and is reported once, with its line', async (_what, escape) => {
    await app.users.runInTransaction(async () => {
      await escape();
    });
    expect(app.reports).toHaveLength(1);
    const { error } = app.reports[0] as { error: { code: string; details: { hostStack: string[] } } };
    expect(error.code).toBe('TRANSACTION_ESCAPED');
    expect(error.details.hostStack[0]).toContain('escape.test.ts');
  });
});

describe("with onEscape: 'warn' and no connection left to wait for", () => {
  const app = useFixture({ auth: { transaction: { onEscape: 'warn' } }, pool: 1 });

  it('an escape is refused instead of hanging', async () => {
    const call = app.users.runInTransaction(() => app.dataSource.query('select 1'));
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_ESCAPED' });
  });
});

describe("with onEscape: 'off'", () => {
  const app = useFixture({ auth: { transaction: { onEscape: 'off' } } });

  it('an escape goes through silently', async () => {
    await app.users.runInTransaction(() => app.dataSource.getRepository(AppPerson).find());
    expect(app.reports).toEqual([]);
  });
});

describe('a pool of one', () => {
  const app = useFixture({ pool: 1 });

  it('is enough for every kind of call, nested and with savepoints', async () => {
    const email = freshEmail();
    await app.users.runInTransaction(async (manager) => {
      const user = await app.users.createUser({ email, password: 'correct horse battery staple' });
      await app.users.updateUser(user.id, { phone: '+4915112345678' });
      await app.users.runInTransaction(() => app.users.updateUserMetadata(user.id, { a: 1 }), { nested: 'savepoint' });
      await manager.transaction(() => NestAuthUser.count());
      await user.reload();
      await user.save();
      await app.users.deleteUser(user.id);
    });
    await app.users.createUser({ email });
    expect((await app.users.getUserByEmail(email))?.email).toBe(email);
  });

  it('refuses an independent transaction by CONNECTION_UNAVAILABLE when it could wait for ever', async () => {
    await app.users.runInTransaction(async () => {
      await expect(app.users.runInTransaction(async () => undefined, { nested: 'independent' })).rejects.toMatchObject({
        code: 'CONNECTION_UNAVAILABLE',
      });
    });
  });
});

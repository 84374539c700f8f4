import { AsyncLocalStorage } from 'node:async_hooks';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource, type DataSourceOptions, type MigrationInterface, type QueryRunner } from 'typeorm';

import { createTestDatabase, type TestDatabase, useDatabase, withClient } from '../../support/database.js';
import {
  AppPerson,
  committed,
  connectionsOf,
  createFixture,
  expectCleanPools,
  type Fixture,
  newlyCommitted,
  useFixture,
} from '../../support/identity-fixture.js';
import { freshEmail, times } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';

describe('a replicated DataSource whose replica is stale', () => {
  const databases: TestDatabase[] = [];
  let app: Fixture;
  beforeAll(async () => {
    databases.push(await createTestDatabase(), await createTestDatabase());
    const [primary, replica] = databases as [TestDatabase, TestDatabase];
    await (await createFixture(replica.url)).close();
    app = await createFixture(primary.url, {
      dataSource: { replication: { master: { url: primary.url }, slaves: [{ url: replica.url }] } } as object,
    });
  });
  afterAll(async () => {
    expectCleanPools(app.dataSource);
    await app.close();
    for (const database of databases) await database.drop();
  });

  it('is read at its primary by every call of ours, inside a transaction and outside', async () => {
    const email = freshEmail();
    const { id } = await app.users.createUser({ email });
    expect(await app.users.getUserByEmail(email)).not.toBeNull();
    expect((await app.users.getUsersPage()).items).toHaveLength(1);
    await app.users.runInTransaction(async () => {
      expect(await app.users.getUserById(id)).not.toBeNull();
    });
  });

  it('is read at its replica by the host, which inside a transaction is an escape', async () => {
    const people = app.dataSource.getRepository(AppPerson);
    await people.insert({ name: freshEmail() });
    expect(await people.count()).toBe(0);
    await expect(app.users.runInTransaction(() => people.count())).rejects.toMatchObject({
      code: 'TRANSACTION_ESCAPED',
    });
  });

  it('never lends a connection of the replica again that is still in a transaction', async () => {
    const runner = app.dataSource.createQueryRunner('slave');
    await runner.startTransaction();
    await runner.query('select 1');
    await runner.release();
    const connections = connectionsOf(app.dataSource);
    const next = app.dataSource.createQueryRunner('slave');
    const [row] = (await next.query(
      'select pg_current_xact_id_if_assigned() as xid, now() = statement_timestamp() as fresh',
    )) as {
      fresh: boolean;
    }[];
    await next.release();
    expect(row?.fresh).toBe(true);
    expect(connectionsOf(app.dataSource)).toBe(connections + 1);
  });

  it('ends a transaction on the replica as honestly as one on the primary', async () => {
    const runner = app.dataSource.createQueryRunner('slave');
    await runner.startTransaction();
    await runner.query('select 1/0').catch(() => undefined);
    await expect(runner.commitTransaction()).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED' });
    await runner.rollbackTransaction();
    await runner.release();
  });
});

class GoodMigration1900000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('create table app_migrated (id int); insert into app_migrated values (1)');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table app_migrated');
  }
}

class BadMigration1900000000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('insert into app_migrated values (2)');
    await runner.query('select 1/0');
  }
  async down(): Promise<void> {}
}

class CarelessMigration1900000000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('insert into app_migrated values (3)');
    await runner.query('select 1/0').catch(() => undefined);
  }
  async down(): Promise<void> {}
}

describe('migrations of the host', () => {
  const database = useDatabase();

  it.each([
    ['each', BadMigration1900000000002, { code: '22012' }, ['1']],
    ['each', CarelessMigration1900000000002, { code: '25P02' }, ['1']],
    ['all', BadMigration1900000000002, { code: '22012' }, []],
    ['all', CarelessMigration1900000000002, { code: '25P02' }, []],
    ['all', undefined, 'none', ['1']],
  ] as const)("in mode '%s' with %p keep their own transactions", async (mode, second, error, rows) => {
    const migrations = [GoodMigration1900000000001, ...(second === undefined ? [] : [second])];
    const app = await createFixture(database.url, {
      dataSource: { migrations, migrationsTransactionMode: mode, migrationsTableName: 'app_migrations' } as object,
    });
    const failure = await app.dataSource.runMigrations().then(
      () => 'none',
      (caught: unknown) => caught,
    );
    expect([failure]).toMatchObject([error]);
    expectCleanPools(app.dataSource);
    const made = await withClient(database.url, async (client) => {
      const { rows: found } = await client.query<{ made: boolean }>(
        `select to_regclass('app_migrated') is not null as made`,
      );
      if (found[0]?.made !== true) return [];
      const { rows: ids } = await client.query<{ id: number }>('select id from app_migrated');
      await client.query('drop table app_migrated; drop table app_migrations');
      return ids.map(({ id }) => String(id));
    });
    expect(made).toEqual(rows);
    await app.close();
  });
});

describe('a transaction that a host drives by raw SQL on a runner', () => {
  const app = useFixture();
  let before: string[] = [];
  beforeEach(async () => {
    before = await committed(app.url);
  });
  const kept = () => newlyCommitted(app.url, before);

  it.each([
    ['BEGIN', 'COMMIT'],
    ['begin isolation level serializable', 'commit work'],
    ['START TRANSACTION; set local lock_timeout = 100', 'END'],
  ])('is joined from %p and announced after %p', async (begin, end) => {
    const emails = times(2, freshEmail);
    const runner = app.dataSource.createQueryRunner();
    await runner.query(begin);
    for (const email of emails) await app.users.createUser({ email }, null, {}, runner.manager);
    expect(app.events).toEqual([]);
    await runner.query(end);
    await runner.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(app.events).toHaveLength(2);
    expect(await kept()).toEqual(emails.toSorted());
  });

  it('is forgotten after ABORT', async () => {
    const runner = app.dataSource.createQueryRunner();
    await runner.query('BEGIN');
    await app.users.createUser({ email: freshEmail() }, null, {}, runner.manager);
    await runner.query('ABORT');
    await runner.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(app.events).toEqual([]);
    expect(await kept()).toEqual([]);
  });

  it('is refused to a released runner', async () => {
    const runner = app.dataSource.createQueryRunner();
    await runner.release();
    await expect(app.users.createUser({ email: freshEmail() }, null, {}, runner.manager)).rejects.toMatchObject({
      code: 'TRANSACTION_ENDED',
    });
  });
});

describe('code that has lost the async context of its transaction', () => {
  const app = useFixture();

  it('joins it by the manager that it passes', async () => {
    const email = freshEmail();
    const lose = new AsyncLocalStorage();
    const call = app.users.runInTransaction(async (manager) => {
      // As a callback-style library does that calls back from a context of its own.
      await lose.exit(() => outside((done) => app.users.createUser({ email }, null, {}, manager).then(done)));
      expect(await app.users.getUserByEmail(email)).not.toBeNull();
      throw new Error('mine');
    });
    await expect(call).rejects.toThrow('mine');
    expect(await committed(app.url)).not.toContain(email);
  });

  const queue: ((done: (value: unknown) => void) => unknown)[] = [];
  const waiting: ((value: unknown) => void)[] = [];
  const loop = setInterval(() => {
    for (const job of queue.splice(0)) void job(waiting.shift() as (value: unknown) => void);
  }, 1);
  afterAll(() => clearInterval(loop));
  function outside(job: (done: (value: unknown) => void) => unknown): Promise<unknown> {
    queue.push(job);
    return new Promise((resolve) => waiting.push(resolve));
  }
});

describe('what the layer costs', () => {
  const app = useFixture({ pool: 1 });

  it('is no statement beyond START and COMMIT', async () => {
    await app.users.createUser({ email: freshEmail() });
    const alone = await recordStatements(() => app.users.createUser({ email: freshEmail() }));
    expect(alone.statements).toHaveLength(1);
    const inside = await recordStatements(() =>
      app.users.runInTransaction((manager) => app.users.createUser({ email: freshEmail() }, null, {}, manager)),
    );
    expect(inside.statements).toHaveLength(3);
    const hosts = await recordStatements(() => app.dataSource.transaction((manager) => manager.query('select 1')));
    expect(hosts.statements).toEqual(['START TRANSACTION', 'select 1', 'COMMIT']);
  });

  it('names hot statements, and none of the host', async () => {
    await app.users.createUser({ email: freshEmail() });
    await app.dataSource.query('select $1::int', [1]);
    const rows = await app.dataSource.query<{ name: string }[]>('select name from pg_prepared_statements');
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.filter(({ name }) => !name.startsWith('nest_auth_'))).toEqual([]);
  });
});

describe('statements without names', () => {
  const app = useFixture({ pool: 1, auth: { statements: { prepared: false } } });

  it('leave nothing prepared on the connection', async () => {
    await app.users.createUser({ email: freshEmail() });
    expect(await app.dataSource.query('select name from pg_prepared_statements')).toEqual([]);
  });
});

describe('a DataSource that the module does not serve', () => {
  const app = useFixture();

  it('is left as it was, and its manager is refused', async () => {
    const options = { type: 'postgres', url: app.url, entities: [AppPerson] } as DataSourceOptions;
    const other = await new DataSource(options).initialize();
    await other.transaction(async (manager) => {
      await expect(app.users.createUser({ email: freshEmail() }, null, {}, manager)).rejects.toMatchObject({
        code: 'AMBIGUOUS_DATA_SOURCE',
      });
    });
    await other.destroy();
  });
});

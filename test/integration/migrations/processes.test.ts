import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { DataSource, type DataSourceOptions } from 'typeorm';

import { migrate, NestAuthEntities, NestAuthMigrations } from '../../../src/index.js';
import { createTestDatabase, type TestDatabase, withClient } from '../../support/database.js';
import { eventually } from '../../support/identity-fixture.js';
import { startMigratingProcess, type Way } from '../../support/migrating-processes.js';

// Whole schemas are made, by several processes.
jest.setTimeout(120_000);

const databases: TestDatabase[] = [];
const OURS: string[] = NestAuthMigrations.map(({ name }) => name);
const PROCESSES = 5;

afterEach(async () => {
  for (const database of databases.splice(0)) await database.drop();
});

async function emptyDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase({ empty: true });
  databases.push(database);
  return database;
}

async function withDataSource<T>(
  url: string,
  fn: (dataSource: DataSource) => Promise<T>,
  options: Partial<DataSourceOptions> = {},
): Promise<T> {
  const dataSource = new DataSource({
    type: 'postgres',
    url,
    entities: [...NestAuthEntities],
    migrations: [...NestAuthMigrations],
    ...options,
  } as DataSourceOptions);
  await dataSource.initialize();
  try {
    return await fn(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

async function migrateInProcesses(url: string, way: Way): Promise<string[][]> {
  const processes = await Promise.all(Array.from({ length: PROCESSES }, () => startMigratingProcess(url, way)));
  for (const process of processes) process.go();
  return Promise.all(processes.map(({ ran }) => ran));
}

async function recorded(url: string): Promise<string[]> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ name: string }>('select name from migrations order by timestamp, id'),
  );
  return rows.map(({ name }) => name);
}

async function ourRelations(url: string): Promise<string[]> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ relname: string }>(`select relname from pg_class where relname like 'nest_auth_%'`),
  );
  return rows.map(({ relname }) => relname);
}

/** On a connection of its own: within a transaction the view does not change. */
async function untilOneWaits(url: string): Promise<void> {
  const sql = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  await eventually(() => withClient(url, async (client) => (await client.query(sql)).rows.length > 0));
}

describe('five processes that start at once', () => {
  it('all succeed with migrate(), the host’s migrations included, and one of them does the work', async () => {
    const { url } = await emptyDatabase();
    const ran = await migrateInProcesses(url, 'migrate');
    const all = [...OURS, 'HostTables1900000000000'];
    expect(ran.filter((names) => names.length > 0)).toEqual([all]);
    expect(await recorded(url)).toEqual(all);
  }, 60_000);

  // TypeORM makes its own table without a lock, so that one must be there already: as on every upgrade.
  it('all succeed with TypeORM’s own runMigrations, and each migration is recorded once', async () => {
    const { url } = await emptyDatabase();
    await withDataSource(url, (dataSource) => dataSource.runMigrations(), { migrations: [] });
    await migrateInProcesses(url, 'each');
    expect(await recorded(url)).toEqual(OURS);
  }, 60_000);

  const fiveAtOnce = async (url: string, transaction: 'all' | 'none'): Promise<string[]> => {
    await withDataSource(url, (dataSource) => dataSource.runMigrations(), { migrations: [] });
    const run = () => withDataSource(url, (dataSource) => dataSource.runMigrations({ transaction }));
    await Promise.all(Array.from({ length: PROCESSES }, run));
    return recorded(url);
  };

  it('so do five DataSources with the transaction mode all', async () => {
    const { url } = await emptyDatabase();
    expect(await fiveAtOnce(url, 'all')).toEqual(OURS);
  });

  // TypeORM records the migration after our transaction has ended, so two of them may record the same one.
  it('so do five DataSources with the transaction mode none, each migration run once and recorded at least once', async () => {
    const { url } = await emptyDatabase();
    expect([...new Set(await fiveAtOnce(url, 'none'))]).toEqual(OURS);
    expect(await withDataSource(url, (dataSource) => dataSource.runMigrations())).toEqual([]);
    expect(await ourRelations(url)).not.toEqual([]);
  });
});

describe('a migration', () => {
  it('whose process is killed in the middle leaves nothing, and runs when it is started again', async () => {
    const { url } = await emptyDatabase();
    await withClient(url, async (client) => {
      // Uncommitted, so the migration waits for it half-way.
      await client.query('begin; create table nest_auth_user_accesses (id int)');
      const process = await startMigratingProcess(url, 'migrate');
      process.go();
      await untilOneWaits(url);
      process.kill();
      await expect(process.ran).rejects.toThrow('the process ended');
      await client.query('rollback');
    });
    await eventually(async () => (await ourRelations(url)).length === 0);
    expect(await recorded(url)).toEqual([]);
    expect(await withDataSource(url, (dataSource) => migrate(dataSource))).toEqual(OURS);
  }, 60_000);

  it('gives up on a lock that it cannot have, and leaves nothing; the host’s own lock_timeout stands', async () => {
    const { url } = await emptyDatabase();
    await withClient(url, (client) =>
      client.query(`alter database "${new URL(url).pathname.slice(1)}" set lock_timeout = '100ms'`),
    );
    await withClient(url, async (client) => {
      await client.query('begin; create table nest_auth_user_accesses (id int)');
      const run = withDataSource(url, (dataSource) => migrate(dataSource), { logging: false });
      await expect(run).rejects.toMatchObject({ code: '55P03' });
      await client.query('rollback');
    });
    expect(await ourRelations(url)).toEqual([]);
    expect(await withDataSource(url, (dataSource) => migrate(dataSource))).toEqual(OURS);
  });

  it('does not wait for ever for another process that migrates', async () => {
    const { url } = await emptyDatabase();
    const slow = await startMigratingProcess(url, 'migrate');
    await withClient(url, async (client) => {
      await client.query('begin; create table nest_auth_user_accesses (id int)');
      slow.go();
      await untilOneWaits(url);
      const run = withDataSource(url, (dataSource) => migrate(dataSource, { waitMs: 150 }));
      await expect(run).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
      await client.query('rollback');
    });
    expect(await slow.ran).toEqual([...OURS, 'HostTables1900000000000']);
  }, 60_000);

  it('that was undone by hand is run again, and one that was only forgotten is recorded again', async () => {
    const { url } = await emptyDatabase();
    await withDataSource(url, async (dataSource) => {
      await migrate(dataSource);
      await dataSource.query('delete from migrations');
      await migrate(dataSource);
      expect(await recorded(url)).toEqual(OURS);
      for (const _ of OURS) await dataSource.undoLastMigration();
      expect(await ourRelations(url)).toEqual([]);
      expect(await migrate(dataSource)).toEqual(OURS);
    });
  });
});

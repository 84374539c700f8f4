import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { Client } from 'pg';
import { DataSource, type DataSourceOptions, DefaultNamingStrategy } from 'typeorm';

import { NestAuthEntities, NestAuthMigrations } from '../../../src/index.js';
import { createTestDatabase, type TestDatabase, withClient } from '../../support/database.js';
import { startNestApp } from '../../support/nest-app.js';

// Whole schemas are made, by several processes.
jest.setTimeout(120_000);

const opened: DataSource[] = [];
const databases: TestDatabase[] = [];

afterEach(async () => {
  for (const dataSource of opened.splice(0)) if (dataSource.isInitialized) await dataSource.destroy();
  for (const database of databases.splice(0)) await database.drop();
});

async function emptyDatabase(): Promise<string> {
  const database = await createTestDatabase({ empty: true });
  databases.push(database);
  return database.url;
}

async function open(url: string, options: Partial<DataSourceOptions> = {}): Promise<DataSource> {
  const dataSource = new DataSource({
    type: 'postgres',
    url,
    entities: [...NestAuthEntities],
    migrations: [...NestAuthMigrations],
    ...options,
  } as DataSourceOptions);
  opened.push(dataSource);
  return dataSource.initialize();
}

async function pendingSql(dataSource: DataSource): Promise<string[]> {
  const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
  return upQueries.map(({ query }) => query);
}

/** A partition is no table that an entity could speak of; what it is made from is compared. */
const NO_PARTITION = (name: string): string =>
  `not exists (select 1 from pg_class p where p.relname = ${name} and p.relispartition)`;

/** What PostgreSQL itself says about the schema, in its own words. */
async function catalogue(client: Client): Promise<Record<string, unknown[]>> {
  const ask = async (sql: string) =>
    (await client.query<{ line: string }>(sql)).rows.map(({ line }) => line).toSorted();
  return {
    columns: await ask(
      `select concat_ws(' ', table_name, column_name, udt_name, datetime_precision, is_nullable, column_default) as line
       from information_schema.columns where table_schema = 'public' and table_name like 'nest_auth_%' and ${NO_PARTITION('table_name')}`,
    ),
    constraints: await ask(
      `select concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) as line from pg_constraint
       where contype <> 'n' and conrelid::regclass::text like 'nest_auth_%'
         and ${NO_PARTITION('conrelid::regclass::text')}`,
    ),
    indexes: await ask(
      // TypeORM knows no partitions: an index of all of them is one of the table.
      `select replace(indexdef, ' ON ONLY ', ' ON ') as line from pg_indexes where schemaname = 'public' and tablename like 'nest_auth_%'
         and ${NO_PARTITION('tablename')}`,
    ),
  };
}

/** A strategy as hosts have them: names of its own where none is given. */
class ShoutingNames extends DefaultNamingStrategy {
  override tableName(target: string, given: string | undefined): string {
    return given ?? target.toUpperCase();
  }
  override columnName(property: string, given: string): string {
    return given || property.toUpperCase();
  }
  override indexName(...[, columns]: Parameters<DefaultNamingStrategy['indexName']>): string {
    return `IX_${columns.join('_')}`.slice(0, 60);
  }
}

describe('the migrations', () => {
  it('make exactly what the entities say: nothing is pending', async () => {
    const dataSource = await open(await emptyDatabase());
    await dataSource.runMigrations();
    expect(await pendingSql(dataSource)).toEqual([]);
  });

  it('make the same catalogue as the entities would, constraint by constraint and index by index', async () => {
    const [migrated, synchronized] = [await emptyDatabase(), await emptyDatabase()];
    await (await open(migrated)).runMigrations();
    await (await open(synchronized)).synchronize();
    const [made, wanted] = [await withClient(migrated, catalogue), await withClient(synchronized, catalogue)];
    expect(made['columns']).toEqual(wanted['columns']);
    expect(made['constraints']).toEqual(wanted['constraints']);
    const synchronizing = ({ name }: { name: string }) => made['indexes']?.some((line) => String(line).includes(name));
    const byMigrationOnly = (await open(migrated)).entityMetadatas
      .flatMap(({ indices }) => indices.filter(({ synchronize }) => !synchronize))
      .filter(synchronizing)
      .map(({ name }) => name);
    // TypeORM has no words for an operator class; it only keeps its hands off them.
    expect(byMigrationOnly).toHaveLength(2);
    expect(made['indexes']?.filter((line) => !byMigrationOnly.some((name) => String(line).includes(name)))).toEqual(
      wanted['indexes'],
    );
    expect(made['columns']?.length).toBeGreaterThan(50);
  });

  it('index every referencing column', async () => {
    const url = await emptyDatabase();
    await (await open(url)).runMigrations();
    const { rows } = await withClient(url, (client) =>
      client.query<{ conname: string }>(
        `select c.conname from pg_constraint c
         where c.contype = 'f' and c.conrelid::regclass::text like 'nest_auth_%' and not exists (
           select 1 from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1] and i.indpred is null)`,
      ),
    );
    expect(rows).toEqual([]);
  });

  it('leave no difference under a naming strategy of the host that keeps given names', async () => {
    const url = await emptyDatabase();
    const dataSource = await open(url, { namingStrategy: new ShoutingNames() });
    await dataSource.runMigrations();
    expect(await pendingSql(dataSource)).toEqual([]);
  });

  it('go down to nothing and up again', async () => {
    const url = await emptyDatabase();
    const dataSource = await open(url);
    await dataSource.runMigrations();
    const before = await withClient(url, catalogue);
    for (let count = 0; count < NestAuthMigrations.length; count += 1) await dataSource.undoLastMigration();
    const { rows } = await withClient(url, (client) =>
      client.query(`select relname from pg_class where relname like 'nest_auth_%'`),
    );
    expect(rows).toEqual([]);
    await dataSource.runMigrations();
    expect(await withClient(url, catalogue)).toEqual(before);
  });

  it('leave nothing of a migration that fails half-way', async () => {
    const url = await emptyDatabase();
    await withClient(url, (client) => client.query('create table nest_auth_roles (id int)'));
    const dataSource = await open(url);
    await expect(dataSource.runMigrations()).rejects.toMatchObject({ driverError: { code: '42P07' } });
    const { rows } = await withClient(url, (client) =>
      client.query(`select relname from pg_class where relkind = 'r' and relname like 'nest_auth_%'`),
    );
    expect(rows).toEqual([{ relname: 'nest_auth_roles' }]);
  });

  // TypeORM makes its own table without a lock: a loser fails there, as a deployment that is started again then finds.
  // See processes.test.ts for `migrate`, and for upgrades, where nobody fails.
  it('run by several processes at once are made once, and succeed in all of them in the end', async () => {
    for (let round = 0; round < 3; round += 1) {
      const url = await emptyDatabase();
      const processes = await Promise.all([open(url), open(url), open(url), open(url)]);
      const migrate = async (dataSource: DataSource, starts = 1): Promise<number> =>
        dataSource.runMigrations().then(
          () => starts,
          (error: unknown) => (starts < 3 ? migrate(dataSource, starts + 1) : Promise.reject(error)),
        );
      await Promise.all(processes.map((dataSource) => migrate(dataSource)));
      const { rows } = await withClient(url, (client) => client.query('select name from migrations'));
      expect(rows).toEqual(NestAuthMigrations.map(({ name }) => ({ name })));
      for (const dataSource of processes) expect(await pendingSql(dataSource)).toEqual([]);
    }
  });
});

describe('a DataSource that our SQL would not fit', () => {
  class Snake extends DefaultNamingStrategy {
    override columnName(): string {
      return `c_${Math.random().toString(36).slice(2)}`;
    }
  }
  class Prefixed extends DefaultNamingStrategy {
    override tableName(target: string, given: string | undefined): string {
      return `host_${given ?? target}`;
    }
  }

  it.each<[string, Partial<DataSourceOptions>]>([
    ['dataSource.entityPrefix', { entityPrefix: 'host_' }],
    ['dataSource.schema', { schema: 'identity' }],
    ['dataSource.namingStrategy', { namingStrategy: new Snake() }],
    ['dataSource.namingStrategy', { namingStrategy: new Prefixed() }],
    ['dataSource.entities', { entities: [NestAuthEntities[0]] }],
  ])('is refused at boot by the name %s', async (option, dataSource) => {
    const database = await createTestDatabase();
    databases.push(database);
    await expect(startNestApp(database.url, { dataSource })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option },
    });
  });
});

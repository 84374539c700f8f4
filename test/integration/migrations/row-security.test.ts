import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { DataSource } from 'typeorm';

import { NestAuthEntities, NestAuthMigrations, NestAuthRlsMigrations } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { dumpTables } from '../../support/tables.js';
import { times } from '../../support/nest-app.js';

// Whole schemas are made, by several processes.
jest.setTimeout(120_000);

let database: RlsDatabase;
beforeAll(async () => {
  database = await createRlsDatabase();
});
afterAll(() => database.drop());

async function withDataSource(fn: (dataSource: DataSource) => Promise<unknown>): Promise<void> {
  const dataSource = await new DataSource({
    type: 'postgres',
    url: database.ownerUrl,
    entities: [...NestAuthEntities],
    migrations: [...NestAuthMigrations, ...NestAuthRlsMigrations],
  }).initialize();
  try {
    await fn(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

async function protectedTables(): Promise<number> {
  const sql = `select count(*)::integer as count from pg_class where relrowsecurity and relname like 'nest_auth_%'`;
  const { rows } = await withClient(database.url, (client) => client.query<{ count: number }>(sql));
  return rows[0]?.count ?? -1;
}

describe('row-level security', () => {
  it('goes and comes back with every row as it was, also when five come back with it at once', async () => {
    await withClient(database.url, (client) =>
      client.query(`insert into nest_auth_tenants (id, name, slug) values (gen_random_uuid(), 'Acme', 'acme');
        insert into nest_auth_roles (id, guard, name, is_system) values (gen_random_uuid(), 'portal', 'member', true)`),
    );
    const before = await dumpTables(database.url);
    const tables = await protectedTables();
    await withDataSource(async (dataSource) => {
      for (const _ of NestAuthRlsMigrations) await dataSource.undoLastMigration();
    });
    expect(await protectedTables()).toBe(0);
    expect(await dumpTables(database.url)).toEqual(before);
    await Promise.all(times(5, () => withDataSource((dataSource) => dataSource.runMigrations())));
    expect(await protectedTables()).toBe(tables);
    expect(await dumpTables(database.url)).toEqual(before);
    const { rows } = await withClient(database.url, (client) => client.query('select name from migrations'));
    expect(rows).toEqual([...NestAuthMigrations, ...NestAuthRlsMigrations].map(({ name }) => ({ name })));
  });
});

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { DataSource } from 'typeorm';

import { UserSearch1790000000200 } from '../../../migrations/1790000000200-user-search.js';
import { NestAuthEntities, NestAuthMigrations } from '../../../src/index.js';
import { seedByCopy } from '../../bench/scale/seed.js';
import { shapeOf } from '../../bench/scale/shape.js';
import { useDatabase, withClient } from '../../support/database.js';

// Whole schemas are made, by several processes.
jest.setTimeout(120_000);

const database = useDatabase({ empty: true });
let dataSource: DataSource;

const INDEXES = ['nest_auth_roles_guard_name_ix', 'nest_auth_users_email_search_ix', 'nest_auth_users_phone_search_ix'];

async function validIndexes(): Promise<string[]> {
  const { rows } = await withClient(database.url, (client) =>
    client.query<{ name: string }>(
      `select indexrelid::regclass::text as name from pg_index
       where indisvalid and indexrelid::regclass::text = any($1::text[]) order by 1`,
      [INDEXES],
    ),
  );
  return rows.map(({ name }) => name);
}

/** The migration alone, by whichever of its directions, in a transaction. */
async function inTransaction(direction: 'up' | 'down'): Promise<void> {
  const runner = dataSource.createQueryRunner();
  try {
    await runner.manager.transaction(() => new UserSearch1790000000200()[direction](runner));
  } finally {
    await runner.release();
  }
}

beforeAll(async () => {
  dataSource = await new DataSource({
    type: 'postgres',
    url: database.url,
    entities: [...NestAuthEntities],
    migrations: [...NestAuthMigrations],
  }).initialize();
  await dataSource.runMigrations();
});
afterAll(() => dataSource.destroy());

describe('the indexes for lists of users', () => {
  it('are made with the tables, in whichever transaction mode', async () => {
    expect(await validIndexes()).toEqual(INDEXES);
  });

  it('replace what a build that was killed has left behind', async () => {
    await withClient(database.url, (client) =>
      client.query(
        `update pg_index set indisvalid = false where indexrelid = 'nest_auth_users_email_search_ix'::regclass`,
      ),
    );
    await inTransaction('up');
    expect(await validIndexes()).toEqual(INDEXES);
  });

  it('are refused to a large table by the statements that make them while everybody works, and found afterwards', async () => {
    await inTransaction('down');
    expect(await validIndexes()).toEqual([]);
    await seedByCopy(database.url, shapeOf(60_000), { host: false });
    const refusal = await inTransaction('up').then(
      () => '',
      (error: Error) => error.message,
    );
    expect(refusal).toContain('nest_auth_users is large');
    expect(await validIndexes()).toEqual([]);
    const statements = refusal.split('\n').filter((line) => /^(DROP|CREATE) INDEX CONCURRENTLY/.test(line));
    expect(statements).toHaveLength(2 * INDEXES.length);
    await withClient(database.url, async (client) => {
      for (const statement of statements) await client.query(statement);
    });
    await inTransaction('up');
    expect(await validIndexes()).toEqual(INDEXES);
  }, 120_000);
});

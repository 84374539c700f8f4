import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { DataSource } from 'typeorm';

import { NestAuthEntities, NestAuthMigrations } from '../../../src/index.js';
import { createTestDatabase, withClient } from '../../support/database.js';

// Whole schemas are made, by several processes.
jest.setTimeout(120_000);

let url: string;
let drop: () => Promise<void>;
let dataSource: DataSource;

const CHECKS = `select conname from pg_constraint where conrelid = 'nest_auth_users'::regclass and not convalidated`;

/** Takes the lifecycle away again, and what was made after it. */
async function beforeLifecycle(): Promise<void> {
  const names = NestAuthMigrations.map(({ name }) => name);
  const later = names.length - names.findIndex((name) => name.startsWith('UserLifecycle1'));
  for (let count = 0; count < later; count += 1) await dataSource.undoLastMigration();
}

function insert(status: string): Promise<string> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `insert into nest_auth_users (id, realm_id, status, is_active, created_at, updated_at)
       values (gen_random_uuid(), '00000000-0000-0000-0000-000000000000', $1::text, $1 = 'active', '2020-01-01Z', '2021-01-01Z')
       returning id`,
      [status],
    );
    return rows[0]?.id ?? '';
  });
}

beforeAll(async () => {
  ({ url, drop } = await createTestDatabase());
  dataSource = await new DataSource({
    type: 'postgres',
    url,
    entities: [...NestAuthEntities],
    migrations: [...NestAuthMigrations],
  }).initialize();
});

afterAll(async () => {
  await dataSource.destroy();
  await drop();
});

describe('the migrations of the lifecycle', () => {
  it('fill in what the version before could not know, and prove the constraints', async () => {
    await beforeLifecycle();
    const statuses = ['pending', 'active', 'inactive', 'disabled', 'scheduled_deletion'];
    const ids = [];
    for (const status of statuses) ids.push(await insert(status));
    await dataSource.runMigrations({ transaction: 'each' });
    const rows = await dataSource.query<Record<string, unknown>[]>(
      `select status, activated_at is not null as activated, deactivated_at, disabled_at, deleted_at,
         scheduled_deletion_at > now() as later, parked_identities
       from nest_auth_users where id = any($1::uuid[]) order by array_position($1::uuid[], id)`,
      [ids],
    );
    const then = new Date('2021-01-01Z');
    const nothing = { deactivated_at: null, disabled_at: null, deleted_at: null, later: null, parked_identities: null };
    expect(rows).toEqual([
      { ...nothing, status: 'pending', activated: false },
      { ...nothing, status: 'active', activated: true },
      { ...nothing, status: 'inactive', activated: true, deactivated_at: then },
      { ...nothing, status: 'disabled', activated: true, disabled_at: then },
      {
        ...nothing,
        status: 'scheduled_deletion',
        activated: true,
        disabled_at: then,
        deleted_at: then,
        later: true,
        parked_identities: [],
      },
    ]);
    expect(await dataSource.query(CHECKS)).toEqual([]);
  });

  it('let a plain row of an active user be inserted, and no row that contradicts itself', async () => {
    await insert('active');
    for (const status of ['pending', 'inactive', 'disabled', 'scheduled_deletion']) {
      await expect(insert(status)).rejects.toMatchObject({ code: '23514' });
    }
  });
});

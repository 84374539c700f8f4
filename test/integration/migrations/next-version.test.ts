import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { DataSource } from 'typeorm';

import { migrate, NestAuthEntities, NestAuthMigrations } from '../../../src/index.js';
import { createTestDatabase, withClient } from '../../support/database.js';
import { freshEmail, freshPhone, type NestApp, type Seed, seed, startNestApp, times } from '../../support/nest-app.js';
import { NEXT_MIGRATIONS } from '../../support/next-migrations.js';
import { dumpTables } from '../../support/tables.js';

// Whole schemas are made, by several processes.
jest.setTimeout(120_000);

/** Longest that a call may take while the next version is being migrated to. */
const PATIENCE_MS = 1_000;

let url: string;
let drop: () => Promise<void>;
let app: NestApp;
let seeded: Seed;
let next: DataSource;

beforeAll(async () => {
  ({ url, drop } = await createTestDatabase());
  app = await startNestApp(url);
  seeded = await seed(app);
  next = await new DataSource({
    type: 'postgres',
    url,
    entities: [...NestAuthEntities],
    migrations: [...NestAuthMigrations, ...NEXT_MIGRATIONS],
  }).initialize();
});

afterAll(async () => {
  await next.destroy();
  await app.close();
  await drop();
});

function createUser(): Promise<unknown> {
  const person = { email: freshEmail(), phone: freshPhone(), roleIds: [seeded.member] };
  return app.users.createUser(person, seeded.tenantId);
}

/** Creates users one after another until `fn` has ended; how long each took. */
async function whileCreatingUsers(fn: () => Promise<unknown>): Promise<number[]> {
  const took: number[] = [];
  const over = new AbortController();
  const work = fn().finally(() => over.abort());
  while (!over.signal.aborted) {
    const started = Date.now();
    await createUser();
    took.push(Date.now() - started);
  }
  await work;
  return took;
}

/** Without TypeORM's transaction, which it opens on the way back even for what cannot run in one. */
function goBack(): Promise<void> {
  return next.undoLastMigration({ transaction: 'none' });
}

describe('the next version of the schema', () => {
  it('comes while users are being created, and no call waits for it', async () => {
    await Promise.all(times(100, () => createUser()));
    const took = await whileCreatingUsers(() => migrate(next));
    expect(Math.max(...took)).toBeLessThan(PATIENCE_MS);
    const { rows } = await withClient(url, (client) =>
      client.query(`select indisvalid from pg_index where indexrelid = 'nest_auth_users_locale_ix'::regclass`),
    );
    expect(rows).toEqual([{ indisvalid: true }]);
  });

  it('goes back and comes again with every row as it was, and the version that runs works all the time', async () => {
    const before = await dumpTables(url);
    for (const _ of NEXT_MIGRATIONS) await goBack();
    const { nest_auth_users: users = [], ...others } = await dumpTables(url);
    const { nest_auth_users: usersBefore = [], ...othersBefore } = before;
    expect(others).toEqual(othersBefore);
    // Less the column that the next version has, which is the last one.
    expect(users).toEqual(usersBefore.map((row) => row.replace(/,\)$/, ')')));
    await createUser();
    expect(await migrate(next)).toEqual(NEXT_MIGRATIONS.map(({ name }) => name));
    await createUser();
  });

  it('is made anew where a killed run has left an invalid index', async () => {
    await goBack();
    await withClient(url, async (client) => {
      await client.query(`create index nest_auth_users_locale_ix on nest_auth_users (locale)`);
      await client.query(
        `update pg_index set indisvalid = false where indexrelid = 'nest_auth_users_locale_ix'::regclass`,
      );
    });
    await migrate(next);
    const { rows } = await withClient(url, (client) =>
      client.query(`select indisvalid from pg_index where indexrelid = 'nest_auth_users_locale_ix'::regclass`),
    );
    expect(rows).toEqual([{ indisvalid: true }]);
  });
});

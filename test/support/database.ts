import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll } from '@jest/globals';
import { Client } from 'pg';

import { type Cluster, createCitusDatabase, dropCitusDatabase } from './citus.js';
import { takeSpare } from './spare-databases.js';
import { clone, databaseUrl, dropDatabase } from './template.js';

export interface TestDatabase {
  readonly url: string;
  /** Also drops it from under open connections. */
  drop(): Promise<void>;
}

export interface TestDatabaseOptions {
  /** Without our schema: for the tests of the migrations themselves. @default false */
  readonly empty?: boolean;
  /** On one machine also where the others are spread over a cluster: for what Citus does not have. @default false */
  readonly plain?: boolean;
}

const { NEST_AUTH_TEST_CLUSTER: CLUSTER } = process.env;

/** For what a cluster does not have, `{ plain: ON_CLUSTER }`: elsewhere the test runs like the others. */
export const ON_CLUSTER = CLUSTER !== undefined;

/** How a column of a host's table refers to a user. A cluster has no foreign key from a table that is not spread with ours. */
export const REFERS_TO_USER = ON_CLUSTER ? '' : 'references nest_auth_users (id)';

/** Finds who waits for a lock in this database, whichever node it waits at. */
export const LOCK_WAITS = ON_CLUSTER
  ? 'select 1 from citus_lock_waits'
  : `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;

/** A database of one's own, migrated and without rows. Takes about a tenth of a second. */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const server = fromSetup('NEST_AUTH_TEST_SERVER');
  // Not counted: a worker loads this file anew for each test file, and one of them may leave its database behind.
  const name = `${fromSetup('NEST_AUTH_TEST_PREFIX')}_${randomUUID().slice(0, 8)}`;
  const isSpread = options.empty !== true && options.plain !== true;
  const { NEST_AUTH_TEST_SCALE_OUT: scaledOut } = process.env;
  if (isSpread && CLUSTER !== undefined) {
    const cluster = JSON.parse(CLUSTER) as Cluster;
    return { url: await createCitusDatabase(cluster, name), drop: () => dropCitusDatabase(cluster, name) };
  }
  const migrated = isSpread && scaledOut !== undefined ? scaledOut : fromSetup('NEST_AUTH_TEST_TEMPLATE');
  const spare = options.empty === true ? undefined : await takeSpare();
  if (spare !== undefined) return { url: databaseUrl(server, spare), drop: () => dropDatabase(server, spare) };
  const url = await clone(server, options.empty === true ? 'template0' : migrated, name);
  await untilReplicated(name);
  return { url, drop: () => dropDatabase(server, name) };
}

/** One database for the tests of this file. Read `url` inside a hook or a test, not while the file is loading. */
export function useDatabase(options: TestDatabaseOptions = {}): { readonly url: string } {
  let database: TestDatabase | undefined;
  beforeAll(async () => {
    database = await createTestDatabase(options);
  });
  afterAll(() => database?.drop());
  return {
    get url() {
      if (database === undefined) throw new Error('useDatabase(): the url is known from beforeAll on');
      return database.url;
    },
  };
}

/** A plain connection that no code of the package has touched: for looking at what is really there. */
export async function withClient<Result>(url: string, fn: (client: Client) => Promise<Result>): Promise<Result> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await fn(client);
  } finally {
    await client.end();
  }
}

/** A DataSource connects to its replica too, and the replica hears of a new database late. */
async function untilReplicated(name: string): Promise<void> {
  const replica = process.env['NEST_AUTH_TEST_REPLICA'];
  if (replica === undefined) return;
  await withClient(replica, async (client) => {
    const sql = 'select 1 from pg_database where datname = $1';
    while ((await client.query(sql, [name])).rows.length === 0) await sleep(50);
  });
}

function fromSetup(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: only tests of the project "integration" have a server`);
  return value;
}

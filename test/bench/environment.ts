import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { startPostgres } from '../../src/testing/index.js';
import { clone, createTemplate, dropDatabasesLike } from '../support/template.js';
import { type ServerClock, serverClockOf } from './measure.js';

/** Connections of every pool, on both sides. */
export const POOL_SIZE = 16;

/** What an embedded server is started with; a server of the environment keeps its own. */
const SERVER_SETTINGS = { shared_buffers: '1GB', max_wal_size: '8GB', checkpoint_timeout: '15min' };

const SHOWN_SETTINGS = [
  'fsync',
  'synchronous_commit',
  'shared_buffers',
  'max_wal_size',
  'autovacuum',
  'jit',
  'plan_cache_mode',
];

/** The host's own table: one row a user, with its own key, made by the application as every id is. */
const APP_USERS = `create table app_users (
  id uuid primary key,
  auth_user_id uuid not null unique references nest_auth_users (id),
  display_name text not null)`;

/** A server with a migrated template. */
export interface Environment {
  readonly serverClock: ServerClock;
  /** A migrated database without rows. */
  createDatabase(): Promise<string>;
  facts(): Promise<Fact[]>;
  stop(): Promise<void>;
}

export type Fact = readonly [name: string, value: string];

export async function openEnvironment(): Promise<Environment> {
  const given = process.env['DATABASE_URL'];
  const server = given === undefined ? await startPostgres({ fsync: true, settings: SERVER_SETTINGS }) : null;
  const url = server?.url ?? given ?? '';
  const prefix = `nest_auth_bench_${randomBytes(4).toString('hex')}`;
  const stop = async (): Promise<void> => {
    if (server === null) await dropDatabasesLike(url, prefix);
    else await server.stop();
  };
  let serial = 0;
  try {
    await createTemplate(url, `${prefix}_template`);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    serverClock: serverClockOf(server?.pid ?? null),
    createDatabase: async () => {
      serial += 1;
      const database = await clone(url, `${prefix}_template`, `${prefix}_${serial}`);
      await addAppUsers(database);
      return database;
    },
    facts: () => withClient(url, (client) => readFacts(client, server === null ? 'DATABASE_URL' : 'embedded')),
    stop,
  };
}

export async function addAppUsers(url: string): Promise<void> {
  await withClient(url, (client) => client.query(APP_USERS));
}

export async function withClient<T>(url: string, fn: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await fn(client);
  } finally {
    await client.end();
  }
}

async function readFacts(client: pg.Client, kind: string): Promise<Fact[]> {
  const { rows } = await client.query<{ name: string; value: string }>(
    'select name, current_setting(name) as value from pg_settings where name = any($1::text[]) order by name',
    [SHOWN_SETTINGS],
  );
  const { rows: version } = await client.query<{ server_version: string }>('show server_version');
  return [
    ['CPU', `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'unknown'}, shared by server and client`],
    ['Memory', `${Math.round(totalmem() / 2 ** 30)} GiB`],
    ['Load before', loadavg()[0]?.toFixed(2) ?? ''],
    ['Node', process.versions.node],
    ['PostgreSQL', `${version[0]?.server_version ?? ''} (${kind})`],
    ['Pool', `${POOL_SIZE} connections each side`],
    ...rows.map(({ name, value }): Fact => [name, value]),
  ];
}

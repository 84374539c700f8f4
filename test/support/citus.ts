import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { DataSource } from 'typeorm';

import { NestAuthCitusMigrations, NestAuthEntities, NestAuthMigrations } from '../../src/index.js';
import { dropDatabase } from './template.js';

/** A Citus cluster that somebody has. */
export interface Cluster {
  /** A database of the coordinator, as somebody who may make databases on every node. */
  readonly url: string;
  /** What the workers call the coordinator; absent when it has no workers and keeps the shards itself. */
  readonly coordinator?: Address | undefined;
  readonly workers: readonly Worker[];
}

interface Address {
  readonly host: string;
  readonly port: number;
}

interface Worker {
  /** What the nodes call it among themselves. */
  readonly node: Address;
  /** How it is reached from here. */
  readonly url: string;
}

/** Enough to be on several nodes, and made in a fraction of the time that 32 take. */
const SHARDS = 4;
const TRIES = 4;
const PAUSE_MS = 500;
/** Wrong however often one tries: syntax and access rules, missing objects, wrong password, a database that is there. */
const FINAL = /^(42|28|3D|0A)/;

/**
 * What the coordinator says of its cluster. Each test database needs a name on every node, so the workers must be
 * reached from here too: under the names that the coordinator has for them, or those in `TEST_CITUS_WORKERS`
 * (`host:port,host:port`, in the order of `pg_dist_node`).
 */
export async function inspectCluster(url: string, addresses = process.env['TEST_CITUS_WORKERS']): Promise<Cluster> {
  const found = await ask<{ host: string; port: number; is_worker: boolean }>(url, CLUSTER).catch((error: unknown) => {
    const { code, message } = error as { code?: string; message: string };
    const reason =
      code === '42P01'
        ? 'its database has no extension citus: CREATE EXTENSION citus there, and citus_add_node() for each worker'
        : `${code ?? 'no code'}: ${message}`;
    throw new Error(`TEST_ENGINE=citus: cannot use the server of DATABASE_URL (${new URL(url).host}); ${reason}`, {
      cause: error,
    });
  });
  const nodes = found.filter((node) => node.is_worker);
  const reached = addresses === undefined || addresses === '' ? undefined : addresses.split(',');
  if (reached !== undefined && reached.length !== nodes.length) {
    throw new Error(`TEST_CITUS_WORKERS names ${reached.length} workers, the coordinator has ${nodes.length}`);
  }
  const workers = nodes.map(({ host, port }, index) => {
    const own = new URL(url);
    own.host = reached?.[index] ?? `${host}:${port}`;
    // That of the coordinator may be there on the coordinator only.
    own.pathname = '/postgres';
    return { node: { host, port }, url: own.href };
  });
  const coordinator = found.find((node) => !node.is_worker);
  return { url, workers, coordinator: coordinator && { host: coordinator.host, port: coordinator.port } };
}

const CLUSTER = `select nodename as host, nodeport::integer as port, groupid <> 0 as is_worker
  from pg_dist_node where noderole = 'primary' and isactive order by nodeid`;

/**
 * A database on every node, made one cluster and migrated. Not cloned from a template: the copy would have the
 * coordinator's list of shards and none of the shards.
 *
 * @param extension - The SQL that makes a database one of Citus; the dry run puts stand-ins there.
 * @returns its url at the coordinator
 */
export async function createCitusDatabase(
  { url, coordinator, workers }: Cluster,
  name: string,
  extension = 'CREATE EXTENSION citus',
): Promise<string> {
  for (const node of [...workers.map((worker) => worker.url), url]) {
    await retried(() => ask(node, `CREATE DATABASE "${name}" TEMPLATE template0`));
    await retried(() => ask(inDatabase(node, name), extension));
  }
  const own = inDatabase(url, name);
  await retried(() => ask(own, `ALTER DATABASE "${name}" SET citus.shard_count = ${SHARDS}`));
  await retried(() => ask(own, `ALTER DATABASE "${name}" SET citus.multi_shard_modify_mode = 'sequential'`));
  if (workers.length > 0 && coordinator !== undefined) {
    await retried(() => ask(own, 'select citus_set_coordinator_host($1, $2)', [coordinator.host, coordinator.port]));
  }
  for (const { node } of workers) {
    await retried(() => ask(own, 'select citus_add_node($1, $2)', [node.host, node.port]));
  }
  await retried(() => migrateOut(own));
  return own;
}

export async function dropCitusDatabase({ url, workers }: Cluster, name: string): Promise<void> {
  // The coordinator first: its maintenance process would go on asking the workers.
  for (const node of [url, ...workers.map((worker) => worker.url)]) await retried(() => dropDatabase(node, name));
}

/** The schema, and then its distribution. */
export async function migrateOut(url: string): Promise<void> {
  const dataSource = new DataSource({
    type: 'postgres',
    url,
    entities: [...NestAuthEntities],
    migrations: [...NestAuthMigrations, ...NestAuthCitusMigrations],
  });
  await dataSource.initialize();
  try {
    await dataSource.runMigrations({ transaction: 'each' });
  } finally {
    await dataSource.destroy();
  }
}

/** A cluster is busy with itself now and then: a node that is being used, two changes of its metadata at once. */
async function retried<T>(step: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await step();
    } catch (error) {
      if (tried === TRIES || FINAL.test((error as { code?: string }).code ?? '')) throw error;
      await sleep(PAUSE_MS * tried);
    }
  }
}

function inDatabase(url: string, name: string): string {
  const own = new URL(url);
  own.pathname = `/${name}`;
  return own.href;
}

async function ask<Row>(url: string, sql: string, values: unknown[] = []): Promise<Row[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    // Without values as one text, which may hold several statements.
    const { rows } = values.length === 0 ? await client.query(sql) : await client.query(sql, values);
    return rows as Row[];
  } finally {
    await client.end();
  }
}

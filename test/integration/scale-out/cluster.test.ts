import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { type PostgresServer, startPostgres } from '../../../src/testing/index.js';
import { CITUS_STAND_IN, placementsOf } from '../../support/citus-stand-in.js';
import { createCitusDatabase, dropCitusDatabase, inspectCluster } from '../../support/citus.js';
import { createTestDatabase, type TestDatabase, withClient } from '../../support/database.js';

const NAME = `nest_auth_test_cluster_${process.pid}`;
const NODES = `create table pg_dist_node (nodeid serial, nodename text, nodeport integer, groupid integer,
  noderole text default 'primary', isactive boolean default true);
  insert into pg_dist_node (nodename, nodeport, groupid) values ('coordinator.internal', 5432, 0), ('worker.internal', 5433, 1)`;

/** Two servers that are no cluster, but have the functions of one: what the tests do with a real one, without it. */
describe('the databases of tests on a cluster', () => {
  let coordinator: TestDatabase;
  let worker: PostgresServer;

  beforeAll(async () => {
    coordinator = await createTestDatabase({ empty: true });
    await withClient(coordinator.url, (client) => client.query(NODES));
    worker = await startPostgres();
  });
  afterAll(async () => {
    await worker.stop();
    await coordinator.drop();
  });

  const cluster = () => inspectCluster(coordinator.url, new URL(worker.url).host);
  const databasesOf = async (url: string): Promise<unknown[]> => {
    const { rows } = await withClient(url, (client) =>
      client.query('select 1 from pg_database where datname = $1', [NAME]),
    );
    return rows;
  };

  it('are made on every node, told of each other, and distributed', async () => {
    const url = await createCitusDatabase(await cluster(), NAME, CITUS_STAND_IN);
    await withClient(url, async (client) => {
      expect(await placementsOf(client)).toHaveLength(29);
      const { rows } = await client.query('select host, port, kind from citus_stand_in_nodes order by kind');
      expect(rows).toEqual([
        { host: 'coordinator.internal', port: 5432, kind: 'coordinator' },
        { host: 'worker.internal', port: 5433, kind: 'worker' },
      ]);
    });
    expect(await databasesOf(worker.url)).toHaveLength(1);
  });

  it('are gone from every node afterwards', async () => {
    await dropCitusDatabase(await cluster(), NAME);
    expect([...(await databasesOf(coordinator.url)), ...(await databasesOf(worker.url))]).toEqual([]);
  });

  it('are not tried again when trying cannot help', async () => {
    await expect(createCitusDatabase(await cluster(), NAME, 'CREATE EXTENSION nobody_has_this')).rejects.toMatchObject({
      code: '0A000',
    });
    await dropCitusDatabase(await cluster(), NAME);
  });

  it('need as many addresses as there are workers', async () => {
    await expect(inspectCluster(coordinator.url, 'a:1,b:2')).rejects.toThrow('TEST_CITUS_WORKERS');
  });
});

describe('a cluster that cannot be used', () => {
  it('is named when nobody answers there', async () => {
    await expect(inspectCluster('postgres://postgres@127.0.0.1:1/postgres')).rejects.toMatchObject({
      message: expect.stringContaining('127.0.0.1:1'),
      cause: { code: 'ECONNREFUSED' },
    });
  });

  it('is named when it has no extension', async () => {
    const database = await createTestDatabase({ empty: true });
    await expect(inspectCluster(database.url)).rejects.toMatchObject({
      message: expect.stringContaining('CREATE EXTENSION citus'),
      cause: { code: '42P01' },
    });
    await database.drop();
  });

  it.each<[string, NodeJS.ProcessEnv, string[]]>([
    ['without an address', { TEST_ENGINE: 'citus', DATABASE_URL: '' }, ['TEST_ENGINE=citus', 'DATABASE_URL']],
    ['by an unknown name', { TEST_ENGINE: 'oracle' }, ['TEST_ENGINE=oracle', 'postgres', 'citus']],
  ])('ends npm test at once %s, as a failure', (_, env, names) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['test/support/run-tests.mjs'], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    });
    for (const name of names) expect(stderr).toContain(name);
    expect(stdout.trim().split('\n').at(-1)).toBe('0 passed, 1 failed');
    expect(status).toBe(1);
  });
});

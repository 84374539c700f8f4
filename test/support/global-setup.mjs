// One server per run, one migrated template; every test file clones it. Runs in the process that starts the workers,
// which inherit what is put into the environment here.
import './typescript.mjs';

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { keepTemporaryFilesInMemory } from './memory.mjs';

/** Far longer than any test would wait by chance. */
const REPLICA_LAG_SECONDS = 5;

export default async function setUp() {
  keepTemporaryFilesInMemory();
  const { createTemplate } = await import('./template.ts');
  // Two runs may share one server.
  const prefix = `nest_auth_test_${process.pid}`;
  const template = `${prefix}_template`;
  process.env.NEST_AUTH_TEST_PREFIX = prefix;
  process.env.NEST_AUTH_TEST_TEMPLATE = template;

  const stops = [];
  globalThis.tearDownTestServer = async () => {
    for (const stop of stops.splice(0).toReversed()) await stop();
  };
  // Read by the reporter, before this is torn down.
  const statements = await mkdtemp(join(tmpdir(), 'nest-auth-statements-'));
  process.env.NEST_AUTH_TEST_STATEMENTS = statements;
  stops.push(() => rm(statements, { recursive: true, force: true }));
  try {
    if (process.env.NEST_AUTH_TEST_MODE === 'replica') {
      const { startReplicatedServer } = await import('./replicated-server.ts');
      const { makeSpares, offerSpares } = await import('./spare-databases.ts');
      const servers = await startReplicatedServer(REPLICA_LAG_SECONDS, async (url) => {
        await createTemplate(url, template);
        await makeSpares(url, template);
      });
      stops.push(servers.stop);
      stops.push(await offerSpares(template));
      process.env.NEST_AUTH_TEST_SERVER = servers.url;
      process.env.NEST_AUTH_TEST_REPLICA = servers.replicaUrl;
      return;
    }
    if (process.env.NEST_AUTH_TEST_MODE === 'citus') await findCluster(stops, prefix);
    process.env.NEST_AUTH_TEST_SERVER = await startServer(stops, prefix);
    await createTemplate(process.env.NEST_AUTH_TEST_SERVER, template);
    if (process.env.NEST_AUTH_TEST_MODE === 'scale-out') {
      const { createScaleOutTemplate } = await import('./template.ts');
      process.env.NEST_AUTH_TEST_SCALE_OUT = `${prefix}_scale_out`;
      await createScaleOutTemplate(process.env.NEST_AUTH_TEST_SERVER, process.env.NEST_AUTH_TEST_SCALE_OUT);
    }
    if (process.env.NEST_AUTH_TEST_MODE === 'pgbouncer') {
      const { startPgBouncer } = await import('./pgbouncer.ts');
      const pooler = await startPgBouncer(process.env.NEST_AUTH_TEST_SERVER);
      stops.push(pooler.stop);
      process.env.NEST_AUTH_TEST_POOLER = pooler.url;
    }
  } catch (error) {
    await globalThis.tearDownTestServer();
    throw error;
  }
}

/** Before anything is made on it: whoever gave a wrong address is told so, and nothing else. */
async function findCluster(stops, prefix) {
  const { inspectCluster } = await import('./citus.ts');
  const { dropDatabasesLike } = await import('./template.ts');
  const cluster = await inspectCluster(process.env.DATABASE_URL);
  process.env.NEST_AUTH_TEST_CLUSTER = JSON.stringify(cluster);
  for (const { url } of cluster.workers) stops.push(() => dropDatabasesLike(url, prefix));
}

async function startServer(stops, prefix) {
  const { startPostgres } = await import('../../src/testing/server.ts');
  const { dropDatabasesLike } = await import('./template.ts');
  const url = process.env.DATABASE_URL;
  if (url) {
    stops.push(() => dropDatabasesLike(url, prefix));
    return url;
  }
  const server = await startPostgres();
  stops.push(() => server.stop());
  return server.url;
}

// One server per run, one migrated template; every test file clones it. Runs in the process that starts the workers,
// which inherit what is put into the environment here.
import './typescript.mjs';

export default async function setUp() {
  const { startPostgres } = await import('../../src/testing/server.ts');
  const { createTemplate, dropDatabasesLike } = await import('./template.ts');

  const server = process.env.DATABASE_URL ? undefined : await startPostgres();
  const url = server?.url ?? process.env.DATABASE_URL;
  // Two runs may share one server.
  const prefix = `nest_auth_test_${process.pid}`;
  globalThis.tearDownTestServer = async () => {
    if (server) await server.stop();
    else await dropDatabasesLike(url, prefix);
  };

  process.env.NEST_AUTH_TEST_SERVER = url;
  process.env.NEST_AUTH_TEST_PREFIX = prefix;
  process.env.NEST_AUTH_TEST_TEMPLATE = `${prefix}_template`;
  try {
    await createTemplate(url, process.env.NEST_AUTH_TEST_TEMPLATE);
  } catch (error) {
    await globalThis.tearDownTestServer();
    throw error;
  }
}

import { startPostgres } from 'nest-auth-identity/testing';
import { Client } from 'pg';

export interface DemoDatabase {
  readonly url: string;
  /** For people: what it is and where. */
  readonly description: string;
  /** Removes it with everything in it, also from under open connections, and says what was removed. */
  remove(): Promise<string>;
}

/** A database that is only the demo's: on an embedded server, or a new one on the server of `DATABASE_URL`. */
export async function openDatabase(signal: AbortSignal): Promise<DemoDatabase> {
  const given = process.env['DATABASE_URL'];
  if (given !== undefined && given !== '') return createDatabase(given);
  // With fsync, so that the speed shown is that of a database which keeps what it has committed.
  const server = await startPostgres({ fsync: true, signal });
  const version = await versionOf(server.url);
  return {
    url: server.url,
    description: `embedded PostgreSQL ${version}, fsync on`,
    remove: () => server.stop().then(() => 'The server is stopped, its files are removed.'),
  };
}

/** Nothing of the database that DATABASE_URL names is touched. */
async function createDatabase(serverUrl: string): Promise<DemoDatabase> {
  const name = `nest_auth_portal_demo_${process.pid}`;
  await execute(serverUrl, `CREATE DATABASE ${name}`).catch((cause: unknown) => {
    throw new Error('The user of DATABASE_URL could not create a database of the demo’s own', { cause });
  });
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const version = await versionOf(url.href);
  return {
    url: url.href,
    description: `PostgreSQL ${version} of DATABASE_URL, database ${name}`,
    remove: () =>
      execute(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`).then(() => `The database ${name} is dropped.`),
  };
}

async function versionOf(url: string): Promise<string> {
  const [row] = await execute(url, 'SHOW server_version');
  return String(row?.['server_version']).split(' ')[0] ?? '';
}

function execute(url: string, sql: string): Promise<Record<string, unknown>[]> {
  return withClient(url, async (client) => (await client.query<Record<string, unknown>>(sql)).rows);
}

/** A connection of its own: it sees what is committed, and nothing of the package is between. */
export async function withClient<T>(url: string, fn: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await fn(client);
  } finally {
    await client.end();
  }
}

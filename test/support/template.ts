import { Client } from 'pg';
import { DataSource } from 'typeorm';

/** Makes a database with our schema and without rows, and closes it: a database in use cannot be cloned. */
export async function createTemplate(serverUrl: string, name: string): Promise<void> {
  // Not at the top: a broken source file is then reported as what it is, and after the server can be stopped.
  const { NestAuthEntities, NestAuthMigrations } = await import('../../src/index.js');
  if (!Array.isArray(NestAuthEntities) || !Array.isArray(NestAuthMigrations)) {
    throw new Error(
      'src/index.ts exports no NestAuthEntities and NestAuthMigrations: the test database cannot be made',
    );
  }
  const url = await clone(serverUrl, 'template0', name);
  const dataSource = new DataSource({
    type: 'postgres',
    url,
    entities: [...NestAuthEntities],
    migrations: [...NestAuthMigrations],
  });
  await dataSource.initialize();
  try {
    await dataSource.runMigrations();
  } finally {
    await dataSource.destroy();
  }
  await close(serverUrl, name);
}

/** The schema of the scale-out migrations on one machine, with stand-ins for the functions of Citus. */
export async function createScaleOutTemplate(serverUrl: string, name: string): Promise<void> {
  const { CITUS_STAND_IN } = await import('./citus-stand-in.js');
  const { migrateOut } = await import('./citus.js');
  const url = await clone(serverUrl, 'template0', name);
  await execute(url, CITUS_STAND_IN);
  await migrateOut(url);
  await close(serverUrl, name);
}

async function close(serverUrl: string, name: string): Promise<void> {
  await execute(serverUrl, `ALTER DATABASE "${name}" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false`);
}

/** @returns the url of the new database */
export async function clone(serverUrl: string, template: string, name: string): Promise<string> {
  // Copying files beats writing every block to the log, above all with fsync off.
  await execute(serverUrl, `CREATE DATABASE "${name}" TEMPLATE "${template}" STRATEGY file_copy`);
  return databaseUrl(serverUrl, name);
}

export function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

export async function dropDatabase(serverUrl: string, name: string): Promise<void> {
  await execute(serverUrl, `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
}

/** On a server that is not ours, nothing may stay behind, also not what a killed test file left. */
export async function dropDatabasesLike(serverUrl: string, prefix: string): Promise<void> {
  const { rows } = await execute(serverUrl, 'SELECT datname FROM pg_database WHERE starts_with(datname, $1)', [prefix]);
  for (const { datname } of rows as { datname: string }[]) {
    await execute(serverUrl, `ALTER DATABASE "${datname}" WITH IS_TEMPLATE false`);
    await dropDatabase(serverUrl, datname);
  }
}

async function execute(url: string, sql: string, values?: unknown[]): Promise<{ rows: unknown[] }> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(sql, values);
  } finally {
    await client.end();
  }
}

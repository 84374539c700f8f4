import { readFileSync } from 'node:fs';
import { type Client } from 'pg';
import { DataSource, type DataSourceOptions } from 'typeorm';

import { NestAuthRlsMigrations } from '../../src/index.js';
import { createTestDatabase, withClient } from './database.js';

/** The database roles of one test file; roles belong to the server, so each file has its own. */
interface RlsRoles {
  readonly owner: string;
  readonly app: string;
  readonly platform: string;
}

export interface RlsDatabase {
  /** As the superuser, whom no policy binds: for looking at what is really there. */
  readonly url: string;
  readonly ownerUrl: string;
  readonly appUrl: string;
  readonly roles: RlsRoles;
  drop(): Promise<void>;
}

/** Options that connect a DataSource as a role: to the primary alone, because a replica of the tests knows no such role. */
export function connectAs(url: string): { type: 'postgres' } & Partial<DataSourceOptions> {
  if (process.env['NEST_AUTH_TEST_REPLICA'] === undefined) return { type: 'postgres', url };
  return { type: 'postgres', replication: { master: { url }, slaves: [] } };
}

const PASSWORD = 'for-tests-only';

let serial = 0;

/** A migrated database in which the roles, the owner and the policies are those of docs/isolation.md. */
export async function createRlsDatabase(): Promise<RlsDatabase> {
  const { url, drop } = await createTestDatabase({ plain: true });
  const roles = namesOfRoles();
  await withClient(url, (client) => prepare(client, roles));
  const ownerUrl = as(url, roles.owner);
  await migrate(ownerUrl);
  return {
    url,
    ownerUrl,
    appUrl: as(url, roles.app),
    roles,
    drop: async () => {
      await drop();
      await withClient(serverOf(url), async (client) => {
        for (const role of [roles.app, roles.owner, roles.platform]) await client.query(`drop role ${role}`);
      });
    },
  };
}

function namesOfRoles(): RlsRoles {
  serial += 1;
  const prefix = `nest_auth_test_${process.ppid}_${process.pid}_${serial}`;
  return { owner: `${prefix}_owner`, app: `${prefix}_app`, platform: `${prefix}_platform` };
}

async function prepare(client: Client, { owner, app, platform }: RlsRoles): Promise<void> {
  await client.query(setupSql({ owner, app, platform }));
  const { rows } = await client.query<{ name: string; database: string }>(
    `select table_name as name, current_database() as database from information_schema.tables where table_schema = 'public'`,
  );
  for (const { name } of rows) await client.query(`alter table ${name} owner to ${owner}`);
  await client.query(`
    alter database "${rows[0]?.database}" set nest_auth.app_role = '${app}';
    alter database "${rows[0]?.database}" set nest_auth.platform_role = '${platform}'`);
}

/** The SQL that docs/isolation.md tells an administrator to run, for other names. */
function setupSql({ owner, app, platform }: RlsRoles): string {
  const page = readFileSync('docs/isolation.md', 'utf8');
  const [, sql = ''] = /```sql\n(CREATE ROLE[\s\S]*?)```/.exec(page) ?? [];
  return sql
    .replaceAll('nest_auth_owner', owner)
    .replaceAll('nest_auth_app', app)
    .replaceAll('nest_auth_platform', platform)
    .replaceAll('change me', PASSWORD);
}

/** As the owner of the tables, who is nobody's superuser. */
async function migrate(url: string): Promise<void> {
  const dataSource = await new DataSource({
    ...connectAs(url),
    migrations: [...NestAuthRlsMigrations],
    migrationsRun: true,
  }).initialize();
  await dataSource.destroy();
}

function as(url: string, role: string): string {
  const changed = new URL(url);
  changed.username = role;
  changed.password = PASSWORD;
  return changed.href;
}

function serverOf(url: string): string {
  const server = new URL(url);
  server.pathname = '/postgres';
  return server.href;
}

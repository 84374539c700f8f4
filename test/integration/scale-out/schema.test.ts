import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { DataSource, type DataSourceOptions, type MigrationInterface } from 'typeorm';

import { NestAuthCitusMigrations, NestAuthMigrations, NestAuthRlsMigrations } from '../../../src/index.js';
import { CITUS_STAND_IN, placementsOf, problemsOf } from '../../support/citus-stand-in.js';
import { createTestDatabase, type TestDatabase, withClient } from '../../support/database.js';
import { statementsOf } from '../../support/migration-lint.js';

type MigrationClass = new () => MigrationInterface;

const ALL: readonly MigrationClass[] = [...NestAuthMigrations, ...NestAuthCitusMigrations];
/** Not spread: what belongs to the platform and not to a user stays on the coordinator, the activity log with its partitions. */
const LOCAL = /^nest_auth_(activities|activity_seals|dead_letters|external_flows|invitations|job_runs|subscriptions)/;

async function withDatabase<T>(fn: (url: string) => Promise<T>): Promise<T> {
  const database = await createTestDatabase({ empty: true });
  try {
    return await fn(database.url);
  } finally {
    await database.drop();
  }
}

async function withMigrations<T>(
  url: string,
  migrations: readonly MigrationClass[],
  fn: (dataSource: DataSource) => Promise<T>,
): Promise<T> {
  const options = { type: 'postgres', url, migrations: [...migrations] } as DataSourceOptions;
  const dataSource = await new DataSource(options).initialize();
  try {
    return await fn(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

/** Constraints and indexes of our tables, in PostgreSQL's own words. */
async function guardsOf(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(`
    select concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) as line from pg_constraint
      where contype <> 'n' and conrelid::regclass::text like 'nest_auth_%'
    union all
    select indexdef from pg_indexes where schemaname = 'public' and tablename like 'nest_auth_%' order by 1`);
  return rows.map(({ line }) => line);
}

const nameIn = (guard: string): string => /nest_auth_\w+_(?:fk|uq|ix|pk|ck)\b/.exec(guard)?.[0] ?? guard;

describe('the scale-out migration', () => {
  let database: TestDatabase;
  let before: string[];

  beforeAll(async () => {
    database = await createTestDatabase({ empty: true });
    await withClient(database.url, (client) => client.query(CITUS_STAND_IN));
    await withMigrations(database.url, NestAuthMigrations, (dataSource) => dataSource.runMigrations());
    before = await withClient(database.url, guardsOf);
    await withMigrations(database.url, ALL, (dataSource) => dataSource.runMigrations());
  });
  afterAll(() => database.drop());

  it('gives every table a place on the cluster: users with what is theirs, logins by what one logs in with', async () => {
    const placements = await withClient(database.url, placementsOf);
    const [users] = placements.filter(({ table }) => table === 'nest_auth_users');
    const beside = users?.colocation ?? null;
    const mine = (table: string) => ({ table, kind: 'distributed', column: 'user_id', colocation: beside });
    const counted = (table: string) => ({ ...mine(table), column: 'subject' });
    const ofTenant = { kind: 'distributed', column: 'tenant_id', colocation: expect.any(Number) };
    const everywhere = (table: string) => ({ table, kind: 'reference', column: null, colocation: null });
    expect(placements).toEqual([
      mine('nest_auth_api_keys'),
      { table: 'nest_auth_identities', kind: 'distributed', column: 'provider_id', colocation: expect.any(Number) },
      mine('nest_auth_one_time_tokens'),
      mine('nest_auth_password_history'),
      everywhere('nest_auth_permissions'),
      mine('nest_auth_platform_access_permissions'),
      mine('nest_auth_platform_access_roles'),
      mine('nest_auth_platform_accesses'),
      { table: 'nest_auth_rate_limits', kind: 'distributed', column: 'key', colocation: expect.any(Number) },
      mine('nest_auth_refresh_tokens'),
      everywhere('nest_auth_role_graphs'),
      everywhere('nest_auth_role_parents'),
      everywhere('nest_auth_role_permissions'),
      everywhere('nest_auth_roles'),
      mine('nest_auth_second_factor_challenges'),
      mine('nest_auth_second_factor_codes'),
      mine('nest_auth_second_factor_states'),
      mine('nest_auth_second_factors'),
      { table: 'nest_auth_service_account_keys', ...ofTenant },
      { table: 'nest_auth_service_accounts', ...ofTenant },
      mine('nest_auth_sessions'),
      counted('nest_auth_sign_in_failures'),
      counted('nest_auth_sign_in_totals'),
      everywhere('nest_auth_tenants'),
      mine('nest_auth_trusted_devices'),
      mine('nest_auth_user_access_permissions'),
      mine('nest_auth_user_access_roles'),
      mine('nest_auth_user_accesses'),
      { table: 'nest_auth_users', kind: 'distributed', column: 'id', colocation: expect.any(Number) },
    ]);
    expect(placements.find(({ table }) => table === 'nest_auth_identities')?.colocation).not.toBe(beside);
  });

  // Red here means that a table is new: say in the scale-out migration where it goes, or here that it stays.
  it('leaves out no table that the other migrations make, except those of the platform', async () => {
    const { rows } = await withClient(database.url, (client) =>
      client.query<{ name: string }>(
        `select relname as name from pg_class where relkind in ('r', 'p') and relname like 'nest_auth_%'
           and oid not in (select relation from citus_stand_in) order by 1`,
      ),
    );
    expect(rows.map(({ name }) => name).filter((name) => !LOCAL.test(name))).toEqual([]);
  });

  it('leaves nothing that Citus would refuse, so that a later change that breaks it is noticed here', async () => {
    expect(await withClient(database.url, problemsOf)).toEqual([]);
  });

  it('gives up three unique indexes and one foreign key, and no other guard', async () => {
    const after = await withClient(database.url, guardsOf);
    expect(before.filter((guard) => !after.includes(guard)).map(nameIn)).toEqual(
      [
        'nest_auth_identities_user_login_uq',
        'nest_auth_users_realm_email_uq',
        'nest_auth_users_realm_phone_uq',
        'nest_auth_identities_user_fk',
      ].toSorted(
        (a, b) => before.findIndex((guard) => nameIn(guard) === a) - before.findIndex((guard) => nameIn(guard) === b),
      ),
    );
    expect(after.filter((guard) => !before.includes(guard)).map(nameIn)).toEqual([
      'nest_auth_users_realm_email_ix',
      'nest_auth_users_realm_phone_ix',
    ]);
  });

  it('is made once when it is run again', async () => {
    await withClient(database.url, (client) => client.query(`delete from migrations where name like 'Citus%'`));
    await withMigrations(database.url, ALL, (dataSource) => dataSource.runMigrations());
    expect(await withClient(database.url, problemsOf)).toEqual([]);
  });

  it('goes back to one machine, with every guard that was there before', async () => {
    await withMigrations(database.url, ALL, async (dataSource) => {
      await dataSource.undoLastMigration();
      expect(await withClient(database.url, guardsOf)).toEqual(before);
      expect(await withClient(database.url, placementsOf)).toEqual([]);
      await dataSource.runMigrations();
    });
    expect(await withClient(database.url, problemsOf)).toEqual([]);
  });
});

describe('a database that cannot be spread', () => {
  it('is refused without the extension, in words that help, and stays as it was', async () => {
    await withDatabase(async (url) => {
      await withMigrations(url, NestAuthMigrations, (dataSource) => dataSource.runMigrations());
      const before = await withClient(url, guardsOf);
      await expect(withMigrations(url, ALL, (dataSource) => dataSource.runMigrations())).rejects.toThrow(
        /need the extension citus.*citus_add_node/,
      );
      expect(await withClient(url, guardsOf)).toEqual(before);
    });
  });

  it('is refused while row-level security is there, whose triggers Citus does not distribute', async () => {
    await withDatabase(async (url) => {
      await withMigrations(url, NestAuthMigrations, (dataSource) => dataSource.runMigrations());
      const [, trigger = ''] = (await Promise.all(NestAuthRlsMigrations.map(statementsOf)))
        .flat()
        .map((sql) => /^CREATE TRIGGER (\w+) BEFORE UPDATE ON nest_auth_users/.exec(sql))
        .find((match) => match !== null) as RegExpExecArray;
      await withClient(url, async (client) => {
        await client.query(CITUS_STAND_IN);
        await client.query(`
          create function nothing() returns trigger language plpgsql as 'begin return new; end';
          create trigger ${trigger} before update on nest_auth_users for each row execute function nothing()`);
      });
      await expect(withMigrations(url, ALL, (dataSource) => dataSource.runMigrations())).rejects.toThrow(
        /exclude each other/,
      );
    });
  });
});

describe('the stand-in for Citus', () => {
  const schema = `
    create table parent (id uuid primary key, realm_id uuid, unique (id, realm_id));
    create table child (user_id uuid, realm_id uuid, name text,
      constraint child_fk foreign key (user_id, realm_id) references parent (id, realm_id));
    create table lookup (id uuid primary key);`;

  it.each<[string, string, RegExp]>([
    [
      'a unique index without the distribution column',
      `create unique index parent_realm_uq on parent (realm_id); select create_distributed_table('parent', 'id')`,
      /parent_realm_uq: a unique index without/,
    ],
    [
      'a primary key without it',
      `select create_distributed_table('parent', 'realm_id')`,
      /parent_pkey: a unique index/,
    ],
    [
      'a foreign key between tables that are not co-located',
      `select create_distributed_table('parent', 'id'); select create_distributed_table('child', 'user_id')`,
      /child_fk: between tables that are not co-located/,
    ],
    [
      'a foreign key without the distribution columns at the same place',
      `select create_distributed_table('parent', 'id');
       select create_distributed_table('child', 'realm_id', colocate_with => 'parent')`,
      /child_fk: the distribution columns are not at the same place/,
    ],
    [
      'a distributed child of a local table',
      `select create_distributed_table('child', 'user_id')`,
      /child_fk: refers to a local table/,
    ],
    [
      'a reference table that refers to a distributed one',
      `alter table lookup add constraint lookup_fk foreign key (id) references parent (id);
       select create_distributed_table('parent', 'id'); select create_reference_table('lookup')`,
      /lookup_fk: a reference table refers to a distributed one/,
    ],
    [
      'a trigger',
      `create function nothing() returns trigger language plpgsql as 'begin return new; end';
       create trigger child_trigger before insert on child for each row execute function nothing();
       create table other (user_id uuid); select create_distributed_table('parent', 'id');
       select create_distributed_table('child', 'user_id', colocate_with => 'parent')`,
      /child: triggers are not distributed/,
    ],
    [
      'the same table twice',
      `select create_reference_table('lookup'); select create_reference_table('lookup')`,
      /already distributed/,
    ],
    ['an unknown column', `select create_distributed_table('parent', 'nobody')`, /does not exist/],
    [
      'going back one of several tables that are tied together',
      `select create_distributed_table('parent', 'id');
       select create_distributed_table('child', 'user_id', colocate_with => 'parent'); select undistribute_table('parent')`,
      /has a foreign key/,
    ],
  ])('refuses %s', async (_, sql, message) => {
    await withDatabase((url) =>
      withClient(url, async (client) => {
        await client.query(CITUS_STAND_IN);
        await expect(client.query(schema + sql)).rejects.toThrow(message);
      }),
    );
  });
});

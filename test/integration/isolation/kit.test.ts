import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { NestAuthEntities } from '../../../src/index.js';
import { expectTenantIsolation, IsolationError, type IsolationLeak } from '../../../src/testing/index.js';
import { withClient } from '../../support/database.js';
import { useRlsApp } from '../../support/rls-app.js';

// Every table is attacked in many ways, which takes its time on a machine that has other things to do.
jest.setTimeout(120_000);

const app = useRlsApp();

interface PolicyRow {
  readonly table: string;
  readonly name: string;
  readonly command: string;
  readonly permissive: boolean;
  readonly using: string | null;
  readonly check: string | null;
}

const asSuperuser = (sql: string): Promise<unknown> => withClient(app.database.url, (client) => client.query(sql));

async function readPolicies(): Promise<PolicyRow[]> {
  const { rows } = await withClient(app.database.url, (client) =>
    client.query<PolicyRow>(
      `select tablename as table, policyname as name, cmd as command, permissive = 'PERMISSIVE' as permissive,
        qual as using, with_check as check
       from pg_policies where schemaname = 'public' and policyname not like '%_platform' order by 1, 2`,
    ),
  );
  return rows;
}

/** Sets the conditions of a policy, or opens it. */
function alter({ table, name, using, check }: PolicyRow, opened: boolean): string {
  const clauses = [
    ...(using === null ? [] : [`using (${opened ? 'true' : using})`]),
    ...(check === null ? [] : [`with check (${opened ? 'true' : check})`]),
  ];
  return `alter policy ${name} on ${table} ${clauses.join(' ')}`;
}

async function leaksOf(tables: readonly string[]): Promise<readonly IsolationLeak[]> {
  const entities = NestAuthEntities.filter((entity) => tables.includes(app.dataSource.getMetadata(entity).tableName));
  try {
    await expectTenantIsolation(app.dataSource, entities, { tenants: [app.a.id, app.b.id], rows: 1 });
    return [];
  } catch (error) {
    if (error instanceof IsolationError) return error.leaks;
    throw error;
  }
}

const TABLES = [
  'nest_auth_tenants',
  'nest_auth_users',
  'nest_auth_identities',
  'nest_auth_permissions',
  'nest_auth_roles',
  'nest_auth_role_permissions',
  'nest_auth_user_accesses',
  'nest_auth_user_access_roles',
  'nest_auth_activities',
];

let mend: string[] = [];
afterEach(async () => {
  for (const sql of mend) await asSuperuser(sql);
  mend = [];
});

describe('expectTenantIsolation', () => {
  it('finds no leak in the entities of the package', async () => {
    const report = await expectTenantIsolation(app.dataSource, NestAuthEntities, { tenants: [app.a.id, app.b.id] });
    expect(report.entities).toHaveLength(NestAuthEntities.length);
    expect(report.attempts).toBeGreaterThan(200);
  });

  it.each(TABLES)('finds the leak when the policies of %s are opened', async (table) => {
    const policies = (await readPolicies()).filter((policy) => policy.table === table);
    expect(policies.length).toBeGreaterThan(1);
    mend = policies.map((policy) => alter(policy, false));
    for (const policy of policies) await asSuperuser(alter(policy, true));
    expect(await leaksOf([table])).not.toEqual([]);
  });

  it.each(TABLES.filter((table) => table !== 'nest_auth_permissions'))(
    'finds no leak when a later policy of %s would open it, because of the wall',
    async (table) => {
      mend = [`drop policy oops on ${table}`];
      await asSuperuser(`create policy oops on ${table} for select to public using (true)`);
      expect(await leaksOf([table])).toEqual([]);
    },
  );

  it('finds what is not enabled, not forced, or empty', async () => {
    mend = ['alter table nest_auth_roles force row level security'];
    await asSuperuser('alter table nest_auth_roles no force row level security');
    expect(await leaksOf(['nest_auth_roles'])).toEqual([
      expect.objectContaining({ leak: 'it is not forced on the owner' }),
    ]);
  });

  it('finds the platform’s tables when they are opened', async () => {
    for (const table of ['nest_auth_platform_accesses', 'nest_auth_platform_access_roles']) {
      mend.push(`drop policy oops on ${table}`);
      await asSuperuser(`create policy oops on ${table} to public using (true)`);
      const wall = (await readPolicies()).find(({ name }) => name === `${table}_tenant_wall`) as PolicyRow;
      mend.push(alter(wall, false));
      await asSuperuser(alter(wall, true));
    }
    expect(await leaksOf(['nest_auth_platform_accesses', 'nest_auth_platform_access_roles'])).not.toEqual([]);
  });

  it('names what it needs', async () => {
    const nobody = crypto.randomUUID();
    const failure = await expectTenantIsolation(app.dataSource, NestAuthEntities, {
      tenants: [app.a.id, nobody],
    }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(IsolationError);
    const { leaks } = failure as IsolationError;
    expect(leaks.filter(({ attempt, leak }) => attempt === 'find rows to attack' && leak.includes(nobody))).not.toEqual(
      [],
    );
  });
});

describe('the migration', () => {
  it('gives every table policies for all that is allowed, and force', async () => {
    const { rows } = await withClient(app.database.url, (client) =>
      // A partition is reached through its table; it is protected from being named itself, and free for its owner.
      client.query(`select relname from pg_class where relname like 'nest_auth_%' and relkind in ('r', 'p')
        and not (relrowsecurity and (relforcerowsecurity or relispartition))`),
    );
    expect(rows).toEqual([]);
    const policies = await readPolicies();
    const writing = policies.filter(({ command }) => ['INSERT', 'UPDATE', 'ALL'].includes(command));
    expect(writing.filter(({ check }) => check === null)).toEqual([]);
    expect(policies.filter(({ permissive }) => !permissive)).toHaveLength(36);
  });
});

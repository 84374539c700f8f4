import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/**
 * Row-level security for inherited roles and for permissions of one access. A tenant changes what its own roles inherit
 * and what its own members may do; what roles of the system inherit it sees.
 */
export class GrantsRowSecurity1790000000715 implements MigrationInterface {
  name = 'GrantsRowSecurity1790000000715';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('${PLATFORM}') AND polname = '${PLATFORM}_platform')`;
    await oneAtATime(runner, { name: this.name, isDone }, () => protect(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotect(runner));
  }
}

const PARENTS = 'nest_auth_role_parents';
const GRAPHS = 'nest_auth_role_graphs';
const DIRECT = 'nest_auth_user_access_permissions';
const PLATFORM = 'nest_auth_platform_access_permissions';
const TABLES = [PARENTS, GRAPHS, DIRECT, PLATFORM];

const NIL = `'00000000-0000-0000-0000-000000000000'`;

/** Read once a statement, and no uuid after a transaction that had one. */
const TENANT = `(SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;
const OWN = `tenant_id = ${TENANT}`;
const OWN_ROLE = `role_tenant_id = ${TENANT}`;
const SEEN_ROLE = `(role_tenant_id = ${NIL} AND ${TENANT} IS NOT NULL OR ${OWN_ROLE})`;
const OWN_GRAPH = `owner_tenant_id = ${TENANT}`;

function policiesFor({ app, platform }: RlsRoles): (readonly [table: string, name: string, definition: string])[] {
  const wall = (using: string, check: string): string =>
    `AS RESTRICTIVE FOR ALL TO ${app} USING (${using}) WITH CHECK (${check})`;
  return [
    [PARENTS, 'tenant_select', `FOR SELECT TO PUBLIC USING (${SEEN_ROLE})`],
    [PARENTS, 'tenant_insert', `FOR INSERT TO PUBLIC WITH CHECK (${OWN_ROLE})`],
    [PARENTS, 'tenant_delete', `FOR DELETE TO PUBLIC USING (${OWN_ROLE})`],
    [PARENTS, 'tenant_wall', wall(SEEN_ROLE, OWN_ROLE)],
    [GRAPHS, 'tenant_all', `FOR ALL TO PUBLIC USING (${OWN_GRAPH}) WITH CHECK (${OWN_GRAPH})`],
    [GRAPHS, 'tenant_wall', wall(OWN_GRAPH, OWN_GRAPH)],
    [DIRECT, 'tenant_all', `FOR ALL TO PUBLIC USING (${OWN}) WITH CHECK (${OWN})`],
    [DIRECT, 'tenant_wall', wall(OWN, OWN)],
    [PLATFORM, 'tenant_wall', wall('false', 'false')],
    ...TABLES.map((table) => [table, 'platform', `FOR ALL TO ${platform} USING (true) WITH CHECK (true)`] as const),
  ];
}

async function protect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const table of TABLES) {
    await runner.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
    await runner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${roles.app}, ${roles.platform}`);
  }
  for (const [table, name, definition] of policiesFor(roles)) {
    await runner.query(`CREATE POLICY ${table}_${name} ON ${table} ${definition}`);
  }
}

async function unprotect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const [table, name] of policiesFor(roles)) await runner.query(`DROP POLICY ${table}_${name} ON ${table}`);
  for (const table of TABLES) {
    await runner.query(`REVOKE SELECT, INSERT, UPDATE, DELETE ON ${table} FROM ${roles.app}, ${roles.platform}`);
    await runner.query(`ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
  }
}

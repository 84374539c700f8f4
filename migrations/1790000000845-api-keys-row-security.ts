import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/**
 * Row-level security for API keys. A tenant looks after its service accounts and their keys, and the keys of users that
 * work in it, or that are of the users of its own realm. To find out whose a key is, is the platform's.
 */
export class ApiKeysRowSecurity1790000000845 implements MigrationInterface {
  name = 'ApiKeysRowSecurity1790000000845';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('${LAST}') AND polname = '${LAST}_platform')`;
    await oneAtATime(runner, { name: this.name, isDone }, () => protect(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotect(runner));
  }
}

/** Read once a statement, and no uuid after a transaction that had one. */
const TENANT = `(SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;
const OWN = `tenant_id = ${TENANT}`;
const OWN_USER = `(tenant_id = ${TENANT} OR realm_id = ${TENANT})`;

interface Rule {
  readonly table: string;
  /** What the application does there itself; foreign keys remove rows by no right of its own. */
  readonly privileges: string;
  readonly rows: string;
  readonly added: string;
  readonly removed?: string;
}

const RULES: readonly Rule[] = [
  { table: 'nest_auth_api_keys', privileges: 'SELECT, INSERT, UPDATE', rows: OWN_USER, added: OWN },
  {
    table: 'nest_auth_service_accounts',
    privileges: 'SELECT, INSERT, UPDATE, DELETE',
    rows: OWN,
    added: OWN,
    removed: OWN,
  },
  { table: 'nest_auth_service_account_keys', privileges: 'SELECT, INSERT, UPDATE', rows: OWN, added: OWN },
];
const LAST = 'nest_auth_service_account_keys';

function policiesFor(rule: Rule, { app, platform }: RlsRoles): (readonly [name: string, definition: string])[] {
  const { rows, added, removed } = rule;
  return [
    ['tenant_select', `FOR SELECT TO PUBLIC USING (${rows})`],
    ['tenant_insert', `FOR INSERT TO PUBLIC WITH CHECK (${added})`],
    ['tenant_update', `FOR UPDATE TO PUBLIC USING (${rows}) WITH CHECK (${rows})`],
    ...(removed === undefined ? [] : [['tenant_delete', `FOR DELETE TO PUBLIC USING (${removed})`] as const]),
    // A wall that no policy added later can open for the application.
    ['tenant_wall', `AS RESTRICTIVE FOR ALL TO ${app} USING (${rows}) WITH CHECK (${rows})`],
    ['platform', `FOR ALL TO ${platform} USING (true) WITH CHECK (true)`],
  ];
}

async function protect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const rule of RULES) {
    const { table, privileges } = rule;
    await runner.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
    await runner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${roles.platform}`);
    await runner.query(`GRANT ${privileges} ON ${table} TO ${roles.app}`);
    for (const [name, definition] of policiesFor(rule, roles)) {
      await runner.query(`CREATE POLICY ${table}_${name} ON ${table} ${definition}`);
    }
  }
}

async function unprotect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const rule of RULES) {
    const { table, privileges } = rule;
    for (const [name] of policiesFor(rule, roles)) await runner.query(`DROP POLICY ${table}_${name} ON ${table}`);
    await runner.query(`REVOKE ${privileges} ON ${table} FROM ${roles.app}`);
    await runner.query(`REVOKE SELECT, INSERT, UPDATE, DELETE ON ${table} FROM ${roles.platform}`);
    await runner.query(`ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
  }
}

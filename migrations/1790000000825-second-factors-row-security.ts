import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/**
 * Row-level security for second factors. A tenant sees those of the users of its own realm, and takes them away; to
 * enrol one, to ask for it and to use it is the platform's: whoever does that proves it by a secret.
 */
export class SecondFactorsRowSecurity1790000000825 implements MigrationInterface {
  name = 'SecondFactorsRowSecurity1790000000825';

  async up(runner: QueryRunner): Promise<void> {
    const last = TABLES.at(-1) as string;
    const isDone = `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('${last}') AND polname = '${last}_platform')`;
    await oneAtATime(runner, { name: this.name, isDone }, () => protect(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotect(runner));
  }
}

const TABLES = [
  'nest_auth_second_factors',
  'nest_auth_second_factor_states',
  'nest_auth_second_factor_challenges',
] as const;

/** Read once a statement, and no uuid after a transaction that had one. */
const OWN = `realm_id = (SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;

const policiesFor = (table: string, { app, platform }: RlsRoles): (readonly [name: string, definition: string])[] => [
  [`${table}_tenant_select`, `FOR SELECT TO PUBLIC USING (${OWN})`],
  [`${table}_tenant_delete`, `FOR DELETE TO PUBLIC USING (${OWN})`],
  // A wall that no policy added later can open for the application.
  [`${table}_tenant_wall`, `AS RESTRICTIVE FOR ALL TO ${app} USING (${OWN}) WITH CHECK (false)`],
  [`${table}_platform`, `FOR ALL TO ${platform} USING (true) WITH CHECK (true)`],
];

async function protect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const table of TABLES) {
    await runner.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
    await runner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${roles.platform}`);
    await runner.query(`GRANT SELECT, DELETE ON ${table} TO ${roles.app}`);
    for (const [name, definition] of policiesFor(table, roles))
      await runner.query(`CREATE POLICY ${name} ON ${table} ${definition}`);
  }
}

async function unprotect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const table of TABLES) {
    for (const [name] of policiesFor(table, roles)) await runner.query(`DROP POLICY ${name} ON ${table}`);
    await runner.query(`REVOKE SELECT, DELETE ON ${table} FROM ${roles.app}`);
    await runner.query(`REVOKE SELECT, INSERT, UPDATE, DELETE ON ${table} FROM ${roles.platform}`);
    await runner.query(`ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
  }
}

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/**
 * Row-level security for sessions. A tenant sees and ends those that are bound to it, and those of the users of its own
 * realm; to begin one, and everything about refresh tokens, is the platform's.
 */
export class SessionsRowSecurity1790000000690 implements MigrationInterface {
  name = 'SessionsRowSecurity1790000000690';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('${TOKENS}') AND polname = '${TOKENS}_platform')`;
    await oneAtATime(runner, { name: this.name, isDone }, () => protect(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotect(runner));
  }
}

const SESSIONS = 'nest_auth_sessions';
const TOKENS = 'nest_auth_refresh_tokens';

/** Read once a statement, and no uuid after a transaction that had one. */
const TENANT = `(SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;
const OWN = `(tenant_id = ${TENANT} OR realm_id = ${TENANT})`;

function policiesFor({ app, platform }: RlsRoles): (readonly [table: string, name: string, definition: string])[] {
  return [
    [SESSIONS, `${SESSIONS}_tenant_select`, `FOR SELECT TO PUBLIC USING (${OWN})`],
    [SESSIONS, `${SESSIONS}_tenant_update`, `FOR UPDATE TO PUBLIC USING (${OWN}) WITH CHECK (${OWN})`],
    // Walls that no policy added later can open for the application.
    [SESSIONS, `${SESSIONS}_tenant_wall`, `AS RESTRICTIVE FOR ALL TO ${app} USING (${OWN}) WITH CHECK (${OWN})`],
    [SESSIONS, `${SESSIONS}_platform`, `FOR ALL TO ${platform} USING (true) WITH CHECK (true)`],
    [TOKENS, `${TOKENS}_tenant_wall`, `AS RESTRICTIVE FOR ALL TO ${app} USING (false) WITH CHECK (false)`],
    [TOKENS, `${TOKENS}_platform`, `FOR ALL TO ${platform} USING (true) WITH CHECK (true)`],
  ];
}

async function protect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const table of [SESSIONS, TOKENS]) {
    await runner.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
    await runner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${roles.platform}`);
  }
  await runner.query(`GRANT SELECT, UPDATE ON ${SESSIONS} TO ${roles.app}`);
  for (const [table, name, definition] of policiesFor(roles)) {
    await runner.query(`CREATE POLICY ${name} ON ${table} ${definition}`);
  }
}

async function unprotect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const [table, name] of policiesFor(roles)) await runner.query(`DROP POLICY ${name} ON ${table}`);
  await runner.query(`REVOKE SELECT, UPDATE ON ${SESSIONS} FROM ${roles.app}`);
  for (const table of [SESSIONS, TOKENS]) {
    await runner.query(`REVOKE SELECT, INSERT, UPDATE, DELETE ON ${table} FROM ${roles.platform}`);
    await runner.query(`ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
  }
}

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/**
 * Row-level security for invitations. A tenant sends, sees and changes its own; whoever has a token acts for no tenant,
 * and only the platform takes rows away.
 */
export class InvitationsRowSecurity1790000000815 implements MigrationInterface {
  name = 'InvitationsRowSecurity1790000000815';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('${INVITATIONS}') AND polname = '${INVITATIONS}_platform')`;
    await oneAtATime(runner, { name: this.name, isDone }, () => protect(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotect(runner));
  }
}

const INVITATIONS = 'nest_auth_invitations';

/** Read once a statement, and no uuid after a transaction that had one. */
const TENANT = `(SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;
const OWN = `tenant_id = ${TENANT}`;

function policiesFor({ app, platform }: RlsRoles): (readonly [name: string, definition: string])[] {
  return [
    [`${INVITATIONS}_tenant_select`, `FOR SELECT TO PUBLIC USING (${OWN})`],
    [`${INVITATIONS}_tenant_insert`, `FOR INSERT TO PUBLIC WITH CHECK (${OWN})`],
    [`${INVITATIONS}_tenant_update`, `FOR UPDATE TO PUBLIC USING (${OWN}) WITH CHECK (${OWN})`],
    // A wall that no policy added later can open for the application.
    [`${INVITATIONS}_tenant_wall`, `AS RESTRICTIVE FOR ALL TO ${app} USING (${OWN}) WITH CHECK (${OWN})`],
    [`${INVITATIONS}_platform`, `FOR ALL TO ${platform} USING (true) WITH CHECK (true)`],
  ];
}

async function protect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  await runner.query(`ALTER TABLE ${INVITATIONS} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
  await runner.query(`GRANT SELECT, INSERT, UPDATE ON ${INVITATIONS} TO ${roles.app}`);
  await runner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${INVITATIONS} TO ${roles.platform}`);
  for (const [name, definition] of policiesFor(roles)) {
    await runner.query(`CREATE POLICY ${name} ON ${INVITATIONS} ${definition}`);
  }
}

async function unprotect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const [name] of policiesFor(roles)) await runner.query(`DROP POLICY ${name} ON ${INVITATIONS}`);
  await runner.query(`REVOKE SELECT, INSERT, UPDATE ON ${INVITATIONS} FROM ${roles.app}`);
  await runner.query(`REVOKE SELECT, INSERT, UPDATE, DELETE ON ${INVITATIONS} FROM ${roles.platform}`);
  await runner.query(`ALTER TABLE ${INVITATIONS} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
}

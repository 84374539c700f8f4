import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/**
 * Row-level security for the former passwords. A tenant that may change the password of a user, one of its own realm,
 * keeps and looks at what that user had before; nothing there is ever changed.
 */
export class PasswordHistoryRowSecurity1790000000865 implements MigrationInterface {
  name = 'PasswordHistoryRowSecurity1790000000865';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('${TABLE}') AND polname = '${TABLE}_platform')`;
    await oneAtATime(runner, { name: this.name, isDone }, () => protect(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotect(runner));
  }
}

const TABLE = 'nest_auth_password_history';
const PRIVILEGES = 'SELECT, INSERT, DELETE';

/** Read once a statement, and no uuid after a transaction that had one. */
const OWN = `realm_id = (SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;

/** Also somebody in the realm for all whom the same transaction has made. */
const OWN_USER = 'nest_auth_owns_user(user_id)';

const policiesFor = ({ app, platform }: RlsRoles): (readonly [name: string, definition: string])[] => [
  [`${TABLE}_tenant_select`, `FOR SELECT TO PUBLIC USING (${OWN})`],
  [`${TABLE}_tenant_insert`, `FOR INSERT TO PUBLIC WITH CHECK (${OWN_USER})`],
  [`${TABLE}_tenant_delete`, `FOR DELETE TO PUBLIC USING (${OWN})`],
  // A wall that no policy added later can open for the application.
  [`${TABLE}_tenant_wall`, `AS RESTRICTIVE FOR ALL TO ${app} USING (${OWN}) WITH CHECK (${OWN_USER})`],
  [`${TABLE}_platform`, `FOR ALL TO ${platform} USING (true) WITH CHECK (true)`],
];

async function protect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  await runner.query(`ALTER TABLE ${TABLE} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
  await runner.query(`GRANT ${PRIVILEGES} ON ${TABLE} TO ${roles.app}, ${roles.platform}`);
  for (const [name, definition] of policiesFor(roles))
    await runner.query(`CREATE POLICY ${name} ON ${TABLE} ${definition}`);
}

async function unprotect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const [name] of policiesFor(roles)) await runner.query(`DROP POLICY ${name} ON ${TABLE}`);
  await runner.query(`REVOKE ${PRIVILEGES} ON ${TABLE} FROM ${roles.app}, ${roles.platform}`);
  await runner.query(`ALTER TABLE ${TABLE} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
}

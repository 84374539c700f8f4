import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { platformTablesAreProtected, protectPlatformTables, unprotectPlatformTables } from './platform-table.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/**
 * Row-level security for trusted devices and codes. A tenant sees the devices of the users of its own realm, and takes
 * them away; to trust one is the platform's, and so is everything about codes.
 */
export class SecondFactorPolicyRowSecurity1790000000835 implements MigrationInterface {
  name = 'SecondFactorPolicyRowSecurity1790000000835';

  async up(runner: QueryRunner): Promise<void> {
    await oneAtATime(runner, { name: this.name, isDone: platformTablesAreProtected([CODES]) }, () => protect(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotect(runner));
  }
}

const DEVICES = 'nest_auth_trusted_devices';
const CODES = 'nest_auth_second_factor_codes';

/** Read once a statement, and no uuid after a transaction that had one. */
const OWN = `realm_id = (SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;

const policiesFor = ({ app, platform }: RlsRoles): (readonly [name: string, definition: string])[] => [
  [`${DEVICES}_tenant_select`, `FOR SELECT TO PUBLIC USING (${OWN})`],
  [`${DEVICES}_tenant_delete`, `FOR DELETE TO PUBLIC USING (${OWN})`],
  // A wall that no policy added later can open for the application.
  [`${DEVICES}_tenant_wall`, `AS RESTRICTIVE FOR ALL TO ${app} USING (${OWN}) WITH CHECK (false)`],
  [`${DEVICES}_platform`, `FOR ALL TO ${platform} USING (true) WITH CHECK (true)`],
];

async function protect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  await runner.query(`ALTER TABLE ${DEVICES} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
  await runner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${DEVICES} TO ${roles.platform}`);
  await runner.query(`GRANT SELECT, DELETE ON ${DEVICES} TO ${roles.app}`);
  for (const [name, definition] of policiesFor(roles))
    await runner.query(`CREATE POLICY ${name} ON ${DEVICES} ${definition}`);
  await protectPlatformTables(runner, [CODES]);
}

async function unprotect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  await unprotectPlatformTables(runner, [CODES]);
  for (const [name] of policiesFor(roles)) await runner.query(`DROP POLICY ${name} ON ${DEVICES}`);
  await runner.query(`REVOKE SELECT, DELETE ON ${DEVICES} FROM ${roles.app}`);
  await runner.query(`REVOKE SELECT, INSERT, UPDATE, DELETE ON ${DEVICES} FROM ${roles.platform}`);
  await runner.query(`ALTER TABLE ${DEVICES} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
}

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/** Row-level security for sign-ins by providers that are under way: they are the platform's, and no tenant's. */
export class ExternalFlowsRowSecurity1790000000745 implements MigrationInterface {
  name = 'ExternalFlowsRowSecurity1790000000745';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('${FLOWS}') AND polname = '${FLOWS}_platform')`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      const roles = await readRlsRoles(runner);
      await runner.query(`ALTER TABLE ${FLOWS} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
      await runner.query(`GRANT SELECT, INSERT, DELETE ON ${FLOWS} TO ${roles.platform}`);
      for (const [name, definition] of policiesFor(roles)) {
        await runner.query(`CREATE POLICY ${name} ON ${FLOWS} ${definition}`);
      }
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      const roles = await readRlsRoles(runner);
      for (const [name] of policiesFor(roles)) await runner.query(`DROP POLICY ${name} ON ${FLOWS}`);
      await runner.query(`REVOKE SELECT, INSERT, DELETE ON ${FLOWS} FROM ${roles.platform}`);
      await runner.query(`ALTER TABLE ${FLOWS} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
    });
  }
}

const FLOWS = 'nest_auth_external_flows';

function policiesFor({ app, platform }: RlsRoles): (readonly [name: string, definition: string])[] {
  return [
    // A wall that no policy added later can open for the application.
    [`${FLOWS}_tenant_wall`, `AS RESTRICTIVE FOR ALL TO ${app} USING (false) WITH CHECK (false)`],
    [`${FLOWS}_platform`, `FOR ALL TO ${platform} USING (true) WITH CHECK (true)`],
  ];
}

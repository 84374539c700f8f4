import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles, type RlsRoles } from './rls-roles.js';

/**
 * Row-level security for the activity log. A tenant sees what happened in it and adds to that; nobody, the platform's
 * role included, may change or remove anything.
 *
 * Statements reach the partitions through the log, where its policies bind them. By themselves partitions have none:
 * whoever is granted one directly, by a `GRANT … ON ALL TABLES` for example, finds it empty. Their owner does not: it
 * has to look after them.
 */
export class ActivitiesRowSecurity1790000000310 implements MigrationInterface {
  name = 'ActivitiesRowSecurity1790000000310';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('nest_auth_activities') AND polname = 'nest_auth_activities_platform_insert')`;
    await oneAtATime(runner, { name: this.name, isDone }, () => protect(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotect(runner));
  }
}

const TABLE = 'nest_auth_activities';

/** As in the other tables: read once a statement, and no uuid after a transaction that had one. */
const OWN = `tenant_id = (SELECT nullif(current_setting('nest_auth.tenant_id', true), '')::uuid)`;

function policiesFor({ app, platform }: RlsRoles): (readonly [name: string, definition: string])[] {
  return [
    [`${TABLE}_tenant_select`, `FOR SELECT TO PUBLIC USING (${OWN})`],
    [`${TABLE}_tenant_insert`, `FOR INSERT TO PUBLIC WITH CHECK (${OWN})`],
    // A wall that no policy added later can open for the application.
    [`${TABLE}_tenant_wall`, `AS RESTRICTIVE FOR ALL TO ${app} USING (${OWN}) WITH CHECK (${OWN})`],
    [`${TABLE}_platform_select`, `FOR SELECT TO ${platform} USING (true)`],
    [`${TABLE}_platform_insert`, `FOR INSERT TO ${platform} WITH CHECK (true)`],
  ];
}

async function protect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  await runner.query(eachPartition('ENABLE ROW LEVEL SECURITY'));
  await runner.query(`ALTER TABLE ${TABLE} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
  await runner.query(`GRANT SELECT, INSERT ON ${TABLE} TO ${roles.app}, ${roles.platform}`);
  for (const [name, definition] of policiesFor(roles)) {
    await runner.query(`CREATE POLICY ${name} ON ${TABLE} ${definition}`);
  }
}

async function unprotect(runner: QueryRunner): Promise<void> {
  const roles = await readRlsRoles(runner);
  for (const [name] of policiesFor(roles)) await runner.query(`DROP POLICY ${name} ON ${TABLE}`);
  await runner.query(`REVOKE SELECT, INSERT ON ${TABLE} FROM ${roles.app}, ${roles.platform}`);
  await runner.query(`ALTER TABLE ${TABLE} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
  await runner.query(eachPartition('DISABLE ROW LEVEL SECURITY'));
}

function eachPartition(change: string): string {
  return `DO $$
    DECLARE
      part regclass;
    BEGIN
      FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = '${TABLE}'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ${change}', part);
      END LOOP;
    END $$`;
}

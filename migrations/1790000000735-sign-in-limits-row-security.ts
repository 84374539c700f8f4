import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { readRlsRoles } from './rls-roles.js';

/** Row-level security for what is counted against abuse: it belongs to no tenant, and is there for the platform alone. */
export class SignInLimitsRowSecurity1790000000735 implements MigrationInterface {
  name = 'SignInLimitsRowSecurity1790000000735';

  async up(runner: QueryRunner): Promise<void> {
    const last = TABLES.at(-1) as string;
    const isDone = `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('${last}') AND polname = '${last}_platform')`;
    await oneAtATime(runner, { name: this.name, isDone }, () => protect(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotect(runner));
  }
}

const TABLES = ['nest_auth_sign_in_failures', 'nest_auth_sign_in_totals', 'nest_auth_rate_limits'] as const;

async function protect(runner: QueryRunner): Promise<void> {
  const { app, platform } = await readRlsRoles(runner);
  for (const table of TABLES) {
    await runner.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
    await runner.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${platform}`);
    await runner.query(
      `CREATE POLICY ${table}_tenant_wall ON ${table} AS RESTRICTIVE FOR ALL TO ${app} USING (false) WITH CHECK (false)`,
    );
    await runner.query(
      `CREATE POLICY ${table}_platform ON ${table} FOR ALL TO ${platform} USING (true) WITH CHECK (true)`,
    );
  }
}

async function unprotect(runner: QueryRunner): Promise<void> {
  const { platform } = await readRlsRoles(runner);
  for (const table of TABLES) {
    await runner.query(`DROP POLICY ${table}_platform ON ${table}`);
    await runner.query(`DROP POLICY ${table}_tenant_wall ON ${table}`);
    await runner.query(`REVOKE SELECT, INSERT, UPDATE, DELETE ON ${table} FROM ${platform}`);
    await runner.query(`ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
  }
}

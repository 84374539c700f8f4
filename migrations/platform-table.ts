import type { QueryRunner } from 'typeorm';
import { readRlsRoles } from './rls-roles.js';

/** What the platform's role does with the rows of a table. */
type Privilege = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';

const ALL: readonly Privilege[] = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'];

/** Row-level security for tables that belong to no tenant: they are there for the platform's role alone. */
export async function protectPlatformTables(
  runner: QueryRunner,
  tables: readonly string[],
  { privileges = ALL }: { privileges?: readonly Privilege[] } = {},
): Promise<void> {
  const { app, platform } = await readRlsRoles(runner);
  for (const table of tables) {
    await runner.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
    await runner.query(`GRANT ${privileges.join(', ')} ON ${table} TO ${platform}`);
    // Nothing is granted to the application. Should somebody do it, no policy added later opens this wall.
    await runner.query(
      `CREATE POLICY ${table}_tenant_wall ON ${table} AS RESTRICTIVE FOR ALL TO ${app} USING (false) WITH CHECK (false)`,
    );
    await runner.query(
      `CREATE POLICY ${table}_platform ON ${table} FOR ALL TO ${platform} USING (true) WITH CHECK (true)`,
    );
  }
}

/** The way back from {@link protectPlatformTables}. */
export async function unprotectPlatformTables(runner: QueryRunner, tables: readonly string[]): Promise<void> {
  const { platform } = await readRlsRoles(runner);
  for (const table of tables) {
    await runner.query(`DROP POLICY ${table}_platform ON ${table}`);
    await runner.query(`DROP POLICY ${table}_tenant_wall ON ${table}`);
    await runner.query(`REVOKE ${ALL.join(', ')} ON ${table} FROM ${platform}`);
    await runner.query(`ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY`);
  }
}

/** The condition for `oneAtATime` that holds from the last statement of {@link protectPlatformTables} on. */
export function platformTablesAreProtected(tables: readonly string[]): string {
  const last = tables.at(-1) as string;
  return `EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = to_regclass('${last}') AND polname = '${last}_platform')`;
}

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { platformTablesAreProtected, protectPlatformTables, unprotectPlatformTables } from './platform-table.js';

/** Row-level security for sign-ins by providers that are under way: they are the platform's, and no tenant's. */
export class ExternalFlowsRowSecurity1790000000745 implements MigrationInterface {
  name = 'ExternalFlowsRowSecurity1790000000745';

  async up(runner: QueryRunner): Promise<void> {
    const work = { name: this.name, isDone: platformTablesAreProtected(TABLES) };
    await oneAtATime(runner, work, () =>
      protectPlatformTables(runner, TABLES, { privileges: ['SELECT', 'INSERT', 'DELETE'] }),
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotectPlatformTables(runner, TABLES));
  }
}

const TABLES = ['nest_auth_external_flows'];

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { platformTablesAreProtected, protectPlatformTables, unprotectPlatformTables } from './platform-table.js';

/** Row-level security for what is counted against abuse: it belongs to no tenant, and is there for the platform alone. */
export class SignInLimitsRowSecurity1790000000735 implements MigrationInterface {
  name = 'SignInLimitsRowSecurity1790000000735';

  async up(runner: QueryRunner): Promise<void> {
    const work = { name: this.name, isDone: platformTablesAreProtected(TABLES) };
    await oneAtATime(runner, work, () => protectPlatformTables(runner, TABLES));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotectPlatformTables(runner, TABLES));
  }
}

const TABLES = ['nest_auth_sign_in_failures', 'nest_auth_sign_in_totals', 'nest_auth_rate_limits'];

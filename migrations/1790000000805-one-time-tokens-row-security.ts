import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { platformTablesAreProtected, protectPlatformTables, unprotectPlatformTables } from './platform-table.js';

/** Row-level security for links and codes: whoever has one is nobody's member yet, so they are the platform's. */
export class OneTimeTokensRowSecurity1790000000805 implements MigrationInterface {
  name = 'OneTimeTokensRowSecurity1790000000805';

  async up(runner: QueryRunner): Promise<void> {
    const work = { name: this.name, isDone: platformTablesAreProtected(TABLES) };
    await oneAtATime(runner, work, () => protectPlatformTables(runner, TABLES));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotectPlatformTables(runner, TABLES));
  }
}

const TABLES = ['nest_auth_one_time_tokens'];

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { platformTablesAreProtected, protectPlatformTables, unprotectPlatformTables } from './platform-table.js';

/**
 * Row-level security for the tables in which the package keeps account of its own work: they belong to no tenant, and
 * are there for the platform's role alone.
 */
export class PlatformTablesRowSecurity1790000000590 implements MigrationInterface {
  name = 'PlatformTablesRowSecurity1790000000590';

  async up(runner: QueryRunner): Promise<void> {
    const work = { name: this.name, isDone: platformTablesAreProtected(TABLES) };
    await oneAtATime(runner, work, () => protectPlatformTables(runner, TABLES));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => unprotectPlatformTables(runner, TABLES));
  }
}

const TABLES = ['nest_auth_activity_seals', 'nest_auth_subscriptions', 'nest_auth_dead_letters', 'nest_auth_job_runs'];

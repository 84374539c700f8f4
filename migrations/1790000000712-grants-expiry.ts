import type { MigrationInterface, QueryRunner } from 'typeorm';
import { assertSmallTables, isUsable, type LateIndex } from './late-index.js';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/**
 * Indexes of the roles that are given for a time, which are few among many.
 *
 * Their tables are in use: the indexes are made here while these are small. Otherwise the migration names the statements
 * that make them beside everybody's work.
 */
export class GrantsExpiry1790000000712 implements MigrationInterface {
  name = 'GrantsExpiry1790000000712';

  async up(runner: QueryRunner): Promise<void> {
    await oneAtATime(runner, { name: this.name, isDone: INDEXES.map(isUsable).join(' AND ') }, async () => {
      await assertSmallTables(runner, INDEXES);
      for (const { name, on } of INDEXES) {
        // What a concurrent build that was killed has left is invalid, and holds the name.
        await runner.query(`DROP INDEX IF EXISTS ${name}`);
        await runner.query(`CREATE INDEX ${name} ON ${on}`);
      }
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const { name } of INDEXES) await runner.query(`DROP INDEX ${name}`);
    });
  }
}

const INDEXES: readonly LateIndex[] = ['nest_auth_user_access_roles', 'nest_auth_platform_access_roles'].map(
  (table) => ({ name: `${table}_expires_ix`, on: `${table} (expires_at) WHERE expires_at IS NOT NULL` }),
);

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { assertSmallTables, isUsable, type LateIndex } from './late-index.js';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** The index for how many events were given up, and which of those that were set aside are due. */
export class DeadLetterRetriesIndex1790000000852 implements MigrationInterface {
  name = 'DeadLetterRetriesIndex1790000000852';

  async up(runner: QueryRunner): Promise<void> {
    await oneAtATime(runner, { name: this.name, isDone: isUsable(BY_RETRY) }, async () => {
      await assertSmallTables(runner, [BY_RETRY]);
      // What a concurrent build that was killed has left is invalid, and holds the name.
      await runner.query(`DROP INDEX IF EXISTS ${BY_RETRY.name}`);
      await runner.query(`CREATE INDEX ${BY_RETRY.name} ON ${BY_RETRY.on}`);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query(`DROP INDEX ${BY_RETRY.name}`);
    });
  }
}

const BY_RETRY: LateIndex = {
  name: 'nest_auth_dead_letters_retry_ix',
  on: 'nest_auth_dead_letters (subscription, retry_at)',
};

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** Events that are set aside for a while, so that those behind them do not wait. */
export class DeadLetterRetries1790000000850 implements MigrationInterface {
  name = 'DeadLetterRetries1790000000850';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_attribute
      WHERE attrelid = to_regclass('nest_auth_dead_letters') AND attname = 'retry_at' AND NOT attisdropped)`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      await runner.query('ALTER TABLE nest_auth_dead_letters ADD COLUMN retry_at timestamptz(3)');
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('ALTER TABLE nest_auth_dead_letters DROP COLUMN retry_at');
    });
  }
}

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { fillInLifecycle, LIFECYCLE_CHECKS } from './user-lifecycle.rows.js';

/**
 * From here on status and timestamps cannot disagree, whoever writes them. Rows that are there are looked at by the
 * next migration, which does not keep anybody waiting; those that are known to disagree are filled in first.
 */
export class UserLifecycleChecks1790000000410 implements MigrationInterface {
  name = 'UserLifecycleChecks1790000000410';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass('nest_auth_users') AND conname = 'nest_auth_users_legal_hold_ck')`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      await fillInLifecycle(runner);
      for (const [name, check] of LIFECYCLE_CHECKS) {
        await runner.query(`ALTER TABLE nest_auth_users ADD CONSTRAINT ${name} CHECK (${check}) NOT VALID`);
      }
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const [name] of LIFECYCLE_CHECKS) await runner.query(`ALTER TABLE nest_auth_users DROP CONSTRAINT ${name}`);
    });
  }
}

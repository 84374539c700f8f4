import type { MigrationInterface, QueryRunner } from 'typeorm';
import { assertSmallTables, isUsable, type LateIndex } from './late-index.js';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import { fillInLifecycle, LIFECYCLE_CHECKS } from './user-lifecycle.rows.js';

/**
 * Proves the constraints of the migration before for the rows that were there, and indexes what the batches and the
 * statistics read. In a transaction of its own: the one that added the constraints would keep its lock meanwhile.
 */
export class UserLifecycleProof1790000000420 implements MigrationInterface {
  name = 'UserLifecycleProof1790000000420';

  async up(runner: QueryRunner): Promise<void> {
    const areValid = LIFECYCLE_CHECKS.map(
      ([name]) =>
        `EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass('nest_auth_users') AND conname = '${name}' AND convalidated)`,
    );
    const isDone = [...areValid, ...INDEXES.map(isUsable)].join(' AND ');
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      // What another process has written between the statements of the migration before.
      await fillInLifecycle(runner);
      for (const [name] of LIFECYCLE_CHECKS) {
        await runner.query(`ALTER TABLE nest_auth_users VALIDATE CONSTRAINT ${name}`);
      }
      await makeIndexes(runner);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const { name } of INDEXES) await runner.query(`DROP INDEX ${name}`);
    });
  }
}

const INDEXES: readonly LateIndex[] = [
  { name: 'nest_auth_users_status_ix', on: 'nest_auth_users (status, id)' },
  { name: 'nest_auth_users_deleted_ix', on: 'nest_auth_users (id) WHERE deleted_at IS NOT NULL' },
  { name: 'nest_auth_tenants_lifecycle_ix', on: 'nest_auth_tenants (id) WHERE lifecycle IS NOT NULL' },
];

async function makeIndexes(runner: QueryRunner): Promise<void> {
  const [row] = (await runner.query(`SELECT ${INDEXES.map(isUsable).join(' AND ')} AS done`)) as { done: boolean }[];
  if (row?.done === true) return;
  await assertSmallTables(runner, INDEXES);
  for (const { name, on } of INDEXES) {
    await runner.query(`DROP INDEX IF EXISTS ${name}`);
    await runner.query(`CREATE INDEX ${name} ON ${on}`);
  }
}

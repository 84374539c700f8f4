import type { MigrationInterface, QueryRunner } from 'typeorm';
import { assertSmallTables, isUsable, type LateIndex } from './late-index.js';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/**
 * Proves the constraint of the migration before for the roles that were there, and indexes the roles that are held in a
 * tenant, and those of owners, by which its owners are found. In a transaction of its own: the one that added the constraint would keep its
 * lock meanwhile.
 */
export class OwnerRolesProof1790000000725 implements MigrationInterface {
  name = 'OwnerRolesProof1790000000725';

  async up(runner: QueryRunner): Promise<void> {
    const isValid = `EXISTS (SELECT 1 FROM pg_constraint
      WHERE conrelid = to_regclass('nest_auth_roles') AND conname = 'nest_auth_roles_owner_role_ck' AND convalidated)`;
    await oneAtATime(
      runner,
      { name: this.name, isDone: [isValid, ...INDEXES.map(isUsable)].join(' AND ') },
      async () => {
        await runner.query('ALTER TABLE nest_auth_roles VALIDATE CONSTRAINT nest_auth_roles_owner_role_ck');
        for (const index of INDEXES) await makeIndex(runner, index);
      },
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const { name } of INDEXES) await runner.query(`DROP INDEX ${name}`);
    });
  }
}

const INDEXES: readonly LateIndex[] = [
  { name: 'nest_auth_user_access_roles_tenant_ix', on: 'nest_auth_user_access_roles (tenant_id, role_id)' },
  { name: 'nest_auth_roles_owner_ix', on: 'nest_auth_roles (id) WHERE is_owner' },
];

async function makeIndex(runner: QueryRunner, index: LateIndex): Promise<void> {
  const [row] = (await runner.query(`SELECT ${isUsable(index)} AS done`)) as { done: boolean }[];
  if (row?.done === true) return;
  await assertSmallTables(runner, [index]);
  await runner.query(`DROP INDEX IF EXISTS ${index.name}`);
  await runner.query(`CREATE INDEX ${index.name} ON ${index.on}`);
}

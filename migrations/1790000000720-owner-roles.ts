import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/**
 * Which roles make owners of a tenant, and a number of a user that counts how often another owner could leave because
 * this one stays.
 *
 * Nothing is rewritten: both columns have a constant default. What must hold of the roles that are there is looked at
 * by the next migration.
 */
export class OwnerRoles1790000000720 implements MigrationInterface {
  name = 'OwnerRoles1790000000720';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_constraint
      WHERE conrelid = to_regclass('nest_auth_roles') AND conname = 'nest_auth_roles_owner_role_ck')`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('ALTER TABLE nest_auth_roles DROP COLUMN is_owner');
      await runner.query('ALTER TABLE nest_auth_users DROP COLUMN ownership_version');
    });
  }
}

const UP = [
  `ALTER TABLE nest_auth_users ADD COLUMN ownership_version integer NOT NULL DEFAULT 0`,
  `ALTER TABLE nest_auth_roles ADD COLUMN is_owner boolean NOT NULL DEFAULT false`,
  `ALTER TABLE nest_auth_roles ADD CONSTRAINT nest_auth_roles_owner_role_ck CHECK (NOT is_owner OR guard <> 'admin') NOT VALID`,
];

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/**
 * The columns of a user's life: when each state began, when it will end, a legal hold, and what a soft-deleted user was
 * recognised by. The tenant's own grace periods.
 *
 * Nothing is rewritten, and the version that still runs goes on working: what must hold of the columns is added by the
 * next migration, once that version is gone. The default of `activated_at` is that of `status`; who is active when the
 * column comes counts as activated now, so that nobody is inactive for longer than anybody could know.
 */
export class UserLifecycle1790000000400 implements MigrationInterface {
  name = 'UserLifecycle1790000000400';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_attribute
      WHERE attrelid = to_regclass('nest_auth_tenants') AND attname = 'lifecycle' AND NOT attisdropped)`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const statement of DOWN) await runner.query(statement);
    });
  }
}

const USERS = 'ALTER TABLE nest_auth_users';

const UP = [
  // Evaluated once, now: no row is written for it.
  `${USERS} ADD COLUMN activated_at timestamptz(3) DEFAULT now()`,
  `${USERS} ADD COLUMN deactivated_at timestamptz(3)`,
  `${USERS} ADD COLUMN disabled_at timestamptz(3)`,
  `${USERS} ADD COLUMN scheduled_deletion_at timestamptz(3)`,
  `${USERS} ADD COLUMN last_login_at timestamptz(3)`,
  `${USERS} ADD COLUMN legal_hold_at timestamptz(3)`,
  `${USERS} ADD COLUMN legal_hold_reason text`,
  `${USERS} ADD COLUMN parked_identities jsonb`,
  `ALTER TABLE nest_auth_tenants ADD COLUMN lifecycle jsonb`,
];

const DOWN = [
  `ALTER TABLE nest_auth_tenants DROP COLUMN lifecycle`,
  `${USERS} DROP COLUMN parked_identities, DROP COLUMN legal_hold_reason, DROP COLUMN legal_hold_at,
    DROP COLUMN last_login_at, DROP COLUMN scheduled_deletion_at, DROP COLUMN disabled_at, DROP COLUMN deactivated_at,
    DROP COLUMN activated_at`,
];

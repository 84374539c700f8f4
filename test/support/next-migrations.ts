import type { MigrationInterface, QueryRunner } from 'typeorm';

import { oneAtATime, undoOneAtATime } from '../../migrations/one-at-a-time.js';

/** The next version as it would have to be written: nobody waits for it, however many rows there are. */
class AddLocale1950000000000 implements MigrationInterface {
  name = 'AddLocale1950000000000';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'nest_auth_users_locale_ck')`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      await runner.query('ALTER TABLE nest_auth_users ADD COLUMN locale text');
      await runner.query(
        `ALTER TABLE nest_auth_users ADD CONSTRAINT nest_auth_users_locale_ck CHECK (locale <> '') NOT VALID`,
      );
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('ALTER TABLE nest_auth_users DROP COLUMN locale');
    });
  }
}

/** In a transaction of its own: the one that added the constraint would keep its lock while all rows are read. */
class ValidateLocale1950000000001 implements MigrationInterface {
  name = 'ValidateLocale1950000000001';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'nest_auth_users_locale_ck' AND convalidated)`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      await runner.query('ALTER TABLE nest_auth_users VALIDATE CONSTRAINT nest_auth_users_locale_ck');
    });
  }

  async down(): Promise<void> {
    // Nothing: what is valid stays so.
  }
}

class IndexLocale1950000000002 implements MigrationInterface {
  name = 'IndexLocale1950000000002';
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    // What a run that was killed left behind is invalid, and IF NOT EXISTS would keep it.
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS nest_auth_users_locale_ix');
    await runner.query('CREATE INDEX CONCURRENTLY IF NOT EXISTS nest_auth_users_locale_ix ON nest_auth_users (locale)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS nest_auth_users_locale_ix');
  }
}

export const NEXT_MIGRATIONS = [AddLocale1950000000000, ValidateLocale1950000000001, IndexLocale1950000000002] as const;

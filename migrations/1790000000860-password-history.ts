import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** Hashes of passwords that users had before, for applications that set `password.history`. */
export class PasswordHistory1790000000860 implements MigrationInterface {
  name = 'PasswordHistory1790000000860';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_password_history') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      await runner.query(CREATE_TABLE);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('DROP TABLE nest_auth_password_history');
    });
  }
}

// The key begins with the user, by whom the table would be distributed, and goes on in the order in which passwords came.
const CREATE_TABLE = `CREATE TABLE nest_auth_password_history (
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    realm_id uuid NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_password_history_pk PRIMARY KEY (user_id, id),
    CONSTRAINT nest_auth_password_history_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE
  )`;

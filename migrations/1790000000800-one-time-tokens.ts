import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** Links and codes by which a user proves an address, or comes back to the account without the password. */
export class OneTimeTokens1790000000800 implements MigrationInterface {
  name = 'OneTimeTokens1790000000800';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_one_time_tokens_expires_ix') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('DROP TABLE nest_auth_one_time_tokens');
    });
  }
}

// The key is what makes a newer one replace the older one, and begins with the user, by whom the table would be distributed.
const UP = [
  `CREATE TABLE nest_auth_one_time_tokens (
    user_id uuid NOT NULL,
    purpose text NOT NULL,
    id uuid NOT NULL,
    form text NOT NULL,
    address text NOT NULL,
    security_stamp integer,
    key_id text NOT NULL,
    salt bytea NOT NULL,
    token_hash bytea NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    guesses integer NOT NULL DEFAULT 0,
    guesses_since timestamptz(3) NOT NULL DEFAULT now(),
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    expires_at timestamptz(3) NOT NULL,
    used_at timestamptz(3),
    CONSTRAINT nest_auth_one_time_tokens_pk PRIMARY KEY (user_id, purpose),
    CONSTRAINT nest_auth_one_time_tokens_user_fk FOREIGN KEY (user_id) REFERENCES nest_auth_users (id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_one_time_tokens_purpose_ck CHECK (purpose IN ('email_verification', 'phone_verification',
      'email_change', 'phone_change', 'password_reset')),
    CONSTRAINT nest_auth_one_time_tokens_form_ck CHECK (form IN ('link', 'code'))
  )`,
  `CREATE INDEX nest_auth_one_time_tokens_expires_ix ON nest_auth_one_time_tokens (expires_at)`,
];

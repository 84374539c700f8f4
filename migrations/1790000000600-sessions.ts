import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** Sessions of signed-in users, the refresh tokens of each, and the stamp of a user that ends them all. */
export class Sessions1790000000600 implements MigrationInterface {
  name = 'Sessions1790000000600';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_refresh_tokens') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('DROP TABLE nest_auth_refresh_tokens');
      await runner.query('DROP TABLE nest_auth_sessions');
      await runner.query('ALTER TABLE nest_auth_users DROP COLUMN security_stamp');
    });
  }
}

// The keys begin with the user, by whom the tables would be distributed.
const UP = [
  `ALTER TABLE nest_auth_users ADD COLUMN security_stamp integer NOT NULL DEFAULT 1`,
  `CREATE TABLE nest_auth_sessions (
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    realm_id uuid NOT NULL,
    tenant_id uuid,
    security_stamp integer NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    last_seen_at timestamptz(3) NOT NULL DEFAULT now(),
    idle_expires_at timestamptz(3) NOT NULL,
    expires_at timestamptz(3) NOT NULL,
    revoked_at timestamptz(3),
    revoked_reason text,
    ip inet,
    user_agent text,
    CONSTRAINT nest_auth_sessions_pk PRIMARY KEY (user_id, id),
    CONSTRAINT nest_auth_sessions_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_sessions_tenant_fk FOREIGN KEY (tenant_id) REFERENCES nest_auth_tenants (id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_sessions_revoked_ck CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
  )`,
  `CREATE INDEX nest_auth_sessions_tenant_ix ON nest_auth_sessions (tenant_id, user_id)`,
  `CREATE TABLE nest_auth_refresh_tokens (
    user_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    session_id uuid NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    used_at timestamptz(3),
    successor_seed bytea,
    successor_hash bytea,
    CONSTRAINT nest_auth_refresh_tokens_pk PRIMARY KEY (user_id, token_hash),
    CONSTRAINT nest_auth_refresh_tokens_session_fk FOREIGN KEY (user_id, session_id)
      REFERENCES nest_auth_sessions (user_id, id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_refresh_tokens_used_ck CHECK (
      (used_at IS NULL) = (successor_seed IS NULL) AND (used_at IS NULL) = (successor_hash IS NULL))
  )`,
  `CREATE INDEX nest_auth_refresh_tokens_session_ix ON nest_auth_refresh_tokens (user_id, session_id)`,
];

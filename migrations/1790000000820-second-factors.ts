import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** What users have enrolled as a second factor, their recovery codes, and sign-ins that wait for one. */
export class SecondFactors1790000000820 implements MigrationInterface {
  name = 'SecondFactors1790000000820';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_second_factor_challenges_expires_ix') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('DROP TABLE nest_auth_second_factor_challenges');
      await runner.query('DROP TABLE nest_auth_second_factor_states');
      await runner.query('DROP TABLE nest_auth_second_factors');
    });
  }
}

// The keys begin with the user, by whom the tables would be distributed. The rows of a user who is deleted go in the order
// in which the foreign keys were made: that in which all statements hold them.
const UP = [
  `CREATE TABLE nest_auth_second_factor_challenges (
    user_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    id uuid NOT NULL,
    realm_id uuid NOT NULL,
    tenant_id uuid,
    security_stamp integer NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    expires_at timestamptz(3) NOT NULL,
    CONSTRAINT nest_auth_second_factor_challenges_pk PRIMARY KEY (user_id, token_hash),
    CONSTRAINT nest_auth_second_factor_challenges_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_second_factor_challenges_tenant_fk FOREIGN KEY (tenant_id)
      REFERENCES nest_auth_tenants (id) ON DELETE CASCADE
  )`,
  `CREATE TABLE nest_auth_second_factors (
    user_id uuid NOT NULL,
    kind text NOT NULL,
    realm_id uuid NOT NULL,
    key_id text,
    sealed bytea,
    security_stamp integer,
    last_step bigint,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    enabled_at timestamptz(3),
    last_used_at timestamptz(3),
    CONSTRAINT nest_auth_second_factors_pk PRIMARY KEY (user_id, kind),
    CONSTRAINT nest_auth_second_factors_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_second_factors_kind_ck CHECK (kind IN ('totp', 'email', 'sms')
      AND (kind = 'totp') = (sealed IS NOT NULL) AND (sealed IS NULL) = (key_id IS NULL)
      AND (kind = 'totp' AND enabled_at IS NOT NULL) = (last_step IS NOT NULL))
  )`,
  `CREATE TABLE nest_auth_second_factor_states (
    user_id uuid NOT NULL,
    realm_id uuid NOT NULL,
    recovery_hashes bytea[] NOT NULL DEFAULT '{}',
    recovery_made_at timestamptz(3) NOT NULL DEFAULT now(),
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_second_factor_states_pk PRIMARY KEY (user_id),
    CONSTRAINT nest_auth_second_factor_states_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE
  )`,
  `CREATE INDEX nest_auth_second_factor_challenges_tenant_ix
    ON nest_auth_second_factor_challenges (tenant_id)`,
  `CREATE INDEX nest_auth_second_factor_challenges_expires_ix ON nest_auth_second_factor_challenges (expires_at)`,
];

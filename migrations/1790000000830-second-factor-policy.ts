import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';
import {
  CREATE_TENANT_TRIGGER,
  CREATE_TENANT_TRIGGER_BEFORE_POLICY,
  DROP_TENANT_TRIGGER,
} from './revocation.triggers.js';

/**
 * What a tenant demands beside the password, by what each session has met that; the devices on which a user has shown a
 * second factor for a while; and the codes that were sent to somebody who signs in.
 */
export class SecondFactorPolicy1790000000830 implements MigrationInterface {
  name = 'SecondFactorPolicy1790000000830';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_trusted_devices_expires_ix') IS NOT NULL`;
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

const UP = [
  `ALTER TABLE nest_auth_tenants ADD COLUMN second_factor_policy text NOT NULL DEFAULT 'optional'
    CONSTRAINT nest_auth_tenants_second_factor_ck CHECK (second_factor_policy IN ('optional', 'required', 'always'))`,
  DROP_TENANT_TRIGGER,
  CREATE_TENANT_TRIGGER,
  `ALTER TABLE nest_auth_sessions ADD COLUMN second_factor text`,
  // The key begins with the user, by whom the table would be distributed.
  `CREATE TABLE nest_auth_trusted_devices (
    user_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    id uuid NOT NULL,
    realm_id uuid NOT NULL,
    security_stamp integer NOT NULL,
    user_agent text,
    ip inet,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    last_used_at timestamptz(3) NOT NULL DEFAULT now(),
    expires_at timestamptz(3) NOT NULL,
    CONSTRAINT nest_auth_trusted_devices_pk PRIMARY KEY (user_id, token_hash),
    CONSTRAINT nest_auth_trusted_devices_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE
  )`,
  `CREATE TABLE nest_auth_second_factor_codes (
    user_id uuid NOT NULL,
    challenge_hash bytea NOT NULL,
    id uuid NOT NULL,
    realm_id uuid NOT NULL,
    kind text NOT NULL,
    address text NOT NULL,
    key_id text NOT NULL,
    salt bytea NOT NULL,
    code_hash bytea NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_second_factor_codes_pk PRIMARY KEY (user_id, challenge_hash),
    CONSTRAINT nest_auth_second_factor_codes_challenge_fk FOREIGN KEY (user_id, challenge_hash)
      REFERENCES nest_auth_second_factor_challenges (user_id, token_hash) ON DELETE CASCADE,
    CONSTRAINT nest_auth_second_factor_codes_kind_ck CHECK (kind IN ('email', 'sms'))
  )`,
  `CREATE INDEX nest_auth_trusted_devices_expires_ix ON nest_auth_trusted_devices (expires_at)`,
];

const DOWN = [
  'DROP TABLE nest_auth_second_factor_codes',
  'DROP TABLE nest_auth_trusted_devices',
  'ALTER TABLE nest_auth_sessions DROP COLUMN second_factor',
  DROP_TENANT_TRIGGER,
  CREATE_TENANT_TRIGGER_BEFORE_POLICY,
  'ALTER TABLE nest_auth_tenants DROP COLUMN second_factor_policy',
];

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/**
 * People who are at an identity provider and have not come back yet. Rows of minutes, without a key to anything: what
 * they name is judged when somebody comes back.
 */
export class ExternalFlows1790000000740 implements MigrationInterface {
  name = 'ExternalFlows1790000000740';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_external_flows_expires_ix') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('DROP TABLE nest_auth_external_flows');
    });
  }
}

const UP = [
  `CREATE TABLE nest_auth_external_flows (
    token_hash bytea NOT NULL,
    purpose text NOT NULL,
    provider text NOT NULL,
    tenant_id uuid,
    user_id uuid,
    session_id uuid,
    redirect_to text,
    sealed bytea NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    expires_at timestamptz(3) NOT NULL,
    CONSTRAINT nest_auth_external_flows_pk PRIMARY KEY (token_hash),
    CONSTRAINT nest_auth_external_flows_purpose_ck CHECK (purpose IN ('sign_in', 'link')
      AND (purpose = 'link') = (user_id IS NOT NULL) AND (user_id IS NULL) = (session_id IS NULL))
  )`,
  `CREATE INDEX nest_auth_external_flows_expires_ix ON nest_auth_external_flows (expires_at)`,
];

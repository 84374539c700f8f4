import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** Addresses that are invited to a tenant; at most one invitation of an address waits for its answer. */
export class Invitations1790000000810 implements MigrationInterface {
  name = 'Invitations1790000000810';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_invitations_expires_ix') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('DROP TABLE nest_auth_invitations');
    });
  }
}

// No key to users: an inviter who is gone makes the invitation refused, and is told by the activity log.
const UP = [
  `CREATE TABLE nest_auth_invitations (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    realm_id uuid NOT NULL,
    email text NOT NULL,
    email_norm text NOT NULL,
    role_ids uuid[] NOT NULL,
    invited_by uuid,
    status text NOT NULL DEFAULT 'pending',
    accepted_by uuid,
    metadata jsonb NOT NULL DEFAULT '{}',
    issue integer NOT NULL DEFAULT 1,
    key_id text,
    salt bytea,
    token_hash bytea,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    sent_at timestamptz(3) NOT NULL DEFAULT now(),
    expires_at timestamptz(3) NOT NULL,
    ended_at timestamptz(3),
    CONSTRAINT nest_auth_invitations_pk PRIMARY KEY (id),
    CONSTRAINT nest_auth_invitations_tenant_fk FOREIGN KEY (tenant_id) REFERENCES nest_auth_tenants (id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_invitations_status_ck CHECK (status IN ('pending', 'accepted', 'declined', 'revoked', 'expired')),
    CONSTRAINT nest_auth_invitations_token_ck CHECK (
      (status = 'pending') = (token_hash IS NOT NULL AND salt IS NOT NULL AND key_id IS NOT NULL)),
    CONSTRAINT nest_auth_invitations_ended_ck CHECK (
      (status = 'pending') = (ended_at IS NULL) AND (status = 'accepted') = (accepted_by IS NOT NULL))
  )`,
  `CREATE UNIQUE INDEX nest_auth_invitations_pending_uq ON nest_auth_invitations (tenant_id, email_norm) WHERE status = 'pending'`,
  `CREATE INDEX nest_auth_invitations_tenant_ix ON nest_auth_invitations (tenant_id, id)`,
  `CREATE INDEX nest_auth_invitations_inviter_ix ON nest_auth_invitations (invited_by) WHERE status = 'pending'`,
  `CREATE INDEX nest_auth_invitations_expires_ix ON nest_auth_invitations (expires_at)`,
];

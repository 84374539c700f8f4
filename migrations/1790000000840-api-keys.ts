import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** Keys of users, service accounts, and the keys of those. */
export class ApiKeys1790000000840 implements MigrationInterface {
  name = 'ApiKeys1790000000840';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_service_account_keys_account_ix') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('DROP TABLE nest_auth_service_account_keys');
      await runner.query('DROP TABLE nest_auth_service_accounts');
      await runner.query('DROP TABLE nest_auth_api_keys');
    });
  }
}

/** What every key has, whoever owns it. */
const keyColumns = (table: string): string => `
    name text NOT NULL,
    scopes text[] NOT NULL,
    secret_hash bytea NOT NULL,
    previous_hash bytea,
    previous_expires_at timestamptz(3),
    version integer NOT NULL DEFAULT 1,
    created_by uuid,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    expires_at timestamptz(3) NOT NULL,
    last_used_at timestamptz(3),
    revoked_at timestamptz(3),
    revoked_reason text,
    CONSTRAINT ${table}_scopes_ck CHECK (cardinality(scopes) > 0),
    CONSTRAINT ${table}_previous_ck CHECK ((previous_hash IS NULL) = (previous_expires_at IS NULL)),
    CONSTRAINT ${table}_revoked_ck CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))`;

// The keys begin with the user, or with the tenant, by whom the tables would be distributed.
const UP = [
  `CREATE TABLE nest_auth_api_keys (
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    realm_id uuid NOT NULL,
    tenant_id uuid,${keyColumns('nest_auth_api_keys')},
    CONSTRAINT nest_auth_api_keys_pk PRIMARY KEY (user_id, id),
    CONSTRAINT nest_auth_api_keys_user_fk FOREIGN KEY (user_id, realm_id)
      REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE,
    CONSTRAINT nest_auth_api_keys_access_fk FOREIGN KEY (user_id, tenant_id)
      REFERENCES nest_auth_user_accesses (user_id, tenant_id) ON DELETE CASCADE
  )`,
  `CREATE TABLE nest_auth_service_accounts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    description text,
    is_active boolean NOT NULL DEFAULT true,
    created_by uuid,
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_service_accounts_pk PRIMARY KEY (tenant_id, id),
    CONSTRAINT nest_auth_service_accounts_tenant_fk FOREIGN KEY (tenant_id)
      REFERENCES nest_auth_tenants (id) ON DELETE CASCADE
  )`,
  `CREATE UNIQUE INDEX nest_auth_service_accounts_name_uq ON nest_auth_service_accounts (tenant_id, name)`,
  `CREATE TABLE nest_auth_service_account_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    service_account_id uuid NOT NULL,${keyColumns('nest_auth_service_account_keys')},
    CONSTRAINT nest_auth_service_account_keys_pk PRIMARY KEY (tenant_id, id),
    CONSTRAINT nest_auth_service_account_keys_account_fk FOREIGN KEY (tenant_id, service_account_id)
      REFERENCES nest_auth_service_accounts (tenant_id, id) ON DELETE CASCADE
  )`,
  `CREATE INDEX nest_auth_service_account_keys_account_ix
    ON nest_auth_service_account_keys (tenant_id, service_account_id, id)`,
];

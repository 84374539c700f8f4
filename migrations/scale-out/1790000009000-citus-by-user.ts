import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from '../one-at-a-time.js';
import { CREATE_REVOCATION_TRIGGERS, DROP_REVOCATION_TRIGGERS } from '../revocation.triggers.js';

/**
 * Spreads the tables over a Citus cluster: a user with everything that is theirs on one node, logins by what one logs
 * in with, and what everybody reads on every node. Opt-in, and after all other migrations.
 *
 * Citus keeps a unique index only if it holds the distribution column, and a foreign key only between rows of one node.
 * So three unique indexes and one foreign key go. What they guarded is decided by the primary key of identities, which
 * stays whole, and by the statements of this package, which remove logins together with their user.
 *
 * The activity log stays where it is, on the coordinator: its order is that of one server's transactions.
 */
export class CitusByUser1790000009000 implements MigrationInterface {
  name = 'CitusByUser1790000009000';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_users_realm_phone_ix') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, () => distributeAll(runner));
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const statement of DOWN) await runner.query(statement);
    });
  }
}

/** On every node. A table comes after those it refers to. */
const REFERENCE = [
  'nest_auth_tenants',
  'nest_auth_permissions',
  'nest_auth_roles',
  'nest_auth_role_permissions',
  'nest_auth_role_parents',
  'nest_auth_role_graphs',
];

/** With the user, in the order of their foreign keys. */
const BY_USER = [
  'nest_auth_user_accesses',
  'nest_auth_user_access_roles',
  'nest_auth_user_access_permissions',
  'nest_auth_platform_accesses',
  'nest_auth_platform_access_roles',
  'nest_auth_platform_access_permissions',
  'nest_auth_sessions',
  'nest_auth_refresh_tokens',
  'nest_auth_one_time_tokens',
  'nest_auth_second_factors',
  'nest_auth_second_factor_states',
  'nest_auth_second_factor_challenges',
  'nest_auth_second_factor_codes',
  'nest_auth_trusted_devices',
  'nest_auth_api_keys',
  'nest_auth_password_history',
];

/** With the tenant, in the order of their foreign keys: programs that work for it. */
const BY_TENANT = ['nest_auth_service_accounts', 'nest_auth_service_account_keys'];

/** What is counted against an account lies where the account would, whether or not there is one. */
const BY_SUBJECT = ['nest_auth_sign_in_failures', 'nest_auth_sign_in_totals'];

const DISTRIBUTED = [
  ...REFERENCE,
  'nest_auth_users',
  ...BY_USER,
  ...BY_TENANT,
  ...BY_SUBJECT,
  'nest_auth_identities',
  'nest_auth_rate_limits',
]
  .map((table) => `to_regclass('${table}')`)
  .join(', ');

const UP = [
  // A foreign key to a table that is on every node allows no parallel work in the transaction that made it.
  `SET LOCAL citus.multi_shard_modify_mode TO 'sequential'`,
  // Nobody is told then; what was read is read again when it is as old as it may be.
  ...DROP_REVOCATION_TRIGGERS,
  `ALTER TABLE nest_auth_identities DROP CONSTRAINT nest_auth_identities_user_fk`,
  `DROP INDEX nest_auth_identities_user_login_uq`,
  `DROP INDEX nest_auth_users_realm_email_uq`,
  `DROP INDEX nest_auth_users_realm_phone_uq`,
  ...REFERENCE.map((table) => `SELECT create_reference_table('${table}')`),
  `SELECT create_distributed_table('nest_auth_users', 'id', colocate_with => 'none')`,
  ...BY_USER.map(
    (table) => `SELECT create_distributed_table('${table}', 'user_id', colocate_with => 'nest_auth_users')`,
  ),
  ...BY_TENANT.map(
    (table, index) =>
      `SELECT create_distributed_table('${table}', 'tenant_id', colocate_with => '${index === 0 ? 'none' : BY_TENANT[0]}')`,
  ),
  ...BY_SUBJECT.map(
    (table) => `SELECT create_distributed_table('${table}', 'subject', colocate_with => 'nest_auth_users')`,
  ),
  `SELECT create_distributed_table('nest_auth_identities', 'provider_id', colocate_with => 'none')`,
  `SELECT create_distributed_table('nest_auth_rate_limits', 'key', colocate_with => 'none')`,
  // Lists still search in them.
  `CREATE INDEX nest_auth_users_realm_email_ix ON nest_auth_users (realm_id, email_norm) WHERE deleted_at IS NULL`,
  `CREATE INDEX nest_auth_users_realm_phone_ix ON nest_auth_users (realm_id, phone) WHERE deleted_at IS NULL`,
];

const DOWN = [
  `SET LOCAL citus.multi_shard_modify_mode TO 'sequential'`,
  // With every table that is tied to it by foreign keys: all but the identities, and those of the host.
  `SELECT undistribute_table('nest_auth_users', cascade_via_foreign_keys => true)`,
  ...['nest_auth_identities', 'nest_auth_rate_limits', ...BY_SUBJECT].map(
    (table) => `SELECT undistribute_table('${table}')`,
  ),
  `DROP INDEX nest_auth_users_realm_email_ix`,
  `DROP INDEX nest_auth_users_realm_phone_ix`,
  `CREATE UNIQUE INDEX nest_auth_users_realm_email_uq ON nest_auth_users (realm_id, email_norm) WHERE deleted_at IS NULL`,
  `CREATE UNIQUE INDEX nest_auth_users_realm_phone_uq ON nest_auth_users (realm_id, phone) WHERE deleted_at IS NULL`,
  `CREATE UNIQUE INDEX nest_auth_identities_user_login_uq ON nest_auth_identities (user_id, provider) WHERE provider IN ('email', 'phone')`,
  `ALTER TABLE nest_auth_identities ADD CONSTRAINT nest_auth_identities_user_fk FOREIGN KEY (user_id, realm_id)
    REFERENCES nest_auth_users (id, realm_id) ON DELETE CASCADE`,
  ...CREATE_REVOCATION_TRIGGERS,
];

async function distributeAll(runner: QueryRunner): Promise<void> {
  await assertDistributable(runner);
  for (const statement of UP) await runner.query(statement);
}

/** Before anything is changed: what Citus itself says later names no way out. */
async function assertDistributable(runner: QueryRunner): Promise<void> {
  const [found] = (await runner.query(`
    SELECT to_regproc('create_reference_table') IS NOT NULL AS citus,
      EXISTS (SELECT 1 FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (${DISTRIBUTED})
        AND tgname !~ '_revoked_(insert|update|delete)$') AS triggers
  `)) as { citus: boolean; triggers: boolean }[];
  if (found?.citus === false) {
    throw new Error(
      'The scale-out migrations need the extension citus in this database: CREATE EXTENSION citus on every node, ' +
        'then citus_add_node() for each worker (docs/scaling.md)',
    );
  }
  if (found?.triggers === true) {
    throw new Error(
      'The tables have triggers, which Citus does not distribute. Those of row-level security go with its migration: ' +
        'NestAuthRlsMigrations and NestAuthCitusMigrations exclude each other (docs/scaling.md)',
    );
  }
}

import type { EntityMetadata } from 'typeorm';

/** Which rows of a table belong to a tenant (`$1`) and to no other (`$2` is the tenant that attacks). */
export interface OwnershipRule {
  /** Condition on the table's alias `t`. */
  readonly where: string;
  /** Rows that everybody may read, and only the platform may change. */
  readonly readable?: true;
  /** Filled by features that an application need not use. */
  readonly maybeEmpty?: true;
}

const ONLY_OF = (user: string): string =>
  `exists (select 1 from nest_auth_user_accesses a where a.user_id = ${user} and a.tenant_id = $1)
    and not exists (select 1 from nest_auth_user_accesses a where a.user_id = ${user} and a.tenant_id = $2)`;

const OF_REALM = 't."realm_id" = $1 and t."realm_id" is distinct from $2::uuid';

/** Tables of the package that have no plain tenant column. The casts give a parameter that is not needed a type. */
const RULES: Readonly<Record<string, OwnershipRule>> = {
  nest_auth_tenants: { where: 't.id = $1 and t.id <> $2' },
  nest_auth_users: { where: ONLY_OF('t.id') },
  nest_auth_identities: { where: ONLY_OF('t.user_id') },
  nest_auth_role_permissions: {
    where: 'exists (select 1 from nest_auth_roles r where r.id = t.role_id and r.tenant_id = $1 and r.tenant_id <> $2)',
  },
  nest_auth_role_parents: {
    where: 't.role_tenant_id = $1 and t.role_tenant_id is distinct from $2::uuid',
    maybeEmpty: true,
  },
  nest_auth_role_graphs: {
    where: 't.owner_tenant_id = $1 and t.owner_tenant_id is distinct from $2::uuid',
    maybeEmpty: true,
  },
  nest_auth_user_access_permissions: {
    where: 't."tenant_id" = $1 and t."tenant_id" is distinct from $2::uuid',
    maybeEmpty: true,
  },
  nest_auth_permissions: { where: '$1::uuid is distinct from $2::uuid', readable: true },
  nest_auth_platform_accesses: { where: '$1::uuid is distinct from $2::uuid' },
  nest_auth_platform_access_roles: { where: '$1::uuid is distinct from $2::uuid' },
  nest_auth_platform_access_permissions: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_activity_seals: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_subscriptions: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_dead_letters: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_sessions: {
    where: 't."tenant_id" = $1 and t."tenant_id" is distinct from $2::uuid',
    maybeEmpty: true,
  },
  nest_auth_refresh_tokens: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_second_factors: { where: OF_REALM, maybeEmpty: true },
  nest_auth_second_factor_states: { where: OF_REALM, maybeEmpty: true },
  nest_auth_second_factor_challenges: { where: OF_REALM, maybeEmpty: true },
  nest_auth_second_factor_codes: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_password_history: { where: OF_REALM, maybeEmpty: true },
  nest_auth_trusted_devices: { where: OF_REALM, maybeEmpty: true },
  nest_auth_one_time_tokens: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_sign_in_failures: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_sign_in_totals: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_rate_limits: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_invitations: { where: 't."tenant_id" = $1 and t."tenant_id" is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_api_keys: { where: 't."tenant_id" = $1 and t."tenant_id" is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_service_accounts: {
    where: 't."tenant_id" = $1 and t."tenant_id" is distinct from $2::uuid',
    maybeEmpty: true,
  },
  nest_auth_service_account_keys: {
    where: 't."tenant_id" = $1 and t."tenant_id" is distinct from $2::uuid',
    maybeEmpty: true,
  },
  nest_auth_external_flows: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
  nest_auth_job_runs: { where: '$1::uuid is distinct from $2::uuid', maybeEmpty: true },
};

/** The rule of an entity; undefined when it has neither a tenant column nor a key to a user: nothing says whose a row is. */
export function ruleOf(metadata: EntityMetadata, tenantColumn: string): OwnershipRule | undefined {
  const known = RULES[metadata.tableName];
  if (known !== undefined) return known;
  if (!metadata.columns.some(({ databaseName }) => databaseName === tenantColumn)) return ruleByUser(metadata);
  const column = `t.${quote(tenantColumn)}`;
  return { where: `${column} = $1 and ${column} is distinct from $2::uuid` };
}

function ruleByUser({ foreignKeys }: EntityMetadata): OwnershipRule | undefined {
  const key = foreignKeys.find(({ referencedEntityMetadata: { tableName } }) => tableName === 'nest_auth_users');
  const column = key?.columnNames[0];
  return column === undefined ? undefined : { where: ONLY_OF(`t.${quote(column)}`) };
}

export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The table's name for SQL, with its schema if it has one. */
export function tableOf({ tablePath }: EntityMetadata): string {
  return tablePath.split('.').map(quote).join('.');
}

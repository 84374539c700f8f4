import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { activity, audited } from '../audit/audited-statement.js';
import { changedMetadata } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import { contextDetails, identityCount, type NewUser } from './create-user.queries.js';
import { tenantOfRealm } from './user-change.queries.js';

/** What became of one row of a chunk; `id` is the one it was given. */
export interface BulkRow {
  readonly id: string;
  readonly created_at: Date | null;
  readonly roles_ok: boolean;
  readonly platform_roles_ok: boolean;
  readonly identities: number;
}

const ROW = `(id uuid, email text, email_norm text, phone text, password_hash text, status text, is_active boolean,
  metadata jsonb, platform boolean, roles jsonb, platform_roles jsonb, identities jsonb, identity_count integer,
  activity_id uuid, details jsonb)`;

/**
 * The creation of `create-user.queries.ts` for many rows: `$1` the rows, `$2` the realm, `$3` the tenant or null.
 * Rows are inserted in the order of their keys, so that two chunks at once cannot lock each other out.
 */
const CREATE = audited<BulkRow>(
  'create_users',
  `with input as (select * from jsonb_to_recordset($1::jsonb) as r ${ROW}),
  granted as (
    select i.id as user_id, r.id, r.owner_tenant_id, r.guard
    from input i, jsonb_array_elements_text(i.roles) as wanted (id), nest_auth_roles r
    where r.id = wanted.id::uuid and r.is_active and r.guard <> 'admin' and r.owner_tenant_id in ('${NIL_UUID}', $3::uuid)
    for key share of r),
  platform_granted as (
    select i.id as user_id, r.id, r.owner_tenant_id, r.guard
    from input i, jsonb_array_elements_text(i.platform_roles) as wanted (id), nest_auth_roles r
    where r.id = wanted.id::uuid and r.is_active and r.guard = 'admin'
    for key share of r),
  extra as (
    select i.id as user_id, e.provider, e.provider_id, e.metadata
    from input i, jsonb_to_recordset(i.identities) as e (provider text, provider_id text, metadata jsonb)),
  checked as (
    select i.*,
      jsonb_array_length(i.roles) = coalesce(g.count, 0) as roles_ok,
      jsonb_array_length(i.platform_roles) = coalesce(p.count, 0) as platform_roles_ok,
      t.user_id is null as logins_ok
    from input i
    left join (select user_id, count(*) from granted group by user_id) g on g.user_id = i.id
    left join (select user_id, count(*) from platform_granted group by user_id) p on p.user_id = i.id
    left join (
      select distinct e.user_id from extra e join nest_auth_identities n
        on n.provider_id = e.provider_id and n.provider = e.provider and n.realm_id = $2) t on t.user_id = i.id),
  person as (
    insert into nest_auth_users (id, realm_id, email, email_norm, phone, password_hash, status, is_active, metadata, activated_at)
    select id, $2::uuid, email, email_norm, phone, password_hash, status, is_active, metadata, case when is_active then now() end
    from checked
    where roles_ok and platform_roles_ok and logins_ok
    order by email_norm, phone
    on conflict do nothing
    returning id, email_norm, phone, created_at),
  identity as (
    insert into nest_auth_identities (realm_id, user_id, provider, provider_id, metadata)
    select $2::uuid, login.* from (
      select id, 'email' as provider, email_norm as provider_id, '{}'::jsonb from person where email_norm is not null
      union all select id, 'phone', phone, '{}'::jsonb from person where phone is not null
      union all select e.* from extra e join person on person.id = e.user_id) as login
    order by login.provider, login.provider_id
    on conflict do nothing
    returning user_id),
  access as (
    insert into nest_auth_user_accesses (user_id, tenant_id, realm_id, is_default)
    select id, $3::uuid, $2::uuid, true from person where $3::uuid is not null),
  access_role as (
    insert into nest_auth_user_access_roles (user_id, tenant_id, role_id, role_tenant_id, guard)
    select person.id, $3::uuid, g.id, g.owner_tenant_id, g.guard from person join granted g on g.user_id = person.id),
  platform_access as (
    insert into nest_auth_platform_accesses (user_id, realm_id)
    select person.id, $2::uuid from person join input i on i.id = person.id where i.platform),
  platform_access_role as (
    insert into nest_auth_platform_access_roles (user_id, role_id, role_tenant_id, guard)
    select person.id, g.id, g.owner_tenant_id, g.guard
    from person join platform_granted g on g.user_id = person.id),
  made as (
    select person.id, count(*) as identities from person join identity on identity.user_id = person.id group by person.id),
  ${activity({
    type: NestAuthEvents.USER_CREATED,
    id: 'c.activity_id',
    // A user that is short of an identity is taken back at once, and nothing has happened.
    from: 'checked c join made on made.id = c.id and made.identities = c.identity_count',
    userId: 'c.id',
    tenantId: `coalesce($3::uuid, ${tenantOfRealm('$2::uuid')})`,
    subjectType: 'user',
    after: `jsonb_strip_nulls(jsonb_build_object('email', c.email, 'phone', c.phone, 'status', c.status,
      'roleIds', nullif(c.roles, '[]'), 'platformRoleIds', nullif(c.platform_roles, '[]'),
      'providers', nullif(jsonb_path_query_array(c.identities, '$[*].provider'), '[]')))
      || ${changedMetadata('c.metadata', `'{}'::jsonb`)}`,
    details: 'c.details',
  })}
  select c.id, person.created_at, c.roles_ok, c.platform_roles_ok, coalesce(made.identities, 0)::integer as identities
  from checked c
  left join person on person.id = c.id
  left join made on made.id = c.id`,
  (rows) => rows.some(({ created_at: createdAt }) => createdAt !== null),
);

/** Creates what can be created of a chunk, all of one realm and tenant, and says what became of each row. */
export function insertUsers(
  manager: EntityManager,
  realmId: string,
  tenantId: string | null,
  users: readonly NewUser[],
): Promise<BulkRow[]> {
  const rows = users.map((user) => ({
    id: user.id,
    email: user.email,
    email_norm: user.emailNorm,
    phone: user.phone,
    password_hash: user.passwordHash,
    status: user.isActive ? 'active' : 'pending',
    is_active: user.isActive,
    metadata: user.metadata,
    platform: user.platform,
    roles: user.roleIds,
    platform_roles: user.platformRoleIds,
    identities: user.identities.map(({ provider, providerId, metadata }) => ({
      provider,
      provider_id: providerId,
      metadata,
    })),
    identity_count: identityCount(user),
    activity_id: uuidv7(),
    details: contextDetails(user.context),
  }));
  return execute(manager, CREATE, [JSON.stringify(rows), realmId, tenantId]);
}

const TENANT: Statement<{ usable: boolean }> = {
  text: `select exists (select 1 from nest_auth_tenants where id = $1 and is_active for key share) as usable`,
};

/** Whether users can be given access to the tenant; it cannot be deleted until the transaction ends. */
export async function holdTenant(manager: EntityManager, tenantId: string): Promise<boolean> {
  return (await executeOne(manager, TENANT, [tenantId])).usable;
}

const HOLDERS: Statement<{ id: string; provider: string }> = {
  text: `select wanted.id, i.provider
    from unnest($2::uuid[], $3::text[], $4::text[]) as wanted (id, provider, provider_id)
    join nest_auth_identities i
      on i.provider_id = wanted.provider_id and i.provider = wanted.provider and i.realm_id = $1`,
};

/** Which logins of the refused rows somebody has, by the row's id. */
export async function findTakenLogins(
  manager: EntityManager,
  realmId: string,
  users: readonly NewUser[],
): Promise<Map<string, string[]>> {
  const wanted = users.flatMap((user) => loginsOf(user).map(([provider, id]) => [user.id, provider, id] as const));
  const rows = await execute(manager, HOLDERS, [
    realmId,
    wanted.map(([id]) => id),
    wanted.map(([, provider]) => provider),
    wanted.map(([, , providerId]) => providerId),
  ]);
  const taken = new Map<string, string[]>();
  for (const { id, provider } of rows) taken.set(id, [...(taken.get(id) ?? []), provider]);
  return taken;
}

/** Everything a user would be recognised by, as provider and id. */
export function loginsOf(user: NewUser): [provider: string, providerId: string][] {
  return [
    ...(user.emailNorm === null ? [] : [['email', user.emailNorm] as [string, string]]),
    ...(user.phone === null ? [] : [['phone', user.phone] as [string, string]]),
    ...user.identities.map(({ provider, providerId }) => [provider, providerId] as [string, string]),
  ];
}

// Without an activity: what it takes back has none.
const DISCARD: Statement<{ id: string }> = {
  text: `with gone as (delete from nest_auth_users where id = any($1::uuid[]) returning id),
    logins as (delete from nest_auth_identities i using gone where i.user_id = gone.id)
    select id from gone`,
  changes: returnsRows,
};

/** Takes back users whose identities lost a race, in the transaction that made them. */
export async function discardUsers(manager: EntityManager, ids: readonly string[]): Promise<void> {
  await execute(manager, DISCARD, [ids]);
}

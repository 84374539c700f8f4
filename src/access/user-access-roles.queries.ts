import type { EntityManager } from 'typeorm';
import { activity, type ActivityParts, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { executeOne } from '../transaction/statement.js';
import type { SetChange } from './role-permissions.queries.js';

/** As with any set, or one role is given until a moment, also when it is held until another one. */
export type RolesSetChange = SetChange | 'grant';

/** What a change of an access's roles found and did. Nothing was written unless `version` is set. */
export interface AccessRolesRow {
  readonly user_ok: boolean;
  /** The tenant exists and is active; always true for the platform. */
  readonly tenant_ok: boolean;
  readonly realm_ok: boolean;
  /** There was an access before. */
  readonly existed: boolean;
  /** Ids of no role, or of an inactive one. */
  readonly unknown: string[];
  /** Roles of another tenant, or of a guard that this access cannot have. */
  readonly misplaced: string[];
  readonly added: string[];
  readonly removed: string[];
  /** The user would cease to be an owner of the tenant, which was not held for it. */
  readonly owner_goes: boolean;
  /** A role that is given for a time does not run out before that begins. */
  readonly in_time: boolean;
  /** The version that the change gave the access. */
  readonly version: number | null;
}

/**
 * The activity about the roles of the CTE `access`, in which `made` is true for a new access, with what it is then.
 * `held` is what the access really had when it was claimed, because claiming it fails for any other version. The names
 * are a part of their own: what writes the activity reads no table, because on a cluster that would be on another node.
 */
function rolesActivity(
  parts: Pick<ActivityParts, 'type' | 'userId' | 'tenantId' | 'subjectType'>,
  made: string,
  expiresAt: string,
): string {
  const rolesOf = (query: string): string => `to_jsonb(array(${query} order by id))`;
  const names = `named as (
    select coalesce(jsonb_object_agg(r.id, r.name), '{}') as names from nest_auth_roles r
    where r.id = any(array(select id from coming union all select id from leaving)))`;
  const written = activity({
    ...parts,
    from: 'access',
    before: `case when not access.made then jsonb_build_object('roleIds', ${rolesOf('select id from held')}) end`,
    after: `jsonb_build_object('roleIds', ${rolesOf(
      'select id from held where id not in (select id from leaving) union select id from coming',
    )}) || case when access.made then ${made} else '{}' end`,
    details: `jsonb_build_object('added', ${rolesOf('select id from coming')}, 'removed', ${rolesOf('select id from leaving')},
      'names', (select names from named))
      || case when ${expiresAt}::timestamptz is null then '{}' else jsonb_build_object('expiresAt', ${expiresAt}::timestamptz) end`,
  });
  return `${names},\n  ${written}`;
}

/**
 * `$3` roles, `$4` how the set changes, `$5` only users of the tenant's own realm, `$6` the tenant is held, so that an
 * owner may go, `$7` when the roles run out. One that has run out is not held any more; one that runs out later is, and
 * keeps its time unless it is given another.
 *
 * The version is read and checked in the same statement: whoever waited for another change of the access finds another
 * version then, writes nothing and must run again. A lock here would not do, because what is held was read before it.
 * So every statement that changes roles of an access must count its version up. User, tenant and roles are held, so
 * that the foreign keys cannot fail after the conditions have been met.
 */
const CHANGE_USER_ACCESS = audited<AccessRolesRow>(
  'change_user_access_roles',
  `with person as (select realm_id, status from nest_auth_users where id = $1 and deleted_at is null for key share),
  tenant as (select is_active from nest_auth_tenants where id = $2 for key share),
  seen as (select version, status from nest_auth_user_accesses where user_id = $1 and tenant_id = $2),
  wanted as (
    select id, owner_tenant_id, guard, is_active, is_owner from nest_auth_roles
    where id = any($3::uuid[]) order by id for key share),
  unknown as (
    select id from unnest($3::uuid[]) as asked (id)
    where id not in (select id from wanted where is_active or $4::text = 'remove')),
  misplaced as (
    select id from wanted
    where $4::text <> 'remove' and (guard = 'admin' or owner_tenant_id not in ($2::uuid, '${NIL_UUID}'))),
  fitting as (
    select realm_id from person where realm_id = $2::uuid or (realm_id = '${NIL_UUID}' and not $5::boolean)),
  held as (
    select role_id as id, expires_at, expires_at is null or expires_at > statement_timestamp() as in_force
    from nest_auth_user_access_roles where user_id = $1 and tenant_id = $2),
  timely as (select $7::timestamptz is null or $7::timestamptz > statement_timestamp() as is_so),
  coming as (
    select id, owner_tenant_id, guard, is_active and is_owner and $7::timestamptz is null as owns from wanted
    where $4::text <> 'remove' and not exists (
      select 1 from held where held.id = wanted.id and held.in_force
        and ($4::text <> 'grant' or held.expires_at is not distinct from $7::timestamptz(3)))),
  leaving as (
    select id from held where case $4::text when 'set' then id <> all($3::uuid[])
      when 'remove' then id = any($3::uuid[]) else false end),
  going as (
    select id from leaving
    union all
    select id from held where expires_at is null and $7::timestamptz is not null and id in (select id from coming)),
  owning as (
    select ar.role_id as id, ar.expires_at is null as lasting from nest_auth_user_access_roles ar
    join nest_auth_roles r on r.id = ar.role_id and r.is_owner and r.is_active
    where exists (select 1 from going) and ar.user_id = $1 and ar.tenant_id = $2
      and (ar.expires_at is null or ar.expires_at > statement_timestamp())),
  owner_goes as (
    select owning.id from owning, seen, person, tenant
    where seen.status = 'active' and person.status = 'active' and tenant.is_active
      and owning.id in (select id from going) and not exists (select 1 from coming where owns)
      and not exists (
        select 1 from owning kept where kept.id not in (select id from going) and (kept.lasting or not owning.lasting))),
  allowed as (
    select fitting.realm_id from fitting, tenant
    where (tenant.is_active or $4::text = 'remove')
      and not exists (select 1 from unknown) and not exists (select 1 from misplaced)
      and ($6::boolean or not exists (select 1 from owner_goes)) and (select is_so from timely)),
  made as (
    insert into nest_auth_user_accesses (user_id, tenant_id, realm_id, is_default)
    select $1::uuid, $2::uuid, allowed.realm_id,
      not exists (select 1 from nest_auth_user_accesses where user_id = $1 and is_default)
    from allowed where $4::text <> 'remove' and not exists (select 1 from seen)
    on conflict do nothing
    returning version, status, is_default),
  claimed as (
    update nest_auth_user_accesses set version = version + 1, updated_at = now()
    where user_id = $1 and tenant_id = $2 and version = (select version from seen)
      and exists (select 1 from allowed)
      and (exists (select 1 from coming) or exists (select 1 from leaving))
    returning version, status, is_default),
  access as (
    select version, status, is_default, true as made from made union all select version, status, is_default, false from claimed),
  gone as (
    delete from nest_auth_user_access_roles r using access
    where r.user_id = $1 and r.tenant_id = $2 and r.role_id in (select id from leaving)),
  given as (
    insert into nest_auth_user_access_roles (user_id, tenant_id, role_id, role_tenant_id, guard, expires_at)
    select $1::uuid, $2::uuid, coming.id, coming.owner_tenant_id, coming.guard, $7::timestamptz from access, coming
    on conflict (user_id, tenant_id, role_id) do update
      set expires_at = excluded.expires_at, created_at = excluded.created_at),
  ${rolesActivity(
    { type: NestAuthEvents.USER_ACCESS_CHANGED, userId: '$1::uuid', tenantId: '$2::uuid', subjectType: 'user_access' },
    `jsonb_build_object('status', access.status, 'isDefault', access.is_default)`,
    '$7',
  )}
  select exists (select 1 from person) as user_ok,
    exists (select 1 from tenant where is_active or $4::text = 'remove') as tenant_ok,
    exists (select 1 from fitting) as realm_ok,
    exists (select 1 from seen) as existed,
    array(select id from unknown order by id) as unknown,
    array(select id from misplaced order by id) as misplaced,
    array(select id from coming order by id) as added,
    array(select id from leaving order by id) as removed,
    not $6::boolean and exists (select 1 from owner_goes) as owner_goes,
    (select is_so from timely) as in_time,
    (select version from access) as version`,
  (rows) => rows[0]?.version != null,
);

/** What is wished of an access's roles. */
export interface RolesWish {
  readonly roleIds: readonly string[];
  readonly change: RolesSetChange;
  /** Null for never; only of what is granted. */
  readonly expiresAt: Date | null;
}

export function changeUserAccessRoles(
  manager: EntityManager,
  access: { readonly userId: string; readonly tenantId: string; readonly ownRealmOnly: boolean },
  { roleIds, change, expiresAt }: RolesWish,
  isHeld: boolean,
): Promise<AccessRolesRow> {
  const values = [access.userId, access.tenantId, roleIds, change, access.ownRealmOnly, isHeld, expiresAt];
  return executeOne(manager, CHANGE_USER_ACCESS, values);
}

/** As above, for the platform: users of the nil realm, system roles of the admin guard. */
const CHANGE_PLATFORM_ACCESS = audited<AccessRolesRow>(
  'change_platform_access_roles',
  `with person as (select realm_id from nest_auth_users where id = $1 and deleted_at is null for key share),
  seen as (select version from nest_auth_platform_accesses where user_id = $1),
  wanted as (
    select id, owner_tenant_id, guard, is_active from nest_auth_roles
    where id = any($2::uuid[]) order by id for key share),
  unknown as (
    select id from unnest($2::uuid[]) as asked (id)
    where id not in (select id from wanted where is_active or $3::text = 'remove')),
  misplaced as (
    select id from wanted
    where $3::text <> 'remove' and (guard <> 'admin' or owner_tenant_id <> '${NIL_UUID}')),
  timely as (select $4::timestamptz is null or $4::timestamptz > statement_timestamp() as is_so),
  fitting as (select realm_id from person where realm_id = '${NIL_UUID}'),
  allowed as (
    select realm_id from fitting
    where not exists (select 1 from unknown) and not exists (select 1 from misplaced)
      and (select is_so from timely)),
  held as (
    select role_id as id, expires_at, expires_at is null or expires_at > statement_timestamp() as in_force
    from nest_auth_platform_access_roles where user_id = $1),
  coming as (
    select id, owner_tenant_id, guard from wanted
    where $3::text <> 'remove' and not exists (
      select 1 from held where held.id = wanted.id and held.in_force
        and ($3::text <> 'grant' or held.expires_at is not distinct from $4::timestamptz(3)))),
  leaving as (
    select id from held where case $3::text when 'set' then id <> all($2::uuid[])
      when 'remove' then id = any($2::uuid[]) else false end),
  made as (
    insert into nest_auth_platform_accesses (user_id, realm_id)
    select $1::uuid, allowed.realm_id from allowed
    where $3::text <> 'remove' and not exists (select 1 from seen)
    on conflict do nothing
    returning version, status),
  claimed as (
    update nest_auth_platform_accesses set version = version + 1, updated_at = now()
    where user_id = $1 and version = (select version from seen)
      and exists (select 1 from allowed)
      and (exists (select 1 from coming) or exists (select 1 from leaving))
    returning version, status),
  access as (
    select version, status, true as made from made union all select version, status, false from claimed),
  gone as (
    delete from nest_auth_platform_access_roles r using access
    where r.user_id = $1 and r.role_id in (select id from leaving)),
  given as (
    insert into nest_auth_platform_access_roles (user_id, role_id, role_tenant_id, guard, expires_at)
    select $1::uuid, coming.id, coming.owner_tenant_id, coming.guard, $4::timestamptz from access, coming
    on conflict (user_id, role_id) do update
      set expires_at = excluded.expires_at, created_at = excluded.created_at),
  ${rolesActivity(
    { type: NestAuthEvents.PLATFORM_ACCESS_CHANGED, userId: '$1::uuid', subjectType: 'platform_access' },
    `jsonb_build_object('status', access.status)`,
    '$4',
  )}
  select exists (select 1 from person) as user_ok,
    true as tenant_ok,
    exists (select 1 from fitting) as realm_ok,
    exists (select 1 from seen) as existed,
    array(select id from unknown order by id) as unknown,
    array(select id from misplaced order by id) as misplaced,
    array(select id from coming order by id) as added,
    array(select id from leaving order by id) as removed,
    false as owner_goes,
    (select is_so from timely) as in_time,
    (select version from access) as version`,
  (rows) => rows[0]?.version != null,
);

export function changePlatformAccessRoles(
  manager: EntityManager,
  userId: string,
  { roleIds, change, expiresAt }: RolesWish,
): Promise<AccessRolesRow> {
  return executeOne(manager, CHANGE_PLATFORM_ACCESS, [userId, roleIds, change, expiresAt]);
}

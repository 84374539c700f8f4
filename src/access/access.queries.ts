import type { EntityManager } from 'typeorm';
import { execute, executeOne, type Statement, statement } from '../transaction/statement.js';
import { AccessGrants } from './access-grants.js';
import { roleColumns, type RoleRow, toRole } from './role.queries.js';
import type { NestAuthRole } from './role.entity.js';

/**
 * What somebody may do. Each question is one statement, and each asks for all that a grant needs: a user, a tenant, an
 * access and a role that are active.
 */

const TENANT_ROLES = `nest_auth_user_accesses a
  join nest_auth_users u on u.id = a.user_id and u.status = 'active' and u.deleted_at is null
  join nest_auth_tenants t on t.id = a.tenant_id and t.is_active
  join nest_auth_user_access_roles ar on ar.user_id = a.user_id and ar.tenant_id = a.tenant_id
  join nest_auth_roles r on r.id = ar.role_id and r.is_active`;
const OF_TENANT = `a.user_id = $1 and a.tenant_id = $2 and a.status = 'active'`;

const PLATFORM_ROLES = `nest_auth_platform_accesses a
  join nest_auth_users u on u.id = a.user_id and u.status = 'active' and u.deleted_at is null
  join nest_auth_platform_access_roles ar on ar.user_id = a.user_id
  join nest_auth_roles r on r.id = ar.role_id and r.is_active`;
const OF_PLATFORM = `a.user_id = $1 and a.status = 'active'`;

const PERMISSIONS = `join nest_auth_role_permissions rp on rp.role_id = r.id
  join nest_auth_permissions p on p.id = rp.permission_id`;

interface NameRow {
  readonly name: string;
}

interface HoldsRow {
  readonly held: boolean;
}

/** One row for all names: a row each costs both sides more than the look-up. */
interface NamesRow {
  readonly names: readonly string[] | null;
}

const TENANT_PERMISSIONS = statement<NamesRow>(
  'tenant_permissions',
  `select json_agg(p.name) as names from ${TENANT_ROLES} ${PERMISSIONS} where ${OF_TENANT}`,
);
const PLATFORM_PERMISSIONS = statement<NamesRow>(
  'platform_permissions',
  `select json_agg(p.name) as names from ${PLATFORM_ROLES} ${PERMISSIONS} where ${OF_PLATFORM}`,
);
const TENANT_HELD = statement<NameRow>(
  'tenant_permissions_held',
  `select distinct p.name from ${TENANT_ROLES} ${PERMISSIONS} where ${OF_TENANT} and p.name = any($3::text[])`,
);
const PLATFORM_HELD = statement<NameRow>(
  'platform_permissions_held',
  `select distinct p.name from ${PLATFORM_ROLES} ${PERMISSIONS} where ${OF_PLATFORM} and p.name = any($2::text[])`,
);
const TENANT_HOLDS = statement<HoldsRow>(
  'tenant_permission_held',
  `select exists (select 1 from ${TENANT_ROLES} ${PERMISSIONS} where ${OF_TENANT} and p.name = $3) as held`,
);
const PLATFORM_HOLDS = statement<HoldsRow>(
  'platform_permission_held',
  `select exists (select 1 from ${PLATFORM_ROLES} ${PERMISSIONS} where ${OF_PLATFORM} and p.name = $2) as held`,
);
const TENANT_ROLE_LIST = statement<RoleRow>(
  'tenant_roles',
  `select ${roleColumns('r')} from ${TENANT_ROLES} where ${OF_TENANT} order by r.id`,
);

interface GrantsRow {
  readonly roles: readonly string[];
  readonly granted: readonly string[];
}

const GRANTS = `array_agg(distinct r.name) as roles,
  coalesce(array_agg(distinct p.name) filter (where p.name is not null), '{}') as granted`;
const LEFT_PERMISSIONS = `left join nest_auth_role_permissions rp on rp.role_id = r.id
  left join nest_auth_permissions p on p.id = rp.permission_id`;
const TENANT_GRANTS = statement<GrantsRow>(
  'tenant_grants',
  `select ${GRANTS} from ${TENANT_ROLES} ${LEFT_PERMISSIONS} where ${OF_TENANT} having count(*) > 0`,
);
const PLATFORM_GRANTS = statement<GrantsRow>(
  'platform_grants',
  `select ${GRANTS} from ${PLATFORM_ROLES} ${LEFT_PERMISSIONS} where ${OF_PLATFORM} having count(*) > 0`,
);

/** Where the grants of an access are looked for: in one tenant, or on the platform. */
export interface GrantScope {
  readonly userId: string;
  /** Null for the platform. */
  readonly tenantId: string | null;
}

/** Names of every permission granted, sorted by code unit, each once. */
export async function readPermissions(manager: EntityManager, { userId, tenantId }: GrantScope): Promise<string[]> {
  const { names } =
    tenantId === null
      ? await executeOne(manager, PLATFORM_PERMISSIONS, [userId])
      : await executeOne(manager, TENANT_PERMISSIONS, [userId, tenantId]);
  // Sorted here, because the order of the database depends on its locale; several roles may grant the same.
  return [...new Set(names)].toSorted();
}

/** All that the access grants; null when there is none that grants anything. */
export async function readGrants(
  manager: EntityManager,
  { userId, tenantId }: GrantScope,
): Promise<AccessGrants | null> {
  const [row] =
    tenantId === null
      ? await execute(manager, PLATFORM_GRANTS, [userId])
      : await execute(manager, TENANT_GRANTS, [userId, tenantId]);
  if (row === undefined) return null;
  return new AccessGrants({ userId, tenantId, roles: row.roles, granted: row.granted, denied: [], validUntil: null });
}

/** Whether the permission named is granted: the most frequent question of all, which stops at the first grant found. */
export async function readHoldsPermission(
  manager: EntityManager,
  { userId, tenantId }: GrantScope,
  name: string,
): Promise<boolean> {
  const { held } =
    tenantId === null
      ? await executeOne(manager, PLATFORM_HOLDS, [userId, name])
      : await executeOne(manager, TENANT_HOLDS, [userId, tenantId, name]);
  return held;
}

/** Which of the permissions named are granted. */
export async function readHeldPermissions(
  manager: EntityManager,
  { userId, tenantId }: GrantScope,
  names: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows =
    tenantId === null
      ? await execute(manager, PLATFORM_HELD, [userId, names])
      : await execute(manager, TENANT_HELD, [userId, tenantId, names]);
  return new Set(rows.map(({ name }) => name));
}

/** The roles that grant something now. */
export async function readRoles(manager: EntityManager, userId: string, tenantId: string): Promise<NestAuthRole[]> {
  const rows = await execute(manager, TENANT_ROLE_LIST, [userId, tenantId]);
  return rows.map((row) => toRole(row, manager));
}

/** Everything an access check depends on, each fact by itself. Null for what does not exist. */
export interface GrantFacts {
  readonly user_active: boolean | null;
  readonly tenant_active: boolean | null;
  readonly access_active: boolean | null;
  readonly roles: number;
  readonly active_roles: number;
  readonly permission_known: boolean;
  /** Roles of the access that hold the permission. */
  readonly holders: { readonly id: string; readonly name: string; readonly active: boolean }[];
}

const FACTS: Statement<GrantFacts> = {
  text: `with held as (
      select r.id, r.name, r.is_active, exists (
          select 1 from nest_auth_role_permissions rp join nest_auth_permissions p on p.id = rp.permission_id
          where rp.role_id = r.id and p.name = $3) as holds
      from nest_auth_user_access_roles ar join nest_auth_roles r on r.id = ar.role_id
      where ar.user_id = $1 and ar.tenant_id = $2)
    select
      (select status = 'active' from nest_auth_users where id = $1 and deleted_at is null) as user_active,
      (select is_active from nest_auth_tenants where id = $2) as tenant_active,
      (select status = 'active' from nest_auth_user_accesses where user_id = $1 and tenant_id = $2) as access_active,
      count(*)::integer as roles,
      (count(*) filter (where is_active))::integer as active_roles,
      exists (select 1 from nest_auth_permissions where name = $3 and guard <> 'admin') as permission_known,
      coalesce(
        json_agg(json_build_object('id', id, 'name', name, 'active', is_active) order by id) filter (where holds), '[]'
      ) as holders
    from held`,
};

export function readGrantFacts(
  manager: EntityManager,
  userId: string,
  tenantId: string,
  permission: string,
): Promise<GrantFacts> {
  return executeOne(manager, FACTS, [userId, tenantId, permission]);
}

const IS_MEMBER = statement<{ member: boolean }>(
  'user_in_tenant',
  `select exists (
    select 1 from nest_auth_user_accesses a
    join nest_auth_users u on u.id = a.user_id and u.status = 'active' and u.deleted_at is null
    join nest_auth_tenants t on t.id = a.tenant_id and t.is_active
    where ${OF_TENANT}) as member`,
);

export async function isMember(manager: EntityManager, userId: string, tenantId: string): Promise<boolean> {
  const { member } = await executeOne(manager, IS_MEMBER, [userId, tenantId]);
  return member;
}

import type { EntityManager } from 'typeorm';
import { execute, executeOne, type Statement } from '../transaction/statement.js';

/**
 * Who owns a tenant: an active user with an active access to it and an active role of owners. A tenant that is not
 * active needs none: to close a tenant is the way to let its last owner go.
 */

/** Roles `r` of owners that are held as `ar` by an access `a`, which is active, to a tenant `t`, which is too. */
const OWNER_ROLES = `nest_auth_user_access_roles ar
  join nest_auth_roles r on r.id = ar.role_id and r.is_owner and r.is_active
    and (ar.expires_at is null or ar.expires_at > statement_timestamp())
  join nest_auth_user_accesses a on a.user_id = ar.user_id and a.tenant_id = ar.tenant_id and a.status = 'active'
  join nest_auth_tenants t on t.id = ar.tenant_id and t.is_active`;
const ACTIVE_USER = `join nest_auth_users u on u.id = ar.user_id and u.status = 'active' and u.deleted_at is null`;

/** Whether the user owns the tenant, as a condition; both are SQL. */
export function ownsTenant(userId: string, tenantId: string): string {
  return `exists (select 1 from ${OWNER_ROLES} ${ACTIVE_USER}
    where ar.user_id = ${userId} and ar.tenant_id = ${tenantId})`;
}

/** Ids of those who own the tenant, as a query. */
export function ownersOf(tenantId: string): string {
  return `select ar.user_id from ${OWNER_ROLES} ${ACTIVE_USER} where ar.tenant_id = ${tenantId}`;
}

/** Whether the user owns any tenant. */
export function ownsAny(userId: string): string {
  return `exists (select 1 from ${OWNER_ROLES} ${ACTIVE_USER} where ar.user_id = ${userId})`;
}

/**
 * The CTEs of a statement by which users cease to be active: `marks` with their numbers as the statement began; `owned`
 * with the tenants, but for those that are held already, which they own if they are active; and `bound` with those who
 * must not even be locked yet, because the tenants are locked first.
 *
 * @param userIds - SQL of an array.
 * @param held - SQL of an array of tenants.
 * @param leaves - SQL over the user's row `u`: whether nothing else stands against it.
 * @param columns - Of the user's row `u`, the id among them, for `bound`.
 */
export function ownedTenants(userIds: string, held: string, leaves: string, columns = 'u.id'): string[] {
  return [
    `marks as (select id, ownership_version from nest_auth_users where id = any(${userIds}))`,
    `owned as (
      select ar.user_id, array_agg(distinct ar.tenant_id) as tenant_ids from ${OWNER_ROLES}
      where ar.user_id = any(${userIds}) and ar.tenant_id <> all(${held}) group by ar.user_id)`,
    `bound as (
      select ${columns} from nest_auth_users u join owned on owned.user_id = u.id where u.status = 'active' and ${leaves})`,
  ];
}

/**
 * Whether the user of the CTE `row`, in which the row is held with its `ownership_version`, must stay active for now: as
 * an owner of tenants that are not held; or of who knows which, when another owner has left since the statement began
 * because this one stays.
 */
export function isBound(row: string): string {
  return `(${row}.status = 'active' and (${row}.ownership_version <> (select ownership_version from marks where marks.id = ${row}.id)
    or exists (select 1 from owned where owned.user_id = ${row}.id)))`;
}

/** Somebody who owns a tenant, and by which role. */
export interface OwnerRow {
  readonly tenant_id: string;
  readonly user_id: string;
  readonly role_id: string;
  /** The version of the access. */
  readonly version: number;
  /** The role does not run out. */
  readonly lasting: boolean;
}

const OWNERS: Statement<OwnerRow> = {
  text: `select ar.tenant_id, ar.user_id, ar.role_id, a.version, ar.expires_at is null as lasting from ${OWNER_ROLES} ${ACTIVE_USER}
    where ar.tenant_id = any($1::uuid[])`,
};

export function readOwners(manager: EntityManager, tenantIds: readonly string[]): Promise<OwnerRow[]> {
  return execute(manager, OWNERS, [tenantIds]);
}

const OWNED_BY_USERS: Statement<{ tenant_id: string }> = {
  text: `select distinct ar.tenant_id from ${OWNER_ROLES} ${ACTIVE_USER} where ar.user_id = any($1::uuid[])`,
};
const OWNED_BY_ROLE: Statement<{ tenant_id: string }> = {
  text: `select distinct ar.tenant_id from ${OWNER_ROLES} ${ACTIVE_USER} where ar.role_id = $1`,
};

export async function readTenantsOwnedBy(manager: EntityManager, userIds: readonly string[]): Promise<string[]> {
  return (await execute(manager, OWNED_BY_USERS, [userIds])).map((row) => row.tenant_id);
}

export async function readTenantsOwnedThrough(manager: EntityManager, roleId: string): Promise<string[]> {
  return (await execute(manager, OWNED_BY_ROLE, [roleId])).map((row) => row.tenant_id);
}

const LOCK_TENANTS: Statement<{ id: string }> = {
  text: `select id from nest_auth_tenants where id = any($1::uuid[]) order by id for no key update`,
};
const LOCK_USER: Statement<{ id: string }> = {
  text: `select id from nest_auth_users where id = $1 and deleted_at is null for no key update`,
};
const LOCK_ACCESS: Statement<{ user_id: string }> = {
  text: `select user_id from nest_auth_user_accesses where user_id = $1 and tenant_id = $2 for no key update`,
};
/** Against whoever gives the role to somebody, too. */
const LOCK_ROLE: Statement<{ id: string }> = { text: `select id from nest_auth_roles where id = $1 for update` };

/** From now on nobody else takes an owner from these tenants, until the transaction ends. */
export async function lockTenants(manager: EntityManager, tenantIds: readonly string[]): Promise<void> {
  await execute(manager, LOCK_TENANTS, [tenantIds]);
}

export async function lockUserRow(manager: EntityManager, userId: string): Promise<void> {
  await execute(manager, LOCK_USER, [userId]);
}

export async function lockAccessRow(manager: EntityManager, userId: string, tenantId: string): Promise<void> {
  await execute(manager, LOCK_ACCESS, [userId, tenantId]);
}

export async function lockRoleRow(manager: EntityManager, roleId: string): Promise<void> {
  await execute(manager, LOCK_ROLE, [roleId]);
}

/**
 * Makes sure of an owner because of whom others may leave: all that makes the owner one is held, and both rows that
 * somebody may be about to change are written, so that whoever has read them before must look again. A tenant may not
 * write users of all tenants: for one of those the lock has to do.
 */
const KEEP: Statement<{ kept: boolean }> = {
  text: `with held as (
      select id, realm_id from nest_auth_users where id = $1 and status = 'active' and deleted_at is null for no key update),
    role as (select id from nest_auth_roles where id = $3 and is_owner and is_active for key share),
    scope as (select nullif(current_setting('nest_auth.tenant_id', true), '')::uuid as tenant_id),
    counted as (
      update nest_auth_users u set ownership_version = u.ownership_version + 1 from held, scope
      where u.id = $1 and u.id = held.id and (scope.tenant_id is null or scope.tenant_id = held.realm_id)),
    marked as (
      update nest_auth_user_accesses a set version = a.version + 1 from held, role
      where a.user_id = $1 and a.user_id = held.id and a.tenant_id = $2 and a.version = $4 and a.status = 'active'
      returning a.version)
    select exists (select 1 from marked) as kept`,
};

/** False when the owner has ceased to be one, or was changed, meanwhile. */
export async function keepOwner(manager: EntityManager, owner: OwnerRow): Promise<boolean> {
  const { kept } = await executeOne(manager, KEEP, [owner.user_id, owner.tenant_id, owner.role_id, owner.version]);
  return kept;
}

import type { EntityManager } from 'typeorm';
import { ownsTenant } from '../tenant/ownership.queries.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';

/** Nobody changes who acts, or the accesses by which the actor acts, until the transaction ends. `$2` null: no tenant. */
const HOLD_ACTOR: Statement<{ held: boolean }> = {
  text: `with person as (select id from nest_auth_users where id = $1 and deleted_at is null for share),
    member as (
      select user_id from nest_auth_user_accesses where user_id = $1 and tenant_id = $2::uuid for share),
    staff as (select user_id from nest_auth_platform_accesses where user_id = $1 for share)
    select (select count(*) from person) + (select count(*) from member) + (select count(*) from staff) > 0 as held`,
};

/** Nobody changes what the roles of the actor grant, either. */
const HOLD_ROLES: Statement<{ id: string }> = {
  text: `with recursive lineage as (
      (select role_id as id from nest_auth_user_access_roles where user_id = $1 and tenant_id = $2::uuid
       union all select role_id from nest_auth_platform_access_roles where user_id = $1)
      union select h.parent_id from lineage l join nest_auth_role_parents h on h.role_id = l.id)
    select id from nest_auth_roles where id = any(array(select id from lineage)) order by id for share`,
};

export async function holdActor(manager: EntityManager, actorId: string, tenantId: string | null): Promise<void> {
  await execute(manager, HOLD_ACTOR, [actorId, tenantId]);
  await execute(manager, HOLD_ROLES, [actorId, tenantId]);
}

/** What somebody would be given by roles. */
interface GivenRow {
  readonly names: readonly string[];
  /** Roles that make owners. */
  readonly owner_ids: readonly string[];
}

/**
 * What the roles grant, inherited permissions too; an inactive role among them counts as active. Roles of another
 * tenant are left out: they cannot be given, and what they grant is nobody else's business.
 */
const GIVEN: Statement<GivenRow> = {
  text: `with recursive asked as (
      select id, is_owner from nest_auth_roles
      where id = any($1::uuid[]) and owner_tenant_id in ('${NIL_UUID}', coalesce($2::uuid, '${NIL_UUID}'))),
    lineage as (
      select id from asked
      union
      select r.id from lineage l join nest_auth_role_parents h on h.role_id = l.id
        join nest_auth_roles r on r.id = h.parent_id and r.is_active)
    select array(
        select distinct p.name from lineage l join nest_auth_role_permissions rp on rp.role_id = l.id
        join nest_auth_permissions p on p.id = rp.permission_id) as names,
      array(select id from asked where is_owner) as owner_ids`,
};

export function readGiven(
  manager: EntityManager,
  roleIds: readonly string[],
  tenantId: string | null,
): Promise<GivenRow> {
  return executeOne(manager, GIVEN, [roleIds, tenantId]);
}

const OWNS: Statement<{ owns: boolean }> = { text: `select ${ownsTenant('$1', '$2')} as owns` };

export async function readOwns(manager: EntityManager, userId: string, tenantId: string): Promise<boolean> {
  const { owns } = await executeOne(manager, OWNS, [userId, tenantId]);
  return owns;
}

const LOCK_ACCESS: Statement<{ user_id: string }> = {
  text: `select user_id from nest_auth_user_accesses where user_id = $1 and tenant_id = $2 for no key update`,
};
const HELD_ROLES: Statement<{ id: string }> = {
  text: `select role_id as id from nest_auth_user_access_roles
    where user_id = $1 and tenant_id = $2 and (expires_at is null or expires_at > statement_timestamp())`,
};
const HELD_PLATFORM_ROLES: Statement<{ id: string }> = {
  text: `select role_id as id from nest_auth_platform_access_roles
    where user_id = $1 and (expires_at is null or expires_at > statement_timestamp())`,
};
const LOCK_PLATFORM_ACCESS: Statement<{ user_id: string }> = {
  text: `select user_id from nest_auth_platform_accesses where user_id = $1 for no key update`,
};

/** The roles that somebody has, and nobody else changes until the transaction ends. `tenantId` null: on the platform. */
export async function holdRolesOf(manager: EntityManager, userId: string, tenantId: string | null): Promise<string[]> {
  if (tenantId === null) {
    await execute(manager, LOCK_PLATFORM_ACCESS, [userId]);
    return (await execute(manager, HELD_PLATFORM_ROLES, [userId])).map(({ id }) => id);
  }
  await execute(manager, LOCK_ACCESS, [userId, tenantId]);
  return (await execute(manager, HELD_ROLES, [userId, tenantId])).map(({ id }) => id);
}

/** A role, as far as it matters who may make more of it. */
export interface RoleHead {
  readonly tenant_id: string | null;
  readonly guard: string;
  readonly is_active: boolean;
  readonly is_owner: boolean;
  /** Names of what it grants by itself. */
  readonly names: readonly string[];
  readonly parent_ids: readonly string[];
}

const LOCK_ROLE: Statement<{ id: string }> = { text: `select id from nest_auth_roles where id = $1 for update` };
const ROLE_HEAD: Statement<RoleHead> = {
  text: `select tenant_id, guard, is_active, is_owner, array(
      select p.name from nest_auth_role_permissions rp join nest_auth_permissions p on p.id = rp.permission_id
      where rp.role_id = r.id) as names,
      array(select parent_id from nest_auth_role_parents where role_id = r.id) as parent_ids
    from nest_auth_roles r where id = $1`,
};

/** Undefined for no such role; else nobody changes it until the transaction ends. */
export async function holdRole(manager: EntityManager, roleId: string): Promise<RoleHead | undefined> {
  await execute(manager, LOCK_ROLE, [roleId]);
  const [row] = await execute(manager, ROLE_HEAD, [roleId]);
  return row;
}

import type { EntityManager } from 'typeorm';
import { executeOne, type Statement } from '../transaction/statement.js';
import { coveringNames, prefixBelow } from './permission-names.policy.js';
import type { PermissionEffect } from './access.types.js';

/** A role that could play a part, whether or not it does: of the access, or above one that could. */
export interface RoleFacts {
  readonly id: string;
  readonly name: string;
  readonly active: boolean;
  /** Ids of those that it inherits from. */
  readonly parents: readonly string[];
  /** Which of the names that cover the permission it holds. */
  readonly holds: readonly string[];
}

/** Times are those of JSON. */
interface Expiring {
  readonly expires_at: string | null;
  readonly expired: boolean;
}

/** A role of the access. */
export interface AssignedFacts extends Expiring {
  readonly id: string;
}

/** An entry of the access that covers the permission, or denies something below a wildcard. */
export interface EntryFacts extends Expiring {
  readonly name: string;
  readonly guard: string;
  readonly effect: PermissionEffect;
  readonly reason: string | null;
  readonly created_at: string;
}

/** Everything an access check depends on, each fact by itself. Null for what does not exist. */
export interface GrantFacts {
  readonly user_active: boolean | null;
  readonly tenant_active: boolean | null;
  readonly access_active: boolean | null;
  readonly permission_known: boolean;
  readonly assigned: readonly AssignedFacts[];
  readonly roles: readonly RoleFacts[];
  readonly entries: readonly EntryFacts[];
}

const EXPIRED = 'coalesce(expires_at <= statement_timestamp(), false)';

/** `$3` the names that cover the permission, itself first; `$4` what names below it begin with. */
const FACTS: Statement<GrantFacts> = {
  text: `with recursive assigned as (
      select role_id as id, expires_at, ${EXPIRED} as expired from nest_auth_user_access_roles
      where user_id = $1 and tenant_id = $2),
    lineage as (
      select id from assigned
      union
      select h.parent_id from lineage l join nest_auth_role_parents h on h.role_id = l.id),
    roles as (
      select r.id, r.name, r.is_active as active,
        array(select parent_id from nest_auth_role_parents where role_id = r.id order by parent_id) as parents,
        array(
          select p.name from nest_auth_role_permissions rp join nest_auth_permissions p on p.id = rp.permission_id
          where rp.role_id = r.id and p.name = any($3::text[])) as holds
      from nest_auth_roles r where r.id = any(array(select id from lineage))),
    entries as (
      select p.name, e.guard, e.effect, e.expires_at, ${EXPIRED} as expired, e.reason, e.created_at
      from nest_auth_user_access_permissions e join nest_auth_permissions p on p.id = e.permission_id
      where e.user_id = $1 and e.tenant_id = $2
        and (p.name = any($3::text[]) or (e.effect = 'deny' and starts_with(p.name, $4::text))))
    select
      (select status = 'active' from nest_auth_users where id = $1 and deleted_at is null) as user_active,
      (select is_active from nest_auth_tenants where id = $2) as tenant_active,
      (select status = 'active' from nest_auth_user_accesses where user_id = $1 and tenant_id = $2) as access_active,
      exists (select 1 from nest_auth_permissions where name = ($3::text[])[1] and guard <> 'admin') as permission_known,
      (select coalesce(json_agg(assigned order by id), '[]') from assigned) as assigned,
      (select coalesce(json_agg(roles order by id), '[]') from roles) as roles,
      (select coalesce(json_agg(entries order by name, guard), '[]') from entries) as entries`,
};

export function readGrantFacts(
  manager: EntityManager,
  userId: string,
  tenantId: string,
  permission: string,
): Promise<GrantFacts> {
  return executeOne(manager, FACTS, [userId, tenantId, coveringNames(permission), prefixBelow(permission)]);
}

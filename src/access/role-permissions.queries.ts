import type { EntityManager } from 'typeorm';
import { audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';
import { permissionColumns, type PermissionRow, toPermission } from './permission.queries.js';
import type { NestAuthRole } from './role.entity.js';
import { roleColumns, type RoleRow, roleSetActivity, toRole } from './role.rows.js';

/** How a set of names changes what is held: it replaces it, is added to it, or is taken away. */
export type SetChange = 'set' | 'add' | 'remove';

/** What a change found and did. Nothing was written unless `applied`. */
export interface RolePermissionsRow {
  readonly found: boolean;
  /** Names that are no permission of the role's guard. */
  readonly missing: string[];
  readonly added: string[];
  readonly removed: string[];
  readonly applied: boolean;
}

/**
 * The version is read and checked in the same statement: whoever waited for another change of the role finds another
 * version then, writes nothing and must run again. A lock here would not do, because what is held was read before it.
 * For the same reason the activity tells what was really held.
 */
const CHANGE = audited<RolePermissionsRow>(
  undefined,
  `with seen as (select id, guard, version from nest_auth_roles where id = $1),
    wanted as (
      select p.id, p.name from nest_auth_permissions p
      where p.guard = (select guard from seen) and p.name = any($2::text[]) order by p.id for key share),
    missing as (
      select name from unnest($2::text[]) as asked (name)
      where exists (select 1 from seen) and name not in (select name from wanted)),
    held as (
      select p.id, p.name from nest_auth_role_permissions rp
      join nest_auth_permissions p on p.id = rp.permission_id where rp.role_id = $1),
    coming as (select id, name from wanted where $3 <> 'remove' and id not in (select id from held)),
    leaving as (
      select id, name from held where case $3 when 'set' then id not in (select id from wanted)
        when 'remove' then id in (select id from wanted) else false end),
    claimed as (
      update nest_auth_roles r set version = r.version + 1, updated_at = now()
      where r.id = $1 and r.version = (select version from seen)
        and not exists (select 1 from missing)
        and (exists (select 1 from coming) or exists (select 1 from leaving))
      returning r.id, r.guard, r.tenant_id),
    gone as (
      delete from nest_auth_role_permissions rp using claimed
      where rp.role_id = claimed.id and rp.permission_id in (select id from leaving)),
    made as (
      insert into nest_auth_role_permissions (role_id, permission_id, guard)
      select claimed.id, coming.id, claimed.guard from claimed, coming),
    ${roleSetActivity(NestAuthEvents.ROLE_PERMISSIONS_CHANGED, 'permissions', 'name')}
    select exists (select 1 from seen) as found,
      array(select name from missing order by name) as missing,
      array(select name from coming order by name) as added,
      array(select name from leaving order by name) as removed,
      exists (select 1 from claimed) as applied`,
  (rows) => rows[0]?.applied === true,
);

export function changeRolePermissions(
  manager: EntityManager,
  roleId: string,
  names: readonly string[],
  change: SetChange,
): Promise<RolePermissionsRow> {
  return executeOne(manager, CHANGE, [roleId, names, change]);
}

type PermissionPart = { readonly [Key in keyof PermissionRow as `permission_${Key}`]: PermissionRow[Key] | null };

const WITH_PERMISSIONS: Statement<RoleRow & PermissionPart> = {
  text: `select ${roleColumns('r')}, ${permissionColumns('p', 'permission_')}
    from nest_auth_roles r
    left join nest_auth_role_permissions rp on rp.role_id = r.id
    left join nest_auth_permissions p on p.id = rp.permission_id
    where r.id = $1 order by p.id`,
};

/** The role with its permissions loaded. */
export async function findRoleWithPermissions(manager: EntityManager, id: string): Promise<NestAuthRole | null> {
  const rows = await execute(manager, WITH_PERMISSIONS, [id]);
  const [first] = rows;
  if (first === undefined) return null;
  const role = toRole(first, manager);
  role.permissions = rows
    .map((row) =>
      Object.fromEntries(Object.entries(row).map(([key, value]) => [key.replace(/^permission_/, ''), value])),
    )
    .filter((_, index) => rows[index]?.permission_id !== null)
    .map((row) => toPermission(row as unknown as PermissionRow, manager));
  return role;
}

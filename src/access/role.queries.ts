import type { EntityManager } from 'typeorm';
import { audited } from '../audit/audited-statement.js';
import { changedMetadata, differences } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { splitPatch } from '../transaction/metadata-patch.js';
import { execute, executeOne, type Statement, statement } from '../transaction/statement.js';
import type { UpdateRoleInput } from './access.types.js';
import type { NestAuthRole } from './role.entity.js';
import { roleActivity, roleColumns, type RoleRow, toRole } from './role.rows.js';

const COLUMNS = roleColumns();

/** What stands in the activities about a role that may change, but for metadata. */
function roleValues(row: string): string {
  return `jsonb_build_object('name', ${row}.name, 'description', ${row}.description, 'isActive', ${row}.is_active,
    'isOwner', ${row}.is_owner)`;
}

/** All of it with its permissions, the elements of the query given, for a role that came or went. */
function wholeRole(row: string, permissions: string): string {
  return `jsonb_strip_nulls(${roleValues(row)}) || jsonb_build_object('guard', ${row}.guard,
    'permissions', to_jsonb(array(${permissions}))) || ${changedMetadata(`${row}.metadata`, `'{}'::jsonb`)}`;
}

/** A role to insert, with the names of its permissions. */
export interface NewRole {
  readonly id: string;
  readonly tenantId: string | null;
  readonly guard: string;
  readonly name: string;
  readonly description: string | null;
  readonly isActive: boolean;
  readonly isOwner: boolean;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly permissions: readonly string[];
}

type Nullable<Row> = { readonly [Key in keyof Row]: Row[Key] | null };

/** What an insertion found; the columns are null when nothing was written. */
export type RoleInsertRow = Nullable<RoleRow> & { readonly tenant_ok: boolean; readonly missing: string[] };

/** Tenant and permissions are held, so that the foreign keys cannot fail after the conditions have been met. */
const INSERT = audited<RoleInsertRow>(
  undefined,
  `with owner as (select id from nest_auth_tenants where id = $2::uuid for key share),
    wanted as (
      select id, name from nest_auth_permissions where guard = $3 and name = any($8::text[]) order by id for key share),
    missing as (select name from unnest($8::text[]) as asked (name) where name not in (select name from wanted)),
    made as (
      insert into nest_auth_roles
        (id, tenant_id, owner_tenant_id, guard, name, description, is_system, is_active, metadata, is_owner)
      select $1::uuid, $2::uuid, coalesce($2::uuid, '${NIL_UUID}'), $3, $4, $5, $2::uuid is null, $6, $7::jsonb, $9
      where ($2::uuid is null or exists (select 1 from owner)) and not exists (select 1 from missing)
      on conflict do nothing
      returning ${COLUMNS}),
    granted as (
      insert into nest_auth_role_permissions (role_id, permission_id, guard)
      select made.id, wanted.id, made.guard from made, wanted),
    ${roleActivity('made', {
      type: NestAuthEvents.ROLE_CREATED,
      from: 'made',
      after: wholeRole('made', 'select name from wanted order by name'),
    })}
    select ${roleColumns('made')},
      $2::uuid is null or exists (select 1 from owner) as tenant_ok,
      array(select name from missing order by name) as missing
    from (values (1)) as one (row) left join made on true`,
  (rows) => rows[0]?.id != null,
);

export function insertRole(manager: EntityManager, role: NewRole): Promise<RoleInsertRow> {
  return executeOne(manager, INSERT, [
    role.id,
    role.tenantId,
    role.guard,
    role.name,
    role.description,
    role.isActive,
    JSON.stringify(role.metadata),
    role.permissions,
    role.isOwner,
  ]);
}

/** What an update found; `changed` is false when it wrote nothing, and the other flags say why. */
export interface RoleUpdateRow extends RoleRow {
  readonly changed: boolean;
  readonly name_taken: boolean;
  readonly differs: boolean;
  /** It makes owners, would make none any more, and is left alone because those tenants are not held. */
  readonly owners_go: boolean;
  /** A role of the admin guard would make owners. */
  readonly no_owner: boolean;
}

const CURRENT = '(r.name, r.description, r.is_active, r.is_owner, r.metadata)';
const WISHED = `(coalesce($2::text, r.name), case when $3::boolean then $4::text else r.description end,
  coalesce($5::boolean, r.is_active), coalesce($9::boolean, r.is_owner), (r.metadata - $6::text[]) || $7::jsonb)`;

const CHANGES = differences(roleValues('seen'), roleValues('changed'));

/** Only the row that was seen is changed, as with tenants: the activity tells what it really was. */
const UPDATE = audited<RoleUpdateRow>(
  undefined,
  `with seen as (
      select ${roleColumns('r')}, ${CURRENT} is distinct from ${WISHED} as differs,
        exists (select 1 from nest_auth_roles o
          where o.owner_tenant_id = r.owner_tenant_id and o.guard = r.guard and o.name = $2 and o.id <> $1) as name_taken,
        not $10::boolean and r.is_owner and r.is_active and ($5::boolean is false or $9::boolean is false) as owners_go,
        r.guard = 'admin' and $9::boolean is true as no_owner
      from nest_auth_roles r where r.id = $1),
    changed as (
      update nest_auth_roles r set
        (name, description, is_active, is_owner, metadata) = row ${WISHED},
        version = r.version + 1,
        updated_at = now()
      from seen
      where r.id = $1 and ($8::integer is null or r.version = $8)
        and ${CURRENT} is not distinct from (seen.name, seen.description, seen.is_active, seen.is_owner, seen.metadata)
        and not seen.name_taken and not seen.owners_go and not seen.no_owner and seen.differs
      returning ${roleColumns('r')}),
    ${roleActivity('changed', {
      type: NestAuthEvents.ROLE_UPDATED,
      from: 'changed join seen on seen.id = changed.id',
      before: `${CHANGES.before} || ${changedMetadata('seen.metadata', 'changed.metadata')}`,
      after: `${CHANGES.after} || ${changedMetadata('changed.metadata', 'seen.metadata')}`,
    })}
    select ${COLUMNS}, true as changed, true as differs, false as name_taken, false as owners_go, false as no_owner from changed
    union all
    select ${COLUMNS}, false, differs, name_taken, owners_go, no_owner from seen where not exists (select 1 from changed)`,
  (rows) => rows[0]?.changed === true,
);

/**
 * Changes what the input names, in one statement; undefined when there is no such role. With `isHeld` it may also cease
 * to make owners.
 */
export async function updateRoleRow(
  manager: EntityManager,
  id: string,
  { name, description, isActive, isOwner, metadata, expectedVersion }: UpdateRoleInput,
  isHeld: boolean,
): Promise<RoleUpdateRow | undefined> {
  const { removed, merged } = splitPatch(metadata);
  const [row] = await execute(manager, UPDATE, [
    id,
    name ?? null,
    description !== undefined,
    description ?? null,
    isActive ?? null,
    removed,
    merged,
    expectedVersion ?? null,
    isOwner ?? null,
    isHeld,
  ]);
  return row;
}

/** Of the version that was seen, because every change of its permissions counts that up: the activity names them. */
const DELETE = audited<{ found: boolean; used: boolean; deleted: boolean }>(
  undefined,
  `with seen as (
      select version, array(select p.name from nest_auth_role_permissions rp join nest_auth_permissions p
        on p.id = rp.permission_id where rp.role_id = $1 order by p.name) as permissions
      from nest_auth_roles where id = $1),
    used as (
      select exists (select 1 from nest_auth_user_access_roles where role_id = $1)
        or exists (select 1 from nest_auth_platform_access_roles where role_id = $1)
        or exists (select 1 from nest_auth_role_parents where parent_id = $1) as used),
    gone as (
      delete from nest_auth_roles
      where id = $1 and version = (select version from seen) and not (select used from used)
      returning ${COLUMNS}),
    ${roleActivity('gone', {
      type: NestAuthEvents.ROLE_DELETED,
      from: 'gone',
      before: wholeRole('gone', 'select unnest(permissions) from seen'),
    })}
    select exists (select 1 from seen) as found,
      (select used from used) as used,
      exists (select 1 from gone) as deleted`,
  (rows) => rows[0]?.deleted === true,
);

export function deleteRoleRow(
  manager: EntityManager,
  id: string,
): Promise<{ found: boolean; used: boolean; deleted: boolean }> {
  return executeOne(manager, DELETE, [id]);
}

const BY_ID = statement<RoleRow>('role_by_id', `select ${COLUMNS} from nest_auth_roles where id = $1`);
const BY_NAME = statement<RoleRow>(
  'role_by_name',
  `select ${COLUMNS} from nest_auth_roles where owner_tenant_id = $1 and guard = $2 and name = $3`,
);

export async function findRoleById(manager: EntityManager, id: string): Promise<NestAuthRole | null> {
  const [row] = await execute(manager, BY_ID, [id]);
  return row === undefined ? null : toRole(row, manager);
}

export async function findRoleByName(
  manager: EntityManager,
  ownerTenantId: string,
  guard: string,
  name: string,
): Promise<NestAuthRole | null> {
  const [row] = await execute(manager, BY_NAME, [ownerTenantId, guard, name]);
  return row === undefined ? null : toRole(row, manager);
}

/** Planned with the values at hand, so that a condition left out costs nothing: not prepared by name. */
const LIST: Statement<RoleRow> = {
  text: `select ${COLUMNS} from nest_auth_roles
    where ($1::text is null or guard = $1)
      and (($2::boolean and tenant_id is null) or tenant_id = $3::uuid)
      and ($4::uuid is null or id > $4)
    order by id limit $5 offset $6`,
};

/** Whose roles a list holds. */
export interface RoleListFilter {
  readonly guard: string | null;
  readonly system: boolean;
  readonly tenantId: string | null;
}

export function listRoles(
  manager: EntityManager,
  { guard, system, tenantId }: RoleListFilter,
  { afterId, limit, offset }: { readonly afterId: string | null; readonly limit: number; readonly offset: number },
): Promise<RoleRow[]> {
  return execute(manager, LIST, [guard, system, tenantId, afterId, limit, offset]);
}

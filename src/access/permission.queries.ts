import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { activity, type ActivityParts, audited } from '../audit/audited-statement.js';
import { changedMetadata, differences } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { splitPatch } from '../transaction/metadata-patch.js';
import { execute, executeOne, type Statement, statement } from '../transaction/statement.js';
import type { UpdatePermissionInput } from './access.types.js';
import { NestAuthPermission } from './permission.entity.js';

/** A permission's row. */
export interface PermissionRow {
  readonly id: string;
  readonly guard: string;
  readonly name: string;
  readonly description: string | null;
  readonly category: string | null;
  readonly metadata: Record<string, unknown>;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const COLUMN_NAMES = [
  'id',
  'guard',
  'name',
  'description',
  'category',
  'metadata',
  'created_at',
  'updated_at',
] as const satisfies readonly (keyof PermissionRow)[];

/** The columns of a {@link PermissionRow}, each with `prefix` before its name where the query has several tables. */
export function permissionColumns(alias?: string, prefix = ''): string {
  const named = (name: string): string => (alias === undefined ? name : `${alias}.${name}`);
  return COLUMN_NAMES.map((name) => (prefix === '' ? named(name) : `${named(name)} as ${prefix}${name}`)).join(', ');
}

export function toPermission(row: PermissionRow, manager: EntityManager): NestAuthPermission {
  const permission = Object.assign(new NestAuthPermission(), {
    id: row.id,
    guard: row.guard,
    name: row.name,
    description: row.description,
    category: row.category,
    metadata: row.metadata,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
  return rememberOrigin(permission, manager);
}

const COLUMNS = permissionColumns();

/** What stands in the activities about a permission that may change, but for metadata. */
function permissionValues(row: string): string {
  return `jsonb_build_object('name', ${row}.name, 'description', ${row}.description, 'category', ${row}.category)`;
}

/** All of it, for a permission that came or went. */
function wholePermission(row: string): string {
  return `jsonb_strip_nulls(${permissionValues(row)}) || jsonb_build_object('guard', ${row}.guard)
    || ${changedMetadata(`${row}.metadata`, `'{}'::jsonb`)}`;
}

/** The activity of a statement that has changed the permission in the CTE `row`. */
function permissionActivity(row: string, parts: Pick<ActivityParts, 'type' | 'from'> & Partial<ActivityParts>): string {
  return activity({ subjectType: 'permission', subjectId: `${row}.id`, ...parts });
}

/** A permission to insert. */
export interface NewPermission {
  readonly id: string;
  readonly guard: string;
  readonly name: string;
  readonly description: string | null;
  readonly category: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** In the order of the unique index, so that two batches cannot wait for each other. */
const INSERT = audited<PermissionRow & { created: boolean }>(
  undefined,
  `with input as (
      select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[])
        as input (id, guard, name, description, category, metadata, activity_id)),
    made as (
      insert into nest_auth_permissions (id, guard, name, description, category, metadata)
      select id, guard, name, description, category, metadata::jsonb from input order by guard, name
      on conflict do nothing
      returning ${COLUMNS}),
    ${permissionActivity('made', {
      type: NestAuthEvents.PERMISSION_CREATED,
      from: 'made join input on input.id = made.id',
      id: 'input.activity_id',
      after: wholePermission('made'),
    })}
    select ${COLUMNS}, true as created from made
    union all
    select ${permissionColumns('p')}, false from input i
      join nest_auth_permissions p on p.guard = i.guard and p.name = i.name
      where p.id not in (select id from made)`,
  (rows) => rows.some(({ created }) => created),
);

/** The permissions made, and those that existed when the statement began; one made by another meanwhile is in neither. */
export async function insertPermissions(
  manager: EntityManager,
  rows: readonly NewPermission[],
): Promise<{ created: NestAuthPermission[]; existing: NestAuthPermission[] }> {
  const found = await execute(manager, INSERT, [
    rows.map(({ id }) => id),
    rows.map(({ guard }) => guard),
    rows.map(({ name }) => name),
    rows.map(({ description }) => description),
    rows.map(({ category }) => category),
    rows.map(({ metadata }) => JSON.stringify(metadata)),
    rows.map(() => uuidv7()),
  ]);
  const [created, existing] = [true, false].map((made) =>
    found.filter((row) => row.created === made).map((row) => toPermission(row, manager)),
  );
  return { created: created ?? [], existing: existing ?? [] };
}

/** What an update found; `changed` is false when it wrote nothing, and the other flags say why. */
export interface PermissionUpdateRow extends PermissionRow {
  readonly changed: boolean;
  readonly name_taken: boolean;
  readonly differs: boolean;
}

const CURRENT = '(p.name, p.description, p.category, p.metadata)';
const WISHED = `(coalesce($2::text, p.name), case when $3::boolean then $4::text else p.description end,
  case when $5::boolean then $6::text else p.category end, (p.metadata - $7::text[]) || $8::jsonb)`;

const CHANGES = differences(permissionValues('seen'), permissionValues('changed'));

/** Only the row that was seen is changed, as with roles: the activity tells what it really was. */
const UPDATE = audited<PermissionUpdateRow>(
  undefined,
  `with seen as (
      select ${permissionColumns('p')}, ${CURRENT} is distinct from ${WISHED} as differs,
        exists (select 1 from nest_auth_permissions o where o.guard = p.guard and o.name = $2 and o.id <> $1) as name_taken
      from nest_auth_permissions p where p.id = $1),
    changed as (
      update nest_auth_permissions p set (name, description, category, metadata) = row ${WISHED}, updated_at = now()
      from seen
      where p.id = $1 and ${CURRENT} is not distinct from (seen.name, seen.description, seen.category, seen.metadata)
        and not seen.name_taken and seen.differs
      returning ${permissionColumns('p')}),
    ${permissionActivity('changed', {
      type: NestAuthEvents.PERMISSION_UPDATED,
      from: 'changed join seen on seen.id = changed.id',
      before: `${CHANGES.before} || ${changedMetadata('seen.metadata', 'changed.metadata')}`,
      after: `${CHANGES.after} || ${changedMetadata('changed.metadata', 'seen.metadata')}`,
    })}
    select ${COLUMNS}, true as changed, true as differs, false as name_taken from changed
    union all
    select ${COLUMNS}, false, differs, name_taken from seen where not exists (select 1 from changed)`,
  (rows) => rows[0]?.changed === true,
);

/** Changes what the input names, in one statement; undefined when there is no such permission. */
export async function updatePermissionRow(
  manager: EntityManager,
  id: string,
  { name, description, category, metadata }: UpdatePermissionInput,
): Promise<PermissionUpdateRow | undefined> {
  const { removed, merged } = splitPatch(metadata);
  const [row] = await execute(manager, UPDATE, [
    id,
    name ?? null,
    description !== undefined,
    description ?? null,
    category !== undefined,
    category ?? null,
    removed,
    merged,
  ]);
  return row;
}

const DELETE = audited<{ found: boolean; used: boolean; deleted: boolean }>(
  undefined,
  `with used as (
      select exists (select 1 from nest_auth_role_permissions where permission_id = $1)
        or exists (select 1 from nest_auth_user_access_permissions where permission_id = $1)
        or exists (select 1 from nest_auth_platform_access_permissions where permission_id = $1) as used),
    gone as (delete from nest_auth_permissions where id = $1 and not (select used from used) returning ${COLUMNS}),
    ${permissionActivity('gone', { type: NestAuthEvents.PERMISSION_DELETED, from: 'gone', before: wholePermission('gone') })}
    select exists (select 1 from nest_auth_permissions where id = $1) as found,
      (select used from used) as used,
      exists (select 1 from gone) as deleted`,
  (rows) => rows[0]?.deleted === true,
);

export function deletePermissionRow(
  manager: EntityManager,
  id: string,
): Promise<{ found: boolean; used: boolean; deleted: boolean }> {
  return executeOne(manager, DELETE, [id]);
}

const BY_ID = statement<PermissionRow>(
  'permission_by_id',
  `select ${COLUMNS} from nest_auth_permissions where id = $1`,
);
const BY_NAME = statement<PermissionRow>(
  'permission_by_name',
  `select ${COLUMNS} from nest_auth_permissions where guard = $1 and name = $2`,
);

export async function findPermissionById(manager: EntityManager, id: string): Promise<NestAuthPermission | null> {
  const [row] = await execute(manager, BY_ID, [id]);
  return row === undefined ? null : toPermission(row, manager);
}

export async function findPermissionByName(
  manager: EntityManager,
  guard: string,
  name: string,
): Promise<NestAuthPermission | null> {
  const [row] = await execute(manager, BY_NAME, [guard, name]);
  return row === undefined ? null : toPermission(row, manager);
}

/** Planned with the values at hand, so that a condition left out costs nothing: not prepared by name. */
const LIST: Statement<PermissionRow> = {
  text: `select ${COLUMNS} from nest_auth_permissions
    where ($1::text is null or guard = $1)
      and ($2::text is null or category = $2)
      and ($3::text is null or name ilike $3 or description ilike $3)
      and ($4::uuid is null or id > $4)
    order by id limit $5 offset $6`,
};

/** What a list of permissions is narrowed to; null leaves a condition out. */
export interface PermissionListFilter {
  readonly guard: string | null;
  readonly category: string | null;
  /** A pattern of `like`. */
  readonly pattern: string | null;
}

export function listPermissions(
  manager: EntityManager,
  { guard, category, pattern }: PermissionListFilter,
  { afterId, limit, offset }: { readonly afterId: string | null; readonly limit: number; readonly offset: number },
): Promise<PermissionRow[]> {
  return execute(manager, LIST, [guard, category, pattern, afterId, limit, offset]);
}

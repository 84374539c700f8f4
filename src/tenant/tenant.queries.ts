import type { EntityManager } from 'typeorm';
import { activity, audited } from '../audit/audited-statement.js';
import { changedMetadata, differences } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { splitPatch } from '../transaction/metadata-patch.js';
import { execute, executeOne, returnsRows, type Statement, statement } from '../transaction/statement.js';
import { NestAuthTenant } from './tenant.entity.js';
import { NIL_UUID, type SecondFactorPolicy, type UpdateTenantInput } from './tenant.types.js';

/** A tenant's row. */
export interface TenantRow {
  readonly id: string;
  readonly name: string;
  readonly slug: string;
  readonly description: string | null;
  readonly is_active: boolean;
  readonly second_factor_policy: SecondFactorPolicy;
  readonly metadata: Record<string, unknown>;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const COLUMN_NAMES = [
  'id',
  'name',
  'slug',
  'description',
  'is_active',
  'second_factor_policy',
  'metadata',
  'version',
  'created_at',
  'updated_at',
] as const satisfies readonly (keyof TenantRow)[];

/** The columns of a {@link TenantRow}, for a select list; with a table's alias where the query has several. */
export function tenantColumns(alias?: string): string {
  return COLUMN_NAMES.map((name) => (alias === undefined ? name : `${alias}.${name}`)).join(', ');
}

export function toTenant(row: TenantRow, manager: EntityManager): NestAuthTenant {
  const tenant = Object.assign(new NestAuthTenant(), {
    id: row.id,
    name: row.name,
    slug: row.slug,
    description: row.description,
    isActive: row.is_active,
    secondFactorPolicy: row.second_factor_policy,
    metadata: row.metadata,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
  return rememberOrigin(tenant, manager);
}

const COLUMNS = tenantColumns();

/** What stands in the activities about a tenant, but for metadata. */
function tenantValues(row: string): string {
  return `jsonb_build_object('name', ${row}.name, 'slug', ${row}.slug, 'description', ${row}.description,
    'isActive', ${row}.is_active, 'secondFactorPolicy', ${row}.second_factor_policy)`;
}

/** All of it, for a tenant that came or went. */
function wholeTenant(row: string): string {
  return `jsonb_strip_nulls(${tenantValues(row)}) || ${changedMetadata(`${row}.metadata`, `'{}'::jsonb`)}`;
}

const INSERT = audited<TenantRow>(
  undefined,
  `with made as (
      insert into nest_auth_tenants (id, name, slug, description, is_active, second_factor_policy, metadata)
      values ($1, $2, $3, $4, $5, $6, $7::jsonb)
      on conflict do nothing
      returning ${COLUMNS}),
    ${activity({
      type: NestAuthEvents.TENANT_CREATED,
      from: 'made',
      tenantId: 'made.id',
      subjectType: 'tenant',
      subjectId: 'made.id',
      after: wholeTenant('made'),
    })}
    select ${COLUMNS} from made`,
  returnsRows,
);

/** A tenant to insert. */
export interface NewTenant {
  readonly id: string;
  readonly name: string;
  readonly slug: string;
  readonly description: string | null;
  readonly isActive: boolean;
  readonly secondFactorPolicy: SecondFactorPolicy;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Null when the slug is taken. */
export async function insertTenant(manager: EntityManager, tenant: NewTenant): Promise<NestAuthTenant | null> {
  const { id, name, slug, description, isActive, secondFactorPolicy, metadata } = tenant;
  const values = [id, name, slug, description, isActive, secondFactorPolicy, JSON.stringify(metadata)];
  const [row] = await execute(manager, INSERT, values);
  return row === undefined ? null : toTenant(row, manager);
}

/** What an update found; `changed` is false when it wrote nothing, and the other flags say why. */
export interface TenantUpdateRow extends TenantRow {
  readonly changed: boolean;
  readonly slug_taken: boolean;
  /** The row as it was read differs from what is wished. */
  readonly differs: boolean;
}

const CURRENT = '(t.name, t.slug, t.description, t.is_active, t.second_factor_policy, t.metadata)';
const WISHED = `(coalesce($2::text, t.name), coalesce($3::text, t.slug),
  case when $4::boolean then $5::text else t.description end,
  coalesce($6::boolean, t.is_active), coalesce($10::text, t.second_factor_policy), (t.metadata - $7::text[]) || $8::jsonb)`;

const CHANGES = differences(tenantValues('seen'), tenantValues('changed'));

/**
 * Only the row that was seen is changed: whoever waited for another change finds other values then, writes nothing and
 * must run again. So the activity tells what the row really was.
 */
const UPDATE = audited<TenantUpdateRow>(
  undefined,
  `with seen as (
      select ${tenantColumns('t')}, ${CURRENT} is distinct from ${WISHED} as differs,
        exists (select 1 from nest_auth_tenants o where o.slug = $3 and o.id <> $1) as slug_taken
      from nest_auth_tenants t where t.id = $1),
    changed as (
      update nest_auth_tenants t set
        (name, slug, description, is_active, second_factor_policy, metadata) = row ${WISHED},
        version = t.version + 1,
        updated_at = now()
      from seen
      where t.id = $1 and ($9::integer is null or t.version = $9)
        and ${CURRENT} is not distinct from
          (seen.name, seen.slug, seen.description, seen.is_active, seen.second_factor_policy, seen.metadata)
        and not seen.slug_taken and seen.differs
      returning ${tenantColumns('t')}),
    ${activity({
      type: NestAuthEvents.TENANT_UPDATED,
      from: 'changed join seen on seen.id = changed.id',
      tenantId: 'changed.id',
      subjectType: 'tenant',
      subjectId: 'changed.id',
      before: `${CHANGES.before} || ${changedMetadata('seen.metadata', 'changed.metadata')}`,
      after: `${CHANGES.after} || ${changedMetadata('changed.metadata', 'seen.metadata')}`,
    })}
    select ${COLUMNS}, true as changed, true as differs, false as slug_taken from changed
    union all
    select ${COLUMNS}, false, differs, slug_taken from seen where not exists (select 1 from changed)`,
  (rows) => rows[0]?.changed === true,
);

/** Changes what the input names, in one statement; undefined when there is no such tenant. */
export async function updateTenantRow(
  manager: EntityManager,
  id: string,
  input: UpdateTenantInput,
): Promise<TenantUpdateRow | undefined> {
  const { removed, merged } = splitPatch(input.metadata);
  const [row] = await execute(manager, UPDATE, [
    id,
    input.name ?? null,
    input.slug ?? null,
    input.description !== undefined,
    input.description ?? null,
    input.isActive ?? null,
    removed,
    merged,
    input.expectedVersion ?? null,
    input.secondFactorPolicy ?? null,
  ]);
  return row;
}

/** Users have a realm without a foreign key; an index on it covers those who can sign in, and their identities. */
const DELETE = audited<{ found: boolean; used: boolean; deleted: boolean }>(
  undefined,
  `with used as (
      select exists (select 1 from nest_auth_user_accesses where tenant_id = $1)
        or exists (select 1 from nest_auth_roles where tenant_id = $1)
        or exists (select 1 from nest_auth_users where realm_id = $1 and deleted_at is null)
        or exists (select 1 from nest_auth_identities where realm_id = $1) as used),
    gone as (delete from nest_auth_tenants where id = $1 and not (select used from used) returning ${COLUMNS}),
    ${activity({
      type: NestAuthEvents.TENANT_DELETED,
      from: 'gone',
      tenantId: 'gone.id',
      subjectType: 'tenant',
      subjectId: 'gone.id',
      before: wholeTenant('gone'),
    })}
    select exists (select 1 from nest_auth_tenants where id = $1) as found,
      (select used from used) as used,
      exists (select 1 from gone) as deleted`,
  (rows) => rows[0]?.deleted === true,
);

export function deleteTenantRow(
  manager: EntityManager,
  id: string,
): Promise<{ found: boolean; used: boolean; deleted: boolean }> {
  return executeOne(manager, DELETE, [id]);
}

const BY_ID = statement<TenantRow>('tenant_by_id', `select ${COLUMNS} from nest_auth_tenants where id = $1`);
const BY_SLUG = statement<TenantRow>('tenant_by_slug', `select ${COLUMNS} from nest_auth_tenants where slug = $1`);

export async function findTenantById(manager: EntityManager, id: string): Promise<NestAuthTenant | null> {
  const [row] = await execute(manager, BY_ID, [id]);
  return row === undefined ? null : toTenant(row, manager);
}

export async function findTenantBySlug(manager: EntityManager, slug: string): Promise<NestAuthTenant | null> {
  const [row] = await execute(manager, BY_SLUG, [slug]);
  return row === undefined ? null : toTenant(row, manager);
}

/** What a list of tenants is narrowed to; null leaves a condition out. */
export interface TenantListFilter {
  /** Whether the built-in tenant is the only one to see, or the only one not to. */
  readonly builtIn: boolean;
  /** A pattern of `like`. */
  readonly pattern: string | null;
  readonly isActive: boolean | null;
}

/** Planned with the values at hand, so that a condition left out costs nothing: not prepared by name. */
const MATCHES = `(id = '${NIL_UUID}') = $1::boolean
  and ($2::text is null or name ilike $2 or slug ilike $2)
  and ($3::boolean is null or is_active = $3)`;
const PAGE = `select ${COLUMNS} from nest_auth_tenants
  where ${MATCHES} and ($4::uuid is null or id > $4) order by id limit $5 offset $6`;

const LIST: Statement<TenantRow> = { text: PAGE };
const COUNT: Statement<{ count: number }> = {
  text: `select count(*)::integer as count from nest_auth_tenants where ${MATCHES}`,
};
/** A page may be empty and still have a count. */
const LIST_AND_COUNT: Statement<{ [Key in keyof TenantRow]: TenantRow[Key] | null } & { count: number }> = {
  text: `with page as (${PAGE}), total as (${COUNT.text})
    select ${tenantColumns('page')}, total.count from total left join page on true order by page.id`,
};

interface TenantWindow {
  readonly afterId: string | null;
  readonly limit: number;
  readonly offset: number;
}

export function listTenants(
  manager: EntityManager,
  filter: TenantListFilter,
  { afterId, limit, offset }: TenantWindow,
): Promise<TenantRow[]> {
  return execute(manager, LIST, [...valuesOf(filter), afterId, limit, offset]);
}

export async function countTenants(manager: EntityManager, filter: TenantListFilter): Promise<number> {
  const { count } = await executeOne(manager, COUNT, valuesOf(filter));
  return count;
}

export async function listAndCountTenants(
  manager: EntityManager,
  filter: TenantListFilter,
  { afterId, limit, offset }: TenantWindow,
): Promise<{ rows: TenantRow[]; count: number }> {
  const found = await execute(manager, LIST_AND_COUNT, [...valuesOf(filter), afterId, limit, offset]);
  return {
    rows: found.filter((row): row is TenantRow & { count: number } => row.id !== null),
    count: found[0]?.count ?? 0,
  };
}

function valuesOf({ builtIn, pattern, isActive }: TenantListFilter): unknown[] {
  return [builtIn, pattern, isActive];
}

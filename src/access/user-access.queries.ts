import type { EntityManager } from 'typeorm';
import { tenantColumns, type TenantRow } from '../tenant/tenant.queries.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { execute, executeOne, returnsRows, type Statement, statement } from '../transaction/statement.js';
import type { AccessStatusEnum } from './access.types.js';
import { NestAuthUserAccess } from './user-access.entity.js';

/** A row of a user's access to a tenant. */
export interface UserAccessRow {
  readonly user_id: string;
  readonly tenant_id: string;
  readonly realm_id: string;
  readonly status: AccessStatusEnum;
  readonly is_default: boolean;
  readonly metadata: Record<string, unknown>;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const COLUMN_NAMES = [
  'user_id',
  'tenant_id',
  'realm_id',
  'status',
  'is_default',
  'metadata',
  'version',
  'created_at',
  'updated_at',
] as const satisfies readonly (keyof UserAccessRow)[];

function accessColumns(alias?: string): string {
  return COLUMN_NAMES.map((name) => (alias === undefined ? name : `${alias}.${name}`)).join(', ');
}

export function toUserAccess(row: UserAccessRow, manager: EntityManager): NestAuthUserAccess {
  const access = Object.assign(new NestAuthUserAccess(), {
    userId: row.user_id,
    tenantId: row.tenant_id,
    realmId: row.realm_id,
    status: row.status,
    isDefault: row.is_default,
    metadata: row.metadata,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
  return rememberOrigin(access, manager);
}

const COLUMNS = accessColumns();
const OF_USER_AND_TENANT = 'user_id = $1 and tenant_id = $2';

const FIND = statement<UserAccessRow>(
  'user_access',
  `select ${COLUMNS} from nest_auth_user_accesses where ${OF_USER_AND_TENANT}`,
);

export async function findAccess(
  manager: EntityManager,
  userId: string,
  tenantId: string,
): Promise<NestAuthUserAccess | null> {
  const [row] = await execute(manager, FIND, [userId, tenantId]);
  return row === undefined ? null : toUserAccess(row, manager);
}

/** Whether a user may have an access to a tenant at all; the columns are null when there is none and none was made. */
export type EnsuredAccessRow = { readonly [Key in keyof UserAccessRow]: UserAccessRow[Key] | null } & {
  readonly user_ok: boolean;
  readonly tenant_ok: boolean;
  readonly realm_ok: boolean;
  readonly created: boolean;
};

/**
 * `$3`: only users of the tenant's own realm. User and tenant are held, so that the foreign keys cannot fail after the
 * conditions have been met. A lost race for the row, or for being the default, makes nothing and must run again.
 */
const ENSURE = statement<EnsuredAccessRow>(
  'ensure_user_access',
  `with person as (select realm_id from nest_auth_users where id = $1 and deleted_at is null for key share),
  tenant as (select id from nest_auth_tenants where id = $2 and is_active for key share),
  seen as (select ${COLUMNS} from nest_auth_user_accesses where ${OF_USER_AND_TENANT}),
  fitting as (
    select realm_id from person where realm_id = $2::uuid or (realm_id = '${NIL_UUID}' and not $3::boolean)),
  made as (
    insert into nest_auth_user_accesses (user_id, tenant_id, realm_id, is_default)
    select $1::uuid, $2::uuid, fitting.realm_id,
      not exists (select 1 from nest_auth_user_accesses where user_id = $1 and is_default)
    from fitting, tenant where not exists (select 1 from seen)
    on conflict do nothing
    returning ${COLUMNS}),
  access as (select ${COLUMNS} from made union all select ${COLUMNS} from seen)
  select ${accessColumns('access')},
    exists (select 1 from person) as user_ok,
    exists (select 1 from tenant) as tenant_ok,
    exists (select 1 from fitting) as realm_ok,
    exists (select 1 from made) as created
  from (values (1)) as one (row) left join access on true`,
  (rows) => rows[0]?.created === true,
);

export function ensureAccess(
  manager: EntityManager,
  userId: string,
  tenantId: string,
  ownRealmOnly: boolean,
): Promise<EnsuredAccessRow> {
  return executeOne(manager, ENSURE, [userId, tenantId, ownRealmOnly]);
}

const DELETE: Statement<{ user_id: string }> = {
  text: `delete from nest_auth_user_accesses where ${OF_USER_AND_TENANT} returning user_id`,
  changes: returnsRows,
};

/** False when there was none. */
export async function deleteAccess(manager: EntityManager, userId: string, tenantId: string): Promise<boolean> {
  const rows = await execute(manager, DELETE, [userId, tenantId]);
  return rows.length > 0;
}

const SET_STATUS: Statement<UserAccessRow & { changed: boolean }> = {
  text: `with changed as (
      update nest_auth_user_accesses set status = $3, version = version + 1, updated_at = now()
      where ${OF_USER_AND_TENANT} and status <> $3
      returning ${COLUMNS})
    select ${COLUMNS}, true as changed from changed
    union all
    select ${COLUMNS}, false from nest_auth_user_accesses
      where ${OF_USER_AND_TENANT} and not exists (select 1 from changed)`,
  changes: (rows) => rows[0]?.changed === true,
};

/** The row as it is now; one whose status is another still was changed by somebody else meanwhile. */
export async function setAccessStatus(
  manager: EntityManager,
  userId: string,
  tenantId: string,
  status: AccessStatusEnum,
): Promise<(UserAccessRow & { changed: boolean }) | undefined> {
  const [row] = await execute(manager, SET_STATUS, [userId, tenantId, status]);
  return row;
}

/** Nobody makes an access for the user, or chooses a default, until the transaction ends. */
const LOCK_FOR_DEFAULT: Statement<{ user_id: string }> = {
  text: `select a.user_id from nest_auth_user_accesses a join nest_auth_users u on u.id = a.user_id
    where a.user_id = $1 and a.tenant_id = $2
    for update of u for no key update of a`,
};

/** The old default goes before the new one comes: the unique index is checked row by row. */
const CHOOSE_DEFAULT: Statement<UserAccessRow> = {
  text: `with cleared as (
      update nest_auth_user_accesses set is_default = false, version = version + 1, updated_at = now()
      where user_id = $1 and tenant_id <> $2 and is_default
      returning 1),
    chosen as (
      update nest_auth_user_accesses set is_default = true, version = version + 1, updated_at = now()
      where ${OF_USER_AND_TENANT} and not is_default and (select count(*) from cleared) >= 0
      returning ${COLUMNS})
    select ${COLUMNS} from chosen
    union all
    select ${COLUMNS} from nest_auth_user_accesses
      where ${OF_USER_AND_TENANT} and not exists (select 1 from chosen)`,
  changes: returnsRows,
};

/** Two statements, which must be in one transaction; null when there is no such access. */
export async function chooseDefaultAccess(
  manager: EntityManager,
  userId: string,
  tenantId: string,
): Promise<NestAuthUserAccess | null> {
  const [held] = await execute(manager, LOCK_FOR_DEFAULT, [userId, tenantId]);
  if (held === undefined) return null;
  return toUserAccess(await executeOne(manager, CHOOSE_DEFAULT, [userId, tenantId]), manager);
}

/** `$2` null is the start. */
const TENANTS: Statement<TenantRow> = {
  text: `select ${tenantColumns('t')} from nest_auth_user_accesses a
    join nest_auth_tenants t on t.id = a.tenant_id and t.is_active
    where a.user_id = $1 and a.status = 'active' and (t.id = '${NIL_UUID}') = $3::boolean
      and ($2::uuid is null or a.tenant_id > $2)
    order by a.tenant_id limit $4 offset $5`,
};

/** What part of a list to read; `builtIn` as in the list of tenants. */
export interface TenantsOfUserWindow {
  readonly afterId: string | null;
  readonly builtIn: boolean;
  readonly limit: number;
  readonly offset: number;
}

export function listTenantsOfUser(
  manager: EntityManager,
  userId: string,
  { afterId, builtIn, limit, offset }: TenantsOfUserWindow,
): Promise<TenantRow[]> {
  return execute(manager, TENANTS, [userId, afterId, builtIn, limit, offset]);
}

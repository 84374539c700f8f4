import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { audited } from '../audit/audited-statement.js';
import { changedMetadata } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { ownsTenant } from '../tenant/ownership.queries.js';
import { tenantColumns, type TenantRow } from '../tenant/tenant.queries.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { execute, executeOne, type Statement, statement } from '../transaction/statement.js';
import type { AccessStatusEnum } from './access.types.js';
import type { NestAuthUserAccess } from './user-access.entity.js';
import { accessActivity, accessColumns, toUserAccess, type UserAccessRow } from './user-access.rows.js';

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
const ENSURE = audited<EnsuredAccessRow>(
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
  ${accessActivity('made', {
    from: 'made',
    after: `jsonb_build_object('status', made.status, 'isDefault', made.is_default, 'roleIds', '[]'::jsonb)`,
  })},
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

/**
 * Of the version that was seen, because every change of its roles counts that up: the activity names them. `$3` the
 * tenant is held, so that an owner may go.
 */
const DELETE = audited<{ found: boolean; deleted: boolean; owner_goes: boolean }>(
  undefined,
  `with seen as (
      select version, not $3::boolean and ${ownsTenant('$1', '$2')} as owner_goes,
        array(select role_id from nest_auth_user_access_roles where ${OF_USER_AND_TENANT} order by role_id) as role_ids
      from nest_auth_user_accesses where ${OF_USER_AND_TENANT}),
    gone as (
      delete from nest_auth_user_accesses
      where ${OF_USER_AND_TENANT} and version = (select version from seen where not owner_goes)
      returning ${COLUMNS}),
    ${accessActivity('gone', {
      type: NestAuthEvents.USER_ACCESS_DELETED,
      from: 'gone, seen',
      before: `jsonb_build_object('status', gone.status, 'isDefault', gone.is_default, 'roleIds', to_jsonb(seen.role_ids))
        || ${changedMetadata('gone.metadata', `'{}'::jsonb`)}`,
    })}
    select exists (select 1 from seen) as found, exists (select 1 from seen where owner_goes) as owner_goes,
      exists (select 1 from gone) as deleted`,
  (rows) => rows[0]?.deleted === true,
);

/**
 * Whether there was one, and whether an owner's is left alone because the tenant is not held; undefined when it was
 * changed meanwhile, and the deletion must be tried again.
 */
export async function deleteAccess(
  manager: EntityManager,
  userId: string,
  tenantId: string,
  isHeld: boolean,
): Promise<{ deleted: boolean; ownerGoes: boolean } | undefined> {
  const { found, deleted, owner_goes: ownerGoes } = await executeOne(manager, DELETE, [userId, tenantId, isHeld]);
  return found && !deleted && !ownerGoes ? undefined : { deleted, ownerGoes };
}

/** What became of a change of status. */
interface StatusRow extends UserAccessRow {
  readonly changed: boolean;
  /** It is an owner's, and is left alone because the tenant is not held. */
  readonly owner_goes: boolean;
}

/** `$4` the tenant is held, so that an owner may go. */
const SET_STATUS = audited<StatusRow>(
  undefined,
  `with seen as (
      select status, version, not $4::boolean and $3 <> 'active' and ${ownsTenant('$1', '$2')} as owner_goes
      from nest_auth_user_accesses where ${OF_USER_AND_TENANT}),
    changed as (
      update nest_auth_user_accesses a set status = $3, version = a.version + 1, updated_at = now()
      from seen
      where a.user_id = $1 and a.tenant_id = $2 and a.version = seen.version and a.status <> $3 and not seen.owner_goes
      returning ${accessColumns('a')}),
    ${accessActivity('changed', {
      from: 'changed, seen',
      before: `jsonb_build_object('status', seen.status)`,
      after: `jsonb_build_object('status', changed.status)`,
    })}
    select ${COLUMNS}, true as changed, false as owner_goes from changed
    union all
    select ${COLUMNS}, false, exists (select 1 from seen where owner_goes) from nest_auth_user_accesses
      where ${OF_USER_AND_TENANT} and not exists (select 1 from changed)`,
  (rows) => rows[0]?.changed === true,
);

/** The row as it is now; one whose status is another still, and is no owner's, was changed by somebody else meanwhile. */
export async function setAccessStatus(
  manager: EntityManager,
  userId: string,
  tenantId: string,
  status: AccessStatusEnum,
  isHeld: boolean,
): Promise<StatusRow | undefined> {
  const [row] = await execute(manager, SET_STATUS, [userId, tenantId, status, isHeld]);
  return row;
}

/** Nobody makes an access for the user, or chooses a default, until the transaction ends. */
const LOCK_FOR_DEFAULT: Statement<{ user_id: string }> = {
  text: `select a.user_id from nest_auth_user_accesses a join nest_auth_users u on u.id = a.user_id
    where a.user_id = $1 and a.tenant_id = $2
    for update of u for no key update of a`,
};

/**
 * The old default goes before the new one comes: the unique index is checked row by row. Both are a change of their own,
 * each in its tenant, with an activity whose id is one of `$3`.
 */
const CHOOSE_DEFAULT = audited<ChosenRow>(
  undefined,
  `with cleared as (
      update nest_auth_user_accesses set is_default = false, version = version + 1, updated_at = now()
      where user_id = $1 and tenant_id <> $2 and is_default
      returning user_id, tenant_id, is_default),
    chosen as (
      update nest_auth_user_accesses set is_default = true, version = version + 1, updated_at = now()
      where ${OF_USER_AND_TENANT} and not is_default and (select count(*) from cleared) >= 0
      returning ${COLUMNS}),
    moved as (
      select user_id, tenant_id, is_default, 1 as place from cleared
      union all select user_id, tenant_id, is_default, 2 from chosen),
    ${accessActivity('moved', {
      from: 'moved',
      id: '($3::uuid[])[moved.place]',
      before: `jsonb_build_object('isDefault', not moved.is_default)`,
      after: `jsonb_build_object('isDefault', moved.is_default)`,
    })}
    select ${COLUMNS}, true as changed, (select tenant_id from cleared) as cleared_tenant_id from chosen
    union all
    select ${COLUMNS}, false, null from nest_auth_user_accesses
      where ${OF_USER_AND_TENANT} and not exists (select 1 from chosen)`,
  (rows) => rows[0]?.changed === true,
);

/** What became of the choice. */
interface ChosenRow extends UserAccessRow {
  readonly changed: boolean;
  /** Where the user's default was before; null when there was none. */
  readonly cleared_tenant_id: string | null;
}

/** Two statements, which must be in one transaction; undefined when there is no such access. */
export async function chooseDefaultAccess(
  manager: EntityManager,
  userId: string,
  tenantId: string,
): Promise<ChosenRow | undefined> {
  const [held] = await execute(manager, LOCK_FOR_DEFAULT, [userId, tenantId]);
  if (held === undefined) return undefined;
  return executeOne(manager, CHOOSE_DEFAULT, [userId, tenantId, [uuidv7(), uuidv7()]]);
}

/** `$2` null is the start. */
const TENANTS: Statement<TenantRow> = {
  text: `select ${tenantColumns('t')} from nest_auth_user_accesses a
    join nest_auth_tenants t on t.id = a.tenant_id and t.is_active
    join nest_auth_users u on u.id = a.user_id and u.deleted_at is null
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

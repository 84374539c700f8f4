import type { EntityManager } from 'typeorm';
import { UserStatusEnum } from '../account/account.types.js';
import { execute, type Statement } from '../transaction/statement.js';
import type { RoleCount, TenantCount, UserCounts } from './user-statistics.types.js';

interface StatusRow {
  readonly status: UserStatusEnum;
  readonly count: number;
  readonly deleted: number;
  /** All rows, of an estimate. */
  readonly rows?: number;
}

/** Read from indexes: that of the status, and the small one of the soft-deleted. */
const BY_STATUS: Statement<StatusRow> = {
  text: `select c.status, c.count, coalesce(d.count, 0)::integer as deleted
    from (select status, count(*)::integer as count from nest_auth_users group by status) c
    left join (select status, count(*)::integer as count from nest_auth_users where deleted_at is not null group by status) d
      on d.status = c.status`,
};

const BY_STATUS_OF_TENANT: typeof BY_STATUS = {
  text: `select u.status, count(*)::integer as count, (count(u.deleted_at))::integer as deleted
    from nest_auth_user_accesses a join nest_auth_users u on u.id = a.user_id where a.tenant_id = $1 group by u.status`,
};

/** What ANALYZE has found: the share of each status among the rows it has looked at. */
const ESTIMATE: Statement<StatusRow> = {
  text: `with total as (
      select greatest(reltuples, 0) as rows from pg_class where oid = 'nest_auth_users'::regclass),
    share as (
      select status, share from pg_stats s, unnest(s.most_common_vals::text::text[], s.most_common_freqs) as x (status, share)
      where s.schemaname = (select nspname from pg_namespace n join pg_class c on c.relnamespace = n.oid
        where c.oid = 'nest_auth_users'::regclass) and s.tablename = 'nest_auth_users' and s.attname = 'status'),
    deleted as (select status, count(*)::integer as count from nest_auth_users where deleted_at is not null group by status)
    select status, greatest(round(total.rows * coalesce(share.share, 0))::integer, coalesce(deleted.count, 0)) as count,
      coalesce(deleted.count, 0) as deleted, total.rows::integer as rows
    from total, share full join deleted using (status)`,
};

export async function readCounts(
  manager: EntityManager,
  tenantId: string | undefined,
  exact: boolean,
): Promise<UserCounts> {
  const rows =
    tenantId !== undefined
      ? await execute(manager, BY_STATUS_OF_TENANT, [tenantId])
      : await execute(manager, exact ? BY_STATUS : ESTIMATE);
  const byStatus = Object.fromEntries(Object.values(UserStatusEnum).map((status) => [status, 0])) as Record<
    UserStatusEnum,
    number
  >;
  let [counted, softDeleted] = [0, 0];
  for (const { status, count, deleted } of rows) {
    byStatus[status] = count - deleted;
    counted += count - deleted;
    softDeleted += deleted;
  }
  const estimated = rows[0]?.rows;
  const total = estimated === undefined ? counted : Math.max(0, estimated - softDeleted);
  return { total, byStatus, softDeleted };
}

/**
 * The members of a page of tenants, each looked at once. Whether a user is soft-deleted is asked of the user: where the
 * database does not know how many are, looking for the member among them would be to look through all of them each time.
 */
export function readCountsByTenant(
  manager: EntityManager,
  after: string | undefined,
  limit: number,
): Promise<TenantCount[]> {
  const text = `with page as materialized (
      select id from nest_auth_tenants ${after === undefined ? '' : 'where id > $2::uuid'} order by id limit $1),
    counted as (
      select a.tenant_id, count(*)::integer as users
      from page join nest_auth_user_accesses a on a.tenant_id = page.id
        join nest_auth_users u on u.id = a.user_id and u.deleted_at is null
      group by a.tenant_id)
    select page.id as "tenantId", coalesce(counted.users, 0) as users
    from page left join counted on counted.tenant_id = page.id order by page.id`;
  return execute(manager, { text }, after === undefined ? [limit] : [limit, after]);
}

/** As {@link readCountsByTenant}. Of one tenant, its members are gone through instead of everybody with the roles. */
export function readCountsByRole(
  manager: EntityManager,
  after: string | undefined,
  limit: number,
  tenantId: string | undefined,
): Promise<RoleCount[]> {
  const values: unknown[] = [limit];
  const bind = (value: unknown): string => `$${values.push(value)}::uuid`;
  const further = after === undefined ? '' : `and r.id > ${bind(after)}`;
  const tenant = tenantId === undefined ? undefined : bind(tenantId);
  const text = `with page as materialized (
      select r.id from nest_auth_roles r
      where ${tenant === undefined ? 'true' : `(r.tenant_id is null or r.tenant_id = ${tenant})`} ${further}
      order by r.id limit $1),
    held as (${tenant === undefined ? HELD_ANYWHERE : heldIn(tenant)})
    select page.id as "roleId", coalesce(sum(held.users), 0)::integer as users
    from page left join held on held.role_id = page.id group by page.id order by page.id`;
  return execute(manager, { text }, values);
}

const HELD_ANYWHERE = `
      select g.role_id, count(*) as users
      from page join nest_auth_user_access_roles g on g.role_id = page.id
        join nest_auth_users u on u.id = g.user_id and u.deleted_at is null
      group by g.role_id
      union all
      select g.role_id, count(*)
      from page join nest_auth_platform_access_roles g on g.role_id = page.id
        join nest_auth_users u on u.id = g.user_id and u.deleted_at is null
      group by g.role_id`;

const heldIn = (tenant: string): string => `
      select g.role_id, count(*) as users
      from nest_auth_user_accesses a
        join nest_auth_user_access_roles g on g.user_id = a.user_id and g.tenant_id = a.tenant_id
        join nest_auth_users u on u.id = a.user_id and u.deleted_at is null
      where a.tenant_id = ${tenant} group by g.role_id`;

import { type Statement, statement } from '../transaction/statement.js';
import { roleColumns, type RoleRow } from './role.rows.js';

/**
 * What somebody may do. Each question is one statement, and each asks for all that a grant needs: a user, a tenant and
 * an access that are active, and a role that is active and has not run out, or an entry of the access itself.
 *
 * The moment is that of the statement and not of the transaction: what runs out grants nothing at once, also in a
 * transaction that goes on.
 */

/** Where the grants of an access stand: in one tenant, or on the platform. */
interface Side {
  /** Names its statements. */
  readonly name: string;
  /** One row when the access may grant anything at all. Its parameters come first. */
  readonly access: string;
  /** Roles and entries of the access, joined by these columns. */
  readonly roles: string;
  readonly entries: string;
  readonly key: readonly string[];
  /** The names that are asked for, and what a denied name may begin with. */
  readonly names: string;
  readonly below: string;
  /** The permissions that it can have. */
  readonly guard: string;
}

const TENANT: Side = {
  name: 'tenant',
  access: `select a.user_id, a.tenant_id from nest_auth_user_accesses a
    join nest_auth_users u on u.id = a.user_id and u.status = 'active' and u.deleted_at is null
    join nest_auth_tenants t on t.id = a.tenant_id and t.is_active
    where a.user_id = $1 and a.tenant_id = $2 and a.status = 'active'`,
  roles: 'nest_auth_user_access_roles',
  entries: 'nest_auth_user_access_permissions',
  key: ['user_id', 'tenant_id'],
  names: '$3::text[]',
  below: '$4::text',
  guard: `guard <> 'admin'`,
};

const PLATFORM: Side = {
  name: 'platform',
  access: `select a.user_id from nest_auth_platform_accesses a
    join nest_auth_users u on u.id = a.user_id and u.status = 'active' and u.deleted_at is null
    where a.user_id = $1 and a.status = 'active'`,
  roles: 'nest_auth_platform_access_roles',
  entries: 'nest_auth_platform_access_permissions',
  key: ['user_id'],
  names: '$2::text[]',
  below: '$3::text',
  guard: `guard = 'admin'`,
};

/** What stands for a time stands until then by the clock of the database. */
export const inForce = (alias: string): string =>
  `(${alias}.expires_at is null or ${alias}.expires_at > statement_timestamp())`;

/** Names the user in each table: a cluster runs a recursive statement on one node or not at all. */
const ofAccess = ({ key }: Side, alias: string): string =>
  key.map((column, index) => `${alias}.${column} = $${index + 1}`).join(' and ');

/**
 * The roles of the access and all that they inherit from, each once: UNION ends it, also on a ring that somebody else
 * has written. Nothing is inherited through an inactive role.
 */
const lineage = (side: Side, columns = '', inherited = columns): string => `lineage as (
    select r.id, r.is_active${columns} from access a
      join ${side.roles} ar on ${ofAccess(side, 'ar')} and ${inForce('ar')}
      join nest_auth_roles r on r.id = ar.role_id
    union
    select r.id, r.is_active${inherited} from lineage l
      join nest_auth_role_parents h on h.role_id = l.id
      join nest_auth_roles r on r.id = h.parent_id where l.is_active)`;

/** What the roles grant, and what the access itself grants and denies: of the names that are asked for, where there are any. */
function found(side: Side, granted: string, denied: string, columns: readonly [string, string]): string {
  return `select 'grant' as effect${columns[0]} from lineage l
      join nest_auth_role_permissions rp on rp.role_id = l.id
      join nest_auth_permissions p on p.id = rp.permission_id where l.is_active${granted === '' ? '' : ` and ${granted}`}
    union all
    select e.effect${columns[1]} from access a
      join ${side.entries} e on ${ofAccess(side, 'e')} and ${inForce('e')}
      join nest_auth_permissions p on p.id = e.permission_id${granted === '' ? '' : ` where ${granted} or (e.effect = 'deny'${denied})`}`;
}

interface HoldsRow {
  readonly held: boolean;
}

/** One row for all names: a row each costs both sides more than the look-up. */
export interface NamesRow {
  readonly granted: readonly string[] | null;
  readonly denied: readonly string[] | null;
}

interface PermissionsRow extends NamesRow {
  /** Every name there is; null where nothing has to be looked up in it. */
  readonly known: readonly string[] | null;
}

export interface GrantsRow extends NamesRow {
  readonly roles: readonly string[];
  readonly system_roles: readonly string[];
  readonly role_ids: readonly string[];
  readonly valid_until: Date | null;
  readonly valid_for_ms: number | null;
}

const ASKED = (side: Side): string => `p.name = any(${side.names})`;

const NAMES = `json_agg(name) filter (where effect = 'grant') as granted,
  json_agg(name) filter (where effect = 'deny') as denied`;

/** Everything is looked at before the answer: a denial may come last. */
const holds = (side: Side) =>
  statement<HoldsRow>(
    `${side.name}_permission_held`,
    `with recursive access as (${side.access}), ${lineage(side)}
    select coalesce(bool_and(effect = 'grant'), false) as held
    from (${found(side, ASKED(side), ` and starts_with(p.name, ${side.below})`, ['', ''])}) as found`,
  );

const held = (side: Side) =>
  statement<NamesRow>(
    `${side.name}_permissions_held`,
    `with recursive access as (${side.access}), ${lineage(side)}
    select ${NAMES} from (${found(side, ASKED(side), '', [', p.name', ', p.name'])}) as found`,
  );

const permissions = (side: Side) =>
  statement<PermissionsRow>(
    `${side.name}_permissions`,
    `with recursive access as (${side.access}), ${lineage(side)}
    select ${NAMES}, case when bool_or(effect = 'grant' and right(name, 1) = '*')
      then (select json_agg(name) from nest_auth_permissions where ${side.guard}) end as known
    from (${found(side, '', '', [', p.name', ', p.name'])}) as found`,
  );

const grants = (side: Side) =>
  statement<GrantsRow>(
    `${side.name}_grants`,
    `with recursive access as (${side.access}),
    ${lineage(side, ', r.name, r.tenant_id, ar.expires_at', ', r.name, r.tenant_id, null::timestamptz(3)')},
    found as (${found(side, '', '', [', p.name, null::timestamptz as expires_at', ', p.name, e.expires_at'])}),
    validity as (
      select min(expires_at) as until from (
        select expires_at from lineage where is_active union all select expires_at from found) as expiring)
    select array(select name from lineage where is_active) as roles,
      array(select name from lineage where is_active and tenant_id is null) as system_roles,
      array(select id from lineage) as role_ids,
      (select json_agg(distinct name) from found where effect = 'grant') as granted,
      (select json_agg(name) from found where effect = 'deny') as denied,
      validity.until as valid_until,
      (extract(epoch from validity.until - statement_timestamp()) * 1000)::float8 as valid_for_ms
    from access, validity`,
  );

/** Asks one side for each answer. */
export interface Questions {
  /** Whether the names that cover a permission hold it, and nothing denies it. */
  readonly holds: Statement<HoldsRow>;
  /** What of the names is granted, and all that is denied. */
  readonly held: Statement<NamesRow>;
  readonly permissions: Statement<PermissionsRow>;
  readonly grants: Statement<GrantsRow>;
}

const questionsOf = (side: Side): Questions => ({
  holds: holds(side),
  held: held(side),
  permissions: permissions(side),
  grants: grants(side),
});

export const OF_TENANT = questionsOf(TENANT);
export const OF_PLATFORM = questionsOf(PLATFORM);

export const TENANT_ROLE_LIST = statement<RoleRow>(
  'tenant_roles',
  `with recursive access as (${TENANT.access}), ${lineage(TENANT)}
  select ${roleColumns('r')} from lineage l join nest_auth_roles r on r.id = l.id where l.is_active order by r.id`,
);

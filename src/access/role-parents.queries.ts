import type { EntityManager } from 'typeorm';
import { audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';
import { roleColumns, type RoleRow, roleSetActivity, toRole } from './role.rows.js';
import type { SetChange } from './role-permissions.queries.js';
import type { NestAuthRole } from './role.entity.js';

/** Over how many steps the roles of one owner may inherit from one another: nine roles in a line. */
export const MAX_INHERITANCE_STEPS = 8;

/** What a change found and did. Nothing was written unless `applied`. */
export interface RoleParentsRow {
  readonly found: boolean;
  /** Ids of no role. */
  readonly unknown: string[];
  /** Roles of another guard or tenant. */
  readonly misplaced: string[];
  /** Those among the new parents that inherit from the role, or are the role itself. */
  readonly circular: string[];
  /** Over how many steps roles of the owner would inherit; what is more than one too many is not counted. */
  readonly steps: number;
  readonly added: string[];
  readonly removed: string[];
  readonly applied: boolean;
}

/** One more than there may be, so that one too many is seen. */
const LEVELS = Array.from({ length: MAX_INHERITANCE_STEPS + 1 }, (_, index) => index + 1);

/**
 * What the new parents inherit from, level by level, and what inherits from the role. Not recursive, because Citus
 * refuses that in a statement which writes; there are never many levels. An array of ids is looked up in the index,
 * however many the planner would expect of a join.
 */
const ABOVE = LEVELS.map((level) =>
  level === 1
    ? 'above_1 as (select id from coming where owner_tenant_id = (select owner_tenant_id from seen))'
    : `above_${level} as (
      select distinct parent_id as id from nest_auth_role_parents
      where role_id = any(array(select id from above_${level - 1}))
        and parent_tenant_id = (select owner_tenant_id from seen))`,
).join(',\n    ');
const BELOW = LEVELS.slice(0, -1)
  .map(
    (level) => `below_${level} as (
      select distinct role_id as id from nest_auth_role_parents
      where parent_id = any(array(${level === 1 ? 'select $1::uuid from coming limit 1' : `select id from below_${level - 1}`}))
        and role_tenant_id = (select owner_tenant_id from seen))`,
  )
  .join(',\n    ');

/** The role itself, and all that inherits from it. */
const ITSELF_AND_BELOW = [
  'select $1::uuid as id',
  ...LEVELS.slice(0, -1).map((level) => `select id from below_${level}`),
].join(' union all ');

/** The last level that is not empty; 0 when none is. */
function longestOf(name: string, levels: readonly number[]): string {
  const cases = levels.toReversed().map((level) => `when exists (select 1 from ${name}_${level}) then ${level}`);
  return `(case ${cases.join(' ')} else 0 end)`;
}

/**
 * `$1` the role, `$2` the others, `$3` how the set changes.
 *
 * What inherits from what is read, and then claimed by the version of its owner's graph, which every addition counts up:
 * whoever waited for another addition finds another version, writes nothing and must run again, with all that is there
 * then. So two additions that would close a ring together never both pass. A ring lies within the roles of one owner,
 * because the system's never inherit from a tenant's; the steps are counted within them as well, so that no tenant is in
 * the way of another one or of the system. Taking away can make no ring and claims the role alone.
 */
const CHANGE = audited<RoleParentsRow>(
  undefined,
  `with seen as (select id, guard, owner_tenant_id, version from nest_auth_roles where id = $1),
    graphs as (
      select owner_tenant_id, version from nest_auth_role_graphs
      where owner_tenant_id = (select owner_tenant_id from seen)),
    wanted as (
      select id, guard, owner_tenant_id from nest_auth_roles where id = any($2::uuid[]) order by id for key share),
    unknown as (select id from unnest($2::uuid[]) as asked (id) where id not in (select id from wanted)),
    misplaced as (
      select w.id from wanted w, seen where $3::text <> 'remove'
        and (w.guard <> seen.guard or w.owner_tenant_id not in ('${NIL_UUID}', seen.owner_tenant_id))),
    held as (select parent_id as id from nest_auth_role_parents where role_id = $1),
    coming as (
      select id, guard, owner_tenant_id from wanted where $3::text <> 'remove' and id not in (select id from held)),
    leaving as (
      select id from held where case $3::text when 'set' then id <> all($2::uuid[])
        when 'remove' then id = any($2::uuid[]) else false end),
    ${ABOVE},
    ${BELOW},
    circular as (select id from coming where id in (${ITSELF_AND_BELOW})),
    size as (select ${longestOf('above', LEVELS)} + ${longestOf('below', LEVELS.slice(0, -1))} as steps),
    allowed as (
      select seen.owner_tenant_id, seen.version from seen, size
      where size.steps <= ${MAX_INHERITANCE_STEPS} and not exists (select 1 from circular)
        and not exists (select 1 from unknown) and not exists (select 1 from misplaced)),
    own as (
      insert into nest_auth_role_graphs (owner_tenant_id)
      select owner_tenant_id from allowed where exists (select 1 from coming)
      on conflict (owner_tenant_id) do update set version = nest_auth_role_graphs.version + 1
        where nest_auth_role_graphs.version
          = (select version from graphs where graphs.owner_tenant_id = excluded.owner_tenant_id)
      returning owner_tenant_id),
    claimed as (
      update nest_auth_roles r set version = r.version + 1, updated_at = now() from allowed
      where r.id = $1 and r.version = allowed.version
        and (exists (select 1 from own) or not exists (select 1 from coming) and exists (select 1 from leaving))
      returning r.id, r.guard, r.tenant_id, r.owner_tenant_id),
    gone as (
      delete from nest_auth_role_parents h using claimed
      where h.role_id = claimed.id and h.parent_id in (select id from leaving)),
    made as (
      insert into nest_auth_role_parents (role_id, parent_id, role_tenant_id, parent_tenant_id, guard)
      select claimed.id, coming.id, claimed.owner_tenant_id, coming.owner_tenant_id, claimed.guard
      from claimed, coming),
    ${roleSetActivity(NestAuthEvents.ROLE_PARENTS_CHANGED, 'parentIds', 'id')}
    select exists (select 1 from seen) as found,
      array(select id from unknown order by id) as unknown,
      array(select id from misplaced order by id) as misplaced,
      array(select id from circular order by id) as circular,
      (select steps from size) as steps,
      array(select id from coming order by id) as added,
      array(select id from leaving order by id) as removed,
      exists (select 1 from claimed) as applied`,
  (rows) => rows[0]?.applied === true,
);

export function changeRoleParents(
  manager: EntityManager,
  roleId: string,
  parentIds: readonly string[],
  change: SetChange,
): Promise<RoleParentsRow> {
  return executeOne(manager, CHANGE, [roleId, parentIds, change]);
}

const PARENTS: Statement<RoleRow> = {
  text: `select ${roleColumns('r')} from nest_auth_role_parents h join nest_auth_roles r on r.id = h.parent_id
    where h.role_id = $1 order by r.id`,
};

/** The roles from which it inherits, in the order of their making; not those from which these do. */
export async function listRoleParents(manager: EntityManager, roleId: string): Promise<NestAuthRole[]> {
  const rows = await execute(manager, PARENTS, [roleId]);
  return rows.map((row) => toRole(row, manager));
}

import type { EntityManager } from 'typeorm';
import { activity, type ActivityParts, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';
import { type GrantScope, keyOf } from './access.queries.js';
import type { DirectPermission, PermissionEffect } from './access.types.js';
import { inForce } from './grants.queries.js';

/** What a change of an entry found and did. Nothing was written unless `version` is set. */
export interface EntryChangeRow {
  /** There is an access. */
  readonly found: boolean;
  readonly known: boolean;
  /** It does not run out before it begins. */
  readonly in_time: boolean;
  /** Something is to be done. */
  readonly differs: boolean;
  /** The version that the change gave the access. */
  readonly version: number | null;
}

/** An entry to write. */
export interface NewEntry {
  readonly effect: PermissionEffect;
  readonly expiresAt: Date | null;
  readonly reason: string | null;
}

/** One side's tables, and how its statements name the access and the values after it. */
interface Side {
  readonly accesses: string;
  readonly entries: string;
  readonly key: readonly string[];
  readonly guard: string;
  readonly activity: Pick<ActivityParts, 'type' | 'userId' | 'tenantId' | 'subjectType'>;
}

const TENANT: Side = {
  accesses: 'nest_auth_user_accesses',
  entries: 'nest_auth_user_access_permissions',
  key: ['user_id', 'tenant_id'],
  guard: `guard <> 'admin'`,
  activity: {
    type: NestAuthEvents.USER_ACCESS_PERMISSION_CHANGED,
    userId: '$1::uuid',
    tenantId: '$2::uuid',
    subjectType: 'user_access',
  },
};

const PLATFORM: Side = {
  accesses: 'nest_auth_platform_accesses',
  entries: 'nest_auth_platform_access_permissions',
  key: ['user_id'],
  guard: `guard = 'admin'`,
  activity: {
    type: NestAuthEvents.PLATFORM_ACCESS_PERMISSION_CHANGED,
    userId: '$1::uuid',
    subjectType: 'platform_access',
  },
};

const ofAccess = ({ key }: Side, alias = ''): string =>
  key.map((column, index) => `${alias}${column} = $${index + 1}`).join(' and ');

/** The number of a parameter: the access comes first, then the permission's name. */
const after = ({ key }: Side, place: number): string => `$${key.length + place}`;

/**
 * The access is read first, and claimed by the version that was seen, as with its roles: what its entry was is told as it
 * was. A name may be that of a permission in several guards; a question names none, so all of them are entered.
 */
const opening = (side: Side): string => `with seen as (select version from ${side.accesses} where ${ofAccess(side)}),
    wanted as (
      select id, guard from nest_auth_permissions
      where name = ${after(side, 1)} and ${side.guard} order by id for key share),
    held as (
      select e.permission_id, e.effect, e.expires_at, e.reason from ${side.entries} e
      join nest_auth_permissions p on p.id = e.permission_id
      where ${ofAccess(side, 'e.')} and p.name = ${after(side, 1)})`;

const claiming = (side: Side, condition: string): string => `claimed as (
      update ${side.accesses} set version = version + 1, updated_at = now()
      where ${ofAccess(side)} and version = (select version from seen) and ${condition}
      returning version)`;

/** What the entry of the name is, as JSON; that of its first guard, as all are one. */
const ENTRY = `jsonb_strip_nulls(jsonb_build_object('effect', effect, 'expiresAt', expires_at, 'reason', reason))`;

const entryActivity = (side: Side, afterwards: string): string =>
  activity({
    ...side.activity,
    from: 'claimed',
    before: `(select ${ENTRY} from held order by permission_id limit 1)`,
    after: afterwards,
    details: `jsonb_build_object('permission', ${after(side, 1)}::text)`,
  });

const enter = (side: Side) => {
  const [effect, expiresAt, reason] = [2, 3, 4].map((place) => after(side, place)) as [string, string, string];
  const values = `(${effect}::text, ${expiresAt}::timestamptz(3), ${reason}::text)`;
  return audited<EntryChangeRow>(
    undefined,
    `${opening(side)},
    coming as (
      select w.id, w.guard from wanted w where not exists (
        select 1 from held h where h.permission_id = w.id and (h.effect, h.expires_at, h.reason) is not distinct from ${values})),
    timely as (select ${expiresAt}::timestamptz is null or ${expiresAt}::timestamptz > statement_timestamp() as is_so),
    ${claiming(side, '(select is_so from timely) and exists (select 1 from coming)')},
    written as (
      insert into ${side.entries} (${side.key.join(', ')}, permission_id, guard, effect, expires_at, reason)
      select ${side.key.map((_, index) => `$${index + 1}::uuid`).join(', ')}, coming.id, coming.guard,
        ${effect}::text, ${expiresAt}::timestamptz, ${reason}::text from claimed, coming
      on conflict (${side.key.join(', ')}, permission_id) do update set
        effect = excluded.effect, expires_at = excluded.expires_at, reason = excluded.reason, created_at = excluded.created_at),
    ${entryActivity(
      side,
      `jsonb_strip_nulls(jsonb_build_object('effect', ${effect}::text, 'expiresAt', ${expiresAt}::timestamptz, 'reason', ${reason}::text))`,
    )}
    select exists (select 1 from seen) as found, exists (select 1 from wanted) as known,
      (select is_so from timely) as in_time, exists (select 1 from coming) as differs,
      (select version from claimed) as version`,
    (rows) => rows[0]?.version != null,
  );
};

const remove = (side: Side) =>
  audited<EntryChangeRow>(
    undefined,
    `${opening(side)},
    ${claiming(side, 'exists (select 1 from held)')},
    gone as (
      delete from ${side.entries} e using claimed
      where ${ofAccess(side, 'e.')} and e.permission_id in (select permission_id from held)),
    ${entryActivity(side, 'null::jsonb')}
    select exists (select 1 from seen) as found, exists (select 1 from wanted) as known, true as in_time,
      exists (select 1 from held) as differs, (select version from claimed) as version`,
    (rows) => rows[0]?.version != null,
  );

const TENANT_ENTER = enter(TENANT);
const PLATFORM_ENTER = enter(PLATFORM);
const TENANT_REMOVE = remove(TENANT);
const PLATFORM_REMOVE = remove(PLATFORM);

/** Grants or denies it to the access, or makes of the entry that is there what is said. */
export function enterPermission(
  manager: EntityManager,
  scope: GrantScope,
  name: string,
  { effect, expiresAt, reason }: NewEntry,
): Promise<EntryChangeRow> {
  const sql = scope.tenantId === null ? PLATFORM_ENTER : TENANT_ENTER;
  return executeOne(manager, sql, [...keyOf(scope), name, effect, expiresAt, reason]);
}

/** Takes the entry away, if there is one. */
export function removePermission(manager: EntityManager, scope: GrantScope, name: string): Promise<EntryChangeRow> {
  const sql = scope.tenantId === null ? PLATFORM_REMOVE : TENANT_REMOVE;
  return executeOne(manager, sql, [...keyOf(scope), name]);
}

interface EntryRow {
  readonly name: string;
  readonly guard: string;
  readonly effect: PermissionEffect;
  readonly expires_at: Date | null;
  readonly reason: string | null;
  readonly created_at: Date;
}

const list = (side: Side): Statement<EntryRow> => ({
  text: `select p.name, e.guard, e.effect, e.expires_at, e.reason, e.created_at
    from ${side.entries} e join nest_auth_permissions p on p.id = e.permission_id
    where ${ofAccess(side, 'e.')} and ${inForce('e')} order by p.name, e.guard`,
});

const TENANT_LIST = list(TENANT);
const PLATFORM_LIST = list(PLATFORM);

/** The entries in force, by name. */
export async function listPermissionEntries(manager: EntityManager, scope: GrantScope): Promise<DirectPermission[]> {
  const rows = await execute(manager, scope.tenantId === null ? PLATFORM_LIST : TENANT_LIST, keyOf(scope));
  return rows.map(({ name, guard, effect, expires_at, reason, created_at }) => ({
    permission: name,
    guard,
    effect,
    expiresAt: expires_at,
    reason,
    createdAt: created_at,
  }));
}

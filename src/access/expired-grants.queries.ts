import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { activity, type ActivityParts, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, type Statement } from '../transaction/statement.js';

/** Something of an access that has run out and is gone. */
export interface ExpiredRow {
  readonly user_id: string;
  /** Null for the platform. */
  readonly tenant_id: string | null;
  /** The id of the role, or the name of the permission. */
  readonly what: string;
}

/** Where one kind of it stands. */
interface Place {
  readonly table: string;
  readonly accesses: string;
  readonly key: readonly string[];
  readonly activity: Pick<ActivityParts, 'type' | 'subjectType'>;
}

const OF_TENANT = { accesses: 'nest_auth_user_accesses', key: ['user_id', 'tenant_id'] } as const;
const OF_PLATFORM = { accesses: 'nest_auth_platform_accesses', key: ['user_id'] } as const;

const same = ({ key }: Place, one: string, other: string): string =>
  key.map((column) => `${one}.${column} = ${other}.${column}`).join(' and ');

const keyOf = ({ key }: Place, alias: string): string => key.map((column) => `${alias}.${column}`).join(', ');

const tenantOf = ({ key }: Place, alias: string): string =>
  key.includes('tenant_id') ? `${alias}.tenant_id` : 'null::uuid';

/**
 * The rows that have run out, `$1` at most, of accesses that nobody changes meanwhile: their version is claimed, so that
 * one which is given more time at this moment stays. `$2` ids for the activities.
 */
const claimed = (place: Place, id: string): string => `with due as (
      select ${keyOf(place, 'e')}, e.${id} as id from ${place.table} e
      where e.expires_at <= statement_timestamp() order by e.expires_at limit $1),
    seen as (
      select distinct ${keyOf(place, 'a')}, a.version from ${place.accesses} a join due on ${same(place, 'a', 'due')}),
    claimed as (
      update ${place.accesses} a set version = a.version + 1, updated_at = now() from seen
      where ${same(place, 'a', 'seen')} and a.version = seen.version
      returning ${keyOf(place, 'a')})`;

const gone = (place: Place, id: string): string => `gone as (
      delete from ${place.table} e using claimed, due
      where ${same(place, 'claimed', 'due')} and ${same(place, 'e', 'due')} and e.${id} = due.id
      returning ${keyOf(place, 'e')}, e.${id} as id)`;

/** One activity an access, with its roles old and new as for any change of them. */
const roles = (place: Place): Statement<ExpiredRow> =>
  audited<ExpiredRow>(
    undefined,
    `${claimed(place, 'role_id')},
    held as (select ${keyOf(place, 'e')}, e.role_id as id from ${place.table} e join seen on ${same(place, 'e', 'seen')}),
    named as (select r.id, r.name from nest_auth_roles r where r.id in (select id from due)),
    ${gone(place, 'role_id')},
    told as (
      select ${keyOf(place, 'c')}, row_number() over () as place,
        to_jsonb(array(select id from held h where ${same(place, 'h', 'c')} order by id)) as before,
        to_jsonb(array(select id from held h where ${same(place, 'h', 'c')}
          and id not in (select id from gone g where ${same(place, 'g', 'c')}) order by id)) as after,
        to_jsonb(array(select id from gone g where ${same(place, 'g', 'c')} order by id)) as removed,
        (select coalesce(jsonb_object_agg(n.id, n.name), '{}') from named n
          where n.id in (select id from gone g where ${same(place, 'g', 'c')})) as names
      from claimed c),
    ${activity({
      ...place.activity,
      from: 'told',
      id: '($2::uuid[])[told.place]',
      userId: 'told.user_id',
      tenantId: tenantOf(place, 'told'),
      before: `jsonb_build_object('roleIds', told.before)`,
      after: `jsonb_build_object('roleIds', told.after)`,
      details: `jsonb_build_object('added', '[]'::jsonb, 'removed', told.removed, 'names', told.names, 'expired', true)`,
    })}
    select gone.user_id, ${tenantOf(place, 'gone')} as tenant_id, gone.id::text as what from gone`,
    (rows) => rows.length > 0,
  );

/** One activity an entry, as when it is taken away. */
const entries = (place: Place): Statement<ExpiredRow> =>
  audited<ExpiredRow>(
    undefined,
    `${claimed(place, 'permission_id')},
    held as (
      select ${keyOf(place, 'e')}, e.permission_id as id, p.name,
        jsonb_strip_nulls(jsonb_build_object('effect', e.effect, 'expiresAt', e.expires_at, 'reason', e.reason)) as entry
      from ${place.table} e join due on ${same(place, 'e', 'due')} and e.permission_id = due.id
      join nest_auth_permissions p on p.id = e.permission_id),
    ${gone(place, 'permission_id')},
    told as (
      select ${keyOf(place, 'h')}, h.name, h.entry, row_number() over () as place
      from held h join gone g on ${same(place, 'h', 'g')} and h.id = g.id),
    ${activity({
      ...place.activity,
      from: 'told',
      id: '($2::uuid[])[told.place]',
      userId: 'told.user_id',
      tenantId: tenantOf(place, 'told'),
      before: 'told.entry',
      details: `jsonb_build_object('permission', told.name, 'expired', true)`,
    })}
    select told.user_id, ${tenantOf(place, 'told')} as tenant_id, told.name as what from told`,
    (rows) => rows.length > 0,
  );

/** What runs out, by whose it is and what it is. */
export const EXPIRING = {
  userRoles: roles({
    ...OF_TENANT,
    table: 'nest_auth_user_access_roles',
    activity: { type: NestAuthEvents.USER_ACCESS_CHANGED, subjectType: 'user_access' },
  }),
  platformRoles: roles({
    ...OF_PLATFORM,
    table: 'nest_auth_platform_access_roles',
    activity: { type: NestAuthEvents.PLATFORM_ACCESS_CHANGED, subjectType: 'platform_access' },
  }),
  userPermissions: entries({
    ...OF_TENANT,
    table: 'nest_auth_user_access_permissions',
    activity: { type: NestAuthEvents.USER_ACCESS_PERMISSION_CHANGED, subjectType: 'user_access' },
  }),
  platformPermissions: entries({
    ...OF_PLATFORM,
    table: 'nest_auth_platform_access_permissions',
    activity: { type: NestAuthEvents.PLATFORM_ACCESS_PERMISSION_CHANGED, subjectType: 'platform_access' },
  }),
} as const;

/** Removes up to `limit` rows that have run out, in one statement. */
export function removeExpired(
  manager: EntityManager,
  kind: keyof typeof EXPIRING,
  limit: number,
): Promise<ExpiredRow[]> {
  return execute(manager, EXPIRING[kind], [limit, Array.from({ length: limit }, () => uuidv7())]);
}

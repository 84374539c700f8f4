import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, returnsRows, type Statement } from '../transaction/statement.js';
import type { ApiKeyEndReason } from './api-key.types.js';
import { bySide, type KeyHolder, ownerValues, rowOf, type Side, SIDES } from './key-rows.queries.js';

interface EndedRow {
  readonly user_id: string | null;
  readonly service_account_id: string | null;
  readonly tenant_id: string | null;
  readonly ids: string[];
}

/** Which keys to end, why, and under which ids it is told: SQL over the parameters. */
interface Ending {
  readonly which: string;
  readonly reason: string;
  /** Rows of `user_id` and `activity_id`, for keys of several users. @default one owner, and the id of the context */
  readonly asked?: string;
}

/** One activity for each owner tells all of the keys. */
function ending(side: Side, { which, reason, asked }: Ending): Statement<EndedRow> {
  return audited<EndedRow>(
    undefined,
    `with ${asked === undefined ? '' : `asked as (${asked}),`}
    gone as (
      update ${side.table} as k set revoked_at = now(), revoked_reason = ${reason}, previous_hash = null,
        previous_expires_at = null
      where ${which} and k.revoked_at is null
      returning ${rowOf(side)}),
    ended as (
      select user_id, service_account_id, array_agg(id order by id) as ids,
        coalesce((array_agg(distinct tenant_id))[1], ${tenantOfRealm('(array_agg(realm_id))[1]')}) as tenant_id,
        count(distinct tenant_id) as tenants
      from gone group by user_id, service_account_id),
    ${activity({
      type: NestAuthEvents.API_KEY_REVOKED,
      ...(asked === undefined
        ? { from: 'ended' }
        : { from: 'ended join asked on asked.user_id = ended.user_id', id: 'asked.activity_id' }),
      userId: 'ended.user_id',
      // Of keys in several tenants no tenant may read.
      tenantId: 'case when ended.tenants < 2 then ended.tenant_id end',
      subjectType: 'api_key',
      subjectId: 'case when cardinality(ended.ids) = 1 then ended.ids[1] end',
      details: `jsonb_strip_nulls(jsonb_build_object('reason', ${reason}, 'keyIds', to_jsonb(ended.ids),
        'serviceAccountId', ended.service_account_id))`,
    })}
    select user_id, service_account_id, tenant_id, ids from ended`,
    returnsRows,
  );
}

/** What has ended of one owner. */
export interface EndedKeys {
  readonly userId: string | null;
  readonly serviceAccountId: string | null;
  readonly tenantId: string | null;
  readonly keyIds: readonly string[];
}

const toEnded = (row: EndedRow): EndedKeys => ({
  userId: row.user_id,
  serviceAccountId: row.service_account_id,
  tenantId: row.tenant_id,
  keyIds: row.ids,
});

const END = {
  all: bySide((side) => ending(side, { which: side.owned, reason: '$4::text' })),
  one: bySide((side) => ending(side, { which: `${side.owned} and k.id = $5::uuid`, reason: '$4::text' })),
} as const;

/** Ends one key of the owner, or all of them; undefined when there was none to end. */
export async function endKeys(
  manager: EntityManager,
  holder: KeyHolder,
  reason: ApiKeyEndReason,
  id?: string,
): Promise<EndedKeys | undefined> {
  const one = id === undefined ? [] : [id];
  const statement = END[id === undefined ? 'all' : 'one'][holder.kind];
  const [row] = await execute(manager, statement, [...ownerValues(holder), reason, ...one]);
  return row && toEnded(row);
}

/** That for one user names the user, by which a cluster knows the one node it is for. */
const OF_USERS = {
  one: ending(SIDES.user, {
    asked: 'select $1::uuid as user_id, $2::uuid as activity_id',
    which: 'k.user_id = $1::uuid',
    reason: '$3::text',
  }),
  many: ending(SIDES.user, {
    asked: 'select user_id, activity_id from unnest($1::uuid[], $2::uuid[]) as asked (user_id, activity_id)',
    which: 'k.user_id = any($1::uuid[])',
    reason: '$3::text',
  }),
} as const;

export async function endKeysOfUsers(
  manager: EntityManager,
  userIds: readonly string[],
  reason: ApiKeyEndReason,
): Promise<EndedKeys[]> {
  const rows =
    userIds.length === 1
      ? await execute(manager, OF_USERS.one, [userIds[0], uuidv7(), reason])
      : await execute(manager, OF_USERS.many, [userIds, userIds.map(() => uuidv7()), reason]);
  return rows.map(toEnded);
}

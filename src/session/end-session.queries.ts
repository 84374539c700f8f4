import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents, type NestAuthEventName } from '../events/nest-auth.events.js';
import { execute, returnsRows, type Statement } from '../transaction/statement.js';
import type { SessionEndReason } from './session.types.js';

interface EndedRow {
  readonly user_id: string;
  readonly ids: string[];
}

/** Not ended, and not run out by itself. */
const OPEN = `s.revoked_at is null and s.idle_expires_at > now() and s.expires_at > now()`;

/** Ends sessions of one user (`$1`) for a reason (`$2`); one activity tells all of them. */
function ending(type: NestAuthEventName, condition: string): Statement<EndedRow> {
  return audited(
    undefined,
    `with gone as (
        update nest_auth_sessions s set revoked_at = now(), revoked_reason = $2
        where s.user_id = $1 and ${OPEN} ${condition}
        returning s.user_id, s.realm_id, s.tenant_id, s.id),
      ended as (
        select user_id, array_agg(id order by id) as ids,
          coalesce((array_agg(distinct tenant_id))[1], ${tenantOfRealm('(array_agg(realm_id))[1]')}) as tenant_id,
          count(distinct tenant_id) as tenants
        from gone group by user_id),
      ${activity({
        type,
        from: 'ended',
        userId: 'ended.user_id',
        // Of sessions in several tenants no tenant may read.
        tenantId: 'case when ended.tenants < 2 then ended.tenant_id end',
        subjectType: 'session',
        subjectId: 'case when cardinality(ended.ids) = 1 then ended.ids[1] end',
        details: `jsonb_build_object('reason', $2::text, 'sessionIds', to_jsonb(ended.ids))`,
      })}
      select user_id, ids from ended`,
    returnsRows,
  );
}

const { SESSIONS_REVOKED, USER_LOGGED_OUT, REFRESH_TOKEN_REUSED } = NestAuthEvents;

const STATEMENTS = {
  all: ending(SESSIONS_REVOKED, ''),
  one: ending(SESSIONS_REVOKED, 'and s.id = $3'),
  others: ending(SESSIONS_REVOKED, 'and s.id <> $3'),
  ofTenant: ending(SESSIONS_REVOKED, 'and s.tenant_id = $3'),
  signedOut: ending(USER_LOGGED_OUT, 'and s.id = $3'),
  reused: ending(REFRESH_TOKEN_REUSED, 'and s.id = $3'),
} as const;

/** Ids of the sessions that were ended; `id` is that of a session, or of a tenant. */
export async function endSessions(
  manager: EntityManager,
  which: keyof typeof STATEMENTS,
  userId: string,
  reason: SessionEndReason,
  id?: string,
): Promise<string[]> {
  const [row] = await execute(manager, STATEMENTS[which], [userId, reason, ...(id === undefined ? [] : [id])]);
  return row?.ids ?? [];
}

/**
 * For users who leave `ACTIVE`: their sessions end, and so does whatever else bears their stamp. That for one user names
 * the user, by which a cluster knows the one node it is for.
 */
const OF_USERS = {
  one: endingOfUsers('select $1::uuid as id, $2::uuid as activity_id', 'where u.id = $1::uuid', '$1::uuid'),
  many: endingOfUsers(
    'select id, activity_id from unnest($1::uuid[], $2::uuid[]) as asked (id, activity_id)',
    'from asked where u.id = asked.id',
    'any($1::uuid[])',
  ),
} as const;

function endingOfUsers(asked: string, stamped: string, owner: string): Statement<EndedRow> {
  return audited(
    undefined,
    `with asked as (${asked}),
    stamped as (update nest_auth_users u set security_stamp = u.security_stamp + 1 ${stamped}),
    gone as (
      update nest_auth_sessions s set revoked_at = now(), revoked_reason = $3
      where s.user_id = ${owner} and ${OPEN}
      returning s.user_id, s.realm_id, s.id),
    ended as (
      select user_id, array_agg(id order by id) as ids, (array_agg(realm_id))[1] as realm_id from gone group by user_id),
    ${activity({
      type: SESSIONS_REVOKED,
      from: 'ended join asked on asked.id = ended.user_id',
      id: 'asked.activity_id',
      userId: 'ended.user_id',
      tenantId: tenantOfRealm('ended.realm_id'),
      subjectType: 'session',
      subjectId: 'null::uuid',
      details: `jsonb_build_object('reason', $3::text, 'sessionIds', to_jsonb(ended.ids))`,
    })}
    select user_id, ids from ended`,
    returnsRows,
  );
}

export async function endSessionsOfUsers(
  manager: EntityManager,
  userIds: readonly string[],
  reason: SessionEndReason,
): Promise<{ userId: string; sessionIds: string[] }[]> {
  const rows =
    userIds.length === 1
      ? await execute(manager, OF_USERS.one, [userIds[0], uuidv7(), reason])
      : await execute(manager, OF_USERS.many, [userIds, userIds.map(() => uuidv7()), reason]);
  return rows.map((row) => ({ userId: row.user_id, sessionIds: row.ids }));
}

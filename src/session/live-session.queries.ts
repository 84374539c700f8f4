import type { EntityManager } from 'typeorm';
import { toUser, userColumns, type UserRow } from '../account/user.queries.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { execute, type Statement, statement } from '../transaction/statement.js';
import { meetsPolicy } from './second-factor.policy.js';
import { NestAuthSession } from './session.entity.js';
import type { SessionEndReason } from './session.types.js';

/**
 * That the session `s` of the user `u` goes on, by the database's clock. Whatever ended it, the row need not say so: a
 * password that was changed, a user who was away from `ACTIVE` since, an access or a tenant that is suspended, a tenant
 * that demands a second factor by now.
 */
export const LIVE_SESSION = `s.revoked_at is null and s.idle_expires_at > now() and s.expires_at > now()
  and u.status = 'active' and u.deleted_at is null and u.security_stamp = s.security_stamp
  and u.activated_at <= s.created_at
  and (s.tenant_id is null or exists (
    select 1 from nest_auth_user_accesses a where a.user_id = s.user_id and a.tenant_id = s.tenant_id and a.status = 'active'
      and exists (select 1 from nest_auth_tenants t where t.id = a.tenant_id and t.is_active
        and ${meetsPolicy('t.second_factor_policy', 's.second_factor')})))`;

/** What a token is made of. */
export interface IssuingRow {
  readonly session_id: string;
  readonly tenant_id: string | null;
  readonly stamp: number;
  readonly expires_at: Date;
  /** Now, as the database has it. */
  readonly asked_at: Date;
}

const CURRENT = statement<UserRow>(
  'current_user',
  `select ${userColumns('u')} from nest_auth_sessions s join nest_auth_users u on u.id = s.user_id
    where s.user_id = $1 and s.id = $2 and s.tenant_id is not distinct from $3::uuid and s.security_stamp = $4
      and ${LIVE_SESSION}`,
);

/** What an access token says of its session. */
export interface SessionOfToken {
  readonly userId: string;
  readonly sessionId: string;
  readonly tenantId: string | null;
  readonly stamp: number;
}

/** Who is signed in by this session, in this tenant and under this stamp; null when that is over. */
export async function findCurrentUser(manager: EntityManager, session: SessionOfToken): Promise<NestAuthUser | null> {
  const [row] = await execute(manager, CURRENT, [session.userId, session.sessionId, session.tenantId, session.stamp]);
  return row === undefined ? null : toUser(row, manager);
}

const SESSION_END = statement<{ ms: number }>(
  'session_end',
  `select (extract(epoch from least(s.idle_expires_at, s.expires_at) - now()) * 1000)::float8 as ms
    from nest_auth_sessions s join nest_auth_users u on u.id = s.user_id
    where s.user_id = $1 and s.id = $2 and s.tenant_id is not distinct from $3::uuid and s.security_stamp = $4
      and ${LIVE_SESSION}`,
);

/** In how many milliseconds the session ends by itself, if nobody uses it; null when it is over. */
export async function findSessionEnd(manager: EntityManager, session: SessionOfToken): Promise<number | null> {
  const [row] = await execute(manager, SESSION_END, [
    session.userId,
    session.sessionId,
    session.tenantId,
    session.stamp,
  ]);
  return row?.ms ?? null;
}

interface SessionRow {
  readonly id: string;
  readonly user_id: string;
  readonly realm_id: string;
  readonly tenant_id: string | null;
  readonly security_stamp: number;
  readonly created_at: Date;
  readonly last_seen_at: Date;
  readonly idle_expires_at: Date;
  readonly expires_at: Date;
  readonly revoked_at: Date | null;
  readonly revoked_reason: SessionEndReason | null;
  readonly second_factor: string | null;
  readonly ip: string | null;
  readonly user_agent: string | null;
}

/** More than one person has; what is beyond is ended by `revokeAll` all the same. */
const MAX_SESSIONS = 200;

const OF_USER: Statement<SessionRow> = {
  text: `select s.id, s.user_id, s.realm_id, s.tenant_id, s.security_stamp, s.created_at, s.last_seen_at,
      s.idle_expires_at, s.expires_at, s.revoked_at, s.revoked_reason, s.second_factor, host(s.ip) as ip, s.user_agent
    from nest_auth_sessions s join nest_auth_users u on u.id = s.user_id
    where s.user_id = $1 and ${LIVE_SESSION} order by s.last_seen_at desc, s.id desc limit ${MAX_SESSIONS}`,
};

/** The sessions that go on, the one that was used last first. */
export async function listSessions(manager: EntityManager, userId: string): Promise<NestAuthSession[]> {
  const rows = await execute(manager, OF_USER, [userId]);
  return rows.map((row) => toSession(row, manager));
}

function toSession(row: SessionRow, manager: EntityManager): NestAuthSession {
  const session = Object.assign(new NestAuthSession(), {
    id: row.id,
    userId: row.user_id,
    realmId: row.realm_id,
    tenantId: row.tenant_id,
    securityStamp: row.security_stamp,
    createdAt: row.created_at,
    lastSeenAt: row.last_seen_at,
    idleExpiresAt: row.idle_expires_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    revokedReason: row.revoked_reason,
    secondFactor: row.second_factor,
    ip: row.ip,
    userAgent: row.user_agent,
  });
  return rememberOrigin(session, manager);
}

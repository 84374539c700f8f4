import type { EntityManager } from 'typeorm';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, executeOne, type Statement, statement } from '../transaction/statement.js';
import type { SecondFactorPolicy } from '../tenant/tenant.types.js';
import { type IssuingRow, LIVE_SESSION } from './live-session.queries.js';
import { meetsPolicy } from './second-factor.policy.js';
import type { SessionKeyOf } from './session.types.js';

/** The token that is used, and the one that follows. */
export interface Rotation {
  readonly userId: string;
  readonly hash: Buffer;
  readonly seed: Buffer;
  readonly successorHash: Buffer;
  readonly idleSeconds: number;
  /** What is demanded of whoever has access to the platform. */
  readonly platformPolicy: SecondFactorPolicy;
}

/** The moment is always there; the rest only when this call has used the token. */
export type RotationRow = { readonly [Key in keyof IssuingRow]: IssuingRow[Key] | null } & {
  readonly asked_at: Date;
  /** What the tenant that was named demands; null when it is not open to the user, or none was named. */
  readonly demanded: SecondFactorPolicy | null;
};

/** In SQL: that the session `s` has shown what the platform demands (`policy`), of somebody who has access to that. */
const meetsPlatform = (policy: string): string => `(${meetsPolicy(policy, 's.second_factor')} or not exists (
          select 1 from nest_auth_platform_accesses p where p.user_id = $1 and p.status = 'active'))`;

/**
 * Uses a token and makes the next one, or does neither. Of many at once, the one that marks the token as used wins: the
 * others wait for its row, and then it no longer fits.
 */
function rotation(place: string, set: string, condition: string, rest: string): string {
  return `with ${place}
    session as (
      update nest_auth_sessions s set last_seen_at = now(),
        idle_expires_at = least(now() + interval '1 second' * $5::integer, s.expires_at)${set}
      from nest_auth_refresh_tokens t, nest_auth_users u
      where t.user_id = $1 and t.token_hash = $2 and t.used_at is null
        and s.user_id = t.user_id and s.id = t.session_id and u.id = s.user_id and ${LIVE_SESSION} ${condition}
        and ${meetsPlatform('$6::text')}
      returning s.user_id, s.id as session_id, s.tenant_id, s.security_stamp as stamp, s.expires_at),
    spent as (
      update nest_auth_refresh_tokens t set used_at = now(), successor_seed = $3, successor_hash = $4 from session
      where t.user_id = $1 and t.token_hash = $2 and t.used_at is null
      returning t.session_id),
    minted as (
      insert into nest_auth_refresh_tokens (user_id, token_hash, session_id)
      select session.user_id, $4::bytea, session.session_id from session
      join spent on spent.session_id = session.session_id)${rest}`;
}

const ANSWER = `from (values (1)) as one (row)
    left join (session join spent on spent.session_id = session.session_id) on true`;
const isRotated = ([row]: readonly RotationRow[]): boolean => row !== undefined && row.session_id !== null;

const ROTATE = statement<RotationRow>(
  'refresh_session',
  `${rotation('', '', '', '')}
    select now() as asked_at, null as demanded, session.session_id, session.tenant_id, session.stamp, session.expires_at
    ${ANSWER}`,
  isRotated,
);

/** `$7` is the tenant; its access is held, so that nobody ends it meanwhile without ending this session too. */
const SWITCH = audited<RotationRow>(
  'switch_tenant',
  `${rotation(
    `place as (
      select t.second_factor_policy as demanded from nest_auth_user_accesses a
      join nest_auth_tenants t on t.id = a.tenant_id and t.is_active
      where a.user_id = $1 and a.tenant_id = $7 and a.status = 'active' for share of a),`,
    ', tenant_id = $7',
    `and exists (select 1 from place where ${meetsPolicy('place.demanded', 's.second_factor')})`,
    `,
    ${activity({
      type: NestAuthEvents.SESSION_TENANT_SWITCHED,
      from: 'session join spent on spent.session_id = session.session_id',
      userId: 'session.user_id',
      tenantId: 'session.tenant_id',
      subjectType: 'session',
      subjectId: 'session.session_id',
      after: `jsonb_build_object('tenantId', session.tenant_id)`,
    })}`,
  )}
    select now() as asked_at, (select demanded from place) as demanded, session.session_id, session.tenant_id,
      session.stamp, session.expires_at
    ${ANSWER}`,
  isRotated,
);

/** `tenantId` null leaves the session where it is. */
export function rotate(
  manager: EntityManager,
  { userId, hash, seed, successorHash, idleSeconds, platformPolicy }: Rotation,
  tenantId: string | null,
): Promise<RotationRow> {
  const values = [userId, hash, seed, successorHash, idleSeconds, platformPolicy];
  return tenantId === null ? executeOne(manager, ROTATE, values) : executeOne(manager, SWITCH, [...values, tenantId]);
}

/** A token that could not be used. */
export interface SpentTokenRow extends IssuingRow {
  /** Null for one that is not used: then its session is over. */
  readonly successor_seed: Buffer | null;
  readonly successor_hash: Buffer | null;
  readonly live: boolean;
  /** False when the platform demands more than the session has shown. */
  readonly admitted: boolean;
  readonly second_factor: string | null;
  /** It was used so shortly before this call that the answer of then may have been lost. */
  readonly in_window: boolean;
}

const SPENT: Statement<SpentTokenRow> = {
  text: `select t.successor_seed, t.successor_hash, s.id as session_id, s.tenant_id, s.security_stamp as stamp,
      s.expires_at, now() as asked_at, s.second_factor, (${LIVE_SESSION}) as live,
      ${meetsPlatform('$5::text')} as admitted,
      coalesce(t.used_at > $3::timestamptz - interval '1 second' * $4::integer, false) as in_window
    from nest_auth_refresh_tokens t
    join nest_auth_sessions s on s.user_id = t.user_id and s.id = t.session_id
    join nest_auth_users u on u.id = s.user_id
    where t.user_id = $1 and t.token_hash = $2`,
};

/** Judged by when it was asked, and not by how long the answer had to wait; undefined for a token that nobody made. */
export async function findSpentToken(
  manager: EntityManager,
  { userId, hash, platformPolicy }: Pick<Rotation, 'userId' | 'hash' | 'platformPolicy'>,
  askedAt: Date,
  windowSeconds: number,
): Promise<SpentTokenRow | undefined> {
  const [row] = await execute(manager, SPENT, [userId, hash, askedAt, windowSeconds, platformPolicy]);
  return row;
}

const SESSION_OF_TOKEN: Statement<{ session_id: string }> = {
  text: 'select session_id from nest_auth_refresh_tokens where user_id = $1 and token_hash = $2',
};

/** The session that a token is of, used or not; null for a token that nobody made. */
export async function findSessionOfToken(
  manager: EntityManager,
  { userId, hash }: Pick<Rotation, 'userId' | 'hash'>,
): Promise<SessionKeyOf | null> {
  const [row] = await execute(manager, SESSION_OF_TOKEN, [userId, hash]);
  return row === undefined ? null : { userId, sessionId: row.session_id };
}

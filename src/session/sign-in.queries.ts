import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { toUser, userColumns, type UserRow } from '../account/user.queries.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { activity, audited } from '../audit/audited-statement.js';
import { moment } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, executeOne, type Statement, statement } from '../transaction/statement.js';
import type { IssuingRow } from './live-session.queries.js';
import type { SignInRefusal } from './session.types.js';

/** What a password is held against. */
export interface CredentialsRow {
  readonly id: string;
  readonly status: string;
  readonly password_hash: string | null;
  readonly security_stamp: number;
}

const credentials = (provider: 'email' | 'phone'): Statement<CredentialsRow> =>
  statement(
    `credentials_by_${provider}`,
    `select id, status, password_hash, security_stamp from nest_auth_users
      where id = (select user_id from nest_auth_identities
        where provider_id = $2 and provider = '${provider}' and realm_id = $1) and deleted_at is null`,
  );

const CREDENTIALS = { email: credentials('email'), phone: credentials('phone') };

/** By a login of the realm; null when nobody has it. */
export async function findCredentials(
  manager: EntityManager,
  {
    realmId,
    provider,
    login,
  }: { readonly realmId: string; readonly provider: 'email' | 'phone'; readonly login: string },
): Promise<CredentialsRow | null> {
  const [row] = await execute(manager, CREDENTIALS[provider], [realmId, login]);
  return row ?? null;
}

/**
 * Everything that a sign-in leaves, or nothing of it: what was verified before is judged again on the row that is held,
 * so that a password, a status or a membership that was changed meanwhile counts. `$2` is the stamp that belonged to the
 * hash, `$3` the tenant that was named, null for the default one.
 */
const SIGN_IN = audited<UserRow & IssuingRow>(
  'sign_in',
  `with held as (
      select id, realm_id, security_stamp, activated_at, last_login_at from nest_auth_users where id = $1
        and status = 'active' and deleted_at is null and security_stamp = $2 for no key update),
    place as (
      select a.tenant_id from nest_auth_user_accesses a join held on held.id = a.user_id
      where a.user_id = $1 and a.status = 'active'
        and (case when $3::uuid is null then a.is_default else a.tenant_id = $3 end)
        and exists (select 1 from nest_auth_tenants t where t.id = a.tenant_id and t.is_active)
      for share of a),
    allowed as (
      select held.id, held.realm_id, held.security_stamp, held.activated_at, held.last_login_at, place.tenant_id
      from held left join place on true where $3::uuid is null or place.tenant_id is not null),
    entered as (
      update nest_auth_users u set last_login_at = now() from allowed where u.id = allowed.id
      returning ${userColumns('u')}),
    made as (
      insert into nest_auth_sessions (user_id, id, realm_id, tenant_id, security_stamp, created_at, idle_expires_at,
        expires_at, ip, user_agent)
      select allowed.id, $4::uuid, allowed.realm_id, allowed.tenant_id, allowed.security_stamp,
        greatest(now(), allowed.activated_at), now() + interval '1 second' * $6::integer,
        now() + interval '1 second' * $7::integer, $8::inet, $9::text
      from allowed
      returning id as session_id, tenant_id, security_stamp as stamp, expires_at),
    minted as (
      insert into nest_auth_refresh_tokens (user_id, token_hash, session_id)
      select allowed.id, $5::bytea, $4::uuid from allowed),
    ${activity({
      type: NestAuthEvents.USER_LOGGED_IN,
      from: 'entered join allowed on allowed.id = entered.id',
      userId: 'entered.id',
      tenantId: `coalesce(allowed.tenant_id, ${tenantOfRealm('entered.realm_id')})`,
      subjectType: 'user',
      before: `jsonb_build_object('lastLoginAt', ${moment('allowed.last_login_at')})`,
      after: `jsonb_build_object('lastLoginAt', ${moment('entered.last_login_at')})`,
      details: `jsonb_build_object('version', entered.version, 'sessionId', $4::uuid)`,
    })}
    select ${userColumns('entered')}, made.session_id, made.tenant_id, made.stamp, made.expires_at, now() as asked_at
    from entered cross join made`,
  (rows) => rows.length > 0,
);

export interface NewSession {
  readonly userId: string;
  readonly stamp: number;
  readonly tenantId: string | null;
  readonly tokenHash: Buffer;
  readonly idleSeconds: number;
  readonly maxSeconds: number;
  readonly ip: string | null;
  readonly userAgent: string | null;
}

/** Null when what was verified does not hold any more, or the user is no active member of the tenant. */
export async function openSession(
  manager: EntityManager,
  { userId, stamp, tenantId, tokenHash, idleSeconds, maxSeconds, ip, userAgent }: NewSession,
): Promise<{ user: NestAuthUser; issuing: IssuingRow } | null> {
  const idle = Math.min(idleSeconds, maxSeconds);
  const values = [userId, stamp, tenantId, uuidv7(), tokenHash, idle, maxSeconds, ip, userAgent];
  const [row] = await execute(manager, SIGN_IN, values);
  return row === undefined ? null : { user: toUser(row, manager), issuing: row };
}

/** Why stands here alone: the answer to the caller is the same for all. */
const FAILED = audited<{ recorded: boolean }>(
  'sign_in_failed',
  `with ${activity({
    type: NestAuthEvents.USER_LOGIN_FAILED,
    from: '(values (1)) as refused (row)',
    userId: '$1::uuid',
    tenantId: '$2::uuid',
    subjectType: 'user',
    details: `jsonb_build_object('reason', $3::text)`,
  })}
  select true as recorded`,
  ([row]) => row?.recorded === true,
);

export async function writeFailedSignIn(
  manager: EntityManager,
  userId: string | null,
  tenantId: string | null,
  reason: SignInRefusal,
): Promise<void> {
  await executeOne(manager, FAILED, [userId, tenantId, reason]);
}

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
import { BY_TRUSTED_DEVICE, meetsPolicy } from './second-factor.policy.js';
import type { SignInRefusal } from './session.types.js';
import type { SecondFactorPolicy } from '../tenant/tenant.types.js';

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
 * hash, `$3` the tenant that was named, null for the default one, `$10` the second factor that was shown, `$11` the hash
 * of a device's token, `$12` what is demanded of whoever has access to the platform. Where more has to be shown nothing is
 * written, and `demanded` says what the user has: a factor is enabled under another stamp, so that the one who comes in at
 * that very moment is refused by `$2`.
 */
const SIGN_IN = audited<Partial<UserRow & IssuingRow> & DemandRow>(
  'sign_in',
  `with held as (
      select id, realm_id, security_stamp, activated_at, last_login_at from nest_auth_users where id = $1
        and status = 'active' and deleted_at is null and security_stamp = $2 for no key update),
    place as (
      select a.tenant_id, (select t.second_factor_policy from nest_auth_tenants t where t.id = a.tenant_id) as policy
      from nest_auth_user_accesses a join held on held.id = a.user_id
      where a.user_id = $1 and a.status = 'active'
        and (case when $3::uuid is null then a.is_default else a.tenant_id = $3 end)
        and exists (select 1 from nest_auth_tenants t where t.id = a.tenant_id and t.is_active)
      for share of a),
    fit as (
      select held.id, held.realm_id, held.security_stamp, held.activated_at, held.last_login_at, place.tenant_id,
        coalesce(place.policy, 'optional') as policy
      from held left join place on true where $3::uuid is null or place.tenant_id is not null),
    device as (
      select d.token_hash from nest_auth_trusted_devices d join fit on fit.id = d.user_id
      where d.user_id = $1 and d.token_hash = $11::bytea and d.expires_at > now()
        and d.security_stamp = fit.security_stamp),
    shown as (select coalesce($10::text, (select '${BY_TRUSTED_DEVICE}' from device)) as factor),
    enrolled as (
      select coalesce(array_agg(f.kind order by f.kind), '{}') as kinds
      from nest_auth_second_factors f join fit on fit.id = f.user_id
      where f.user_id = $1 and f.enabled_at is not null),
    due as (
      select shown.factor, case when (shown.factor is null and enrolled.kinds <> '{}')
        or not ${meetsPolicy('fit.policy', 'shown.factor')}
        or not (${meetsPolicy('$12::text', 'shown.factor')} or not exists (
          select 1 from nest_auth_platform_accesses p where p.user_id = $1 and p.status = 'active'))
        then enrolled.kinds end as kinds
      from fit cross join shown cross join enrolled),
    allowed as (
      select fit.id, fit.realm_id, fit.security_stamp, fit.activated_at, fit.last_login_at, fit.tenant_id, due.factor
      from fit cross join due where due.kinds is null),
    used as (
      update nest_auth_trusted_devices d set last_used_at = now() from allowed, device
      where d.user_id = $1 and d.token_hash = device.token_hash and allowed.factor = '${BY_TRUSTED_DEVICE}'),
    entered as (
      update nest_auth_users u set last_login_at = now() from allowed where u.id = allowed.id
      returning ${userColumns('u')}),
    made as (
      insert into nest_auth_sessions (user_id, id, realm_id, tenant_id, security_stamp, created_at, idle_expires_at,
        expires_at, ip, user_agent, second_factor)
      select allowed.id, $4::uuid, allowed.realm_id, allowed.tenant_id, allowed.security_stamp,
        greatest(now(), allowed.activated_at), now() + interval '1 second' * $6::integer,
        now() + interval '1 second' * $7::integer, $8::inet, $9::text, allowed.factor
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
      details: `jsonb_build_object('version', entered.version, 'sessionId', $4::uuid)
        || case when allowed.factor is null then '{}' else jsonb_build_object('secondFactor', allowed.factor) end`,
    })}
    select ${userColumns('entered')}, made.session_id, made.tenant_id, made.stamp, made.expires_at, now() as asked_at,
      due.kinds as demanded
    from due left join (entered cross join made) on true where due.kinds is not null or made.session_id is not null`,
  ([row]) => row !== undefined && row.demanded === null,
);

interface DemandRow {
  /** The second factors that the user has, when one has to be shown first; none of them when one is to be enrolled. */
  readonly demanded: readonly string[] | null;
}

export interface NewSession {
  readonly userId: string;
  readonly stamp: number;
  readonly tenantId: string | null;
  readonly tokenHash: Buffer;
  readonly idleSeconds: number;
  readonly maxSeconds: number;
  readonly ip: string | null;
  readonly userAgent: string | null;
  /** The second factor that was shown; null for none. */
  readonly secondFactor: string | null;
  /** Of the token of a device that may be trusted. */
  readonly deviceHash: Buffer | null;
  /** What is demanded of whoever has access to the platform. */
  readonly platformPolicy: SecondFactorPolicy;
}

/** A session that was opened, or what has to be shown first. */
export type SessionOpening =
  | { readonly user: NestAuthUser; readonly issuing: IssuingRow }
  | { readonly demanded: readonly string[] };

/** Null when what was verified does not hold any more, or the user is no active member of the tenant. */
export async function openSession(manager: EntityManager, session: NewSession): Promise<SessionOpening | null> {
  const { userId, stamp, tenantId, tokenHash, idleSeconds, maxSeconds, ip, userAgent } = session;
  const idle = Math.min(idleSeconds, maxSeconds);
  const factors = [session.secondFactor, session.deviceHash, session.platformPolicy];
  const values = [userId, stamp, tenantId, uuidv7(), tokenHash, idle, maxSeconds, ip, userAgent, ...factors];
  const [row] = await execute(manager, SIGN_IN, values);
  if (row === undefined) return null;
  if (row.demanded !== null) return { demanded: row.demanded };
  return { user: toUser(row as UserRow, manager), issuing: row as IssuingRow };
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

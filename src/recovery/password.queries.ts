import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { keepingHash } from '../account/password-history.queries.js';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { toUser, userColumns, type UserRow } from '../account/user.queries.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { LIVE_SESSION } from '../session/live-session.queries.js';
import type { CredentialsRow } from '../session/sign-in.queries.js';
import { execute, returnsRows, type Statement, statement } from '../transaction/statement.js';
import { LIVE_TOKEN, type ShownProof, spendValues } from './one-time-token.queries.js';

/** What is known of somebody, which a new password must not be. */
export interface KnownOfUser {
  readonly email: string | null;
  readonly phone: string | null;
  readonly metadata: Record<string, unknown>;
}

/** What a current password is held against, and what a new one must not be. */
export type OwnCredentialsRow = CredentialsRow & KnownOfUser;

const CREDENTIALS = statement<OwnCredentialsRow>(
  'own_credentials',
  `select id, status, password_hash, security_stamp, email, phone, metadata from nest_auth_users
    where id = $1 and deleted_at is null`,
);

export async function findOwnCredentials(manager: EntityManager, userId: string): Promise<OwnCredentialsRow | null> {
  const [row] = await execute(manager, CREDENTIALS, [userId]);
  return row ?? null;
}

const RECENT: Statement<{ security_stamp: number }> = {
  text: `select u.security_stamp from nest_auth_sessions s join nest_auth_users u on u.id = s.user_id
    where s.user_id = $1 and s.id = $2 and u.password_hash is null and ${LIVE_SESSION}
      and s.created_at > now() - interval '1 second' * $3::integer`,
};

/** The stamp of a user without a password who has signed in within so many seconds; undefined for anybody else. */
export async function findRecentStamp(
  manager: EntityManager,
  { userId, sessionId }: { readonly userId: string; readonly sessionId: string },
  seconds: number,
): Promise<number | undefined> {
  const [row] = await execute(manager, RECENT, [userId, sessionId, seconds]);
  return row?.security_stamp;
}

const PEEK: Statement<KnownOfUser> = {
  text: `select u.email, u.phone, u.metadata from nest_auth_one_time_tokens t join nest_auth_users u on u.id = t.user_id
    where t.user_id = $1 and t.purpose = $2 and t.form = $3 and t.token_hash = any($4::bytea[]) and ${LIVE_TOKEN}`,
};

/** Looks before a password is hashed for nothing, and changes nothing; undefined when the link is not good. */
export async function findLinkHolder(manager: EntityManager, shown: ShownProof): Promise<KnownOfUser | undefined> {
  const [row] = await execute(manager, PEEK, spendValues(shown));
  return row;
}

const CHANGED = `update nest_auth_users u set password_hash = $2, security_stamp = u.security_stamp + 1, version = u.version + 1,
        updated_at = now()
      from held where u.id = held.id and u.id = $1
      returning ${userColumns('u')}, u.security_stamp`;

const AFTER_CHANGE = `kept as (
      update nest_auth_sessions s set security_stamp = changed.security_stamp from changed join held on held.id = changed.id
      where s.user_id = $1 and s.user_id = changed.id and s.id = $4::uuid and s.revoked_at is null
        and s.security_stamp = held.security_stamp),
    ${activity({
      type: NestAuthEvents.USER_UPDATED,
      from: 'changed',
      userId: 'changed.id',
      tenantId: tenantOfRealm('changed.realm_id'),
      subjectType: 'user',
      after: `jsonb_build_object('password', 'changed')`,
      details: `jsonb_build_object('version', changed.version, 'email', changed.email)`,
    })}
    select ${userColumns('changed')} from changed`;

/**
 * The hash is replaced under the stamp that the current password was shown under: of two at once, one. `$4` is the session
 * that goes on, under the new stamp; null for none.
 */
const CHANGE = audited<UserRow>(
  'change_own_password',
  `with held as (
      select id, security_stamp from nest_auth_users
      where id = $1 and deleted_at is null and status = 'active' and security_stamp = $3::integer for no key update),
    changed as (
      ${CHANGED}),
    ${AFTER_CHANGE}`,
  returnsRows,
);

/** As above, and the hash that was there is kept: `$5` is the id of its row, `$6` how many are. */
const CHANGE_AND_KEEP = audited<UserRow>(
  undefined,
  keepingHash({
    held: `select id, security_stamp, realm_id, password_hash from nest_auth_users
      where id = $1 and deleted_at is null and status = 'active' and security_stamp = $3::integer for no key update`,
    changed: CHANGED,
    rest: AFTER_CHANGE,
    id: '$5',
    count: '$6',
  }),
  returnsRows,
);

/** Null when what was shown does not hold any more. `keep` is how many former passwords are remembered. */
export async function changePassword(
  manager: EntityManager,
  wanted: { readonly userId: string; readonly phc: string; readonly stamp: number; readonly session: string | null },
  keep: number,
): Promise<NestAuthUser | null> {
  const values = [wanted.userId, wanted.phc, wanted.stamp, wanted.session];
  const [row] =
    keep === 0
      ? await execute(manager, CHANGE, values)
      : await execute(manager, CHANGE_AND_KEEP, [...values, uuidv7(), keep]);
  return row === undefined ? null : toUser(row, manager);
}

const DROP_ACCOUNTS = audited<{ user_id: string }>(
  undefined,
  `with gone as (
      delete from nest_auth_identities where user_id = $1 and realm_id = $2 and provider not in ('email', 'phone')
      returning user_id, realm_id, provider, provider_id),
    dropped as (
      select user_id, realm_id,
        jsonb_agg(jsonb_build_object('provider', provider, 'providerId', provider_id) order by provider, provider_id) as list
      from gone group by user_id, realm_id),
    ${activity({
      type: NestAuthEvents.USER_UPDATED,
      from: 'dropped',
      userId: 'dropped.user_id',
      tenantId: tenantOfRealm('dropped.realm_id'),
      subjectType: 'user',
      before: `jsonb_build_object('identities', dropped.list)`,
      after: `jsonb_build_object('identities', '[]'::jsonb)`,
      details: `jsonb_build_object('reason', 'linked_before_the_email_was_proven')`,
    })}
    select user_id from dropped`,
  returnsRows,
);

/** Takes every account at a provider away from a user who is held; false when there was none. */
export async function dropAccounts(manager: EntityManager, { id, realmId }: NestAuthUser): Promise<boolean> {
  return (await execute(manager, DROP_ACCOUNTS, [id, realmId])).length > 0;
}

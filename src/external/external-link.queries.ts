import type { EntityManager } from 'typeorm';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { toUser, userColumns, type UserRow } from '../account/user.queries.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { LIVE_SESSION } from '../session/live-session.queries.js';
import type { SessionKeyOf } from '../session/session.types.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';
import type { LinkedIdentity } from './external.types.js';

const IN_SESSION: Statement<UserRow> = {
  text: `select ${userColumns('u')} from nest_auth_sessions s join nest_auth_users u on u.id = s.user_id
    where s.user_id = $1 and s.id = $2 and ${LIVE_SESSION}`,
};

/** The user whose session this is; null when it is over. */
export async function findUserInSession(
  manager: EntityManager,
  { userId, sessionId }: SessionKeyOf,
): Promise<NestAuthUser | null> {
  const [row] = await execute(manager, IN_SESSION, [userId, sessionId]);
  return row === undefined ? null : toUser(row, manager);
}

const LINKED: Statement<{ provider: string; provider_id: string; created_at: Date }> = {
  text: `select provider, provider_id, created_at from nest_auth_identities
    where user_id = $1 and provider not in ('email', 'phone') order by created_at, provider, provider_id`,
};

/** The accounts at providers that a user has, the oldest first. */
export async function findLinkedIdentities(manager: EntityManager, userId: string): Promise<LinkedIdentity[]> {
  const rows = await execute(manager, LINKED, [userId]);
  return rows.map((row) => ({ provider: row.provider, providerId: row.provider_id, createdAt: row.created_at }));
}

const HAS_OTHER_WAY: Statement<{ password: boolean }> = {
  text: `select password_hash is not null and (email is not null or phone is not null) as password
    from nest_auth_users where id = $1`,
};

/** Whether a user can come in by a password. */
export async function hasPasswordLogin(manager: EntityManager, userId: string): Promise<boolean> {
  return (await executeOne(manager, HAS_OTHER_WAY, [userId])).password;
}

const UNLINK = audited<{ provider: string }>(
  undefined,
  `with gone as (
      delete from nest_auth_identities where provider_id = $3 and provider = $2 and realm_id = $4 and user_id = $1
      returning user_id, realm_id, provider, provider_id),
    ${activity({
      type: NestAuthEvents.USER_UPDATED,
      from: 'gone',
      userId: 'gone.user_id',
      tenantId: tenantOfRealm('gone.realm_id'),
      subjectType: 'user',
      before: `jsonb_build_object('identities',
        jsonb_build_array(jsonb_build_object('provider', gone.provider, 'providerId', gone.provider_id)))`,
      after: `jsonb_build_object('identities', '[]'::jsonb)`,
    })}
    select provider from gone`,
  (rows) => rows.length > 0,
);

/** Takes an account away from a user who is held; false when it was not theirs. */
export async function unlinkIdentity(
  manager: EntityManager,
  { id, realmId }: NestAuthUser,
  { provider, providerId }: Pick<LinkedIdentity, 'provider' | 'providerId'>,
): Promise<boolean> {
  return (await execute(manager, UNLINK, [id, provider, providerId, realmId])).length > 0;
}

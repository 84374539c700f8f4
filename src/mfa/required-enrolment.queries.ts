import type { EntityManager } from 'typeorm';
import { execute, returnsRows, type Statement } from '../transaction/statement.js';

// Whatever locks several of them does it in this order: user, challenge, factor, state.

/** Whoever has enabled one has another stamp, and the challenge is over: this is for what else may have happened. */
const HAS_NONE = `not exists (
        select 1 from nest_auth_second_factors f where f.user_id = $1 and f.enabled_at is not null)`;

export interface EnrollingUser {
  readonly email: string | null;
  readonly phone: string | null;
  readonly security_stamp: number;
}

const FIND: Statement<EnrollingUser> = {
  text: `select u.email, u.phone, u.security_stamp
    from nest_auth_second_factor_challenges c join nest_auth_users u on u.id = c.user_id
    where c.user_id = $1 and u.id = $1 and c.token_hash = $2 and c.expires_at > now()
      and c.security_stamp = u.security_stamp and u.status = 'active' and u.deleted_at is null and ${HAS_NONE}`,
};

/** Undefined for a challenge that is unknown or over, or of somebody who has to show a second factor instead. */
export async function findEnrollingUser(
  manager: EntityManager,
  userId: string,
  tokenHash: Buffer,
): Promise<EnrollingUser | undefined> {
  const [row] = await execute(manager, FIND, [userId, tokenHash]);
  return row;
}

const TAKE: Statement<{ user_id: string }> = {
  text: `with held as (
      select id, security_stamp from nest_auth_users
      where id = $1 and status = 'active' and deleted_at is null for no key update),
    gone as (
      delete from nest_auth_second_factor_challenges c using held
      where c.user_id = $1 and c.user_id = held.id and c.token_hash = $2 and c.expires_at > now()
        and c.security_stamp = held.security_stamp and ${HAS_NONE}
      returning c.user_id)
    select user_id from gone`,
  changes: returnsRows,
};

/** Uses up the challenge of somebody who enrols by it, and holds the user; false as {@link findEnrollingUser}. */
export async function takeEnrolment(manager: EntityManager, userId: string, tokenHash: Buffer): Promise<boolean> {
  return (await execute(manager, TAKE, [userId, tokenHash])).length > 0;
}

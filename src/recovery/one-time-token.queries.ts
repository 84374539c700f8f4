import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import type { IssuedOneTimeSecret } from '../secret/one-time-secret.policy.js';
import { execute, executeOne, returnsRows, type Statement, statement } from '../transaction/statement.js';
import type { ProofForm, RecoveryPurpose } from './recovery.types.js';

/** Who may be sent a link or a code, and may use it. */
export const USABLE = `u.deleted_at is null and u.status in ('active', 'pending')`;

/**
 * That the token `t` of the user `u` can be used, by the database's clock at this moment, however long ago the
 * transaction has begun: it proves the address that the user still has, and nobody has changed the password since, nor
 * taken the user away. The address of a change is its own.
 */
export const LIVE_TOKEN = `t.used_at is null and t.expires_at > statement_timestamp() and ${USABLE}
  and (t.security_stamp is null or t.security_stamp = u.security_stamp)
  and t.address = case t.purpose when 'email_verification' then u.email when 'password_reset' then u.email
    when 'phone_verification' then u.phone else t.address end`;

/** What is stored of a token that is made. */
export interface NewToken extends IssuedOneTimeSecret {
  readonly userId: string;
  readonly form: ProofForm;
  readonly seconds: number;
}

export interface IssuedRow {
  readonly id: string;
  readonly expires_at: Date;
}

/** The values of {@link tokenInsert}, `$1` to `$7`. */
export function tokenValues({ userId, form, keyId, salt, hash, seconds }: NewToken): unknown[] {
  return [userId, uuidv7(), form, keyId, salt, hash, seconds];
}

/**
 * Makes the one token of a user for a purpose: an older one is gone by that, used or not. How often codes were guessed
 * today stays known, so that asking for another code does not give other guesses. From a CTE `held` with a row of the
 * user, or without.
 */
export function tokenInsert(purpose: RecoveryPurpose, address: string, stamp: string): string {
  return `insert into nest_auth_one_time_tokens (user_id, purpose, id, form, address, security_stamp, key_id, salt,
      token_hash, expires_at)
    select held.id, '${purpose}', $2::uuid, $3::text, ${address}, ${stamp}, $4::text, $5::bytea, $6::bytea,
      now() + interval '1 second' * $7::integer
    from held
    on conflict (user_id, purpose) do update set id = excluded.id, form = excluded.form, address = excluded.address,
      security_stamp = excluded.security_stamp, key_id = excluded.key_id, salt = excluded.salt,
      token_hash = excluded.token_hash, attempts = 0, created_at = excluded.created_at,
      expires_at = excluded.expires_at, used_at = null
    returning user_id, id, form, expires_at`;
}

/** What somebody shows: the hash of a token, or what a code may be stored as. */
export interface ShownProof {
  readonly userId: string;
  readonly purpose: RecoveryPurpose;
  readonly form: ProofForm;
  readonly hashes: readonly Buffer[];
}

/** As often as a password may be tried on a day (NIST SP 800-63B, 5.2.2), over all codes of the day. */
const MAX_GUESSES = 100;
/** Reckoned with and not asked for by CASE, for the reason that `either` gives. */
const IS_NEW_DAY = `(now() - t.guesses_since >= interval '1 day')`;

const GUESS = statement<{ id: string; matches: boolean }>(
  'guess_one_time_code',
  `update nest_auth_one_time_tokens t set attempts = t.attempts + 1,
      guesses = t.guesses * (not ${IS_NEW_DAY})::integer + 1,
      guesses_since = (array[t.guesses_since, now()])[1 + ${IS_NEW_DAY}::integer]
    from nest_auth_users u
    where t.user_id = $1 and u.id = t.user_id and t.purpose = $2 and t.form = 'code' and ${LIVE_TOKEN}
      and t.attempts < $4::integer and (t.guesses < ${MAX_GUESSES} or ${IS_NEW_DAY})
    returning t.id, t.token_hash = any($3::bytea[]) as matches`,
  returnsRows,
);

/**
 * Counts a guess, and says whether it is right; undefined where there is nothing to guess, or nothing any more. The
 * counter itself decides on the row that it holds, so that many at once are not more than may be.
 */
export async function guessCode(
  manager: EntityManager,
  { userId, purpose, hashes }: ShownProof,
  maxAttempts: number,
): Promise<{ readonly id: string; readonly matches: boolean } | undefined> {
  const [row] = await execute(manager, GUESS, [userId, purpose, hashes, maxAttempts]);
  return row;
}

/** A token that was used up. */
export interface SpentToken {
  readonly id: string;
  readonly address: string;
  /** Whether the user has proven the email before. */
  readonly email_verified: boolean;
}

/**
 * Of many at once one uses it. The user is held first, here as everywhere, and then judged; whoever waited for that
 * finds the token used. Of the guesses at a code the right one is given back, and no other: whoever proves one number
 * has shown nothing about the next, and must not get more guesses at that.
 */
export const SPEND = `held as (
      select id, realm_id, email, phone, status, deleted_at, security_stamp, email_verified_at from nest_auth_users where id = $1
      for no key update),
    spent as (
      update nest_auth_one_time_tokens t set used_at = now(), guesses = greatest(t.guesses - (t.form = 'code')::integer, 0)
      from held u
      where t.user_id = $1 and u.id = t.user_id and t.purpose = $2 and t.form = $3 and t.token_hash = any($4::bytea[])
        and ${LIVE_TOKEN}
      returning t.id, t.user_id, t.address)`;
export const SPENT = `select spent.id, spent.address, held.email_verified_at is not null as email_verified
    from spent cross join held`;

const SPEND_PROOF = statement<SpentToken>('spend_one_time_token', `with ${SPEND} ${SPENT}`, returnsRows);

/** Uses the token up; undefined when there is none like that, or none any more. */
export async function spendToken(manager: EntityManager, shown: ShownProof): Promise<SpentToken | undefined> {
  const [row] = await execute(manager, SPEND_PROOF, spendValues(shown));
  return row;
}

export function spendValues({ userId, purpose, form, hashes }: ShownProof): unknown[] {
  return [userId, purpose, form, hashes];
}

const END_ALL: Statement<{ id: string }> = {
  text: `update nest_auth_one_time_tokens set used_at = now() where user_id = $1 and used_at is null returning id`,
  changes: returnsRows,
};

/** Uses up everything that was asked for in the name of a user who is held. */
export async function endTokens(manager: EntityManager, userId: string): Promise<void> {
  await execute(manager, END_ALL, [userId]);
}

/** A token as whoever sends it needs it. */
export interface TokenToSend {
  readonly purpose: RecoveryPurpose;
  readonly form: ProofForm;
  readonly address: string;
  readonly key_id: string;
  readonly salt: Buffer;
  readonly expires_at: Date;
}

const TO_SEND: Statement<TokenToSend> = {
  text: `select t.purpose, t.form, t.address, t.key_id, t.salt, t.expires_at from nest_auth_one_time_tokens t
    join nest_auth_users u on u.id = t.user_id where t.user_id = $1 and t.id = $2 and ${LIVE_TOKEN}`,
};

/** The token of this issue; null when it was used or replaced, or is no longer good. */
export async function findTokenToSend(
  manager: EntityManager,
  userId: string,
  issueId: string,
): Promise<TokenToSend | null> {
  const [row] = await execute(manager, TO_SEND, [userId, issueId]);
  return row ?? null;
}

/** Expired ones stay for a day: they know how often codes were guessed. */
const REMOVE_EXPIRED: Statement<{ removed: number }> = {
  text: `with gone as (delete from nest_auth_one_time_tokens where expires_at <= now() - interval '1 day' returning user_id)
    select count(*)::integer as removed from gone`,
  changes: ([row]) => row !== undefined && row.removed > 0,
};

export async function removeExpiredTokens(manager: EntityManager): Promise<number> {
  const { removed } = await executeOne(manager, REMOVE_EXPIRED);
  return removed;
}

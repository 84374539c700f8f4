import type { EntityManager } from 'typeorm';
import { execute, type Statement } from '../transaction/statement.js';

/** Users above `after`, up to and with `to`. */
export interface UserRange {
  readonly after: string;
  readonly to: string;
}

/** The user with whom a window of so many sessions ends; undefined for the last window. */
const WINDOW_END: Statement<{ user_id: string }> = {
  text: 'select user_id from nest_auth_sessions where user_id > $1 order by user_id, id offset $2 limit 1',
};

export async function endOfWindow(manager: EntityManager, after: string, size: number): Promise<string | undefined> {
  const [row] = await execute(manager, WINDOW_END, [after, size]);
  return row?.user_id;
}

interface CountRow {
  readonly gone: number;
}

/** One row that says how many are gone. */
const counting = (deletion: string): Statement<CountRow> => ({
  text: `with gone as (${deletion}) select count(*)::integer as gone from gone`,
  changes: ([row]) => row !== undefined && row.gone > 0,
});

/** Their tokens go with them. */
const SESSIONS = counting(`delete from nest_auth_sessions where user_id > $1 and user_id <= $2
  and least(revoked_at, idle_expires_at, expires_at) < now() - interval '1 day' * $3::integer returning id`);

const TOKENS = counting(`delete from nest_auth_refresh_tokens where user_id > $1 and user_id <= $2
  and used_at < now() - interval '1 day' * $3::integer returning session_id`);

const OLD = `since < now() - interval '1 second' * $1::integer`;
const OLD_FAILURE = `${OLD} and now() - last_at > interval '1 second' * wait_seconds`;

// By arrays of keys: how many there are is not known when a plan is made for any limit.
const FAILURES = counting(`delete from nest_auth_sign_in_failures where subject = any(array(
    select subject from nest_auth_sign_in_failures where ${OLD_FAILURE} order by since limit $2)) and ${OLD_FAILURE}
  returning subject`);

const TOTALS = counting(`delete from nest_auth_sign_in_totals where subject = any(array(
    select subject from nest_auth_sign_in_totals where ${OLD} order by since limit $2)) and ${OLD}
  returning subject`);

const EXPIRED = `expire < (extract(epoch from now()) * 1000)::bigint`;

const RATE_LIMITS = counting(`delete from nest_auth_rate_limits where key = any(array(
    select key from nest_auth_rate_limits where ${EXPIRED} order by expire limit $1)) and ${EXPIRED}
  returning key`);

async function countOf(manager: EntityManager, sql: Statement<CountRow>, values: readonly unknown[]): Promise<number> {
  const [row] = await execute(manager, sql, values);
  return row?.gone ?? 0;
}

/** Deletes sessions that ended more than so many days ago. */
export function deleteEndedSessions(manager: EntityManager, { after, to }: UserRange, days: number): Promise<number> {
  return countOf(manager, SESSIONS, [after, to, days]);
}

/** Deletes refresh tokens that were used more than so many days ago. */
export function deleteUsedTokens(manager: EntityManager, { after, to }: UserRange, days: number): Promise<number> {
  return countOf(manager, TOKENS, [after, to, days]);
}

/** Deletes counters of failed sign-ins that count no more: those of at most so many accounts. */
export async function deleteOldFailures(manager: EntityManager, windowSeconds: number, limit: number): Promise<number> {
  const failures = await countOf(manager, FAILURES, [windowSeconds, limit]);
  return failures + (await countOf(manager, TOTALS, [windowSeconds, limit]));
}

/** Deletes counters of rate limits whose time is over: at most so many. */
export function deleteOldRateLimits(manager: EntityManager, limit: number): Promise<number> {
  return countOf(manager, RATE_LIMITS, [limit]);
}

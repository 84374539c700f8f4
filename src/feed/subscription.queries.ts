import type { EntityManager } from 'typeorm';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import { FIRST_POSITION, HORIZON, LAST_ID } from './feed.queries.js';
import type { FeedPosition } from './feed.types.js';

/** Longest error text that is kept. */
export const MAX_ERROR = 1000;

/** What a worker finds when it gets the lease. */
export interface Claim {
  readonly position: FeedPosition;
  /** Failed deliveries of the next event. */
  readonly attempts: number;
  /** Milliseconds until the next attempt is due; 0 or less when it is. */
  readonly waitMs: number;
  /** The lease was written just now, which it is once in a while. */
  readonly prolonged: boolean;
  /** Dead letters wait to be delivered once more. */
  readonly letters: boolean;
}

const REGISTER: Statement<{ name: string }> = {
  text: `insert into nest_auth_subscriptions (name, position_xid, position_id)
    select $1, case $2::boolean when true then 0 else (${HORIZON}) - 1 end,
      case $2::boolean when true then '${FIRST_POSITION.id}'::uuid else '${LAST_ID}'::uuid end
    on conflict (name) do nothing
    returning name`,
  changes: returnsRows,
};

/** Makes the subscription if it is not there. From now on nothing is missed: transactions that run now are behind it. */
export async function register(manager: EntityManager, name: string, fromBeginning: boolean): Promise<void> {
  await execute(manager, REGISTER, [name, fromBeginning]);
}

interface ClaimRow {
  readonly xid: string;
  readonly id: string;
  readonly attempts: number;
  readonly wait_ms: number;
}

const STATE = `position_xid::text as xid, position_id as id, attempts,
      coalesce(extract(epoch from next_attempt_at - now()) * 1000, 0)::double precision as wait_ms`;

/** A look that writes nothing, for the many times when the lease is good for a while or somebody else has it. */
const LOOK: Statement<ClaimRow & { letters: boolean; held: boolean; foreign: boolean }> = {
  text: `select ${STATE}, exists (
        select 1 from nest_auth_dead_letters where subscription = name and (retry_requested or retry_at <= now())) as letters,
      coalesce(lease_owner = $2 and lease_until > now() + $3 * interval '0.5 millisecond', false) as held,
      coalesce(lease_owner <> $2 and lease_until >= now(), false) as foreign
    from nest_auth_subscriptions where name = $1`,
};

const CLAIM: Statement<ClaimRow> = {
  text: `update nest_auth_subscriptions set lease_owner = $2, lease_until = now() + $3 * interval '1 millisecond'
    where name = $1 and (lease_owner = $2 or lease_owner is null or lease_until < now())
    returning ${STATE}`,
  changes: returnsRows,
};

/** Takes or prolongs the lease; null while another worker has it. */
export async function claim(
  manager: EntityManager,
  name: string,
  owner: string,
  leaseMs: number,
): Promise<Claim | null> {
  const [seen] = await execute(manager, LOOK, [name, owner, leaseMs]);
  if (seen?.foreign === true) return null;
  const letters = seen?.letters === true;
  if (seen?.held === true) return toClaim(seen, { letters, prolonged: false });
  const [row] = await execute(manager, CLAIM, [name, owner, leaseMs]);
  return row === undefined ? null : toClaim(row, { letters, prolonged: true });
}

function toClaim(row: ClaimRow, found: Pick<Claim, 'letters' | 'prolonged'>): Claim {
  return { position: { xid: row.xid, id: row.id }, attempts: row.attempts, waitMs: row.wait_ms, ...found };
}

const RENEW: Statement<{ name: string }> = {
  text: `update nest_auth_subscriptions set lease_until = now() + $3 * interval '1 millisecond'
    where name = $1 and lease_owner = $2 returning name`,
  changes: returnsRows,
};

/** False when another worker has taken over, or a replay has begun. */
export async function renew(manager: EntityManager, name: string, owner: string, leaseMs: number): Promise<boolean> {
  return (await execute(manager, RENEW, [name, owner, leaseMs])).length > 0;
}

const RELEASE: Statement<{ name: string }> = {
  text: `update nest_auth_subscriptions set lease_owner = null, lease_until = null
    where name = $1 and lease_owner = $2 returning name`,
  changes: returnsRows,
};

export async function release(manager: EntityManager, name: string, owner: string): Promise<void> {
  await execute(manager, RELEASE, [name, owner]);
}

const ADVANCE: Statement<{ name: string }> = {
  text: `update nest_auth_subscriptions set position_xid = $3::bigint, position_id = $4::uuid, attempts = 0, next_attempt_at = null,
      last_error = null, delivered_at = case when $5::boolean then now() else delivered_at end
    where name = $1 and lease_owner = $2 returning name`,
  changes: returnsRows,
};

/** Moves the subscriber on, unless the lease is lost: then whoever has it delivers again. */
export async function advance(
  manager: EntityManager,
  name: string,
  owner: string,
  { xid, id }: FeedPosition,
  delivered: boolean,
): Promise<boolean> {
  return (await execute(manager, ADVANCE, [name, owner, xid, id, delivered])).length > 0;
}

const FAIL: Statement<{ attempts: number }> = {
  text: `update nest_auth_subscriptions set attempts = attempts + 1, last_error = $3,
      next_attempt_at = now() + $4 * interval '1 millisecond'
    where name = $1 and lease_owner = $2 returning attempts`,
  changes: returnsRows,
};

/** Counts a failed delivery, and says when the next one is due. */
export async function fail(
  manager: EntityManager,
  name: string,
  owner: string,
  error: string,
  delayMs: number,
): Promise<void> {
  await execute(manager, FAIL, [name, owner, error.slice(0, MAX_ERROR), delayMs]);
}

const REWIND: Statement<{ name: string }> = {
  text: `update nest_auth_subscriptions set position_xid = $2::bigint, position_id = $3::uuid, attempts = 0, next_attempt_at = null,
      last_error = null, lease_owner = null, lease_until = null
    where name = $1 returning name`,
  changes: returnsRows,
};

/** Sets the position and takes the lease away: a worker that is just delivering cannot move on from where it was. */
export async function rewind(manager: EntityManager, name: string, { xid, id }: FeedPosition): Promise<boolean> {
  return (await execute(manager, REWIND, [name, xid, id])).length > 0;
}

/** What lies before the position is done with; what a transaction that still runs may come before is not late yet. */
const LAGS: Statement<{ name: string; lag_ms: number; restored: boolean }> = {
  text: `select s.name, coalesce(extract(epoch from now() - next.occurred_at) * 1000, 0)::double precision as lag_ms,
      s.position_xid >= horizon.xid as restored
    from nest_auth_subscriptions s
    cross join (${HORIZON}) as horizon
    left join lateral (
      select a.occurred_at from nest_auth_activities a
      where (a.xid, a.id) > (s.position_xid, s.position_id) and a.xid < horizon.xid
      order by a.xid, a.id limit 1) as next on true
    where s.name = any($1::text[])`,
};

/**
 * Milliseconds that the next entry of the log has been waiting, by subscriber; its type may not even be wanted. Infinite
 * for one whose position lies beyond the log.
 */
export async function lagsOf(manager: EntityManager, names: readonly string[]): Promise<Record<string, number>> {
  const rows = await execute(manager, LAGS, [names]);
  return Object.fromEntries(
    rows.map(({ name, lag_ms: lag, restored }) => [name, restored ? Number.POSITIVE_INFINITY : Math.round(lag)]),
  );
}

/** Not beyond the oldest running transaction: what it has written since is not to be seen yet. */
const BEFORE_TIME: Statement<{ xid: string }> = {
  text: `select (least(min(a.xid), (${HORIZON})) - 1)::text as xid from nest_auth_activities a where a.occurred_at >= $1`,
};

/** The last position before everything that has happened since. */
export async function positionBefore(manager: EntityManager, since: Date): Promise<FeedPosition> {
  const { xid } = await executeOne(manager, BEFORE_TIME, [since]);
  return { xid, id: LAST_ID };
}

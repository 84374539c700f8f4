import type { EntityManager } from 'typeorm';
import { activityColumns, type ActivityRow } from '../audit/activity.queries.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { execute, type Statement } from '../transaction/statement.js';
import type { FeedPosition, IdentityEvent } from './feed.types.js';

/** Follows every id of a transaction. */
export const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/** Before everything. */
export const FIRST_POSITION: FeedPosition = { xid: '0', id: '00000000-0000-0000-0000-000000000000' };

/** The next entries of the log, or a row without one that only tells the horizon. */
type FeedRow = (ActivityRow | { readonly [Key in keyof ActivityRow]: null }) & {
  /** The first transaction that may still be running. */
  readonly horizon: string;
};

/** Rows in the order of their transactions; only of those that are over, and before which none is still running. */
export const HORIZON = 'select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xid';

/**
 * `$1`/`$2` the position, `$3` types or null, `$4` the tenant or null, `$5` the limit.
 *
 * A transaction that began earlier and commits later must not be skipped: nothing is read from the oldest running
 * transaction on. The horizon comes from the snapshot that reads the rows.
 */
const READ: Statement<FeedRow> = {
  text: `select horizon.xid::text as horizon, ${activityColumns('a')}
    from (${HORIZON}) as horizon left join lateral (
      select ${activityColumns('a')} from nest_auth_activities a
      where (a.xid, a.id) > ($1::bigint, $2::uuid) and a.xid < horizon.xid
        and ($3::text[] is null or a.type = any($3)) and ($4::uuid is null or a.tenant_id = $4)
      order by a.xid, a.id limit $5) as a on true
    order by a.xid::bigint, a.id`,
};

/** What is there to read, in order, and the position after it. */
export interface FeedSlice {
  readonly events: readonly { readonly position: FeedPosition; readonly event: IdentityEvent }[];
  /** Nothing that was asked for stands before it: the last event when there may be more, else the horizon. */
  readonly next: FeedPosition;
}

export interface FeedFilter {
  /** Null for all. */
  readonly types: readonly string[] | null;
  readonly tenantId: string | null;
}

export async function readFeed(
  manager: EntityManager,
  after: FeedPosition,
  { types, tenantId }: FeedFilter,
  limit: number,
): Promise<FeedSlice> {
  const rows = await execute(manager, READ, [after.xid, after.id, types, tenantId, limit]);
  const horizon = BigInt(rows[0]?.horizon ?? 0);
  if (BigInt(after.xid) >= horizon) throw logRestored();
  const events = rows.flatMap((row) =>
    row.id === null ? [] : [{ position: { xid: row.xid, id: row.id }, event: toEvent(row) }],
  );
  const last = events.at(-1)?.position ?? after;
  if (events.length === limit) return { events, next: last };
  const seen = { xid: String(horizon - 1n), id: LAST_ID };
  return { events, next: BigInt(seen.xid) < BigInt(last.xid) ? last : seen };
}

const ONE: Statement<ActivityRow> = {
  text: `select ${activityColumns()} from nest_auth_activities where xid = $1::bigint and id = $2::uuid`,
};

/** The event at a position; null when retention has dropped it. */
export async function readEvent(manager: EntityManager, { xid, id }: FeedPosition): Promise<IdentityEvent | null> {
  const [row] = await execute(manager, ONE, [xid, id]);
  return row === undefined ? null : toEvent(row);
}

/** A position is behind the oldest running transaction when it is made, and that one only ever moves on. */
function logRestored(): NestAuthError {
  return new NestAuthError(
    'ACTIVITY_LOG_RESTORED',
    'The position lies beyond the transactions of this server: the log was restored into it, or a replica took over that had not seen them; replay from a time before',
  );
}

function toEvent(row: ActivityRow): IdentityEvent {
  return {
    id: row.id,
    type: row.type,
    occurredAt: row.occurred_at,
    tenantId: row.tenant_id,
    userId: row.user_id,
    subject: { type: row.subject_type, id: row.subject_id },
    actor: {
      type: row.actor_type,
      ...(row.actor_id === null ? {} : { id: row.actor_id }),
      ...(row.impersonator_id === null ? {} : { impersonatorId: row.impersonator_id }),
    },
    before: row.before,
    after: row.after,
    details: row.details,
    requestId: row.request_id,
  };
}

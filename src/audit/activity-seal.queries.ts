import type { EntityManager } from 'typeorm';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import { ACTIVITIES_DROPPED } from './activity-log.types.js';
import type { SealContent } from './activity-seal.policy.js';

/** A seal with its hash. */
export interface Seal extends SealContent {
  readonly hash: string;
}

interface SealRow {
  readonly position: string;
  readonly month: string;
  readonly from_xid: string;
  readonly from_id: string;
  readonly to_xid: string;
  readonly to_id: string;
  readonly activities: number;
  readonly digest: string;
  readonly previous_hash: string | null;
  readonly hash: string;
  readonly is_keyed: boolean;
  readonly sealed_ms: string;
}

const CONTENT = `position, month, from_xid, from_id, to_xid, to_id, activities, digest, previous_hash, hash, is_keyed`;
/** The time as a number: how a date is written is a setting of the session. */
const COLUMNS = `${CONTENT}, (extract(epoch from sealed_at) * 1000)::bigint as sealed_ms`;

function toSeal(row: SealRow): Seal {
  return {
    position: Number(row.position),
    month: row.month,
    fromXid: row.from_xid,
    fromId: row.from_id,
    toXid: row.to_xid,
    toId: row.to_id,
    activities: row.activities,
    digest: row.digest,
    previousHash: row.previous_hash,
    hash: row.hash,
    isKeyed: row.is_keyed,
    sealedAt: new Date(Number(row.sealed_ms)),
  };
}

const LAST: Statement<SealRow> = {
  text: `select ${COLUMNS} from nest_auth_activity_seals order by position desc limit 1`,
};

export async function findLastSeal(manager: EntityManager): Promise<Seal | null> {
  const [row] = await execute(manager, LAST);
  return row === undefined ? null : toSeal(row);
}

const FROM: Statement<SealRow> = {
  text: `select ${COLUMNS} from nest_auth_activity_seals where position >= $1::bigint order by position limit $2`,
};

/** Seals from a position on, in order. */
export async function listSeals(manager: EntityManager, from: number, limit: number): Promise<Seal[]> {
  return (await execute(manager, FROM, [from, limit])).map(toSeal);
}

const INSERT: Statement<{ position: string }> = {
  text: `insert into nest_auth_activity_seals (${CONTENT}, sealed_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    on conflict do nothing
    returning position`,
  changes: returnsRows,
};

/** False when another process has put a seal at this position: then the chain goes on from that one. */
export async function insertSeal(manager: EntityManager, seal: Seal): Promise<boolean> {
  const rows = await execute(manager, INSERT, [
    seal.position,
    seal.month,
    seal.fromXid,
    seal.fromId,
    seal.toXid,
    seal.toId,
    seal.activities,
    seal.digest,
    seal.previousHash,
    seal.hash,
    seal.isKeyed,
    seal.sealedAt.toISOString(),
  ]);
  return rows.length > 0;
}

/**
 * Everything an activity says, as text that depends on no setting of a session: an array of JSON quotes what it holds,
 * `jsonb` has one spelling for one value, and the time is a number of milliseconds.
 */
const CANONICAL = `jsonb_build_array(a.id, (extract(epoch from a.occurred_at) * 1000)::bigint, a.xid, a.type, a.actor_type,
  a.actor_id, a.impersonator_id, a.user_id, a.tenant_id, a.subject_type, a.subject_id, a.before, a.after, a.details,
  a.ip::text, a.user_agent, a.request_id)::text`;

const DIGEST = `sha256(convert_to(${CANONICAL}, 'UTF8'))`;
const DIGEST_OF_ALL = `encode(sha256(string_agg(digest, ''::bytea order by xid, id)), 'hex')`;

/** The activities that follow a position and can be sealed. */
export interface SealableRun {
  readonly activities: number;
  readonly month: string | null;
  readonly from_xid: string | null;
  readonly from_id: string | null;
  readonly to_xid: string | null;
  readonly to_id: string | null;
  readonly digest: string | null;
  readonly now_ms: string;
  /** The first transaction id that this server has not given out yet. */
  readonly next_xid: string;
}

/**
 * `$1`/`$2` the position, `$3` the limit.
 *
 * Only of transactions that are certainly over, before which none is still running: no row can come in between later.
 * All of one month, because a month is dropped as a whole.
 */
const RUN: Statement<SealableRun> = {
  text: `with run as (
      select a.xid, a.id, ${DIGEST} as digest, to_char(a.occurred_at at time zone 'UTC', 'YYYY-MM') as month
      from nest_auth_activities a
      where (a.xid, a.id) > ($1::bigint, $2::uuid)
        and a.xid < (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
      order by a.xid, a.id limit $3),
    compared as (select xid, id, digest, month, first_value(month) over (order by xid, id) as first_month from run),
    counted as (select xid, id, digest, month,
      count(*) filter (where month <> first_month) over (order by xid, id) as foreign_rows from compared)
    select count(*)::integer as activities, min(month) as month,
      (array_agg(xid order by xid, id))[1] as from_xid, (array_agg(id order by xid, id))[1] as from_id,
      (array_agg(xid order by xid desc, id desc))[1] as to_xid, (array_agg(id order by xid desc, id desc))[1] as to_id,
      ${DIGEST_OF_ALL} as digest, (extract(epoch from now()) * 1000)::bigint as now_ms,
      pg_snapshot_xmax(pg_current_snapshot())::text as next_xid
    from counted where foreign_rows = 0`,
};

export function digestNextRun(
  manager: EntityManager,
  after: { readonly xid: string; readonly id: string },
  limit: number,
): Promise<SealableRun> {
  return executeOne(manager, RUN, [after.xid, after.id, limit]);
}

/** `$1`/`$2` the position before, `$3`/`$4` the last one, `$5` the limit. */
const RANGE: Statement<{ activities: number; digest: string | null }> = {
  text: `select count(*)::integer as activities, ${DIGEST_OF_ALL} as digest from (
    select a.xid, a.id, ${DIGEST} as digest from nest_auth_activities a
    where (a.xid, a.id) > ($1::bigint, $2::uuid) and (a.xid, a.id) <= ($3::bigint, $4::uuid)
    order by a.xid, a.id limit $5) as range`,
};

/** What is there now of what a seal stands for; one row more than that tells that some were added. */
export function digestRange(
  manager: EntityManager,
  after: { readonly xid: string; readonly id: string },
  seal: Seal,
): Promise<{ activities: number; digest: string | null }> {
  return executeOne(manager, RANGE, [after.xid, after.id, seal.toXid, seal.toId, seal.activities + 1]);
}

const DROPPED: Statement<{ before: string | null }> = {
  text: `select max(details->>'before') as before from nest_auth_activities where type = '${ACTIVITIES_DROPPED}'`,
};

/** The first month that retention has left standing, as `2026-11`; null when it has never dropped one. */
export async function readDroppedBefore(manager: EntityManager): Promise<string | null> {
  const { before } = await executeOne(manager, DROPPED);
  return before?.slice(0, 'YYYY-MM'.length) ?? null;
}

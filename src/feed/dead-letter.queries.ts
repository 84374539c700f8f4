import type { EntityManager } from 'typeorm';
import { execute, returnsRows, type Statement } from '../transaction/statement.js';
import type { FeedPosition } from './feed.types.js';
import { MAX_ERROR } from './subscription.queries.js';

const BURY: Statement<{ activity_id: string }> = {
  text: `with moved as (
      update nest_auth_subscriptions set position_xid = $3::bigint, position_id = $4::uuid, attempts = 0, next_attempt_at = null, last_error = $6
      where name = $1 and lease_owner = $2 returning name)
    insert into nest_auth_dead_letters (subscription, activity_id, xid, type, attempts, error, retry_at)
    select name, $4::uuid, $3::bigint, $5, $7, $6, now() + $8::double precision * interval '1 millisecond' from moved
    on conflict (subscription, activity_id) do update
      set attempts = excluded.attempts, error = excluded.error, died_at = now(), retry_at = excluded.retry_at
    returning activity_id`,
  changes: returnsRows,
};

/** Gives an event up, or sets it aside for `retryMs`: it becomes a dead letter, and the next one follows. */
export async function bury(
  manager: EntityManager,
  name: string,
  owner: string,
  { position, type, attempts, error, retryMs }: Burial,
): Promise<void> {
  const { xid, id } = position;
  await execute(manager, BURY, [name, owner, xid, id, type, error.slice(0, MAX_ERROR), attempts, retryMs]);
}

interface Burial {
  readonly position: FeedPosition;
  readonly type: string;
  readonly attempts: number;
  readonly error: string;
  readonly retryMs: number | null;
}

/** A dead letter that is due. */
export interface Letter {
  readonly xid: string;
  readonly id: string;
  readonly type: string;
  readonly attempts: number;
  /** It was set aside, and not given up. */
  readonly aside: boolean;
}

const DUE: Statement<Letter> = {
  text: `select xid::text as xid, activity_id as id, type, attempts, retry_at is not null as aside from nest_auth_dead_letters
    where subscription = $1 and (retry_requested or retry_at <= now()) order by xid, activity_id limit $2`,
};

/** Dead letters that are to be delivered once more, because somebody has asked for it or their time has come. */
export function dueLetters(manager: EntityManager, name: string, limit: number): Promise<Letter[]> {
  return execute(manager, DUE, [name, limit]);
}

const SETTLE: Statement<{ activity_id: string }> = {
  text: `with owner as (select name from nest_auth_subscriptions where name = $1 and lease_owner = $2 for key share)
    delete from nest_auth_dead_letters using owner where subscription = owner.name and activity_id = $3
    returning activity_id`,
  changes: returnsRows,
};

/** Removes a dead letter that was delivered; false when the lease is lost. */
export async function settleLetter(manager: EntityManager, name: string, owner: string, id: string): Promise<boolean> {
  return (await execute(manager, SETTLE, [name, owner, id])).length > 0;
}

const RETURN: Statement<{ activity_id: string }> = {
  text: `update nest_auth_dead_letters set attempts = attempts + 1, error = $3, retry_requested = false,
      retry_at = now() + $4::double precision * interval '1 millisecond'
    where subscription = $1 and activity_id = $2 returning activity_id`,
  changes: returnsRows,
};

/** Leaves a dead letter that could not be delivered this time either: for good, or for `retryMs`. */
export async function returnLetter(
  manager: EntityManager,
  name: string,
  id: string,
  { error, retryMs }: Pick<Burial, 'error' | 'retryMs'>,
): Promise<void> {
  await execute(manager, RETURN, [name, id, error.slice(0, MAX_ERROR), retryMs]);
}

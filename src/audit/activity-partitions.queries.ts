import type { EntityManager } from 'typeorm';
import { execute, executeOne, type Statement } from '../transaction/statement.js';
import type { ActivityPartition } from './activity-partitions.types.js';

const TABLE = 'nest_auth_activities';

interface PartitionRow {
  /** As SQL names it, quoted where it must be. */
  readonly name: string;
  readonly is_default: boolean;
  readonly starts: Date | null;
  readonly ends: Date | null;
}

const LIST: Statement<PartitionRow> = {
  text: `select i.inhrelid::regclass::text as name, bound = 'DEFAULT' as is_default,
      (regexp_match(bound, 'FROM \\(''([^'']+)''\\)'))[1]::timestamptz as starts,
      (regexp_match(bound, 'TO \\(''([^'']+)''\\)'))[1]::timestamptz as ends
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    cross join lateral pg_get_expr(c.relpartbound, c.oid) as bound
    where i.inhparent = to_regclass('${TABLE}') and not i.inhdetachpending
    order by starts`,
};

export interface Partitions {
  readonly months: readonly ActivityPartition[];
  readonly defaultName: string | null;
}

export async function listPartitions(manager: EntityManager): Promise<Partitions> {
  const rows = await execute(manager, LIST);
  return {
    months: rows.flatMap(({ name, starts: from, ends: to }) =>
      from === null || to === null ? [] : [{ name, from, to }],
    ),
    defaultName: rows.find((row) => row.is_default)?.name ?? null,
  };
}

/**
 * Lets one process at a time look after the partitions, to the end of the transaction: a comment takes the lock
 * (SHARE UPDATE EXCLUSIVE) for which neither readers nor writers wait, and that waits for none of them.
 */
export async function claimPartitions(manager: EntityManager): Promise<void> {
  await execute(manager, {
    text: `comment on table ${TABLE} is 'append-only; maintainPartitions() of nest-auth-identity looks after the partitions'`,
  });
}

/** Returns what was set before. */
export async function setLockTimeout(manager: EntityManager, value: string): Promise<string> {
  const { before } = await executeOne<{ before: string }>(
    manager,
    { text: `select current_setting('lock_timeout') as before, set_config('lock_timeout', $1, true)` },
    [value],
  );
  return before;
}

/** The span of what the default partition holds; null when that is nothing. */
export async function spanOfDefault(
  manager: EntityManager,
  defaultName: string,
): Promise<{ first: Date; last: Date } | null> {
  const { first, last } = await executeOne<{ first: Date | null; last: Date | null }>(manager, {
    text: `select min(occurred_at) as first, max(occurred_at) as last from ${defaultName}`,
  });
  return first === null || last === null ? null : { first, last };
}

/** A partition without a bound is the default one. */
export interface NewPartition extends Partial<Pick<ActivityPartition, 'from' | 'to'>> {
  readonly name: string;
  /** Whether a table that is named directly, past the policies of the whole, is to show nothing. */
  readonly isProtected: boolean;
}

/**
 * Made beside the log and then attached: a lock of the whole table, which everybody would wait for, is not needed. The
 * indexes and the trigger for rows come with the attachment.
 */
export async function createPartition(manager: EntityManager, partition: NewPartition): Promise<void> {
  const { name, isProtected } = partition;
  await define(manager, `create table ${name} (like ${TABLE} including defaults including constraints)`);
  await define(
    manager,
    `create trigger nest_auth_activities_keep before truncate on ${name}
      for each statement execute function nest_auth_refuse_change()`,
  );
  if (isProtected) await define(manager, `alter table ${name} enable row level security`);
  await attachPartition(manager, partition);
}

export async function attachPartition(manager: EntityManager, { name, from, to }: NewPartition): Promise<void> {
  const bound =
    from === undefined || to === undefined
      ? 'default'
      : `for values from ('${from.toISOString()}') to ('${to.toISOString()}')`;
  await define(manager, `alter table ${TABLE} attach partition ${name} ${bound}`);
}

/** Takes the default partition out, under another name. */
export async function detachDefault(manager: EntityManager, defaultName: string, name: string): Promise<void> {
  await define(manager, `alter table ${TABLE} detach partition ${defaultName}`);
  await define(manager, `alter table ${defaultName} rename to ${name}`);
}

export async function dropPartition(manager: EntityManager, name: string): Promise<void> {
  await define(manager, `drop table ${name}`);
}

/** Whether everything in it is sealed, or nothing at all is, because nobody seals. */
export async function isSealed(manager: EntityManager, name: string): Promise<boolean> {
  const { sealed } = await executeOne<{ sealed: boolean }>(manager, {
    text: `select not exists (
      select 1 from ${name} a, (
        select to_xid, to_id from nest_auth_activity_seals order by position desc limit 1) as head
      where (a.xid, a.id) > (head.to_xid, head.to_id)) as sealed`,
  });
  return sealed;
}

async function define(manager: EntityManager, text: string): Promise<void> {
  await execute(manager, { text, changes: () => true });
}

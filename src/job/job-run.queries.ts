import type { EntityManager } from 'typeorm';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import type { JobCounts, JobRunRecord, JobStatusEnum } from './job.types.js';

/** Longest error text that is kept. */
const MAX_ERROR = 1000;

/** Which run is meant. */
export interface RunKey {
  readonly job: string;
  readonly slot: Date;
}

/** A run that this process may work on. */
export interface ClaimedRun {
  readonly takeovers: number;
  /** What the processes before have counted. */
  readonly counts: JobCounts;
}

const NOW: Statement<{ now: Date }> = { text: 'select now() as now' };

/** The time by which slots are judged: that of the database, which all processes share. */
export async function databaseTime(manager: EntityManager): Promise<Date> {
  return (await executeOne(manager, NOW)).now;
}

/**
 * Takes a slot that nobody has taken, or a run whose process is gone. `$6` only if the job is known by an earlier slot:
 * otherwise the slot is noted as skipped, so that the next one is the first to run.
 */
const CLAIM: Statement<{ status: JobStatusEnum; takeovers: number; counts: Record<string, number> }> = {
  text: `insert into nest_auth_job_runs (job, slot, status, started_by, started_at, finished_at, lease_owner, lease_until)
    select $1, $2::timestamptz, case when seen.known then 'running' else 'skipped' end, $3, now(),
      case when seen.known then null else now() end,
      case when seen.known then $4::uuid end, case when seen.known then now() + $5 * interval '1 millisecond' end
    from (select not $6::boolean or exists (select 1 from nest_auth_job_runs where job = $1) as known) as seen
    on conflict (job, slot) do update
      set lease_owner = excluded.lease_owner, lease_until = now() + $5 * interval '1 millisecond',
        takeovers = nest_auth_job_runs.takeovers + 1
      where nest_auth_job_runs.status = 'running' and nest_auth_job_runs.lease_until < now()
    returning status, takeovers, counts`,
  changes: returnsRows,
};

export async function claimRun(
  manager: EntityManager,
  { job, slot }: RunKey,
  by: { readonly startedBy: string; readonly owner: string; readonly leaseMs: number; readonly onlyIfKnown: boolean },
): Promise<ClaimedRun | null> {
  const [row] = await execute(manager, CLAIM, [job, slot, by.startedBy, by.owner, by.leaseMs, by.onlyIfKnown]);
  return row === undefined || row.status !== 'running' ? null : { takeovers: row.takeovers, counts: row.counts };
}

/** Only while this process has the run: another one may have taken it over. */
const MINE = `where job = $1 and slot = $2 and lease_owner = $3 and status = 'running' returning job`;

const BEAT: Statement<{ job: string }> = {
  text: `update nest_auth_job_runs set lease_until = now() + $4 * interval '1 millisecond', counts = $5::jsonb
    ${MINE}`,
  changes: returnsRows,
};

/** Prolongs the lease and writes the counts down; false when another process has taken over. */
export async function beat(
  manager: EntityManager,
  { job, slot }: RunKey,
  owner: string,
  leaseMs: number,
  counts: JobCounts,
): Promise<boolean> {
  return (await execute(manager, BEAT, [job, slot, owner, leaseMs, JSON.stringify(counts)])).length > 0;
}

const END: Statement<{ job: string }> = {
  text: `update nest_auth_job_runs set status = $4, finished_at = now(), lease_owner = null, lease_until = null,
      counts = $5::jsonb, error = $6
    ${MINE}`,
  changes: returnsRows,
};

/** Ends the run; does nothing when another process has taken over. */
export async function endRun(
  manager: EntityManager,
  { job, slot }: RunKey,
  owner: string,
  counts: JobCounts,
  error: string | null,
): Promise<void> {
  const status = error === null ? 'succeeded' : 'failed';
  await execute(manager, END, [job, slot, owner, status, JSON.stringify(counts), error?.slice(0, MAX_ERROR) ?? null]);
}

const LEAVE: Statement<{ job: string }> = {
  text: `update nest_auth_job_runs set lease_until = now() - interval '1 millisecond', counts = $4::jsonb
    ${MINE}`,
  changes: returnsRows,
};

/** Leaves a run half done, for another process to go on with at once. */
export async function leaveRun(
  manager: EntityManager,
  { job, slot }: RunKey,
  owner: string,
  counts: JobCounts,
): Promise<void> {
  await execute(manager, LEAVE, [job, slot, owner, JSON.stringify(counts)]);
}

interface RunRow {
  readonly job: string;
  readonly slot: Date;
  readonly status: JobStatusEnum;
  readonly started_by: string;
  readonly started_at: Date;
  readonly finished_at: Date | null;
  readonly duration_ms: number;
  readonly is_alive: boolean;
  readonly takeovers: number;
  readonly counts: Record<string, number>;
  readonly error: string | null;
}

const COLUMNS = `job, slot, status, started_by, started_at, finished_at,
  (extract(epoch from coalesce(finished_at, now()) - started_at) * 1000)::double precision as duration_ms,
  coalesce(lease_until > now(), false) as is_alive, takeovers, counts, error`;

/** Planned with the values at hand, so that a condition left out costs nothing. */
const LIST: Statement<RunRow> = {
  text: `select ${COLUMNS} from nest_auth_job_runs
    where ($1::text is null or job = $1) and ($2::text is null or status = $2) and ($3::timestamptz is null or slot < $3)
    order by slot desc, job limit $4`,
};

export async function listRuns(
  manager: EntityManager,
  filter: { readonly job: string | null; readonly status: JobStatusEnum | null; readonly before: Date | null },
  limit: number,
): Promise<JobRunRecord[]> {
  const rows = await execute(manager, LIST, [filter.job, filter.status, filter.before, limit]);
  return rows.map((row) => ({
    job: row.job,
    slot: row.slot,
    status: row.status,
    startedBy: row.started_by,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    durationMs: row.duration_ms,
    isAlive: row.is_alive,
    takeovers: row.takeovers,
    counts: row.counts,
    error: row.error,
  }));
}

const LAST_RUNS: Statement<{ job: string; slot: Date; status: JobStatusEnum; succeeded_at: Date | null }> = {
  text: `select last.job, last.slot, last.status, (
      select max(good.finished_at) from nest_auth_job_runs good where good.job = last.job and good.status = 'succeeded') as succeeded_at
    from unnest($1::text[]) as wanted (job) cross join lateral (
      select r.job, r.slot, r.status from nest_auth_job_runs r where r.job = wanted.job order by r.slot desc limit 1) as last`,
};

/** The newest run of each job, and when one has last succeeded. */
export async function lastRuns(
  manager: EntityManager,
  jobs: readonly string[],
): Promise<{ job: string; slot: Date; status: JobStatusEnum; succeededAt: Date | null }[]> {
  const rows = await execute(manager, LAST_RUNS, [jobs]);
  return rows.map(({ job, slot, status, succeeded_at: succeededAt }) => ({ job, slot, status, succeededAt }));
}

const UNFINISHED: Statement<{ slot: Date }> = {
  text: `select slot from nest_auth_job_runs where job = $1 and status = 'running' and lease_until < now() order by slot limit 10`,
};

/** Slots of runs whose process is gone. */
export async function abandonedSlots(manager: EntityManager, job: string): Promise<Date[]> {
  return (await execute(manager, UNFINISHED, [job])).map(({ slot }) => slot);
}

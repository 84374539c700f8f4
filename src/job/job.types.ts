/** Things a job has counted, such as `{ processed: 812, skipped: 3, failed: 0 }`. */
export type JobCounts = Readonly<Record<string, number>>;

/** What a running job gets. */
export interface JobRun {
  /** The moment the run stands for, by the database's clock; the same however late it runs. */
  readonly slot: Date;
  /** How often it was taken over from a process that had died. The job goes on where that one was. */
  readonly takeovers: number;
  /** Aborted when the application stops or the run was taken over: come to an end after the current step. */
  readonly signal: AbortSignal;
  /** Tells how far the run is; written down with the next heartbeat. What an earlier process has counted is added. */
  readonly progress: (counts: JobCounts) => void;
}

/** Something to be done once a slot. It must be able to go on from what a killed run has left. */
export interface Job {
  /** Names its runs. Lower-case letters, digits, `-`, `_` and `.`. */
  readonly name: string;
  run(run: JobRun): Promise<JobCounts | undefined | void>;
}

export const JobStatusEnum = {
  RUNNING: 'running',
  SUCCEEDED: 'succeeded',
  FAILED: 'failed',
  /** The slot that was current when the job was first seen. */
  SKIPPED: 'skipped',
} as const;

export type JobStatusEnum = (typeof JobStatusEnum)[keyof typeof JobStatusEnum];

/** One run, as the history tells it. */
export interface JobRunRecord {
  readonly job: string;
  readonly slot: Date;
  readonly status: JobStatusEnum;
  /** Host and process, or who asked for it. */
  readonly startedBy: string;
  readonly startedAt: Date;
  /** Null while it runs. */
  readonly finishedAt: Date | null;
  /** Milliseconds; up to now while it runs. */
  readonly durationMs: number;
  /** A process works on it; a run without one is taken over by the next that looks. */
  readonly isAlive: boolean;
  readonly takeovers: number;
  readonly counts: JobCounts;
  readonly error: string | null;
}

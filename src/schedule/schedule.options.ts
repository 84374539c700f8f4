import type { JobTiming } from './slots.policy.js';

/** When one of the package's jobs runs, or that it does not. */
export interface JobSchedule extends Partial<JobTiming> {
  readonly enabled?: boolean;
}

/** Settings of `NestAuthScheduleModule`. */
export interface NestAuthScheduleOptions {
  /** For all jobs that have none of their own. @default 'UTC' */
  readonly timeZone?: string;
  /** Milliseconds after which a process that has died is taken over. @default 60000 */
  readonly leaseMs?: number;
  /** Milliseconds between two looks for missed slots and abandoned runs. @default 60000 */
  readonly tickMs?: number;
  /** Whether this process runs the package's own jobs. @default true */
  readonly enabled?: boolean;
  /** The package's own jobs, by name; what is left out keeps its default. See docs/scheduler.md for the table. */
  readonly jobs?: Readonly<Partial<Record<OwnJobName, JobSchedule>>>;
  /** Whole months of activities to keep, for `maintain-activities`. @default all are kept */
  readonly activityRetentionMonths?: number;
}

/** The package's own jobs and when they run unless told otherwise. Those that take something away are off. */
export const OWN_JOBS = {
  'deactivate-inactive-users': { cron: '0 10 * * *', enabled: true },
  'disable-deactivated-users': { cron: '10 10 * * *', enabled: false },
  'soft-delete-disabled-users': { cron: '20 10 * * *', enabled: false },
  'schedule-soft-deleted-users-for-deletion': { cron: '30 10 * * *', enabled: false },
  'delete-scheduled-users': { cron: '40 10 * * *', enabled: false },
  'seal-activities': { cron: '*/5 * * * *', enabled: true },
  'maintain-activities': { cron: '50 3 * * *', enabled: true },
  'purge-expired-grants': { cron: '10 4 * * *', enabled: true },
  'purge-ended-sessions': { cron: '20 4 * * *', enabled: true },
  'remove-expired-external-flows': { cron: '30 4 * * *', enabled: true },
  'remove-expired-second-factors': { cron: '50 4 * * *', enabled: true },
  'rotate-secrets': { cron: '0 5 * * *', enabled: true },
  'remove-expired-one-time-tokens': { cron: '10 5 * * *', enabled: true },
  'remove-expired-invitations': { cron: '40 4 * * *', enabled: true },
} as const satisfies Record<string, { readonly cron: string; readonly enabled: boolean }>;

export type OwnJobName = keyof typeof OWN_JOBS;

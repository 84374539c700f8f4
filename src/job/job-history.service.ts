import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { type JobRunRecord, JobStatusEnum } from './job.types.js';
import { listRuns } from './job-run.queries.js';

export interface JobRunsOptions {
  /** Name of the job. */
  readonly job?: string;
  readonly status?: JobStatusEnum;
  /** Only runs of earlier slots: the `slot` of the last one of the page before. */
  readonly before?: Date;
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
}

const MAX_LIMIT = 1000;
const STATUSES: readonly unknown[] = Object.values(JobStatusEnum);

/** What the scheduled jobs have done, on all processes. */
@Injectable()
export class JobHistoryService {
  constructor(private readonly transactions: TransactionHost) {}

  /**
   * The runs of jobs, newest slot first: when, by whom, how long, what they counted, and why they failed.
   *
   * Transaction: one statement; with row-level security it needs `withoutTenant`. Errors: `VALIDATION_FAILED`.
   */
  async getRuns(options: JobRunsOptions = {}, manager?: EntityManager): Promise<JobRunRecord[]> {
    const issues = new InputIssues();
    issues.fields(options, ['job', 'status', 'before', 'limit']);
    const { job, status, before, limit = 100 } = options;
    if (job !== undefined) issues.text('job', job, { max: 100 });
    if (status !== undefined && !STATUSES.includes(status))
      issues.add('status', `must be one of ${STATUSES.join(', ')}`);
    if (before !== undefined && !(before instanceof Date && !Number.isNaN(before.getTime()))) {
      issues.add('before', 'must be a valid Date');
    }
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
      issues.add('limit', `must be a whole number, 1 to ${MAX_LIMIT}`);
    }
    issues.refuse('The runs cannot be read');
    const filter = { job: job ?? null, status: status ?? null, before: before ?? null };
    return this.transactions.operate(manager, (m) => listRuns(m, filter, limit));
  }
}

import { AsyncResource } from 'node:async_hooks';
import type { Readable } from 'node:stream';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { TransactionHost } from '../transaction/transaction-host.js';
import { checkActivityFilter, checkExport } from './activity-input.policy.js';
import type {
  ActivityFilter,
  ActivityPage,
  ActivityPageOptions,
  ExportActivitiesOptions,
  LogActivityInput,
} from './activity-log.types.js';
import { PartitionMaintenance } from './activity-partitions.operations.js';
import type { MaintainPartitionsOptions, MaintainPartitionsResult } from './activity-partitions.types.js';
import { sealActivities } from './activity-seal.operations.js';
import type {
  SealActivitiesOptions,
  SealActivitiesResult,
  VerifyActivitiesOptions,
  VerifyActivitiesResult,
} from './activity-seal.types.js';
import { verifyActivities } from './activity-verify.operations.js';
import type { NestAuthActivity } from './activity.entity.js';
import { exportStream, findActivities, logActivity } from './activity.operations.js';
import { type ActivityWindow, listActivities, readMoment } from './activity.queries.js';
import { AuditSettings } from './audit.settings.js';

/**
 * The activity log: add to it, ask it, export it, seal it, keep it small.
 *
 * What the package itself does is written by the statement that does it. The log is append-only: the database refuses
 * to change or delete a row. Every method runs on the `manager` passed, else in the running transaction, else by itself.
 */
@Injectable()
export class ActivityService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly settings: AuditSettings,
  ) {}

  /**
   * Writes an activity of the host's own; by whom and through which request is taken from `IdentityContext`.
   *
   * Transaction: one statement; rolled back with the caller's. Not idempotent: each call is one row.
   * Errors: `VALIDATION_FAILED`, also for a name under `nest_auth.` that is not one of `UserActivityTypeEnum`.
   */
  logActivity(input: LogActivityInput, manager?: EntityManager): Promise<NestAuthActivity> {
    return this.transactions.operate(manager, (m) => logActivity(m, input));
  }

  /**
   * Activities that meet all conditions, newest first: 50, or `limit`, at most 500, and the cursor of the next page.
   * Every page costs the same, however far.
   *
   * One statement, at the primary; with `replica: true` at a replica, unless a transaction is running or `manager` is
   * passed. Looks at no tenant but the one of the filter, or of row-level security. Errors: `VALIDATION_FAILED`.
   */
  findActivities(
    filter: ActivityFilter = {},
    page: ActivityPageOptions = {},
    manager?: EntityManager,
  ): Promise<ActivityPage> {
    return this.transactions.browse(page, manager, (m) => findActivities(m, filter, page));
  }

  /**
   * The activities that meet all conditions, newest first, as a stream of text: what was committed when it was called,
   * and nothing later.
   *
   * Read page by page as the stream is taken, one statement each: no transaction stays open, no connection is held, and
   * memory does not grow with the result. With a `manager`, or inside a transaction, it must be taken before that ends.
   * Errors: `VALIDATION_FAILED`; what fails later destroys the stream with the error.
   */
  async exportActivities(
    filter: ActivityFilter,
    options: ExportActivitiesOptions,
    manager?: EntityManager,
  ): Promise<Readable> {
    checkActivityFilter(filter);
    checkExport(options);
    const pinned = this.transactions.pin(manager);
    const asOf = await this.transactions.operate(pinned, readMoment);
    // Whoever takes the stream may do so elsewhere: the tenant stays that of this call.
    const read = AsyncResource.bind((after: ActivityWindow['after'], limit: number) =>
      this.transactions.operate(pinned, (m) => listActivities(m, filter, { limit, after, asOf })),
    );
    return exportStream((after, limit) => read(after, limit), options);
  }

  /**
   * Goes on with the chain: seals the activities of transactions that are over and not sealed yet.
   *
   * Transaction: two statements a seal, each by itself; to be called by a job, not inside a transaction. Safe at any
   * time in any number of processes; after a kill the next call goes on. With row-level security inside `withoutTenant`.
   * Errors: `VALIDATION_FAILED`, `ROW_SECURITY_REFUSED`, `ACTIVITY_LOG_RESTORED`, `INVALID_OPTIONS` when the chain has a
   * key and the application none.
   */
  sealActivities(options: SealActivitiesOptions = {}, manager?: EntityManager): Promise<SealActivitiesResult> {
    return this.transactions.operate(manager, (m) => sealActivities(m, options, this.settings.sealKeys));
  }

  /**
   * Computes the chain again and says where it does not hold: changed, missing or added activities or seals.
   *
   * Reads everything that is sealed, a seal at a time, one statement each. Resolves also when something is wrong: look
   * at `isIntact`. With row-level security inside `withoutTenant`.
   * Errors: `VALIDATION_FAILED`, `ROW_SECURITY_REFUSED`, `INVALID_OPTIONS` when the chain has a key and the application none.
   */
  verifyActivities(options: VerifyActivitiesOptions = {}, manager?: EntityManager): Promise<VerifyActivitiesResult> {
    return this.transactions.operate(manager, (m) => verifyActivities(m, options, this.settings.sealKeys));
  }

  /**
   * Makes the partitions of the months to come, and drops those that are older than `retentionMonths`: whole months,
   * never row by row. The seals of what is dropped stay, and the log tells of it.
   *
   * Transaction: one for each partition, or the caller's. Idempotent; several processes take turns. To be called by a
   * job, with a connection of the role that owns the tables.
   * Errors: `VALIDATION_FAILED`; `AUDIT_OWNER_REQUIRED`; `LOCK_TIMEOUT`: what was done stays, and the next call goes on.
   */
  async maintainPartitions(
    options: MaintainPartitionsOptions = {},
    manager?: EntityManager,
  ): Promise<MaintainPartitionsResult> {
    return new PartitionMaintenance(this.transactions, manager, options).run();
  }
}

import type { NestAuthErrorCode } from '../errors/nest-auth.error.js';

/** Where a user stands. As the status, but that a disabled user may be soft-deleted. */
export const LifecycleStateEnum = {
  PENDING: 'pending',
  ACTIVE: 'active',
  INACTIVE: 'inactive',
  DISABLED: 'disabled',
  SOFT_DELETED: 'soft_deleted',
  SCHEDULED_DELETION: 'scheduled_deletion',
} as const;

export type LifecycleState = (typeof LifecycleStateEnum)[keyof typeof LifecycleStateEnum];

/** Grace periods of an application, or of one tenant; what a tenant leaves out is the application's. */
export interface LifecycleGracePeriods {
  /** Days that a pending user has to come. @default 30 */
  readonly pendingDays?: number;
  /** Months without a sign-in or an activation after which an active user is inactive. @default 6 */
  readonly inactiveMonths?: number;
  /** Months after which a deactivated user is disabled. @default 6 */
  readonly disableMonths?: number;
  /** Days between scheduling a deletion and the deletion. @default 30 */
  readonly deletionDays?: number;
}

/** Settings of the life of users. */
export interface LifecycleOptions extends LifecycleGracePeriods {
  /** Users a chunk of a batch at most: one statement and one short transaction each, 1 to 10,000. @default 1000 */
  readonly chunkSize?: number;
}

export interface DeactivatePendingUserInput {
  readonly id: string;
  /** @default that of the user's tenants, else the application's */
  readonly gracePeriodInDays?: number;
}

export interface DeactivateActiveUserInput {
  readonly id: string;
  /** @default that of the user's tenants, else the application's */
  readonly gracePeriodInMonths?: number;
}

export interface ScheduleDeletionOptions {
  /** @default that of the user's tenants, else the application's */
  readonly gracePeriodInDays?: number;
}

/** Somebody whom a batch has left as they were. */
export interface LifecycleSkipped {
  readonly id: string;
  readonly reason: NestAuthErrorCode;
}

/** Somebody whom a batch could not change. */
export interface LifecycleFailed {
  readonly id: string;
  readonly error: unknown;
}

/** What became of one chunk: the full lists, of which the result keeps a sample. */
export interface LifecycleBatchChunk {
  readonly processed: readonly string[];
  readonly skipped: readonly LifecycleSkipped[];
  readonly failed: readonly LifecycleFailed[];
}

export interface LifecycleBatchProgress {
  readonly processed: number;
  readonly skipped: number;
  readonly failed: number;
  /** Users looked at so far, due or not. */
  readonly scanned: number;
  /** Where the batch stands; pass it as `after` to go on from here. */
  readonly cursor: string;
}

/** How a batch runs. */
export interface LifecycleBatchOptions {
  /** Says what would be done, and writes nothing. @default false */
  readonly dryRun?: boolean;
  /** @default `lifecycle.chunkSize` */
  readonly chunkSize?: number;
  /** A `cursor` of a run before. Not needed for a correct result: who has been dealt with is not due any more. */
  readonly after?: string;
  /** Ends the batch between two chunks; what is done stays done. */
  readonly signal?: AbortSignal;
  /** After each chunk; awaited. */
  readonly onProgress?: (progress: LifecycleBatchProgress) => void | Promise<void>;
  /** Everybody of each chunk, after its COMMIT unless a transaction was joined; awaited. */
  readonly onChunk?: (chunk: LifecycleBatchChunk) => void | Promise<void>;
  /** Entries of `skipped` and `failed` that the result keeps, 0 to 10,000. @default 100 */
  readonly sampleSize?: number;
}

export interface DeactivateInactiveUsersOptions extends LifecycleBatchOptions {
  readonly pendingGracePeriodInDays?: number;
  readonly activeGracePeriodInMonths?: number;
}

export interface DisableDeactivatedUsersOptions extends LifecycleBatchOptions {
  readonly gracePeriodInMonths?: number;
}

export interface ScheduleDeletionsOptions extends LifecycleBatchOptions {
  readonly gracePeriodInDays?: number;
}

/** What a batch has done. Bounded, whatever the number of users. */
export interface LifecycleBatchResult {
  /** Users changed; in a dry run, users that would be. */
  readonly processed: number;
  /** The first of those who were due and left as they were. */
  readonly skipped: readonly LifecycleSkipped[];
  readonly skippedCount: number;
  /** The first of those who could not be changed. */
  readonly failed: readonly LifecycleFailed[];
  readonly failedCount: number;
  readonly scanned: number;
  /** Where it ended; null when it went through to the end. */
  readonly cursor: string | null;
}

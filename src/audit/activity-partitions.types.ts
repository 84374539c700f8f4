export interface MaintainPartitionsOptions {
  /** Months after the running one that have a partition. @default 3 */
  readonly monthsAhead?: number;
  /** Whole months before the running one that are kept; older partitions are dropped. @default all are kept */
  readonly retentionMonths?: number;
  /** Only says what would be done. @default false */
  readonly dryRun?: boolean;
  /** Milliseconds that one change waits for a lock, while new queries wait behind it. @default 2000 */
  readonly lockTimeoutMs?: number;
}

/** A table that holds the activities of one or more months; `from` inclusive, `to` exclusive. */
export interface ActivityPartition {
  readonly name: string;
  readonly from: Date;
  readonly to: Date;
}

export interface MaintainPartitionsResult {
  readonly created: readonly ActivityPartition[];
  /** What the default partition held, for want of one of their own: it has become a partition of these months. */
  readonly adopted: ActivityPartition | null;
  readonly dropped: readonly ActivityPartition[];
  /** Old enough, but not dropped: not all of their activities are sealed yet. */
  readonly kept: readonly ActivityPartition[];
  /** Months that cannot be had, because the default partition holds activities of several that lie apart. */
  readonly blocked: readonly ActivityPartition[];
  readonly dryRun: boolean;
}

/** The end of the chain. Kept somewhere else, it makes a rewritten chain show. */
export interface SealHead {
  readonly position: number;
  /** SHA-256, or HMAC-SHA-256 with `audit.sealKeys`, in hexadecimal. */
  readonly hash: string;
}

export interface SealActivitiesOptions {
  /** Activities that one seal stands for, at most. @default 5000 */
  readonly batchSize?: number;
  /** Seals that one call makes, at most. @default 1000 */
  readonly maxSeals?: number;
}

export interface SealActivitiesResult {
  /** How many this call has made, and how many activities they stand for. */
  readonly seals: number;
  readonly activities: number;
  /** Null while nothing is sealed. */
  readonly head: SealHead | null;
  /** False when `maxSeals` were made, or another process was sealing: there may be more. */
  readonly isComplete: boolean;
}

export interface VerifyActivitiesOptions {
  /** Position of the first seal to look at. @default 1 */
  readonly from?: number;
  /** Position of the last one. @default the last there is */
  readonly to?: number;
  /** A head that was kept elsewhere: the chain must still hold it. */
  readonly expectedHead?: SealHead;
  /** The last position that may be sealed without a key, when `audit.sealKeys` came later. @default 0 */
  readonly unkeyedUntil?: number;
  /** Called after every seal. */
  readonly onProgress?: (progress: { readonly position: number; readonly activities: number }) => void;
}

/** What is wrong with a chain. */
export const SealProblemEnum = {
  /** A seal is not there: taken from the middle, or from the end when a head was expected. */
  SEAL_MISSING: 'SEAL_MISSING',
  /** The seal's own columns do not give its hash, or it does not follow the one before it. */
  SEAL_CHANGED: 'SEAL_CHANGED',
  /** Sealed without the key that the application has. */
  SEAL_UNKEYED: 'SEAL_UNKEYED',
  /** The chain is consistent, but not the one of which the head was kept. */
  HEAD_DIFFERS: 'HEAD_DIFFERS',
  /** Fewer activities than were sealed, though their month was not dropped by retention. */
  ACTIVITIES_MISSING: 'ACTIVITIES_MISSING',
  /** More activities than were sealed. */
  ACTIVITIES_ADDED: 'ACTIVITIES_ADDED',
  /** As many, but with other values. */
  ACTIVITIES_CHANGED: 'ACTIVITIES_CHANGED',
} as const;

export type SealProblemEnum = (typeof SealProblemEnum)[keyof typeof SealProblemEnum];

export interface SealProblem {
  readonly kind: SealProblemEnum;
  /** Of the first seal that does not hold. */
  readonly position: number;
  /** The month, in UTC, of its activities, such as `2026-11`; null when there is no seal. */
  readonly month: string | null;
  /** Activities that were sealed, and that are there: at most one more is counted. */
  readonly sealed?: number;
  readonly found?: number;
}

export interface VerifyActivitiesResult {
  readonly isIntact: boolean;
  /** The first one, where the verification stopped; null when there is none. */
  readonly problem: SealProblem | null;
  /** Seals that hold, and the activities behind them that are there. */
  readonly seals: number;
  readonly activities: number;
  /** What was sealed and is gone, by the log's own account, through retention: the months to compare with your policy. */
  readonly dropped: { readonly months: readonly string[]; readonly activities: number };
  /** The last seal that holds. */
  readonly head: SealHead | null;
}

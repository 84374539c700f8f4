import type { PoolState } from './pool-state.js';
import type { WireOutcome } from './wire-transaction.js';

/** Who opened a transaction: a call of the host, or an operation of ours that needs more than one statement. */
export type TransactionOpener = 'runInTransaction' | 'dataSource.transaction' | 'operation';

/** One transaction at the database. What is not readonly is known once it is over. */
export interface TransactionAttempt {
  readonly opener: TransactionOpener;
  /** From 1; further ones are retries of the whole callback. */
  readonly attempt: number;
  /** Statements that were sent, BEGIN and COMMIT included. */
  statements: number;
  /** `none`: it never began, for want of a connection. */
  outcome: WireOutcome;
  /** The id at the server, when a statement of ours could report it. */
  transactionId: string | undefined;
}

/** A transaction of the host's or of ours with all its retries, once it is over. */
export interface TransactionEnd {
  /** The last attempt. */
  readonly attempt: TransactionAttempt;
  /** From the first BEGIN on, pauses between attempts included. */
  readonly durationMs: number;
  /** Of all attempts. */
  readonly statements: number;
  /** What it failed with; undefined when it was committed. */
  readonly error: unknown;
  readonly failed: boolean;
}

/** What an observer may look at by itself, at any time. */
export interface ObservedSource {
  /** Name of the database. */
  readonly database: string;
  readonly pool: () => PoolState;
}

/**
 * Sees what the package does, without changing it. `nest-auth-identity/telemetry` has one for OpenTelemetry.
 *
 * `call` and `attempt` run around the work: they call `run` once, and return what it returns. What other members throw
 * is dropped. No member is given parameters, rows or arguments.
 */
export interface NestAuthObserver {
  /** Around a call of a public method, such as `UserService.createUser`. */
  call?<T>(method: string, run: () => Promise<T>): Promise<T>;
  /** Around one transaction at the database. */
  attempt?<T>(attempt: TransactionAttempt, run: () => Promise<T>): Promise<T>;
  /** An attempt has failed, and the whole will be run again. */
  retrying?(attempt: TransactionAttempt, error: unknown): void;
  /** A transaction with all its retries is over. */
  ended?(end: TransactionEnd): void;
  /** A listener or a callback has failed after COMMIT. */
  afterCommitFailed?(error: unknown): void;
  /** A connection could be had from the pool, or could not, after this many milliseconds. */
  connected?(waitedMs: number): void;
  /** The public method that the running code was called by, where the observer knows. */
  method?(): string | undefined;
  /** The application has started. Returns what is called when it stops. */
  start?(source: ObservedSource): () => void;
}

/** Runs what only observes: its failure must not become one of what it observes. */
export function quietly(observe: () => void): void {
  try {
    observe();
  } catch {
    // There is nobody to tell: whoever would is what has failed.
  }
}

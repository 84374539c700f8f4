import type { EntityManager, QueryRunner } from 'typeorm';
import type { NestAuthObserver } from './transaction-observer.js';

/** Isolation levels PostgreSQL accepts; READ UNCOMMITTED behaves as READ COMMITTED there and is left out. */
export const ISOLATION_LEVELS = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const;
export type IsolationLevel = (typeof ISOLATION_LEVELS)[number];

/** What a `runInTransaction` inside a running transaction does. */
export const NESTED_MODES = ['join', 'savepoint', 'independent'] as const;
export type NestedMode = (typeof NESTED_MODES)[number];

/** What happens when a query leaves the running transaction. */
export const ESCAPE_MODES = ['throw', 'warn', 'off'] as const;
export type EscapeMode = (typeof ESCAPE_MODES)[number];

/** Settings of one `runInTransaction` call. */
export interface RunInTransactionOptions {
  /**
   * Isolation of a transaction that this call opens.
   * @default the DataSource's, which is READ COMMITTED unless the host set another
   */
  readonly isolation?: IsolationLevel;
  /**
   * Milliseconds the whole transaction may take, callback included. When they are over, the call rejects with
   * `TRANSACTION_TIMEOUT`, the work is rolled back and later statements of the callback are refused.
   * @default no limit
   */
  readonly timeoutMs?: number;
  /**
   * Milliseconds one statement may wait for a lock before it fails with `LOCK_TIMEOUT`.
   * @default the server's `lock_timeout`
   */
  readonly lockTimeoutMs?: number;
  /**
   * How often the whole callback is run again after a deadlock, a serialization failure, a connection lost before
   * COMMIT was sent, or none to be had. Only a call that opened the transaction retries; a joined one leaves that to the opener.
   * @default `transaction.retries` of the module, 2
   */
  readonly retries?: number;
  /**
   * Inside a running transaction: `join` it, open a `savepoint` in it, or run `independent` of it on a second
   * connection (refused when the pool has none to give).
   * @default 'join'
   */
  readonly nested?: NestedMode;
}

/** An EntityManager that belongs to one connection. Only `transaction/` produces one. */
export interface TransactionalManager extends EntityManager {
  readonly queryRunner: QueryRunner;
}

/** How the transaction layer behaves for one DataSource. */
export interface TransactionSettings {
  readonly retries: number;
  readonly onEscape: EscapeMode;
  /** Milliseconds an operation waits for the one before it on the same manager. */
  readonly operationTimeoutMs: number;
  /** Name hot statements, so that the server plans them once per connection. */
  readonly prepared: boolean;
  /** Receives what nobody can catch: failures after COMMIT, escapes in `warn` mode. */
  readonly report: (message: string, error: unknown) => void;
  /** See what happens, in this order. */
  readonly observers?: readonly NestAuthObserver[];
}

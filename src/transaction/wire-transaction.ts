import { AsyncLocalStorage } from 'node:async_hooks';
import type { QueryRunner } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { isConnectionLoss, isRetryable, sqlStateOf } from '../errors/postgres-errors.js';
import type { Origin } from './entity-origin.js';
import type { Frame } from './frame.js';
import type { TransactionScope } from './transaction-scope.js';
import { nameAfter, tagOf, textsOf, transactionCommandOf } from './transaction-command.js';

export type AfterCommitCallback = () => unknown;

interface Level {
  /** The savepoint's name; empty for the transaction itself. */
  readonly name: string;
  readonly afterCommit: AfterCommitCallback[];
  readonly onCommit: (() => void)[];
  /** How many changes there were when it began. */
  readonly changes: number;
}

interface Failure {
  readonly error: unknown;
  /** How many levels were open when it happened: undone by a rollback to one of them. */
  readonly depth: number;
}

/** Made when somebody runs into it: then its stack tells who, and a transaction that ends well does not pay for it. */
type Refusal = () => NestAuthError;

/** What became of a transaction; `none` until it has begun. */
export type WireOutcome = 'none' | 'open' | 'committed' | 'rolled-back' | 'unknown';

/** The transaction that this code is there to end, the host's subscribers to its COMMIT included. */
const ending = new AsyncLocalStorage<WireTransaction>();

/**
 * What one connection's transaction really is, told by the command tags that the server answered.
 *
 * TypeORM's own `isTransactionActive` and its commit hooks say what was intended: they do not notice a COMMIT that
 * PostgreSQL turned into a ROLLBACK, a raw ROLLBACK sent by the callback, or that a "commit" was only the release of a
 * savepoint. Tags do, for every way of opening a transaction.
 */
export class WireTransaction {
  outcome: WireOutcome = 'none';
  /** How many statements were sent. */
  statements = 0;
  commitSent = false;
  /** Statements that were handed to the runner and have not come back. */
  inFlight = 0;
  /** Operations of ours and nested transactions that have begun on this manager and not ended. */
  operations = 0;
  /** Statements of ours that changed something in this transaction. */
  changes = 0;
  /** The package took part, so that leaving this transaction is our business. */
  joined = false;
  /** Text that replaces the next START TRANSACTION, to carry settings without more round trips. */
  beginSql: string | undefined;
  /** The transaction's id at the server, when a statement of ours could report it. */
  transactionId: string | undefined;
  /** Why the connection is gone, once it is. */
  lost: NestAuthError | undefined;
  /** The connection works, but leads to a server that is of no use: it must not be lent again. */
  isUnfit = false;
  /** Opened by this package, which then also runs what waits for the COMMIT. */
  owned = false;
  /** The savepoint of a nested start was never set, so the rollback that TypeORM sends for it must not be. */
  skipNextRollback = false;
  /** The outermost frame, for callers that pass the manager from another async context. */
  rootFrame: Frame | undefined;
  /** What the transaction runs as, where that is of concern. */
  scope: TransactionScope | undefined;
  /** What entities of this transaction remember of it. */
  origin: Origin | undefined;
  #closing: Refusal | undefined;
  #tombstone: Refusal | undefined;
  #levels: Level[] = [];
  #failure: Failure | undefined;
  #settled: AfterCommitCallback[] = [];
  #onReleased: (() => void)[] = [];

  constructor(readonly runner: QueryRunner) {}

  /** Why only what ends the transaction may still pass: the callback has settled, or its time is over. */
  get closing(): NestAuthError | undefined {
    return this.#closing?.();
  }

  /** Lets nothing pass any more but what ends the transaction; the first reason stands. */
  close(reason: Refusal): void {
    this.#closing ??= reason;
  }

  /** Why every further statement is refused; set once the manager's transaction is over. */
  get tombstone(): NestAuthError | undefined {
    return this.#tombstone?.();
  }

  /** Refuses every further statement; the first reason stands. */
  bury(reason: Refusal): void {
    this.#tombstone ??= reason;
  }

  get isOver(): boolean {
    return this.#tombstone !== undefined;
  }

  get isOpen(): boolean {
    return this.outcome === 'open';
  }

  /** The first reason why a COMMIT may not be believed. */
  get failure(): unknown {
    return this.#failure?.error;
  }

  /** Runs `callback` once the outermost COMMIT has been confirmed; forgets it if any enclosing level rolls back. */
  afterCommit(callback: AfterCommitCallback): void {
    this.#levels.at(-1)?.afterCommit.push(callback);
  }

  /**
   * Runs `callback` as soon as the outermost COMMIT is confirmed, before whoever sent it goes on; also when nobody knows
   * whether it was made. For what must be forgotten by then: it must not throw, and cannot wait.
   */
  onCommit(callback: () => void): void {
    this.#levels.at(-1)?.onCommit.push(callback);
  }

  /** The callbacks of a confirmed COMMIT, in order, once. */
  takeCommitted(): AfterCommitCallback[] {
    return this.#settled.splice(0);
  }

  /** Remembers the first failure of this level, so that it cannot be swallowed into a COMMIT. */
  markRollbackOnly(error: unknown): void {
    if (this.isOpen) this.#failure ??= { error, depth: this.#levels.length };
  }

  /** Throws when a COMMIT now would be refused by the server, or would keep half of an operation. */
  assertCommittable(): void {
    if (this.#failure === undefined) return;
    const error = this.#failure.error;
    if (error instanceof NestAuthError && error.code === 'TRANSACTION_ABORTED') throw error;
    throw new NestAuthError(
      'TRANSACTION_ABORTED',
      'A statement or an operation inside the transaction failed and its error was swallowed, so nothing was committed; see `cause`',
      { cause: error, ...(isRetryable(error) ? { details: { retryable: true } } : {}) },
    );
  }

  statementSent(sql: string): void {
    this.statements += 1;
    if (transactionCommandOf(sql) === 'COMMIT') this.commitSent = true;
  }

  /** Why `sql` must not be sent now, if it must not. */
  refusalOf(sql: string): NestAuthError | undefined {
    if (this.#tombstone !== undefined) return this.#tombstone();
    if (this.#closing !== undefined && ending.getStore() !== this) return this.#closing();
    return this.#endedByCallback && !/^(COMMIT|ROLLBACK)$/.test(transactionCommandOf(sql) ?? '')
      ? this.#endedTooEarly()
      : undefined;
  }

  /** The callback ended the transaction by raw SQL: what follows would run, and stay, outside of any. */
  get #endedByCallback(): boolean {
    return this.runner.isTransactionActive && (this.outcome === 'rolled-back' || this.outcome === 'committed');
  }

  #endedTooEarly(): NestAuthError {
    const [code, command] =
      this.outcome === 'committed'
        ? (['TRANSACTION_ENDED', 'COMMIT'] as const)
        : (['TRANSACTION_ABORTED', 'ROLLBACK'] as const);
    return new NestAuthError(code, `The transaction was ended by a ${command} inside its callback`, {
      cause: this.failure,
    });
  }

  /** Runs what ends the transaction: its statements pass although the callback's no longer do. */
  runEnding<T>(fn: () => Promise<T>): Promise<T> {
    return ending.run(this, fn);
  }

  /** A new transaction is about to begin on this runner: the last one's fate says nothing about it. */
  forgetLast(): void {
    this.outcome = 'none';
    this.skipNextRollback = false;
  }

  statementSucceeded(sql: string, raw: unknown): void {
    if (!Array.isArray(raw)) return this.#apply(tagOf(raw), sql);
    const texts = textsOf(sql, raw.length);
    raw.forEach((result, index) => this.#apply(tagOf(result), texts[index] ?? sql));
  }

  statementFailed(sql: string, error: unknown): void {
    const command = transactionCommandOf(sql);
    if (!this.isOpen || command === 'ROLLBACK') return;
    // The driver has stopped waiting for the answer (`query_timeout`): nobody knows what it will be.
    if (command === 'COMMIT' && sqlStateOf(error) === undefined) this.connectionLost(error);
    this.markRollbackOnly(error);
    // A COMMIT that was answered, and refused, has ended the transaction: its outcome is known.
    if (command === 'COMMIT' && sqlStateOf(error) !== undefined && !isConnectionLoss(error)) this.#end('rolled-back');
  }

  #apply(tag: string | undefined, sql: string): void {
    if (tag === 'START' || tag === 'BEGIN') return this.#begin();
    if (!this.isOpen) return;
    if (tag === 'SAVEPOINT') {
      this.#levels.push({
        name: nameAfter(/\bsavepoint\s+/, sql) ?? '',
        afterCommit: [],
        onCommit: [],
        changes: this.changes,
      });
    }
    if (tag === 'RELEASE') this.#release(nameAfter(/\brelease\s+(?:savepoint\s+)?/, sql) ?? '');
    if (tag === 'ROLLBACK') {
      // `ROLLBACK TO` and `ROLLBACK` share a tag: only here does the text decide.
      const savepoint = nameAfter(/\bto\s+(?:savepoint\s+)?/, sql);
      if (savepoint === undefined) this.#end('rolled-back');
      else this.#rollbackTo(savepoint);
    }
    if (tag === 'COMMIT') this.#end('committed');
  }

  #begin(): void {
    // PostgreSQL only warns of a second BEGIN.
    if (this.isOpen) return;
    this.#levels = [{ name: '', afterCommit: [], onCommit: [], changes: 0 }];
    this.#failure = undefined;
    this.outcome = 'open';
    this.commitSent = false;
    this.changes = 0;
    this.transactionId = undefined;
  }

  #release(name: string): void {
    const index = this.#indexOf(name);
    if (index < 1) return;
    const released = this.#levels.splice(index);
    this.#levels.at(-1)?.afterCommit.push(...released.flatMap((level) => level.afterCommit));
    this.#levels.at(-1)?.onCommit.push(...released.flatMap((level) => level.onCommit));
    if (this.#failure !== undefined && this.#failure.depth > this.#levels.length) {
      this.#failure = { error: this.#failure.error, depth: this.#levels.length };
    }
  }

  #rollbackTo(name: string): void {
    const index = this.#indexOf(name);
    if (index < 1) return;
    this.#levels.splice(index + 1);
    const level = this.#levels[index] as Level;
    level.afterCommit.splice(0);
    level.onCommit.splice(0);
    this.changes = level.changes;
    // A failure at or inside the savepoint is undone; one before it is not.
    if (this.#failure !== undefined && this.#failure.depth > index) this.#failure = undefined;
  }

  #end(outcome: 'committed' | 'rolled-back'): void {
    if (outcome === 'committed') {
      this.#settled.push(...this.#levels.flatMap((level) => level.afterCommit));
      this.#runOnCommit();
    }
    this.#levels = [];
    this.outcome = outcome;
  }

  #runOnCommit(): void {
    for (const callback of this.#levels.flatMap((level) => level.onCommit.splice(0))) callback();
  }

  #indexOf(name: string): number {
    return this.#levels.findLastIndex((level) => level.name === name);
  }

  /** Runs `cleanUp` when the runner gives its connection back. */
  onReleased(cleanUp: () => void): void {
    this.#onReleased.push(cleanUp);
  }

  released(): void {
    for (const cleanUp of this.#onReleased.splice(0)) cleanUp();
  }

  /** Records that the connection is gone: nothing can be sent any more, and only a COMMIT under way is in doubt. */
  connectionLost(cause: unknown): void {
    this.lost ??= new NestAuthError('CONNECTION_LOST', 'The connection to PostgreSQL was lost', {
      details: { retryable: true },
      cause,
    });
    const { lost } = this;
    this.bury(() => lost);
    if (!this.isOpen) return;
    this.outcome = this.commitSent ? 'unknown' : 'rolled-back';
    if (this.commitSent) this.#runOnCommit();
  }
}

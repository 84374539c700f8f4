import type { QueryRunner } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';

export type AfterCommitCallback = () => unknown;

interface Level {
  /** The savepoint's name; empty for the transaction itself. */
  readonly name: string;
  readonly afterCommit: AfterCommitCallback[];
}

interface Failure {
  readonly error: unknown;
  /** How many levels were open when it happened: undone by a rollback to one of them. */
  readonly depth: number;
}

type Outcome = 'none' | 'open' | 'committed' | 'rolled-back' | 'unknown';

/**
 * What one connection's transaction really is, told by the command tags that the server answered.
 *
 * TypeORM's own `isTransactionActive` and its commit hooks say what was intended: they do not notice a COMMIT that
 * PostgreSQL turned into a ROLLBACK, a raw ROLLBACK sent by the callback, or that a "commit" was only the release of a
 * savepoint. Tags do, for every way of opening a transaction.
 */
export class WireTransaction {
  outcome: Outcome = 'none';
  commitSent = false;
  inFlight = 0;
  /** Operations of ours that have begun on this manager and not ended. */
  operations = 0;
  /** Statements of ours that changed something in this transaction. */
  changes = 0;
  /** Why only transaction commands may still pass: the callback has settled, or its time is over. */
  closing: NestAuthError | undefined;
  /** Why every further statement is refused; set once the manager's transaction is over. */
  tombstone: NestAuthError | undefined;
  /** The package took part, so that leaving this transaction is our business. */
  joined = false;
  /** Text that replaces the next START TRANSACTION, to carry settings without more round trips. */
  beginSql: string | undefined;
  /** The transaction's id at the server, when a statement of ours could report it. */
  transactionId: string | undefined;
  /** Why the connection is gone, once it is. */
  lost: NestAuthError | undefined;
  /** Opened by this package, which then also runs what waits for the COMMIT. */
  owned = false;
  /** The savepoint of a nested start was never set, so the rollback that TypeORM sends for it must not be. */
  skipNextRollback = false;
  #levels: Level[] = [];
  #failure: Failure | undefined;
  #settled: AfterCommitCallback[] = [];
  #onReleased: (() => void)[] = [];

  constructor(readonly runner: QueryRunner) {}

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
      { cause: error },
    );
  }

  statementSent(sql: string): void {
    if (transactionCommandOf(sql) === 'COMMIT') this.commitSent = true;
    this.inFlight += 1;
  }

  /** Why `sql` must not be sent now, if it must not. */
  refusalOf(sql: string): NestAuthError | undefined {
    if (this.tombstone !== undefined) return this.tombstone;
    const command = transactionCommandOf(sql);
    if (command === undefined && this.closing !== undefined) return this.closing;
    // The callback ended the transaction by raw SQL: what follows would run, and stay, outside of any.
    if (this.runner.isTransactionActive && this.outcome === 'rolled-back' && command !== 'ROLLBACK') {
      return new NestAuthError(
        'TRANSACTION_ABORTED',
        'The transaction was rolled back by a ROLLBACK inside its callback',
        { cause: this.failure },
      );
    }
    return undefined;
  }

  statementSucceeded(sql: string, raw: unknown): void {
    this.inFlight -= 1;
    for (const result of Array.isArray(raw) ? raw : [raw]) this.#apply(tagOf(result), sql);
  }

  statementFailed(sql: string, error: unknown): void {
    this.inFlight -= 1;
    if (this.isOpen && transactionCommandOf(sql) !== 'ROLLBACK') this.markRollbackOnly(error);
  }

  #apply(tag: string | undefined, sql: string): void {
    if (tag === 'START' || tag === 'BEGIN') return this.#begin();
    if (!this.isOpen) return;
    if (tag === 'SAVEPOINT') this.#levels.push({ name: nameOf(sql, /savepoint\s+"?([^\s";]+)/i), afterCommit: [] });
    if (tag === 'RELEASE') this.#release(nameOf(sql, /release\s+(?:savepoint\s+)?"?([^\s";]+)/i));
    if (tag === 'ROLLBACK') {
      // `ROLLBACK TO` and `ROLLBACK` share a tag: only here does the text decide.
      const savepoint = /\bto\s+(?:savepoint\s+)?"?([^\s";]+)/i.exec(sql)?.[1];
      if (savepoint === undefined) this.#end('rolled-back');
      else this.#rollbackTo(savepoint);
    }
    if (tag === 'COMMIT') this.#end('committed');
  }

  #begin(): void {
    this.#levels = [{ name: '', afterCommit: [] }];
    this.#failure = undefined;
    this.outcome = 'open';
    this.commitSent = false;
    this.changes = 0;
    this.transactionId = undefined;
  }

  #release(name: string): void {
    const index = this.#indexOf(name);
    if (index < 1) return;
    const released = this.#levels.splice(index).flatMap((level) => level.afterCommit);
    this.#levels.at(-1)?.afterCommit.push(...released);
    if (this.#failure !== undefined && this.#failure.depth > this.#levels.length) {
      this.#failure = { error: this.#failure.error, depth: this.#levels.length };
    }
  }

  #rollbackTo(name: string): void {
    const index = this.#indexOf(name);
    if (index < 1) return;
    this.#levels.splice(index + 1);
    this.#levels[index]?.afterCommit.splice(0);
    // A failure at or inside the savepoint is undone; one before it is not.
    if (this.#failure !== undefined && this.#failure.depth > index) this.#failure = undefined;
  }

  #end(outcome: 'committed' | 'rolled-back'): void {
    if (outcome === 'committed') this.#settled.push(...this.#levels.flatMap((level) => level.afterCommit));
    this.#levels = [];
    this.outcome = outcome;
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
    this.tombstone ??= this.lost;
    if (this.isOpen) this.outcome = this.commitSent ? 'unknown' : 'rolled-back';
  }
}

/** The transaction command that a text begins with, if it is one. */
function transactionCommandOf(sql: string): string | undefined {
  return /^\s*(START TRANSACTION|BEGIN|SAVEPOINT|RELEASE|ROLLBACK|COMMIT|SET TRANSACTION)\b/i.exec(sql)?.[1]?.toUpperCase();
}

function tagOf(result: unknown): string | undefined {
  return (result as { command?: string } | undefined)?.command;
}

function nameOf(sql: string, pattern: RegExp): string {
  return pattern.exec(sql)?.[1] ?? '';
}

import type { QueryRunner } from 'typeorm';
import { CommitOutcomeUnknownError, NestAuthError } from '../errors/nest-auth.error.js';
import { sqlStateOf } from '../errors/postgres-errors.js';
import { resolveCommitOutcome } from './commit-outcome.js';
import { runInFrame } from './frame.js';
import { cutOff, retire, rollBackWhole } from './guarded-runner.js';
import { wireOf } from './registry.js';
import type { TransactionHost } from './transaction-host.js';
import { beginStatement } from './transaction-options.js';
import type { TransactionOpener } from './transaction-observer.js';
import type { IsolationLevel, RunInTransactionOptions, TransactionalManager } from './transaction.types.js';
import type { WireTransaction } from './wire-transaction.js';

/** What runs inside a transaction. */
export type TransactionCallback<T> = (manager: TransactionalManager) => Promise<T>;

/** Who opened a transaction, and under which rules. */
export interface Opening {
  readonly owned: boolean;
  readonly opener: TransactionOpener;
  readonly options: RunInTransactionOptions;
  /** Isolation that TypeORM itself is to set and to check, in a statement of its own. */
  readonly isolation?: IsolationLevel | undefined;
  /** Told when it is over, before anything that waited for the COMMIT runs. */
  readonly onOver?: (wire: WireTransaction) => void;
}

/** SQLSTATE of a statement that `statement_timeout`, or somebody, has stopped. */
const QUERY_CANCELED = '57014';

/** Shortest time that COMMIT or ROLLBACK is waited for, in milliseconds. */
const MIN_ENDING_MS = 2_000;

/** One attempt: a fresh connection, the callback, COMMIT, and the connection given back whatever happened. */
export async function openTransaction<T>(
  host: TransactionHost,
  fn: TransactionCallback<T>,
  { owned, options, isolation, onOver }: Opening,
): Promise<T> {
  const runner = host.openRunner();
  const manager = runner.manager as TransactionalManager;
  const wire = wireOf(runner);
  wire.owned = true;
  wire.joined = owned;
  wire.beginSql = beginStatement(options);
  try {
    // Waiting for the pool has a limit of its own.
    if (options.timeoutMs !== undefined) await runner.connect();
    await answered(runner, options.timeoutMs, () => runner.startTransaction(isolation));
    const result = await settle(wire, options.timeoutMs, () =>
      runInFrame(host.dataSource, manager, wire, () => fn(manager)),
    );
    await wire.runEnding(() => answered(runner, limitOfEnding(options), () => commit(host, runner, wire)));
    return result;
  } catch (error) {
    throw await wire.runEnding(() => answered(runner, limitOfEnding(options), () => failed(host, runner, wire, error)));
  } finally {
    onOver?.(wire);
    retire(manager, wire);
    await runner.release();
    host.flush(wire.takeCommitted());
  }
}

/** How long COMMIT or ROLLBACK may stay without an answer: nobody can tell a slow one from a network that is silent. */
function limitOfEnding({ timeoutMs }: RunInTransactionOptions): number | undefined {
  return timeoutMs === undefined ? undefined : Math.max(timeoutMs, MIN_ENDING_MS);
}

/** Runs what ends with an answer of the server, and cuts the connection if there is none within `ms`. */
async function answered<T>(runner: QueryRunner, ms: number | undefined, fn: () => Promise<T>): Promise<T> {
  if (ms === undefined) return fn();
  const timer = setTimeout(() => cutOff(runner, ms), ms);
  try {
    return await fn();
  } finally {
    clearTimeout(timer);
  }
}

/** Runs the callback to its end or to its time limit, and makes sure that nothing of it is still running. */
async function settle<T>(wire: WireTransaction, timeoutMs: number | undefined, fn: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const started = performance.now();
  try {
    const work = fn();
    const result = await (timeoutMs === undefined
      ? work
      : Promise.race([work, expiry(wire, timeoutMs, (handle) => (timer = handle))]));
    // A statement started and not awaited reaches the driver only in a later turn of the event loop.
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (wire.inFlight > 0 || wire.operations > 0) throw stillBusy();
    return result;
  } catch (error) {
    // The server's timer is the same and may be the first to say so, of a statement as old as the transaction.
    if (
      timeoutMs !== undefined &&
      sqlStateOf(error) === QUERY_CANCELED &&
      performance.now() - started >= timeoutMs - 1
    ) {
      wire.close(() => tookTooLong(timeoutMs));
    }
    throw error;
  } finally {
    clearTimeout(timer);
    wire.close(
      () =>
        new NestAuthError(
          'TRANSACTION_ENDED',
          'A statement was sent after the transaction callback had settled; await every call before returning',
        ),
    );
  }
}

async function commit(host: TransactionHost, runner: QueryRunner, wire: WireTransaction): Promise<void> {
  try {
    await runner.commitTransaction();
  } catch (error) {
    // A subscriber of the host that throws after COMMIT does not undo it.
    if (wire.outcome !== 'committed') throw error;
    host.reportAfterCommit(error);
  }
  // TypeORM took the COMMIT for the end of a nested transaction that the callback had left open.
  if (wire.isOpen) throw stillBusy();
}

/** Rolls back what is still open and says why the transaction failed, in the order of what explains most. */
async function failed(
  host: TransactionHost,
  runner: QueryRunner,
  wire: WireTransaction,
  error: unknown,
): Promise<unknown> {
  if (wire.isOpen) await rollBackWhole(runner, wire);
  if (wire.outcome === 'unknown') {
    const id = wire.transactionId;
    return new CommitOutcomeUnknownError(() => resolveCommitOutcome(host, id), error);
  }
  if (wire.closing?.code === 'TRANSACTION_TIMEOUT') return wire.closing;
  return wire.lost ?? error;
}

function stillBusy(): NestAuthError {
  return new NestAuthError(
    'TRANSACTION_BUSY',
    'The transaction callback returned while work on its manager was still running; await every call',
  );
}

function expiry(wire: WireTransaction, timeoutMs: number, started: (timer: NodeJS.Timeout) => void): Promise<never> {
  return new Promise((_, reject) => {
    started(
      setTimeout(() => {
        const error = tookTooLong(timeoutMs);
        wire.close(() => error);
        reject(error);
      }, timeoutMs),
    );
  });
}

function tookTooLong(timeoutMs: number): NestAuthError {
  return new NestAuthError('TRANSACTION_TIMEOUT', `The transaction took longer than ${timeoutMs} ms`);
}

import type { EntityManager, QueryRunner } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { isConnectionLoss, sqlStateOf } from '../errors/postgres-errors.js';
import { discardOnRelease } from './connection-pool.js';
import { frameOf, runInFrame } from './frame.js';
import { dataSourceOf, wireOf } from './registry.js';
import type { PoolWaits } from './pool-state.js';
import { SerialLock } from './serial-lock.js';
import { type ScopeSource, sendInScope } from './transaction-scope.js';
import type { TransactionalManager, TransactionSettings } from './transaction.types.js';
import type { WireTransaction } from './wire-transaction.js';

/** The parts of TypeORM's runner that its public interface leaves out. */
interface RunnerInternals {
  transactionDepth: number;
  isTransactionActive: boolean;
  connect(): Promise<DriverClient>;
  releasePostgresConnection(error?: Error): Promise<void>;
}

interface DriverClient {
  on(event: 'error', listener: (error: Error) => void): unknown;
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
  end(): Promise<void>;
}

/** SQLSTATE of a write that a server refuses which takes none, as one does that is no longer the primary. */
const READ_ONLY = '25006';

type TransactionCallback = (manager: EntityManager) => Promise<unknown>;

/**
 * Makes one query runner honest. Every runner that TypeORM creates passes through here, the host's own included.
 *
 * What is guarded, each for a fault that was seen: a failed nested start must not roll back and carry on in
 * autocommit; a COMMIT answered with ROLLBACK must reject; a lost connection must say so; a manager must be dead once
 * its transaction is over; nested transactions on one manager must not run into each other.
 */
export function guardRunner(
  runner: QueryRunner,
  settings: () => TransactionSettings,
  scopes: ScopeSource | undefined,
  waits: PoolWaits | undefined,
): QueryRunner {
  const wire = wireOf(runner);
  const internals = runner as unknown as RunnerInternals;
  guardConnect(internals, wire, waits);
  guardQuery(runner, wire, settings, scopes);
  guardRelease(runner, internals, wire);
  guardStart(runner, internals, wire);
  guardCommit(runner, wire);
  guardNested(runner, wire, settings);
  return runner;
}

function guardConnect(runner: RunnerInternals, wire: WireTransaction, waits: PoolWaits | undefined): void {
  const connect = runner.connect.bind(runner);
  let connected: Promise<DriverClient> | undefined;
  const connectOnce = async (): Promise<DriverClient> => {
    let client: DriverClient;
    const waited = waits?.begin();
    try {
      client = await connect();
    } catch (cause) {
      connected = undefined;
      throw new NestAuthError('CONNECTION_UNAVAILABLE', 'No connection could be had from the pool', {
        details: { retryable: true },
        cause,
      });
    } finally {
      waited?.();
    }
    // The driver tells the real cause only here; later calls merely find the runner released.
    const onError = (error: Error): void => wire.connectionLost(error);
    client.on('error', onError);
    wire.onReleased(() => {
      client.removeListener('error', onError);
      if (wire.lost !== undefined || wire.isUnfit) discardOnRelease(client);
    });
    return client;
  };
  runner.connect = () => (connected ??= connectOnce());
}

function guardQuery(
  runner: QueryRunner,
  wire: WireTransaction,
  settings: () => TransactionSettings,
  scopes: ScopeSource | undefined,
): void {
  const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>;
  runner.query = async (text: string, ...rest: unknown[]): Promise<never> => {
    const refusal = wire.refusalOf(text);
    if (refusal !== undefined) throw refusal;
    let sql = text;
    if (wire.beginSql !== undefined && text === 'START TRANSACTION') {
      sql = wire.beginSql;
      wire.beginSql = undefined;
    }
    wire.inFlight += 1;
    try {
      if (scopes === undefined) return (await query(sql, ...rest)) as never;
      const send = (part: string): Promise<unknown> => (part === sql ? query(part, ...rest) : query(part));
      return (await sendInScope(wire, scopes.current(), sql, settings().operationTimeoutMs, send)) as never;
    } catch (error) {
      if (isConnectionLoss(error)) wire.connectionLost(error);
      if (sqlStateOf(error) === READ_ONLY) wire.isUnfit = true;
      throw wire.lost ?? error;
    } finally {
      wire.inFlight -= 1;
    }
  };
}

function guardRelease(runner: QueryRunner, internals: RunnerInternals, wire: WireTransaction): void {
  const release = runner.release.bind(runner);
  runner.release = async () => {
    wire.released();
    // Of a transaction that is over nothing may be under way any more: a BEGIN or an INSERT that a subscriber started
    // after the COMMIT and did not await would reach the connection's next borrower. An error makes the pool drop it.
    if (wire.owned && wire.inFlight > 0) await internals.releasePostgresConnection(wire.tombstone);
    else await release();
  };
}

function guardStart(runner: QueryRunner, internals: RunnerInternals, wire: WireTransaction): void {
  const start = runner.startTransaction.bind(runner);
  runner.startTransaction = async (isolation) => {
    // Not whether the wire is open: after a raw ROLLBACK in the callback TypeORM still begins with a savepoint.
    const depth = internals.transactionDepth;
    const nested = depth > 0;
    if (!nested && !wire.isOpen) wire.forgetLast();
    try {
      await start(isolation);
    } catch (error) {
      internals.isTransactionActive = nested;
      // Without this the depth can fall to -1, and the runner's next transaction begins with a SAVEPOINT.
      internals.transactionDepth = depth;
      if (nested) {
        // TypeORM would answer a savepoint that could not be set by rolling the whole transaction back.
        wire.markRollbackOnly(error);
        wire.skipNextRollback = true;
      } else if (wire.isOpen) {
        await runner.query('ROLLBACK');
      }
      throw error;
    }
  };
  const rollback = runner.rollbackTransaction.bind(runner);
  runner.rollbackTransaction = async () => {
    if (wire.skipNextRollback) {
      wire.skipNextRollback = false;
      return;
    }
    await rollback();
  };
}

function guardCommit(runner: QueryRunner, wire: WireTransaction): void {
  const commit = runner.commitTransaction.bind(runner);
  runner.commitTransaction = async () => {
    if (wire.lost !== undefined) throw wire.lost;
    wire.assertCommittable();
    await commit();
    if (wire.outcome === 'rolled-back') {
      // TypeORM holds it for committed, and would refuse the rollback that a host sends for an error.
      wire.skipNextRollback = true;
      throw new NestAuthError('TRANSACTION_ABORTED', 'PostgreSQL answered COMMIT with ROLLBACK: nothing was kept', {
        cause: wire.failure,
      });
    }
  };
}

function guardNested(runner: QueryRunner, wire: WireTransaction, settings: () => TransactionSettings): void {
  const manager = runner.manager as TransactionalManager;
  const dataSource = dataSourceOf(manager);
  const transaction = manager.transaction.bind(manager) as (...args: unknown[]) => Promise<unknown>;
  const opening = new SerialLock();
  const guarded = async (first: unknown, second?: unknown): Promise<unknown> => {
    const refusal = wire.refusalOf('');
    if (refusal !== undefined) throw refusal;
    const callback = (typeof first === 'function' ? first : second) as TransactionCallback;
    const framed: TransactionCallback = (inner) =>
      runInFrame(dataSource, inner as TransactionalManager, wire, () => callback(inner));
    const run = (): Promise<unknown> =>
      typeof first === 'function'
        ? transaction(framed)
        : transaction(first, callback === undefined ? undefined : framed);
    const lock = wire.isOpen ? frameOf(dataSource, manager, wire).lock : opening;
    wire.operations += 1;
    try {
      return await lock.run(run, settings().operationTimeoutMs);
    } finally {
      wire.operations -= 1;
    }
  };
  manager.transaction = guarded;
}

/** Rolls everything back, from however deep in nested transactions, and whatever the host's subscribers think of it. */
export async function rollBackWhole(runner: QueryRunner, wire: WireTransaction): Promise<void> {
  wire.skipNextRollback = false;
  (runner as unknown as RunnerInternals).transactionDepth = 1;
  await runner.rollbackTransaction().catch(() => undefined);
  // What is still open after that is ended by the pool's guard, which drops the connection.
  if (wire.isOpen) await runner.query('ROLLBACK').catch(() => undefined);
}

/** Gives up on a server that does not answer. What waits for it ends now, instead of when the network notices. */
export function cutOff(runner: QueryRunner, ms: number): void {
  wireOf(runner).connectionLost(new Error(`the server has not answered within ${ms} ms`));
  const internals = runner as unknown as RunnerInternals;
  // While a statement is under way the driver closes the socket and says no goodbye.
  internals.connect().then(
    (client) => void client.end().catch(() => undefined),
    () => undefined,
  );
}

/**
 * Ends a manager for good: whatever is sent through it, or through repositories taken from it, is refused by a typed
 * error instead of reaching a connection that belongs to somebody else by now.
 */
export function retire(manager: TransactionalManager, wire: WireTransaction): void {
  const { lost } = wire;
  const refusal = (): NestAuthError => lost ?? wire.closing ?? managerOver();
  wire.bury(refusal);
  Object.defineProperty(manager, 'queryRunner', {
    configurable: true,
    get(): never {
      throw refusal();
    },
  });
}

function managerOver(): NestAuthError {
  return new NestAuthError(
    'TRANSACTION_ENDED',
    'This manager belongs to a transaction that is over; await every call inside the callback, and do not keep the manager',
  );
}

import type { DataSource, EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';
import { CommitOutcomeUnknownError, NestAuthError } from '../errors/nest-auth.error.js';
import { forgetRow, isRetryable, sqlStateOf } from '../errors/postgres-errors.js';
import { resolveCommitOutcome } from './commit-outcome.js';
import { guardPools, wouldWaitForEver } from './connection-pool.js';
import { currentFrame, type Frame, frameOf, runAfterCommit, runInFrame, runOutsideTransaction } from './frame.js';
import { guardRunner, retire, rollBackWhole } from './guarded-runner.js';
import { captureHostStack } from './host-stack.js';
import { readFromPrimary } from './primary-reads.js';
import { dataSourceOf, findHost, registerHost, wireOf } from './registry.js';
import type { ScopeSource } from './transaction-scope.js';
import { assertJoinable, beginStatement, validateOptions } from './transaction-options.js';
import type {
  IsolationLevel,
  RunInTransactionOptions,
  TransactionalManager,
  TransactionSettings,
} from './transaction.types.js';
import type { AfterCommitCallback, WireTransaction } from './wire-transaction.js';

type Callback<T> = (manager: TransactionalManager) => Promise<T>;

/** Who opened a transaction, and under which rules. */
interface Opening {
  readonly owned: boolean;
  readonly options: RunInTransactionOptions;
  /** Isolation that TypeORM itself is to set and to check, in a statement of its own. */
  readonly isolation?: IsolationLevel | undefined;
}

/** What `nest-auth-identity/testing` watches while it makes statements fail. */
export interface Rehearsal {
  onRunner(runner: QueryRunner): void;
  onAfterCommit(): void;
}

/** SQLSTATE of a statement that `statement_timeout`, or somebody, has stopped. */
const QUERY_CANCELED = '57014';

/** Longest pause before a retry, in milliseconds; the pauses grow from 20 ms and are drawn at random below that. */
const MAX_BACKOFF_MS = 1_000;

/**
 * The transaction layer of one DataSource, and the only part of the package that touches it.
 *
 * It decides which manager a call runs on, opens and joins transactions, and keeps what must wait for the COMMIT.
 */
export class TransactionHost {
  #settings: TransactionSettings;
  #rehearsal: Rehearsal | undefined;
  #scopes: ScopeSource | undefined;
  readonly #createQueryRunner: DataSource['createQueryRunner'];
  readonly #subscribers: EntitySubscriberInterface[] = [wireSubscriber(this)];

  /** The host of a DataSource, made on the first call. A later call only changes the settings. */
  static attach(dataSource: DataSource, settings: TransactionSettings): TransactionHost {
    const host = findHost(dataSource) ?? new TransactionHost(dataSource, settings);
    host.#settings = settings;
    return host;
  }

  private constructor(
    readonly dataSource: DataSource,
    settings: TransactionSettings,
  ) {
    this.#settings = settings;
    this.#createQueryRunner = dataSource.createQueryRunner.bind(dataSource);
    dataSource.createQueryRunner = (mode) => {
      this.#checkEscape();
      return this.openRunner(mode);
    };
    readFromPrimary(dataSource);
    this.#guardHostManager(dataSource.manager);
    registerHost(dataSource, this);
  }

  /** Adds a subscriber that stays: the DataSource forgets its own whenever it is initialized. */
  addSubscriber(subscriber: EntitySubscriberInterface): void {
    this.#subscribers.push(subscriber);
  }

  /** From now on every transaction runs in the scope of the code that opens it, and our own calls need one. */
  useScopes(scopes: ScopeSource): void {
    this.#scopes = scopes;
  }

  /** Whether a row that is in the way may be one that the running code cannot see. */
  get hidesRows(): boolean {
    return this.#scopes !== undefined;
  }

  /**
   * Lets a test see every runner and every flush, with retries off, so that a failure it injects stays one.
   * Ends with the returned function.
   */
  rehearse(rehearsal: Rehearsal): () => void {
    this.#rehearsal = rehearsal;
    return () => (this.#rehearsal = undefined);
  }

  /** A runner that is not checked for escapes: the caller has decided that it stands outside. */
  openRunner(mode?: Parameters<DataSource['createQueryRunner']>[0]): QueryRunner {
    // `initialize()` rebuilds the subscribers and the pools, so both are looked after for every runner.
    for (const subscriber of this.#subscribers) {
      if (!this.dataSource.subscribers.includes(subscriber)) this.dataSource.subscribers.push(subscriber);
    }
    guardPools(this.dataSource, () => this.#settings.prepared);
    const runner = guardRunner(this.#createQueryRunner(mode), () => this.#settings, this.#scopes);
    this.#rehearsal?.onRunner(runner);
    return runner;
  }

  /**
   * The manager a call stands on from its first line: for methods that do something else, such as hashing, before they
   * reach the database. If the transaction is over by then they are refused, instead of running outside of any.
   */
  pin(manager: EntityManager | undefined): EntityManager | undefined {
    return this.#frameFor(manager)?.manager ?? manager;
  }

  /**
   * Runs one operation on the right manager: the one passed, else the ambient transaction's, else outside of any.
   *
   * Inside a transaction, operations on one manager run one after another. An operation that fails after it has
   * changed something makes the transaction rollback-only, so that no half of it can be committed.
   */
  async operate<T>(manager: EntityManager | undefined, fn: (manager: EntityManager) => Promise<T>): Promise<T> {
    const frame = this.#frameFor(manager);
    if (this.#scopes !== undefined) assertScoped(this.#scopes, frame);
    if (frame !== undefined) return this.#operateIn(frame, fn);
    if (manager?.queryRunner !== undefined) return fn(manager);
    return runOutsideTransaction(() => fn(this.dataSource.manager));
  }

  /** As {@link operate}, in a transaction of its own where none is running; that one is retried as a whole. */
  async atomic<T>(manager: EntityManager | undefined, fn: Callback<T>): Promise<T> {
    const frame = this.#frameFor(manager);
    if (this.#scopes !== undefined) assertScoped(this.#scopes, frame);
    if (frame !== undefined) return this.#operateIn(frame, fn as (manager: EntityManager) => Promise<T>);
    const runner = manager?.queryRunner;
    if (runner !== undefined) return runner.manager.transaction((inner) => fn(inner as TransactionalManager));
    return runOutsideTransaction(() => this.#retrying(fn, { owned: true, options: {} }));
  }

  /** {@link atomic} for an operation that may run code of the host, else {@link operate}, which one statement needs. */
  perform<T>(
    needsTransaction: boolean,
    manager: EntityManager | undefined,
    fn: (manager: EntityManager) => Promise<T>,
  ): Promise<T> {
    return needsTransaction ? this.atomic(manager, fn) : this.operate(manager, fn);
  }

  /**
   * Runs a host's callback in a transaction: joins the running one, or opens one and retries it.
   * See `UserService.runInTransaction` for the contract.
   */
  async run<T>(fn: Callback<T>, options: RunInTransactionOptions = {}): Promise<T> {
    validateOptions(options);
    const outer = currentFrame((candidate) => candidate.dataSource === this.dataSource);
    if (outer === undefined) return this.#retrying(fn, this.#openingFor(options));
    if (options.nested === 'independent') return this.#independent(fn, options);
    assertJoinable(options);
    const frame = usable(outer);
    return options.nested === 'savepoint' ? this.#savepoint(frame, fn) : this.#join(frame, fn);
  }

  /**
   * Runs `callback` after the outermost COMMIT of the running transaction, never after a rollback.
   * Without a transaction there is nothing to wait for: it runs at once.
   */
  afterCommit(manager: EntityManager | undefined, callback: AfterCommitCallback): void {
    const frame = this.#frameFor(manager);
    if (frame === undefined) return this.flush([callback]);
    frame.wire.joined = true;
    frame.wire.afterCommit(callback);
  }

  /** Runs what waited for a COMMIT, outside any transaction, each on its own: a failure is reported, never thrown. */
  flush(callbacks: readonly AfterCommitCallback[]): void {
    if (callbacks.length > 0) this.#rehearsal?.onAfterCommit();
    for (const callback of callbacks) {
      runAfterCommit(() => {
        try {
          // Any thenable: it may come from another realm or library.
          Promise.resolve(callback()).catch((error: unknown) => this.#reportAfterCommit(error));
        } catch (error) {
          this.#reportAfterCommit(error);
        }
      });
    }
  }

  /** Says that whatever follows on this manager must end in a rollback, with `error` as the reason. */
  markRollbackOnly(manager: EntityManager, error: unknown): void {
    if (manager.queryRunner !== undefined) wireOf(manager.queryRunner).markRollbackOnly(error);
  }

  #reportAfterCommit(error: unknown): void {
    try {
      this.#settings.report('A listener or callback failed after COMMIT; the committed work stands', error);
    } catch {
      // A logger of the host that fails has nobody to tell, and must not make a committed call fail.
    }
  }

  /** Where a call with this manager stands; undefined when it stands outside any transaction. */
  #frameFor(manager: EntityManager | undefined): Frame | undefined {
    if (manager === undefined) {
      const frame = currentFrame((candidate) => candidate.dataSource === this.dataSource);
      return frame === undefined ? undefined : usable(frame);
    }
    if (dataSourceOf(manager) !== this.dataSource) {
      throw new NestAuthError(
        'AMBIGUOUS_DATA_SOURCE',
        'The manager belongs to another DataSource; pass the one your runInTransaction callback received',
      );
    }
    const runner = manager.queryRunner;
    if (runner === undefined) return undefined;
    const wire = wireOf(runner);
    const { tombstone } = wire;
    if (tombstone !== undefined) throw tombstone;
    if (runner.isReleased) {
      throw new NestAuthError('TRANSACTION_ENDED', 'The manager belongs to a query runner that was released');
    }
    return wire.isOpen ? frameOf(this.dataSource, manager as TransactionalManager, wire) : undefined;
  }

  async #operateIn<T>(frame: Frame, fn: (manager: EntityManager) => Promise<T>): Promise<T> {
    const { wire } = frame;
    return this.#serially(frame, async () => {
      const before = wire.changes;
      try {
        return await fn(frame.manager);
      } catch (error) {
        if (wire.changes > before) wire.markRollbackOnly(error);
        throw error;
      }
    });
  }

  /** A joined callback that fails dooms the whole: the outer one may swallow the error, but not commit the half. */
  async #join<T>(frame: Frame, fn: Callback<T>): Promise<T> {
    return this.#serially(frame, async () => {
      try {
        return await fn(frame.manager);
      } catch (error) {
        frame.wire.markRollbackOnly(error);
        throw error;
      }
    });
  }

  async #savepoint<T>(frame: Frame, fn: Callback<T>): Promise<T> {
    frame.wire.joined = true;
    // The runner's own nested transaction takes the frame's lock and runs the callback in a child frame.
    return frame.manager.transaction(() => fn(frame.manager));
  }

  async #independent<T>(fn: Callback<T>, options: RunInTransactionOptions): Promise<T> {
    if (wouldWaitForEver(this.dataSource)) {
      throw new NestAuthError(
        'CONNECTION_UNAVAILABLE',
        'An independent transaction needs a second connection, and the pool is full without a connectTimeoutMS: it could wait for ever',
      );
    }
    return runOutsideTransaction(() => this.#retrying(fn, this.#openingFor(options)));
  }

  /** TypeORM sends the host's default isolation after START, and would overrule the one that was asked for. */
  #openingFor(options: RunInTransactionOptions): Opening {
    const { isolationLevel } = this.dataSource.options as { isolationLevel?: unknown };
    return { owned: true, options, isolation: isolationLevel === undefined ? undefined : options.isolation };
  }

  async #serially<T>(frame: Frame, fn: () => Promise<T>): Promise<T> {
    const { wire } = frame;
    wire.joined = true;
    wire.operations += 1;
    try {
      return await frame.lock.run(
        () => runInFrame(this.dataSource, frame.manager, wire, fn),
        this.#settings.operationTimeoutMs,
      );
    } finally {
      wire.operations -= 1;
    }
  }

  async #retrying<T>(fn: Callback<T>, opening: Opening): Promise<T> {
    const retries = this.#rehearsal === undefined ? (opening.options.retries ?? this.#settings.retries) : 0;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#open(fn, opening);
      } catch (error) {
        if (attempt >= retries || !isRetryable(error)) throw error;
        await pause(Math.random() * Math.min(MAX_BACKOFF_MS, 20 * 2 ** attempt));
      }
    }
  }

  /** One attempt: a fresh connection, the callback, COMMIT, and the connection given back whatever happened. */
  async #open<T>(fn: Callback<T>, { owned, options, isolation }: Opening): Promise<T> {
    const runner = this.openRunner();
    const manager = runner.manager as TransactionalManager;
    const wire = wireOf(runner);
    wire.owned = true;
    wire.joined = owned;
    wire.beginSql = beginStatement(options);
    try {
      await runner.startTransaction(isolation);
      const result = await this.#settle(wire, options.timeoutMs, () =>
        runInFrame(this.dataSource, manager, wire, () => fn(manager)),
      );
      await wire.runEnding(() => this.#commit(runner, wire));
      return result;
    } catch (error) {
      throw await wire.runEnding(() => this.#failed(runner, wire, error));
    } finally {
      retire(manager, wire);
      await runner.release();
      this.flush(wire.takeCommitted());
    }
  }

  /** Runs the callback to its end or to its time limit, and makes sure that nothing of it is still running. */
  async #settle<T>(wire: WireTransaction, timeoutMs: number | undefined, fn: () => Promise<T>): Promise<T> {
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

  async #commit(runner: QueryRunner, wire: WireTransaction): Promise<void> {
    try {
      await runner.commitTransaction();
    } catch (error) {
      // A subscriber of the host that throws after COMMIT does not undo it.
      if (wire.outcome !== 'committed') throw error;
      this.#reportAfterCommit(error);
    }
    // TypeORM took the COMMIT for the end of a nested transaction that the callback had left open.
    if (wire.isOpen) throw stillBusy();
  }

  /** Rolls back what is still open and says why the transaction failed, in the order of what explains most. */
  async #failed(runner: QueryRunner, wire: WireTransaction, error: unknown): Promise<unknown> {
    if (wire.isOpen) await rollBackWhole(runner, wire);
    if (wire.outcome === 'unknown') {
      const id = wire.transactionId;
      return new CommitOutcomeUnknownError(() => resolveCommitOutcome(this, id), error);
    }
    if (wire.closing?.code === 'TRANSACTION_TIMEOUT') return wire.closing;
    return wire.lost ?? error;
  }

  /** A query is about to take a second connection: find out whether it leaves the running transaction. */
  #checkEscape(): boolean {
    const { onEscape } = this.#settings;
    if (onEscape === 'off') return false;
    const frame = currentFrame((candidate) => candidate.dataSource === this.dataSource);
    if (frame === undefined || !frame.wire.joined) return false;
    const hostStack = captureHostStack();
    const error = new NestAuthError(
      'TRANSACTION_ESCAPED',
      `A query left the running transaction at ${hostStack[0] ?? 'an unknown place'}; use the transaction's manager, or runOutsideTransaction() if that is intended`,
      { details: { hostStack } },
    );
    // With no connection left to wait for, going on means to hang.
    if (onEscape === 'throw' || wouldWaitForEver(this.dataSource)) throw error;
    this.#settings.report(error.message, error);
    return true;
  }

  /** Makes `dataSource.transaction` ambient too, and names the host's line for calls that lose their stack later. */
  #guardHostManager(manager: EntityManager): void {
    const transaction = (first: unknown, second?: unknown): Promise<unknown> => {
      this.#checkEscape();
      const fn = (typeof first === 'function' ? first : second) as Callback<unknown> | undefined;
      if (fn === undefined) throw new TypeError('transaction() needs a callback');
      const isolation = typeof first === 'string' ? (first as IsolationLevel) : undefined;
      return this.#open(fn, { owned: false, options: {}, isolation });
    };
    manager.transaction = async (...args: unknown[]) => transaction(args[0], args[1]) as Promise<never>;
    for (const name of ['save', 'remove', 'softRemove', 'recover'] as const) {
      const original = manager[name].bind(manager) as (...args: unknown[]) => Promise<unknown>;
      (manager as unknown as Record<string, unknown>)[name] = async (...args: unknown[]) => {
        const escaped = this.#checkEscape();
        // It has been reported: the runner that it takes later is no second escape.
        return escaped ? runOutsideTransaction(() => original(...args)) : original(...args);
      };
    }
  }
}

/** Feeds the wire's state from the driver's answers. */
function wireSubscriber(host: TransactionHost): EntitySubscriberInterface {
  return {
    beforeQuery({ queryRunner, query }) {
      const wire = wireOf(queryRunner);
      const refusal = wire.refusalOf(query);
      if (refusal !== undefined) throw refusal;
      wire.statementSent(query);
    },
    afterQuery({ queryRunner, query, success, rawResults, error }) {
      const wire = wireOf(queryRunner);
      if (!success) {
        forgetRow(error);
        return wire.statementFailed(query, error);
      }
      wire.statementSucceeded(query, rawResults);
      // A transaction that the host drives by a runner of its own has no end that we could wait for.
      if (!wire.owned && wire.outcome === 'committed') {
        const callbacks = wire.takeCommitted();
        if (callbacks.length > 0) setImmediate(() => host.flush(callbacks));
      }
      return undefined;
    },
  };
}

/** Refuses work in a transaction that is over while its callback still runs. */
function usable(frame: Frame): Frame {
  const refusal = frame.wire.refusalOf('');
  if (refusal !== undefined) throw refusal;
  return frame;
}

/** Without a tenant every table of tenants reads as empty: a call that forgot it must not take that for an answer. */
function assertScoped(scopes: ScopeSource, frame: Frame | undefined): void {
  if (frame === undefined ? scopes.current() !== undefined : frame.wire.scope !== undefined) return;
  throw new NestAuthError(
    'TENANT_REQUIRED',
    'Row-level security is on: call this inside TenantContext.run(tenantId, fn), or inside withoutTenant(reason, fn)',
  );
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

import type { DataSource, EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { runAttempts } from './attempts.js';
import { guardPools, wouldWaitForEver } from './connection-pool.js';
import { checkEscape, guardHostManager } from './escape.js';
import { currentFrame, type Frame, frameOf, runAfterCommit, runInFrame, runOutsideTransaction } from './frame.js';
import { guardRunner } from './guarded-runner.js';
import { HealthSources } from './health-sources.js';
import type { Opening, TransactionCallback } from './open-transaction.js';
import { type PoolState, PoolWaits, readPool } from './pool-state.js';
import { writeInTransactions } from './orm-transactions.js';
import { readFromPrimary } from './primary-reads.js';
import { dataSourceOf, findHost, registerHost, wireOf } from './registry.js';
import type { ScopeSource } from './transaction-scope.js';
import { assertCallback, assertJoinable, validateRun } from './transaction-options.js';
import { type NestAuthObserver, quietly } from './transaction-observer.js';
import type {
  IsolationLevel,
  RunInTransactionOptions,
  TransactionalManager,
  TransactionSettings,
} from './transaction.types.js';
import { wireSubscriber } from './wire-subscriber.js';
import type { AfterCommitCallback } from './wire-transaction.js';

/** What `nest-auth-identity/testing` watches while it makes statements fail. */
export interface Rehearsal {
  onRunner(runner: QueryRunner): void;
  onAfterCommit(): void;
}

/**
 * The transaction layer of one DataSource, and the only part of the package that touches it.
 *
 * It decides which manager a call runs on, opens and joins transactions, and keeps what must wait for the COMMIT.
 */
export class TransactionHost {
  #settings: TransactionSettings;
  #rehearsal: Rehearsal | undefined;
  #scopes: ScopeSource | undefined;
  #waits: PoolWaits | undefined;
  /** Whose state belongs to the health of the application that uses this DataSource. */
  readonly health = new HealthSources();
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
    const leaves = (): boolean => checkEscape(dataSource, this.#settings);
    dataSource.createQueryRunner = (mode) => {
      leaves();
      return this.openRunner(mode);
    };
    readFromPrimary(dataSource);
    writeInTransactions(dataSource);
    guardHostManager(this, dataSource.manager, leaves);
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
    const waits = mode === 'slave' ? undefined : this.#waits;
    const runner = guardRunner(this.#createQueryRunner(mode), () => this.#settings, this.#scopes, waits);
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

  /**
   * {@link operate} for a list. One that may be old is read at a replica, unless a transaction is running or a manager
   * says where to read: there it could miss what the caller has just written.
   */
  async browse<T>(
    options: { readonly replica?: boolean } | undefined,
    manager: EntityManager | undefined,
    fn: (manager: EntityManager) => Promise<T>,
  ): Promise<T> {
    if (options?.replica !== true || manager !== undefined || this.#frameFor(undefined) !== undefined) {
      return this.operate(manager, fn);
    }
    if (this.#scopes !== undefined) assertScoped(this.#scopes, undefined);
    return runOutsideTransaction(async () => {
      const runner = this.openRunner('slave');
      try {
        return await fn(runner.manager);
      } finally {
        await runner.release();
      }
    });
  }

  /** As {@link operate}, in a transaction of its own where none is running; that one is retried as a whole. */
  async atomic<T>(manager: EntityManager | undefined, fn: TransactionCallback<T>): Promise<T> {
    const frame = this.#frameFor(manager);
    if (this.#scopes !== undefined) assertScoped(this.#scopes, frame);
    if (frame !== undefined) return this.#operateIn(frame, fn as (manager: EntityManager) => Promise<T>);
    const runner = manager?.queryRunner;
    if (runner !== undefined) return runner.manager.transaction((inner) => fn(inner as TransactionalManager));
    return runOutsideTransaction(() => this.#retrying(fn, { owned: true, opener: 'operation', options: {} }));
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
  async run<T>(fn: TransactionCallback<T>, options: RunInTransactionOptions = {}): Promise<T> {
    validateRun(fn, options);
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
    assertCallback('afterCommit', callback);
    const frame = this.#frameFor(manager);
    if (frame === undefined) return this.flush([callback]);
    frame.wire.joined = true;
    frame.wire.afterCommit(callback);
  }

  /**
   * Runs `callback` the moment the outermost COMMIT is confirmed, before anybody else learns of it; never after a
   * rollback. Without a transaction at once. It must not throw.
   */
  onCommit(manager: EntityManager | undefined, callback: () => void): void {
    const frame = this.#frameFor(manager);
    if (frame === undefined) return callback();
    frame.wire.joined = true;
    frame.wire.onCommit(callback);
  }

  /**
   * In which scope a call would be answered by something that was read before; undefined where only the database may
   * answer, because a transaction is running or a manager says where to read. Refuses, like {@link operate}, code that
   * has no scope and needs one.
   */
  sharedScope(manager: EntityManager | undefined): string | undefined {
    const frame = this.#frameFor(manager);
    if (this.#scopes !== undefined) assertScoped(this.#scopes, frame);
    if (frame !== undefined || manager !== undefined) return undefined;
    return this.#scopes?.current()?.key ?? '';
  }

  /** Runs what waited for a COMMIT, outside any transaction, each on its own: a failure is reported, never thrown. */
  flush(callbacks: readonly AfterCommitCallback[]): void {
    if (callbacks.length > 0) this.#rehearsal?.onAfterCommit();
    for (const callback of callbacks) {
      runAfterCommit(() => {
        try {
          // Any thenable: it may come from another realm or library.
          Promise.resolve(callback()).catch((error: unknown) => this.reportAfterCommit(error));
        } catch (error) {
          this.reportAfterCommit(error);
        }
      });
    }
  }

  /** Says that whatever follows on this manager must end in a rollback, with `error` as the reason. */
  markRollbackOnly(manager: EntityManager, error: unknown): void {
    if (manager.queryRunner !== undefined) wireOf(manager.queryRunner).markRollbackOnly(error);
  }

  /** Tells of a failure that comes too late to undo anything. */
  reportAfterCommit(error: unknown): void {
    // A logger of the host that fails must not make a committed call fail.
    quietly(() =>
      this.#settings.report('A listener or callback failed after COMMIT; the committed work stands', error),
    );
    for (const observer of this.#observers) quietly(() => observer.afterCommitFailed?.(error));
  }

  /** Tells of a failure that nobody waits for. */
  report(message: string, error: unknown): void {
    quietly(() => this.#settings.report(message, error));
  }

  /** One attempt at a transaction of the host's own, `dataSource.transaction`. */
  openForHost<T>(fn: TransactionCallback<T>, isolation: IsolationLevel | undefined): Promise<T> {
    const opening: Opening = { owned: false, opener: 'dataSource.transaction', options: {}, isolation };
    return runAttempts(this, fn, opening, 0, this.#observers);
  }

  /** From now on it is known since when callers have been waiting for a connection. */
  watchPool(): void {
    this.#waits ??= new PoolWaits((waitedMs) => {
      for (const observer of this.#observers) quietly(() => observer.connected?.(waitedMs));
    });
  }

  /** How the pool of the primary is doing. */
  poolState(): PoolState {
    this.watchPool();
    return readPool(this.dataSource, this.#waits as PoolWaits);
  }

  get #observers(): readonly NestAuthObserver[] {
    // What a rehearsal makes fail on purpose, once a statement, is nothing to be told of.
    return this.#rehearsal === undefined ? (this.#settings.observers ?? []) : [];
  }

  /** Where a call with this manager stands; undefined when it stands outside any transaction. */
  #frameFor(manager: EntityManager | undefined): Frame | undefined {
    if (manager === undefined) {
      const frame = currentFrame((candidate) => candidate.dataSource === this.dataSource);
      return frame === undefined ? undefined : usable(frame);
    }
    if ((manager as unknown) === null) {
      throw new NestAuthError('VALIDATION_FAILED', 'The manager is null; pass the one of your transaction, or none', {
        details: { issues: [{ path: 'manager', message: 'must be an EntityManager, or left out' }] },
      });
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
  async #join<T>(frame: Frame, fn: TransactionCallback<T>): Promise<T> {
    return this.#serially(frame, async () => {
      try {
        return await fn(frame.manager);
      } catch (error) {
        frame.wire.markRollbackOnly(error);
        throw error;
      }
    });
  }

  async #savepoint<T>(frame: Frame, fn: TransactionCallback<T>): Promise<T> {
    frame.wire.joined = true;
    // The runner's own nested transaction takes the frame's lock and runs the callback in a child frame.
    return frame.manager.transaction(() => fn(frame.manager));
  }

  async #independent<T>(fn: TransactionCallback<T>, options: RunInTransactionOptions): Promise<T> {
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
    return {
      owned: true,
      opener: 'runInTransaction',
      options,
      isolation: isolationLevel === undefined ? undefined : options.isolation,
    };
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

  #retrying<T>(fn: TransactionCallback<T>, opening: Opening): Promise<T> {
    const retries = this.#rehearsal === undefined ? (opening.options.retries ?? this.#settings.retries) : 0;
    return runAttempts(this, fn, opening, retries, this.#observers);
  }
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

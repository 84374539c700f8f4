import type { EntityManager } from 'typeorm';
import { NestAuthError, type NestAuthErrorCode } from '../errors/nest-auth.error.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { BatchTally } from './batch-tally.js';
import { scanDue } from './due-users.queries.js';
import { hasPeriod, type LifecycleOperations, type Order, type Outcome } from './lifecycle.operations.js';
import type { LifecycleBatchOptions, LifecycleBatchResult } from './lifecycle.types.js';
import { readBatchGround } from './tenant-periods.queries.js';
import type { LifecycleCommand } from './transitions.policy.js';

/** One sweep of a batch: a command for everybody with a status whom it concerns. */
export interface Sweep {
  readonly command: LifecycleCommand;
  readonly status: string;
  /** Of those whose tenants have no period of their own. */
  readonly period?: number;
}

/** A statement reads so many users at most, due or not: it takes as long among a thousand users as among a million. */
const WINDOW = 5_000;

/** How often a chunk is tried again after a deadlock before its users are tried by themselves. */
const ATTEMPTS = 3;

/** No single user is to blame for these: whatever is left would fail as well. */
const FATAL: readonly NestAuthErrorCode[] = [
  'AMBIGUOUS_DATA_SOURCE',
  'COMMIT_OUTCOME_UNKNOWN',
  'CONNECTION_LOST',
  'CONNECTION_UNAVAILABLE',
  'TENANT_CONTEXT_MISMATCH',
  'TRANSACTION_ABORTED',
  'TRANSACTION_BUSY',
  'TRANSACTION_ENDED',
  'TRANSACTION_ESCAPED',
  'TRANSACTION_TIMEOUT',
];

/**
 * Moves everybody who is due, a chunk a transaction. Nothing is remembered between chunks but the last id: whoever has
 * been moved is not due any more, so that a batch that was killed is simply run again.
 */
export class BatchOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly lifecycle: LifecycleOperations,
  ) {}

  async run(
    sweeps: readonly Sweep[],
    options: LifecycleBatchOptions & { readonly chunkSize: number },
    manager: EntityManager | undefined,
  ): Promise<LifecycleBatchResult> {
    const pinned = this.transactions.pin(manager);
    const { tenants, spread } = await this.transactions.operate(pinned, readBatchGround);
    // On a cluster one user a statement, which is for one node: it refuses to lock rows of several.
    const chunkSize = spread ? 1 : options.chunkSize;
    const tally = new BatchTally(options);
    const [from, after] = readCursor(options.after);
    for (const [index, sweep] of sweeps.entries()) {
      if (index < from) continue;
      const isDone = await this.#sweep(
        { sweep, index, tenants, options: { ...options, chunkSize }, tally },
        index === from ? after : NIL_UUID,
        pinned,
      );
      if (!isDone) return tally.result(false);
    }
    return tally.result(true);
  }

  /** False when it was told to stop. */
  async #sweep(run: Run, start: string, manager: EntityManager | undefined): Promise<boolean> {
    const { sweep, index, options, tally, tenants } = run;
    let after = start;
    for (;;) {
      if (isStopped(options)) return false;
      const size = Math.max(WINDOW, options.chunkSize);
      const { due, last, scanned } = await this.transactions.operate(manager, (m) =>
        scanDue(m, { ...sweep, tenants }, { after, size }, sweep.period),
      );
      if (last === undefined) return true;
      for (let offset = 0; offset < due.length; offset += options.chunkSize) {
        if (isStopped(options)) return false;
        const chunk = due.slice(offset, offset + options.chunkSize);
        await this.#chunk(run, chunk, manager);
        await tally.finish(0, `${index}:${chunk.at(-1)}`);
      }
      after = last;
      await tally.finish(scanned, `${index}:${after}`);
      if (scanned < size) return true;
    }
  }

  async #chunk(run: Run, ids: readonly string[], manager: EntityManager | undefined): Promise<void> {
    const { tally, options, sweep, tenants } = run;
    if (options.dryRun === true) {
      const mode = { tenants, skipLocked: false };
      const rows = await this.transactions.operate(manager, (m) =>
        this.lifecycle.foresee(m, { command: sweep.command, ...mode, value: sweep.period }, ids),
      );
      for (const { id, reason } of rows) {
        if (reason === null) tally.processed(id);
        else tally.skipped({ id, reason });
      }
      return;
    }
    await this.#move(run, ids, manager);
  }

  /** The chunk; if that fails, its halves, down to whoever is to blame. */
  async #move(run: Run, ids: readonly string[], manager: EntityManager | undefined): Promise<void> {
    try {
      const { changed, refused } = await this.#tryMove(run, ids, manager);
      for (const { id } of changed) run.tally.processed(id);
      for (const { id, error } of refused) run.tally.skipped({ id, reason: error.code });
    } catch (error) {
      if (isFatal(error)) throw error;
      const [id] = ids;
      if (ids.length === 1 && id !== undefined) return run.tally.failed({ id, error });
      const half = Math.ceil(ids.length / 2);
      await this.#move(run, ids.slice(0, half), manager);
      await this.#move(run, ids.slice(half), manager);
    }
  }

  async #tryMove(
    { sweep, tenants }: Run,
    ids: readonly string[],
    manager: EntityManager | undefined,
  ): Promise<Outcome> {
    const { command, period } = sweep;
    const order: Order = { command, tenants, skipLocked: true, value: hasPeriod(command) ? period : undefined };
    const move = (m: EntityManager): Promise<Outcome> => this.lifecycle.move(m, order, ids);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#inTransaction(command, manager, move);
      } catch (error) {
        if (attempt >= ATTEMPTS || !isConflict(error)) throw error;
      }
    }
  }

  /** In a transaction of the caller a failure must take back no more than the chunk. */
  async #inTransaction(
    command: LifecycleCommand,
    manager: EntityManager | undefined,
    move: (manager: EntityManager) => Promise<Outcome>,
  ): Promise<Outcome> {
    if (manager?.queryRunner?.isTransactionActive === true) return manager.transaction(move);
    return this.transactions.perform(this.lifecycle.needsTransaction(command), manager, move);
  }
}

interface Run {
  readonly sweep: Sweep;
  /** The sweep's place, for the cursor. */
  readonly index: number;
  /** Whether some tenant has periods of its own. */
  readonly tenants: boolean;
  readonly options: LifecycleBatchOptions & { readonly chunkSize: number };
  readonly tally: BatchTally;
}

function readCursor(cursor: string | undefined): [sweep: number, after: string] {
  const [sweep = '0', after = NIL_UUID] = cursor?.split(':') ?? [];
  return [Number(sweep), after];
}

/** A function: the signal changes while the batch waits. */
function isStopped({ signal }: LifecycleBatchOptions): boolean {
  return signal?.aborted === true;
}

function isFatal(error: unknown): boolean {
  return error instanceof NestAuthError && FATAL.includes(error.code);
}

function isConflict(error: unknown): boolean {
  return error instanceof NestAuthError && error.code === 'TRANSACTION_CONFLICT';
}

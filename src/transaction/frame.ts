import { AsyncLocalStorage } from 'node:async_hooks';
import type { DataSource } from 'typeorm';
import { SerialLock } from './serial-lock.js';
import type { TransactionalManager } from './transaction.types.js';
import type { WireTransaction } from './wire-transaction.js';

/**
 * One place in the call tree of a transaction.
 *
 * Every operation runs in a child frame with a lock of its own: siblings started in parallel wait for each other, a
 * nested call never waits for its parent.
 */
export interface Frame {
  readonly dataSource: DataSource;
  readonly manager: TransactionalManager;
  readonly wire: WireTransaction;
  readonly lock: SerialLock;
  readonly parent: Frame | OutsideFrame | undefined;
  /** Its code has run to the end; what it left behind may still be running. */
  settled: boolean;
}

/** Marks code that stands outside the enclosing transaction on purpose. */
interface OutsideFrame {
  readonly outside: true;
  /** Work that waited for a COMMIT. */
  readonly afterCommit?: true;
}

const ambient = new AsyncLocalStorage<Frame | OutsideFrame>();

const OUTSIDE: OutsideFrame = { outside: true };
const AFTER_COMMIT: OutsideFrame = { outside: true, afterCommit: true };

/**
 * The innermost running transaction of this async context for which `matches` holds.
 *
 * One that is over already, because its connection or its time is, still counts while its callback runs: work in there
 * must be refused, and not find itself outside of any transaction.
 */
export function currentFrame(matches: (frame: Frame) => boolean): Frame | undefined {
  let frame = ambient.getStore();
  while (frame !== undefined && !('outside' in frame)) {
    const isLive = frame.wire.isOpen && !frame.wire.isOver;
    if ((isLive || !frame.settled) && matches(frame)) return frame;
    frame = frame.parent;
  }
  return undefined;
}

/** The frame from which a call with this manager is made: where it stands in the tree decides what it waits for. */
export function frameOf(dataSource: DataSource, manager: TransactionalManager, wire: WireTransaction): Frame {
  const here = currentFrame((frame) => frame.wire === wire);
  if (here !== undefined) return here;
  wire.rootFrame ??= { dataSource, manager, wire, lock: new SerialLock(), parent: undefined, settled: true };
  return wire.rootFrame;
}

/** Runs `fn` with `manager`'s transaction as the ambient one. */
export async function runInFrame<T>(
  dataSource: DataSource,
  manager: TransactionalManager,
  wire: WireTransaction,
  fn: () => Promise<T>,
): Promise<T> {
  const parent = ambient.getStore();
  const frame: Frame = { dataSource, manager, wire, lock: new SerialLock(), parent, settled: false };
  wire.rootFrame ??= frame;
  try {
    return await ambient.run(frame, fn);
  } finally {
    frame.settled = true;
  }
}

/**
 * Runs `fn` outside any ambient transaction: its queries use their own connections and are not reported as escapes.
 *
 * @param fn - Work that must survive a rollback of the enclosing transaction, or must not see it.
 */
export function runOutsideTransaction<T>(fn: () => T): T {
  // Nothing to leave: entering a context costs every promise in it.
  return ambient.getStore() === undefined ? fn() : ambient.run(OUTSIDE, fn);
}

/** As {@link runOutsideTransaction}, for work that waited for a COMMIT. */
export function runAfterCommit<T>(fn: () => T): T {
  return ambient.run(AFTER_COMMIT, fn);
}

/** Whether this code runs because a transaction has committed. */
export function isAfterCommit(): boolean {
  const frame = ambient.getStore();
  return frame !== undefined && 'outside' in frame && frame.afterCommit === true;
}

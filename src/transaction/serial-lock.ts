import { NestAuthError } from '../errors/nest-auth.error.js';

/** Lets one holder in at a time, in the order of arrival. */
export class SerialLock {
  /** Settles when the last in the queue has; undefined while nobody holds the lock. */
  #tail: Promise<void> | undefined;

  /**
   * Runs `fn` after all earlier holders have settled.
   * Rejects with `TRANSACTION_BUSY` when that takes longer than `timeoutMs`: an operation that awaits one queued
   * behind it would otherwise wait for ever.
   */
  async run<T>(fn: () => Promise<T>, timeoutMs: number): Promise<T> {
    const before = this.#tail;
    let release!: () => void;
    const turn = new Promise<void>((resolve) => (release = resolve));
    this.#tail = turn;
    const leave = (): void => {
      if (this.#tail === turn) this.#tail = undefined;
      release();
    };
    try {
      // A timer for every call would cost more than the lock: mostly nobody holds it.
      if (before !== undefined) await waitFor(before, timeoutMs);
      return await fn();
    } finally {
      // Whoever gave up waiting must not let its successors overtake the holder.
      if (before === undefined) leave();
      else void before.then(leave);
    }
  }
}

async function waitFor(turn: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(waitedTooLong(timeoutMs)), timeoutMs);
  });
  try {
    await Promise.race([turn, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}

function waitedTooLong(timeoutMs: number): NestAuthError {
  return new NestAuthError(
    'TRANSACTION_BUSY',
    `An operation waited ${timeoutMs} ms for another one on the same manager; do not await inside an operation one that was started beside it`,
  );
}

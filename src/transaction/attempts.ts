import { isRetryable } from '../errors/postgres-errors.js';
import { type Opening, openTransaction, type TransactionCallback } from './open-transaction.js';
import type { TransactionHost } from './transaction-host.js';
import { type NestAuthObserver, quietly, type TransactionAttempt } from './transaction-observer.js';

/** Longest pause before a retry, in milliseconds; the pauses grow from 20 ms and are drawn at random below that. */
const MAX_BACKOFF_MS = 1_000;

/** Opens a transaction, and again as long as it fails for a reason that passes. */
export async function runAttempts<T>(
  host: TransactionHost,
  fn: TransactionCallback<T>,
  opening: Opening,
  retries: number,
  observers: readonly NestAuthObserver[],
): Promise<T> {
  const watch = observers.length === 0 ? undefined : new Watch(opening, observers);
  for (let attempt = 0; ; attempt += 1) {
    try {
      const result = await (watch === undefined ? openTransaction(host, fn, opening) : watch.open(host, fn));
      watch?.ended(false, undefined);
      return result;
    } catch (error) {
      if (attempt >= retries || !isRetryable(error)) {
        watch?.ended(true, error);
        throw error;
      }
      watch?.retrying(error);
      await pause(Math.random() * Math.min(MAX_BACKOFF_MS, 20 * 2 ** attempt));
    }
  }
}

/** What is told of one transaction and its retries. */
class Watch {
  readonly #started = performance.now();
  #statements = 0;
  #attempts = 0;
  #current!: TransactionAttempt;

  constructor(
    private readonly opening: Opening,
    private readonly observers: readonly NestAuthObserver[],
  ) {}

  open<T>(host: TransactionHost, fn: TransactionCallback<T>): Promise<T> {
    this.#attempts += 1;
    const current: TransactionAttempt = {
      opener: this.opening.opener,
      attempt: this.#attempts,
      statements: 0,
      outcome: 'none',
      transactionId: undefined,
    };
    this.#current = current;
    const opening: Opening = {
      ...this.opening,
      onOver: (wire) => {
        current.statements = wire.statements;
        current.outcome = wire.outcome;
        current.transactionId = wire.transactionId;
        this.#statements += wire.statements;
      },
    };
    let run = (): Promise<T> => openTransaction(host, fn, opening);
    for (const observer of this.observers) {
      const inner = run;
      if (observer.attempt !== undefined) run = () => observer.attempt?.(current, inner) ?? inner();
    }
    return run();
  }

  retrying(error: unknown): void {
    for (const observer of this.observers) quietly(() => observer.retrying?.(this.#current, error));
  }

  ended(failed: boolean, error: unknown): void {
    const durationMs = performance.now() - this.#started;
    const end = { attempt: this.#current, durationMs, statements: this.#statements, error, failed };
    for (const observer of this.observers) quietly(() => observer.ended?.(end));
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

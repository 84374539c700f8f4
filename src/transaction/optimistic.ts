import type { EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';

/** Each wave of contenders has a winner, so this many losses mean that something else is wrong. */
const MAX_ATTEMPTS = 1_000;

/**
 * Runs a statement that decides by what it read until nobody changes that meanwhile. `attempt` returns undefined when
 * it lost such a race and has written nothing; the next one sees what the winner has committed.
 */
export async function untilDecided<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (let count = 0; count < MAX_ATTEMPTS; count += 1) {
    const result = await attempt();
    if (result !== undefined) return result;
  }
  throw new NestAuthError('TRANSACTION_CONFLICT', 'The row kept changing while it was written; call again', {
    details: { retryable: true },
  });
}

/**
 * Runs a statement that may break a unique index in a race which no condition can exclude, a renaming for example:
 * inside a transaction it gets a savepoint, so that the caller's transaction stays usable.
 */
export async function shielded<T>(manager: EntityManager, fn: (manager: EntityManager) => Promise<T>): Promise<T> {
  return manager.queryRunner?.isTransactionActive === true ? manager.transaction(fn) : fn(manager);
}

/** The counterpart of {@link shielded} for a statement that cannot raise. */
export function direct<T>(manager: EntityManager, fn: (manager: EntityManager) => Promise<T>): Promise<T> {
  return fn(manager);
}

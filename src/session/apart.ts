import type { EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { wouldWaitForEver } from '../transaction/connection-pool.js';
import { runOutsideTransaction } from '../transaction/frame.js';
import { isInTransaction } from '../transaction/registry.js';
import type { TransactionHost } from '../transaction/transaction-host.js';

/** Only the caller's own transaction can be in the way for longer. */
const LOCK_TIMEOUT_MS = 2_000;

/**
 * Runs one statement that is its own transaction, on a further connection if the caller's is in one: what is counted, or
 * was told to somebody, stays when the caller's transaction is rolled back.
 */
export async function runApart<T>(
  transactions: TransactionHost,
  manager: EntityManager | undefined,
  fn: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  if (!isHeld(manager)) return transactions.operate(manager, fn);
  if (wouldWaitForEver(transactions.dataSource)) {
    throw new NestAuthError(
      'CONNECTION_UNAVAILABLE',
      'A sign-in inside a transaction needs a second connection, and the pool is full without a connectTimeoutMS: it could wait for ever',
    );
  }
  return runOutsideTransaction(() => transactions.run(fn, { lockTimeoutMs: LOCK_TIMEOUT_MS, retries: 0 }));
}

export function isHeld(manager: EntityManager | undefined): boolean {
  return manager !== undefined && isInTransaction(manager);
}

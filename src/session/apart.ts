import type { EntityManager } from 'typeorm';
import { CommitOutcomeUnknownError, NestAuthError } from '../errors/nest-auth.error.js';
import { wouldWaitForEver } from '../transaction/connection-pool.js';
import { runOutsideTransaction } from '../transaction/frame.js';
import { isInTransaction } from '../transaction/registry.js';
import type { TransactionHost } from '../transaction/transaction-host.js';

/** Only the caller's own transaction can be in the way for longer. */
const LOCK_TIMEOUT_MS = 2_000;
/** The `timeoutMs` of the caller does not reach the other connection, which would be gone for good in a silent network. */
const TIMEOUT_MS = 5_000;

/**
 * Runs one statement that is its own transaction, on a further connection if the caller's is in one: what is counted, or
 * was told to somebody, stays when the caller's transaction is rolled back.
 */
export async function runApart<T>(
  transactions: TransactionHost,
  manager: EntityManager | undefined,
  fn: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  return isHeld(manager) ? runBeside(transactions, fn) : transactions.operate(manager, fn);
}

/** Runs one statement that is its own transaction, on a connection that is not that of the caller. */
export async function runBeside<T>(
  transactions: TransactionHost,
  fn: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  if (wouldWaitForEver(transactions.dataSource)) {
    throw new NestAuthError(
      'CONNECTION_UNAVAILABLE',
      'A sign-in inside a transaction needs a second connection, and the pool is full without a connectTimeoutMS: it could wait for ever',
    );
  }
  const options = { timeoutMs: TIMEOUT_MS, lockTimeoutMs: LOCK_TIMEOUT_MS, retries: 0 };
  return runOutsideTransaction(() => transactions.run(fn, options)).catch((error: unknown) => {
    throw error instanceof CommitOutcomeUnknownError ? lostApart(error) : error;
  });
}

/** In doubt is this one statement alone: whoever took that for the caller's COMMIT would believe in what is rolled back. */
function lostApart(cause: CommitOutcomeUnknownError): NestAuthError {
  return new NestAuthError('CONNECTION_LOST', 'The second connection of a call inside a transaction was lost', {
    details: { retryable: true },
    cause,
  });
}

export function isHeld(manager: EntityManager | undefined): boolean {
  return manager !== undefined && isInTransaction(manager);
}

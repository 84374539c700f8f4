import type { EntityManager } from 'typeorm';
import type { TransactionHost } from './transaction-host.js';

/** Runs `fn` in the transaction of `manager`, which an operation has been given; outside of any, in one of its own. */
export function within<T>(
  transactions: TransactionHost,
  manager: EntityManager,
  fn: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  return manager.queryRunner?.isTransactionActive === true ? fn(manager) : transactions.atomic(manager, fn);
}

import type { EntityManager } from 'typeorm';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { UserHooks } from './user-hooks.js';

/** Runs the host's hooks, so that a hook that throws undoes everything. */
export class HookRunner {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly hooks: UserHooks,
  ) {}

  /** Whether the host has one of these: then the call needs a transaction. */
  any(...names: readonly (keyof UserHooks)[]): boolean {
    return names.some((name) => this.hooks[name] !== undefined);
  }

  /** If the hook throws, nothing of the transaction may be kept, whoever swallows the error. */
  async run<T>(manager: EntityManager, call: (hooks: UserHooks) => T): Promise<Awaited<T>> {
    try {
      return await call(this.hooks);
    } catch (error) {
      this.transactions.markRollbackOnly(manager, error);
      throw error;
    }
  }
}

import type { EntityManager } from 'typeorm';
import { hostOf } from './registry.js';

/**
 * Runs `fn` on one connection to the primary: the manager's own inside a transaction, else a borrowed one.
 * For TypeORM's finders, which outside of any would read from a random replica.
 */
export async function withRunner<T>(manager: EntityManager, fn: (manager: EntityManager) => Promise<T>): Promise<T> {
  if (manager.queryRunner !== undefined) return fn(manager);
  const runner = hostOf(manager).openRunner();
  try {
    return await fn(runner.manager);
  } finally {
    await runner.release();
  }
}

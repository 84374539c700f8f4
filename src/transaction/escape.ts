import type { DataSource, EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { wouldWaitForEver } from './connection-pool.js';
import { currentFrame, runOutsideTransaction } from './frame.js';
import { captureHostStack } from './host-stack.js';
import type { TransactionCallback } from './open-transaction.js';
import type { TransactionHost } from './transaction-host.js';
import type { IsolationLevel, TransactionSettings } from './transaction.types.js';

/**
 * A query is about to take a second connection: finds out whether it leaves the running transaction.
 * True when it does and was reported; throws where it must not.
 */
export function checkEscape(dataSource: DataSource, settings: TransactionSettings): boolean {
  const { onEscape } = settings;
  if (onEscape === 'off') return false;
  const frame = currentFrame((candidate) => candidate.dataSource === dataSource);
  if (frame === undefined || !frame.wire.joined) return false;
  const hostStack = captureHostStack();
  const error = new NestAuthError(
    'TRANSACTION_ESCAPED',
    `A query left the running transaction at ${hostStack[0] ?? 'an unknown place'}; use the transaction's manager, or runOutsideTransaction() if that is intended`,
    { details: { hostStack } },
  );
  // With no connection left to wait for, going on means to hang.
  if (onEscape === 'throw' || wouldWaitForEver(dataSource)) throw error;
  settings.report(error.message, error);
  return true;
}

/** Makes `dataSource.transaction` ambient too, and names the host's line for calls that lose their stack later. */
export function guardHostManager(host: TransactionHost, manager: EntityManager, leaves: () => boolean): void {
  const transaction = (first: unknown, second?: unknown): Promise<unknown> => {
    leaves();
    const fn = (typeof first === 'function' ? first : second) as TransactionCallback<unknown> | undefined;
    if (fn === undefined) throw new TypeError('transaction() needs a callback');
    const isolation = typeof first === 'string' ? (first as IsolationLevel) : undefined;
    return host.openForHost(fn, isolation);
  };
  manager.transaction = async (...args: unknown[]) => transaction(args[0], args[1]) as Promise<never>;
  for (const name of ['save', 'remove', 'softRemove', 'recover'] as const) {
    const original = manager[name].bind(manager) as (...args: unknown[]) => Promise<unknown>;
    (manager as unknown as Record<string, unknown>)[name] = async (...args: unknown[]) => {
      const escaped = leaves();
      // It has been reported: the runner that it takes later is no second escape.
      return escaped ? runOutsideTransaction(() => original(...args)) : original(...args);
    };
  }
}

import { NestAuthError } from '../errors/nest-auth.error.js';
import { SerialLock } from './serial-lock.js';
import type { WireTransaction } from './wire-transaction.js';

/** What a transaction runs as, from its first statement to its end. */
export interface TransactionScope {
  /** Equal keys are the same scope. */
  readonly key: string;
  /** Settings that go with the BEGIN: constants only, no parameters, and nothing that takes a snapshot. */
  readonly sql: string;
}

/** Tells the scope of the code that asks. Installed by whoever needs scopes; without one nothing is looked up. */
export interface ScopeSource {
  current(): TransactionScope | undefined;
}

type Send = (sql: string) => Promise<unknown>;

const lanes = new WeakMap<WireTransaction, SerialLock>();

/**
 * Sends `sql` in the scope of the calling code.
 *
 * The scope goes with the BEGIN, so it costs no round trip and no statement can come before it. A statement outside of
 * any transaction gets one of its own: on a pooled connection nothing else could scope it without outliving it.
 */
export function sendInScope(
  wire: WireTransaction,
  scope: TransactionScope | undefined,
  sql: string,
  waitMs: number,
  send: Send,
): Promise<unknown> {
  if (/^\s*(START\s+TRANSACTION|BEGIN)\b/i.test(sql)) {
    if (!wire.isOpen) wire.scope = scope;
    return send(scope === undefined || wire.isOpen ? sql : `${sql.replace(/;\s*$/, '')}; ${scope.sql}`);
  }
  if (wire.isOpen) {
    assertSameScope(wire, scope, sql);
    return send(sql);
  }
  if (scope === undefined || /^\s*(COMMIT|ROLLBACK|END|ABORT)\b/i.test(sql)) return send(sql);
  const lane = lanes.get(wire) ?? new SerialLock();
  lanes.set(wire, lane);
  return lane.run(() => sendAlone(wire, scope, sql, send), waitMs);
}

async function sendAlone(wire: WireTransaction, scope: TransactionScope, sql: string, send: Send): Promise<unknown> {
  wire.scope = scope;
  try {
    await send(`START TRANSACTION; ${scope.sql}`);
    const result = await send(sql);
    await send('COMMIT');
    return result;
  } catch (error) {
    if (wire.lost === undefined) await send('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** One transaction has one scope: code of another one must not run in it, whoever handed it the manager. */
export function assertSameScope(wire: WireTransaction, scope: TransactionScope | undefined, sql = ''): void {
  if (scope === undefined || scope.key === wire.scope?.key || /^\s*(COMMIT|ROLLBACK)\b/i.test(sql)) return;
  throw new NestAuthError(
    'TENANT_CONTEXT_MISMATCH',
    'A running transaction belongs to the tenant it was opened for; enter another one before it begins, or by runOutsideTransaction()',
  );
}

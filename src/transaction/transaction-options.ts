import { NestAuthError, type ValidationIssue } from '../errors/nest-auth.error.js';
import { ISOLATION_LEVELS, NESTED_MODES, type RunInTransactionOptions } from './transaction.types.js';

const KNOWN = new Set(['isolation', 'timeoutMs', 'lockTimeoutMs', 'retries', 'nested']);

/** Largest value PostgreSQL takes for a timeout, in milliseconds. */
const MAX_TIMEOUT_MS = 2_147_483_647;

/** How much longer than `timeoutMs` the server lets a silent transaction live. */
const IDLE_GRACE_MS = 1_000;

/** Refuses options that PostgreSQL would refuse later, or that would silently do nothing. */
export function validateRun(fn: unknown, options: RunInTransactionOptions): void {
  assertCallback('runInTransaction', fn);
  if (typeof options !== 'object' || (options as unknown) === null) {
    refuse('runInTransaction got options it cannot use', [{ path: 'options', message: 'must be an object' }]);
  }
  const issues: ValidationIssue[] = Object.keys(options)
    .filter((key) => !KNOWN.has(key))
    .map((path) => ({ path, message: `is not an option; known are ${[...KNOWN].join(', ')}` }));
  if (options.isolation !== undefined && !ISOLATION_LEVELS.includes(options.isolation)) {
    issues.push({ path: 'isolation', message: `must be one of ${ISOLATION_LEVELS.join(', ')}` });
  }
  if (options.nested !== undefined && !NESTED_MODES.includes(options.nested)) {
    issues.push({ path: 'nested', message: `must be one of ${NESTED_MODES.join(', ')}` });
  }
  for (const path of ['timeoutMs', 'lockTimeoutMs'] as const) {
    if (!isInteger(options[path], 1, MAX_TIMEOUT_MS)) {
      issues.push({ path, message: 'must be a whole number of milliseconds, at least 1' });
    }
  }
  if (!isInteger(options.retries, 0, 100))
    issues.push({ path: 'retries', message: 'must be a whole number, 0 to 100' });
  refuse('runInTransaction got options it cannot use', issues);
}

/** A joined transaction is already running: what it was opened with cannot be changed any more. */
export function assertJoinable({ isolation, timeoutMs, lockTimeoutMs }: RunInTransactionOptions): void {
  const issues = Object.entries({ isolation, timeoutMs, lockTimeoutMs })
    .filter(([, value]) => value !== undefined)
    .map(([path]) => ({ path, message: 'can be set only by the call that opens the transaction' }));
  refuse(
    'This runInTransaction joins a running transaction; open it with these options, or use nested: "independent"',
    issues,
  );
}

function refuse(message: string, issues: readonly ValidationIssue[]): void {
  if (issues.length === 0) return;
  const list = issues.map((issue) => `${issue.path} ${issue.message}`).join('; ');
  throw new NestAuthError('VALIDATION_FAILED', `${message}: ${list}`, { details: { issues } });
}

/** Called later, what is no function would fail after the COMMIT, or as a stray error inside a transaction. */
export function assertCallback(method: string, callback: unknown): void {
  if (typeof callback === 'function') return;
  refuse(`${method} has nothing to run`, [{ path: 'callback', message: 'must be a function' }]);
}

function isInteger(value: unknown, min: number, max: number): boolean {
  return value === undefined || (Number.isInteger(value) && (value as number) >= min && (value as number) <= max);
}

/**
 * The text that opens a transaction with settings, in one round trip; undefined when the plain command will do.
 * Parameters are impossible in such a text, so it holds validated constants only.
 */
export function beginStatement({ isolation, timeoutMs, lockTimeoutMs }: RunInTransactionOptions): string | undefined {
  if (isolation === undefined && timeoutMs === undefined && lockTimeoutMs === undefined) return undefined;
  const parts = [isolation === undefined ? 'START TRANSACTION' : `START TRANSACTION ISOLATION LEVEL ${isolation}`];
  if (timeoutMs !== undefined) {
    parts.push(`SET LOCAL statement_timeout = ${timeoutMs}`);
    // Our own timer is the judge; the server's, which kills the connection, is there for a process that hangs.
    const idle = Math.min(timeoutMs + IDLE_GRACE_MS, MAX_TIMEOUT_MS);
    parts.push(`SET LOCAL idle_in_transaction_session_timeout = ${idle}`);
  }
  if (lockTimeoutMs !== undefined) parts.push(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
  return parts.join('; ');
}

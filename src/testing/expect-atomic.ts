import { AsyncLocalStorage } from 'node:async_hooks';
import type { DataSource, QueryRunner } from 'typeorm';
import { NestAuthActivitySeal } from '../audit/activity-seal.entity.js';
import { NestAuthDeadLetter, NestAuthSubscription } from '../feed/subscription.entity.js';
import { NestAuthJobRun } from '../job/job-run.entity.js';
import { isAfterCommit, runOutsideTransaction } from '../transaction/frame.js';
import { findHost } from '../transaction/registry.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { takeSnapshot, type Snapshot, differencesOf } from './snapshot.js';

/** How a statement is made to fail: refused by the server, or the server process ends at it. */
export type FailureMode = 'error' | 'kill';

export interface ExpectAtomicOptions {
  /** Which failures to try at each statement. @default ['error', 'kill'] */
  readonly modes?: readonly FailureMode[];
  /** Tables to compare. @default those of all entities of the DataSource, but what subscribers and jobs write by themselves */
  readonly tables?: readonly string[];
  /** Gives up on a function that sends more statements than this. @default 200 */
  readonly maxStatements?: number;
}

/** One replay with a failure. */
export interface AtomicReplay {
  /** Position of the statement that failed, from 1. */
  readonly at: number;
  readonly mode: FailureMode;
  readonly statement: string;
  /** What the function rejected with. */
  readonly error: unknown;
}

/** What `expectAtomic` tried. */
export interface AtomicReport {
  /** The statements of the run that succeeded, in order. */
  readonly statements: readonly string[];
  readonly replays: readonly AtomicReplay[];
}

/** The function is not atomic; the message says at which statement, and what was left behind. */
export class AtomicityError extends Error {
  override readonly name = 'AtomicityError';

  constructor(
    message: string,
    readonly replay: AtomicReplay | undefined,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

const KILL = 'select pg_terminate_backend(pg_backend_pid())';

/** A text that fails as `sql` is to fail; in the place of a COMMIT only what ends a transaction is let through. */
function failing(sql: string, mode: FailureMode): string {
  const [, ending] = /^\s*(commit|rollback|release)\b/i.exec(sql) ?? [];
  if (mode === 'kill') return ending === undefined ? KILL : `rollback; ${KILL}`;
  return ending === undefined
    ? `do $$ begin raise exception 'made to fail by expectAtomic'; end $$`
    : `${ending} made_to_fail_by_expect_atomic`;
}

/** One run of the function. */
interface Run {
  readonly failAt: number;
  readonly mode: FailureMode;
  readonly statements: string[];
  failed: string | undefined;
  /** Something that had waited for a COMMIT ran. */
  announced: boolean;
}

const running = new AsyncLocalStorage<Run>();

/**
 * Runs a function of the host over and over, each time with another of its SQL statements failing, until it gets
 * through, and asserts each time that it rejected, that no row was left behind and that no event was announced.
 *
 * The last run is not disturbed and commits: it proves that after all those failures the same input still works.
 * Statements of after-commit work are not made to fail. Retries are off meanwhile.
 *
 * @param dataSource - The one that `NestAuthModule` serves.
 * @param fn - What must be atomic. It is called once a statement and mode, so it must not keep state of its own.
 * @returns the statements, for a look at what the function does.
 * @throws AtomicityError naming the statement and the rows, or with what the function fails by itself as `cause`.
 */
export async function expectAtomic(
  dataSource: DataSource,
  fn: () => Promise<unknown>,
  options: ExpectAtomicOptions = {},
): Promise<AtomicReport> {
  const host = findHost(dataSource);
  if (host === undefined) {
    throw new AtomicityError('expectAtomic needs the DataSource that NestAuthModule serves', undefined);
  }
  const { modes = ['error', 'kill'], tables = tablesOf(dataSource), maxStatements = 200 } = options;
  const before = await takeSnapshot(dataSource, tables);
  const replays: AtomicReplay[] = [];
  for (let at = 1; at <= maxStatements; at += 1) {
    for (const mode of modes) {
      const { run, outcome } = await rehearse(host, fn, at, mode);
      if (run.failed === undefined) return finish(run, outcome, replays);
      const replay = { at, mode, statement: run.failed, error: outcome.error };
      assertNothingHappened(replay, run, outcome, before, await takeSnapshot(dataSource, tables));
      replays.push(replay);
    }
  }
  throw new AtomicityError(`The function sends more than ${maxStatements} statements; raise maxStatements`, undefined);
}

type Outcome =
  | { readonly resolved: true; readonly error?: undefined }
  | { readonly resolved: false; readonly error: unknown };

async function rehearse(
  host: TransactionHost,
  fn: () => Promise<unknown>,
  failAt: number,
  mode: FailureMode,
): Promise<{ run: Run; outcome: Outcome }> {
  const run: Run = { failAt, mode, statements: [], failed: undefined, announced: false };
  const stop = host.rehearse({
    onRunner: watchRunner,
    onAfterCommit: () => {
      const current = running.getStore();
      if (current !== undefined) current.announced = true;
    },
  });
  try {
    const outcome = await running.run(run, () => settle(fn));
    return { run, outcome };
  } finally {
    stop();
  }
}

async function settle(fn: () => Promise<unknown>): Promise<Outcome> {
  try {
    await runOutsideTransaction(fn);
    return { resolved: true };
  } catch (error) {
    return { resolved: false, error };
  }
}

/** Counts the statements of the run that this code belongs to, and replaces the one that is to fail. */
function watchRunner(runner: QueryRunner): void {
  const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<never>;
  runner.query = (sql: string, ...rest: unknown[]): Promise<never> => {
    const run = running.getStore();
    if (run === undefined || isAfterCommit()) return query(sql, ...rest);
    run.statements.push(sql);
    if (run.statements.length !== run.failAt) return query(sql, ...rest);
    run.failed = sql;
    return query(failing(sql, run.mode));
  };
}

function finish(run: Run, outcome: Outcome, replays: readonly AtomicReplay[]): AtomicReport {
  if (!outcome.resolved) {
    throw new AtomicityError('The function fails by itself, with no statement made to fail; see `cause`', undefined, {
      cause: outcome.error,
    });
  }
  if (run.statements.length === 0) throw new AtomicityError('The function sends no statement at all', undefined);
  return { statements: run.statements, replays };
}

function assertNothingHappened(
  replay: AtomicReplay,
  run: Run,
  outcome: Outcome,
  before: Snapshot,
  after: Snapshot,
): void {
  const left = differencesOf(before, after);
  const faults = [
    ...(outcome.resolved ? ['it resolved as if nothing had failed'] : []),
    ...(left.length > 0 ? [`it left changes behind: ${left.join(', ')}`] : []),
    ...(run.announced ? ['it ran what waits for a COMMIT'] : []),
  ];
  if (faults.length === 0) return;
  const how = replay.mode === 'kill' ? 'the connection was lost' : 'an error was raised';
  throw new AtomicityError(
    `When ${how} at statement ${replay.at} (${excerpt(replay.statement)}), ${faults.join('; ')}`,
    replay,
    { cause: outcome.error },
  );
}

function excerpt(sql: string): string {
  const line = sql.replaceAll(/\s+/g, ' ').trim();
  return line.length > 80 ? `${line.slice(0, 77)}...` : line;
}

/** Written by workers of the running application whenever it suits them, a lease every few seconds for example. */
const BACKGROUND: readonly unknown[] = [NestAuthSubscription, NestAuthDeadLetter, NestAuthJobRun, NestAuthActivitySeal];

function tablesOf(dataSource: DataSource): string[] {
  const compared = dataSource.entityMetadatas.filter(({ target }) => !BACKGROUND.includes(target));
  return [...new Set(compared.map(({ tablePath }) => tablePath))].toSorted();
}

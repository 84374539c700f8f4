import type { EntityManager } from 'typeorm';
import { CommitOutcomeUnknownError, NestAuthError } from '../errors/nest-auth.error.js';
import { toNestAuthError } from '../errors/postgres-errors.js';
import { hostOf, wireOf } from './registry.js';
import { nameStatement } from './statement-names.js';

/** A statement of ours: its text, and how its result tells that rows were changed. */
export interface Statement<Row> {
  readonly text: string;
  /** Absent on statements that only read. */
  readonly changes?: (rows: readonly Row[]) => boolean;
  /** Makes the value of one more parameter, the last one, whenever the statement is sent. */
  readonly facts?: () => string;
}

/**
 * Declares a hot statement that the server plans once per connection.
 *
 * @param name - Unique within the package; it becomes the name of the prepared statement.
 * @param changes - Whether the rows of the result say that something was changed; omit for statements that only read.
 */
export function statement<Row>(name: string, text: string, changes?: Statement<Row>['changes']): Statement<Row> {
  const trimmed = text.trim();
  nameStatement(name, trimmed);
  return changes === undefined ? { text: trimmed } : { text: trimmed, changes };
}

/** The change is in the number of rows returned. */
export const returnsRows = (rows: readonly unknown[]): boolean => rows.length > 0;

/**
 * Sends one statement on `manager`'s connection, or on one of the pool when the manager stands outside a transaction.
 *
 * Throws typed errors only: what the driver said is the cause, the parameters are not kept.
 */
export async function execute<Row>(
  manager: EntityManager,
  sql: Statement<Row>,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const runner = manager.queryRunner ?? hostOf(manager).openRunner();
  const isAlone = !wireOf(runner).isOpen;
  try {
    const parameters = sql.facts === undefined ? values : [...values, sql.facts()];
    const { records } = await runner.query(sql.text, parameters as unknown[], true);
    if (sql.changes?.(records as Row[]) === true) wireOf(runner).changes += 1;
    return records as Row[];
  } catch (error) {
    const typed = explain(error, manager);
    // A write that is its own transaction may have been committed before the answer was lost.
    if (typed.code !== 'CONNECTION_LOST' || sql.changes === undefined || !isAlone) throw typed;
    throw new CommitOutcomeUnknownError(() => Promise.resolve('unknown'), typed.cause);
  } finally {
    if (manager.queryRunner === undefined) await runner.release();
  }
}

/** The first row of a statement that always returns one. */
export async function executeOne<Row>(
  manager: EntityManager,
  sql: Statement<Row>,
  values: readonly unknown[] = [],
): Promise<Row> {
  const [row] = await execute(manager, sql, values);
  if (row === undefined) throw new NestAuthError('DATABASE_ERROR', 'A statement that always answers a row had none');
  return row;
}

/** In an aborted transaction PostgreSQL only says that it is aborted: the first cause is what helps. */
function explain(error: unknown, manager: EntityManager): NestAuthError {
  const typed = toNestAuthError(error);
  if (typed.code !== 'TRANSACTION_ABORTED' || typed.cause === undefined || manager.queryRunner === undefined)
    return typed;
  const first = wireOf(manager.queryRunner).failure;
  if (first === undefined) return typed;
  return new NestAuthError('TRANSACTION_ABORTED', 'An earlier statement of this transaction failed; see `cause`', {
    details: typed.details,
    cause: first,
  });
}

import { isNestAuthError } from '../errors/nest-auth.error.js';
import { runOutsideTransaction } from '../transaction/frame.js';
import { execute } from '../transaction/statement.js';
import type { TransactionHost } from '../transaction/transaction-host.js';

/** PostgreSQL's code for a table that does not exist: nothing has been migrated yet. */
const UNDEFINED_TABLE = '42P01';

/** For whoever may not read that table: whether there is an answer at all. */
const PROBE = { text: 'select 1' };

/** Those of `names` that TypeORM's table of migrations does not list. On a connection of its own, outside of any tenant. */
export async function readPendingMigrations(host: TransactionHost, names: readonly string[]): Promise<string[]> {
  const { dataSource } = host;
  if (names.length === 0) return runOutsideTransaction(() => execute(dataSource.manager, PROBE)).then(() => []);
  const table = dataSource.driver.escape(dataSource.options.migrationsTableName ?? 'migrations');
  const sql = { text: `select name from ${table} where name = any($1)` };
  const read = (): Promise<{ name: string }[]> => execute(dataSource.manager, sql, [names]);
  const rows = await runOutsideTransaction(read).catch((error: unknown) => {
    if (isNestAuthError(error) && error.details.sqlState === UNDEFINED_TABLE) return [];
    throw error;
  });
  const done = new Set(rows.map(({ name }) => name));
  return names.filter((name) => !done.has(name));
}

import type { DataSource, QueryRunner } from 'typeorm';

/** What a migration is called, and how to see that its work is there. */
interface MigrationWork {
  readonly name: string;
  /** A condition in SQL that holds from the migration's last statement on. */
  readonly isDone: string;
}

/** Two numbers of our own; a host's advisory locks are unlikely to use the same. */
const MIGRATION_LOCK = [1_851_880_821, 2] as const;

/** A migration that cannot have a lock by then gives up instead of queueing every other statement behind itself. */
const LOCK_TIMEOUT = '5s';

/**
 * Runs a migration's statements when no other process does, and not again when another one just has.
 *
 * TypeORM takes no lock: every process that starts finds the same migrations pending. Here the second one waits for
 * the first to commit and then finds the work done. TypeORM still records it for this process, so the first record
 * goes: one row a migration, as if there had been one process.
 */
export async function oneAtATime(runner: QueryRunner, work: MigrationWork, apply: () => Promise<void>): Promise<void> {
  await inTransaction(runner, async () => {
    await runner.query('SELECT pg_advisory_xact_lock($1, $2)', [...MIGRATION_LOCK]);
    if (await isDone(runner, work.isDone)) await forgetRecord(runner, work.name);
    else await withLockTimeout(runner, apply);
  });
}

/** The way back; under the same lock, so that it does not meet another process on its way forward. */
export async function undoOneAtATime(runner: QueryRunner, apply: () => Promise<void>): Promise<void> {
  await inTransaction(runner, async () => {
    await runner.query('SELECT pg_advisory_xact_lock($1, $2)', [...MIGRATION_LOCK]);
    await withLockTimeout(runner, apply);
  });
}

/**
 * With the transaction mode `none` TypeORM opens none; half a migration would then outlive a crash. It records the
 * migration after this transaction then, so that processes which start at once may record it twice: harmless, and
 * `migrate()` prevents it.
 */
async function inTransaction(runner: QueryRunner, fn: () => Promise<void>): Promise<void> {
  if (runner.isTransactionActive) return fn();
  await runner.startTransaction();
  try {
    await fn();
    await runner.commitTransaction();
  } catch (error) {
    await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  }
}

/** A timeout that the host has set stays; ours is gone again before the next migration of the same transaction. */
async function withLockTimeout(runner: QueryRunner, apply: () => Promise<void>): Promise<void> {
  const [found] = (await runner.query(`SELECT current_setting('lock_timeout') AS value`)) as { value: string }[];
  if (found !== undefined && found.value !== '0') return apply();
  await runner.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
  await apply();
  await runner.query('SET LOCAL lock_timeout = 0');
}

async function isDone(runner: QueryRunner, condition: string): Promise<boolean> {
  const [row] = (await runner.query(`SELECT ${condition} AS done`)) as { done: boolean }[];
  return row?.done === true;
}

async function forgetRecord(runner: QueryRunner, name: string): Promise<void> {
  // TypeORM 0.3 calls it `connection`; 1.x renamed it.
  const { dataSource, connection } = runner as unknown as { dataSource?: DataSource; connection?: DataSource };
  const { options, driver } = (dataSource ?? connection) as DataSource;
  const { schema } = options as { schema?: string };
  const table = driver.buildTableName(options.migrationsTableName ?? 'migrations', schema, driver.database);
  await runner.manager.createQueryBuilder().delete().from(table).where('name = :name', { name }).execute();
}

import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';

export interface MigrateOptions {
  /** How long to wait for another process that migrates, in milliseconds. @default 600000 */
  readonly waitMs?: number;
}

/** Not the lock that a migration of ours takes: this one is held around all of them, on another connection. */
const RUN_LOCK = [1_851_880_821, 1] as const;

const POLL_MS = 100;

/**
 * Runs the pending migrations of a DataSource, the host's included, in one process at a time.
 *
 * Transactions: each migration in its own; the lock ends with this process, however that ends. Uses one connection
 * beside the pool, which may lie behind a pooler in transaction mode. The DataSource must be initialized, without
 * `migrationsRun`. Idempotent: a process that comes second finds nothing pending.
 *
 * @returns the names of the migrations that this process ran.
 * @throws NestAuthError `LOCK_TIMEOUT` when another process is still migrating after `waitMs`.
 */
export async function migrate(dataSource: DataSource, { waitMs = 600_000 }: MigrateOptions = {}): Promise<string[]> {
  const gate = await new DataSource(gateOptions(dataSource)).initialize();
  try {
    return await gate.transaction(async (manager) => {
      await manager.query('SET LOCAL idle_in_transaction_session_timeout = 0');
      const deadline = Date.now() + waitMs;
      // Asked again and again, not waited for: a statement that waits would hold up CREATE INDEX CONCURRENTLY.
      // And without parameters, which would leave a portal open, and with it a snapshot that holds it up just as much.
      const ask = `SELECT pg_try_advisory_xact_lock(${RUN_LOCK.join(', ')}) AS mine`;
      while (!(await manager.query<{ mine: boolean }[]>(ask))[0]?.mine) {
        if (Date.now() >= deadline) throw stillMigrating(waitMs);
        await sleep(POLL_MS);
      }
      const ran = await dataSource.runMigrations({ transaction: 'each' });
      return ran.map(({ name }) => name);
    });
  } finally {
    await gate.destroy();
  }
}

/** The same database, one connection to its primary, and nothing else. */
function gateOptions({ options }: DataSource): DataSourceOptions {
  const { replication, ...rest } = options as DataSourceOptions & { replication?: { master: object } };
  return {
    ...rest,
    ...replication?.master,
    entities: [],
    migrations: [],
    subscribers: [],
    migrationsRun: false,
    synchronize: false,
    dropSchema: false,
    cache: false,
    poolSize: 1,
  } as DataSourceOptions;
}

function stillMigrating(waitMs: number): NestAuthError {
  return new NestAuthError('LOCK_TIMEOUT', `migrate(): another process was still migrating after ${waitMs} ms`, {
    details: { retryable: true },
  });
}

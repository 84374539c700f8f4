import type { DataSource } from 'typeorm';
import { preparedNameOf } from './statement-names.js';

interface PoolClient {
  query: (...args: unknown[]) => unknown;
  getTransactionStatus?: () => string | null;
  end: () => Promise<void>;
}

interface Pool {
  readonly options: { max: number; connectionTimeoutMillis?: number };
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
  on(event: 'acquire', listener: (client: PoolClient) => void): void;
  on(event: 'release', listener: (error: unknown, client: PoolClient) => void): void;
}

interface PostgresDriver {
  readonly master?: Pool;
  readonly slaves?: readonly Pool[];
}

const attached = new WeakSet<Pool>();
const adopted = new WeakSet<PoolClient>();
/** Connections that the server has given up, though their socket may not have closed yet. */
const lost = new WeakSet<object>();

/** Keeps the pool from lending this connection again. */
export function discardOnRelease(client: object): void {
  lost.add(client);
}

/** Guards the pools of a DataSource, once each; `initialize()` makes new ones, so it is called for every runner. */
export function guardPools(dataSource: DataSource, prepared: () => boolean): void {
  const { master, slaves = [] } = dataSource.driver as unknown as PostgresDriver;
  if (master !== undefined) attach(master, prepared);
  for (const replica of slaves) attach(replica, prepared);
}

/** True when a further connection could only be had after one of those in use is given back, however long that takes. */
export function wouldWaitForEver(dataSource: DataSource): boolean {
  const { master } = dataSource.driver as unknown as PostgresDriver;
  if (master === undefined) return false;
  // Idle connections may be spoken for already: the pool hands them out in a later turn.
  const full = master.totalCount >= master.options.max && master.idleCount <= master.waitingCount;
  return full && !master.options.connectionTimeoutMillis;
}

function attach(pool: Pool, prepared: () => boolean): void {
  if (attached.has(pool)) return;
  attached.add(pool);
  pool.on('acquire', (client) => adopt(client, prepared));
  pool.on('release', (_error, client) => {
    // A connection that is still in a transaction would hand it to the next borrower. Ending it here makes the pool
    // drop it, whoever borrowed it.
    const status = client.getTransactionStatus?.();
    if (lost.has(client) || status === 'T' || status === 'E') void client.end().catch(() => undefined);
  });
}

/** Sends hot statements of ours under a name, so that the server plans them once per connection. */
function adopt(client: PoolClient, prepared: () => boolean): void {
  if (adopted.has(client)) return;
  adopted.add(client);
  const query = client.query.bind(client);
  client.query = (...args: unknown[]) => {
    const [text, values, ...rest] = args;
    const name = typeof text === 'string' && prepared() ? preparedNameOf(text) : undefined;
    return name === undefined ? query(...args) : query({ name, text, values }, ...rest);
  };
}

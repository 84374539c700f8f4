import type { DataSource } from 'typeorm';

/** How a pool is doing at this moment. */
export interface PoolState {
  /** Connections that are open. */
  readonly total: number;
  /** Those of them that nobody uses. */
  readonly idle: number;
  /** Callers that wait for a connection. */
  readonly waiting: number;
  /** Connections at most. */
  readonly max: number;
  /** How long the one that has waited longest has been waiting, in milliseconds; 0 when nobody waits. */
  readonly oldestWaitMs: number;
}

/** Since when callers have been waiting for a connection. The driver's pool knows only how many they are. */
export class PoolWaits {
  /** In the order of arrival. */
  readonly #since = new Set<{ readonly at: number }>();

  constructor(private readonly onEnd: (waitedMs: number) => void) {}

  /** Begins a wait, which the returned function ends. */
  begin(): () => void {
    const wait = { at: performance.now() };
    this.#since.add(wait);
    return () => {
      this.#since.delete(wait);
      this.onEnd(performance.now() - wait.at);
    };
  }

  get oldestMs(): number {
    const [oldest] = this.#since;
    return oldest === undefined ? 0 : performance.now() - oldest.at;
  }
}

interface Pool {
  readonly options: { readonly max: number };
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
}

/** The pool of the primary; of a DataSource that is closed, an empty one. */
export function readPool(dataSource: DataSource, waits: PoolWaits): PoolState {
  const { master } = dataSource.driver as unknown as { master?: Pool };
  if (!dataSource.isInitialized || master === undefined)
    return { total: 0, idle: 0, waiting: 0, max: 0, oldestWaitMs: 0 };
  return {
    total: master.totalCount,
    idle: master.idleCount,
    waiting: master.waitingCount,
    max: master.options.max,
    oldestWaitMs: Math.round(waits.oldestMs),
  };
}

/** Name of the database that a DataSource is connected to. */
export function databaseOf(dataSource: DataSource): string {
  return dataSource.driver.database ?? '';
}

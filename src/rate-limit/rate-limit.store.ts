import limiters, { type IRateLimiterOptions, type RateLimiterAbstract } from 'rate-limiter-flexible';
import type { TenantContext } from '../isolation/tenant-context.js';
import { wouldWaitForEver } from '../transaction/connection-pool.js';
import { runOutsideTransaction } from '../transaction/frame.js';
import { execute } from '../transaction/statement.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { RateLimitOptions } from './rate-limit.types.js';

const TABLE = 'nest_auth_rate_limits';

/** Makes the limiters of a store. */
export type LimiterMaker = (options: IRateLimiterOptions) => RateLimiterAbstract;

// The package is CommonJS: named imports of it would not be there for everybody.
const { RateLimiterMemory, RateLimiterPostgres, RateLimiterRedis } = limiters;

export const inMemory: LimiterMaker = (options) => new RateLimiterMemory(options);

/** Once somebody is over the limit the process knows, and asks the store no more until that is over. */
const sparing = (options: IRateLimiterOptions): IRateLimiterOptions & { inMemoryBlockOnConsumed: number } => ({
  ...options,
  inMemoryBlockOnConsumed: (options.points ?? 0) + 1,
});

export function makerOf(
  store: NonNullable<RateLimitOptions['store']>,
  transactions: TransactionHost,
  tenants: TenantContext,
): LimiterMaker {
  if (store === 'memory') return inMemory;
  if (store === 'postgres') {
    const storeClient = { query: (query: Query) => send(transactions, tenants, query) };
    return (options) =>
      new RateLimiterPostgres({
        ...sparing(options),
        storeClient,
        storeType: 'pool',
        tableName: TABLE,
        tableCreated: true,
        // The job of the clean-up does it.
        clearExpiredByTimeout: false,
      });
  }
  // A client that waits for its server to come back would keep every sign-in waiting with it.
  return (options) =>
    new RateLimiterRedis({ ...sparing(options), storeClient: store.redis, rejectIfRedisNotReady: true });
}

interface Query {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** On a connection of its own: what is counted stays counted, whatever becomes of a transaction of the caller. */
function send(transactions: TransactionHost, tenants: TenantContext, { text, values }: Query): Promise<unknown> {
  if (wouldWaitForEver(transactions.dataSource)) throw new Error('the pool has no connection for the rate limits');
  return runOutsideTransaction(() =>
    tenants.asPlatform(() =>
      transactions.operate(undefined, async (manager) => {
        const rows = await execute<Record<string, unknown>>(manager, { text, changes: () => true }, values);
        return { rows, rowCount: rows.length };
      }),
    ),
  );
}

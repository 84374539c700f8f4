/** What the package itself limits, or has a limit for. An application names more in `rateLimits.actions`. */
export type RateLimitAction =
  | 'signIn'
  | 'signUp'
  | 'refresh'
  | 'passwordReset'
  | 'verification'
  | 'invitation'
  | 'secondFactor';

/** So many calls in so many seconds. */
export interface RateLimit {
  readonly points: number;
  readonly seconds: number;
}

/** The limits of one action, each for itself; a call counts against all for which it says who calls. */
export interface RateLimits {
  /** Of a network: an IPv4 address, or an IPv6 /64. */
  readonly perIp?: RateLimit;
  /** Of a user, in each tenant. */
  readonly perUser?: RateLimit;
  readonly perTenant?: RateLimit;
  /** Of whatever the caller passes as `key`, such as an email address, in each tenant. */
  readonly perKey?: RateLimit;
}

/** Who calls. What is left out is not limited. */
export interface RateLimitCaller {
  readonly ip?: string | undefined;
  readonly userId?: string | undefined;
  readonly tenantId?: string | null | undefined;
  /** Only its SHA-256 is kept. */
  readonly key?: string | undefined;
}

/** A client of Redis or Valkey that is connected: `ioredis`, or `redis` 4 and newer. */
export type RateLimitRedisClient = object;

export interface RateLimitOptions {
  /** @default true */
  readonly enabled?: boolean;
  /**
   * Where the counters are. In `memory` each process counts for itself. In `postgres` they are in
   * `nest_auth_rate_limits`, which costs a statement for each limit of a call, in no transaction of the caller.
   * @default 'memory'
   */
  readonly store?: 'memory' | 'postgres' | { readonly redis: RateLimitRedisClient };
  /**
   * What happens when the store cannot be asked: the process counts by itself, or the call is refused with
   * `RATE_LIMITED`. Both are logged, at most once a minute.
   * @default 'memory'
   */
  readonly onStoreFailure?: 'memory' | 'refuse';
  /** By action; `false` for no limit. What is left out keeps its default. */
  readonly actions?: Readonly<Record<string, RateLimits | false>>;
}

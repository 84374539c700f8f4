import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { Injectable } from '@nestjs/common';
import { type RateLimiterAbstract, type RateLimiterRes } from 'rate-limiter-flexible';
import { assertUuid, InputIssues } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { networkOf } from './network.policy.js';
import { type Dimension, DIMENSIONS, RateLimitSettings } from './rate-limit.settings.js';
import { inMemory, type LimiterMaker, makerOf } from './rate-limit.store.js';
import type { RateLimit, RateLimitAction, RateLimitCaller } from './rate-limit.types.js';

const FIELDS = ['ip', 'userId', 'tenantId', 'key'];
const MAX_KEY = 1_000;
const REPORT_EVERY_MS = 60_000;

/** What is counted by one key. */
interface Counted {
  readonly name: string;
  readonly key: string;
  readonly limit: RateLimit;
}

/** How often somebody may do something. For this package's own actions, and those of the application. */
@Injectable()
export class RateLimitService {
  readonly #limiters = new Map<string, RateLimiterAbstract>();
  readonly #fallbacks = new Map<string, RateLimiterAbstract>();
  readonly #make: LimiterMaker;
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly settings: RateLimitSettings,
    private readonly transactions: TransactionHost,
    tenants: TenantContext,
  ) {
    this.#make = makerOf(settings.store, transactions, tenants);
  }

  /**
   * Counts one call of an action, against each limit for which `who` says who calls; each call counts, however many of
   * them come in one request. Does nothing where `rateLimits.enabled` is false.
   *
   * Transaction: none; in `postgres` a statement for each limit, on a connection of its own. What is counted stays
   * counted. Without a connection, and whenever the store fails, `rateLimits.onStoreFailure` decides.
   * Errors: `RATE_LIMITED` with `details.retryAfterSeconds`; `VALIDATION_FAILED`, also for an action that is not known.
   */
  async consume(action: RateLimitAction | (string & {}), who: RateLimitCaller): Promise<void> {
    const counted = this.#countedOf(action, who);
    if (!this.settings.isEnabled) return;
    for (const one of counted) await this.#count(one);
  }

  #countedOf(action: string, who: RateLimitCaller): Counted[] {
    const limits = this.settings.actions.get(action);
    const issues = new InputIssues();
    issues.fields(who, FIELDS);
    const { ip, userId, tenantId, key } = who;
    if (limits === undefined) issues.add('action', `must be one of ${[...this.settings.actions.keys()].join(', ')}`);
    if (ip !== undefined && (typeof ip !== 'string' || isIP(ip) === 0)) issues.add('ip', 'must be an IP address');
    if (key !== undefined) issues.text('key', key, { max: MAX_KEY });
    issues.refuse('The call cannot be counted');
    if (userId !== undefined) assertUuid('userId', userId);
    if (tenantId != null) assertUuid('tenantId', tenantId);
    const within = (part: string): string => `${tenantId ?? ''}:${part}`;
    const keys: Record<Dimension, string | undefined> = {
      perIp: ip === undefined ? undefined : networkOf(ip),
      perUser: userId === undefined ? undefined : within(userId),
      perTenant: tenantId ?? undefined,
      perKey: key === undefined ? undefined : within(createHash('sha256').update(key).digest('base64url')),
    };
    return DIMENSIONS.flatMap((dimension) => {
      const limit = limits?.[dimension];
      const value = keys[dimension];
      return limit === undefined || value === undefined ? [] : [{ name: `${action}:${dimension}`, key: value, limit }];
    });
  }

  async #count(counted: Counted): Promise<void> {
    try {
      await this.#limiter(this.#limiters, counted, this.#make).consume(counted.key);
    } catch (reason) {
      if (!(reason instanceof Error)) throw limited(reason as RateLimiterRes);
      this.#report(reason);
      if (this.settings.refusesOnFailure) throw limited({ msBeforeNext: 1_000 });
      await this.#limiter(this.#fallbacks, counted, inMemory)
        .consume(counted.key)
        .catch((refused: RateLimiterRes) => {
          throw limited(refused);
        });
    }
  }

  #limiter(made: Map<string, RateLimiterAbstract>, { name, limit }: Counted, make: LimiterMaker): RateLimiterAbstract {
    const existing = made.get(name);
    if (existing !== undefined) return existing;
    const limiter = make({ keyPrefix: name, points: limit.points, duration: limit.seconds });
    made.set(name, limiter);
    return limiter;
  }

  #report(error: Error): void {
    const now = performance.now();
    if (now - this.#reportedAt < REPORT_EVERY_MS) return;
    this.#reportedAt = now;
    this.transactions.report('The store of the rate limits cannot be asked', error);
  }
}

function limited({ msBeforeNext }: Pick<RateLimiterRes, 'msBeforeNext'>): NestAuthError {
  const retryAfterSeconds = Math.max(1, Math.ceil(msBeforeNext / 1_000));
  return new NestAuthError('RATE_LIMITED', 'Too many calls; try again later', { details: { retryAfterSeconds } });
}

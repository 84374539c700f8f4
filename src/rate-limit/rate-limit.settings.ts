import { NestAuthError } from '../errors/nest-auth.error.js';
import type { RateLimit, RateLimitAction, RateLimitOptions, RateLimits } from './rate-limit.types.js';

const MINUTE = 60;
const HOUR = 3_600;

/** Far above what people do, also many of them behind one address; below what pays for an attacker. */
const DEFAULT_RATE_LIMITS: Readonly<Record<RateLimitAction, RateLimits>> = {
  signIn: { perIp: { points: 300, seconds: MINUTE } },
  signUp: { perIp: { points: 100, seconds: HOUR } },
  refresh: { perIp: { points: 3_000, seconds: MINUTE } },
  passwordReset: { perIp: { points: 100, seconds: HOUR }, perKey: { points: 10, seconds: HOUR } },
  verification: { perIp: { points: 300, seconds: HOUR }, perKey: { points: 20, seconds: HOUR } },
  invitation: { perUser: { points: 200, seconds: HOUR }, perTenant: { points: 1_000, seconds: HOUR } },
  secondFactor: { perIp: { points: 300, seconds: MINUTE }, perUser: { points: 10, seconds: 5 * MINUTE } },
};

export const RATE_LIMIT_FIELDS = ['enabled', 'store', 'onStoreFailure', 'actions'];

export const DIMENSIONS = ['perIp', 'perUser', 'perTenant', 'perKey'] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/** A name is a part of the key. */
const ACTION = /^[A-Za-z][\w.-]{0,63}$/;
const MAX_SECONDS = 2_592_000;

/** What an application has configured about rate limits, checked and with the defaults. */
export class RateLimitSettings {
  readonly isEnabled: boolean;
  readonly store: NonNullable<RateLimitOptions['store']>;
  readonly refusesOnFailure: boolean;
  readonly actions: ReadonlyMap<string, RateLimits>;

  constructor({ enabled = true, store = 'memory', onStoreFailure = 'memory', actions = {} }: RateLimitOptions = {}) {
    if (typeof enabled !== 'boolean') refuse('enabled', 'must be true or false');
    if (store !== 'memory' && store !== 'postgres' && !hasClient(store))
      refuse('store', "must be 'memory', 'postgres' or { redis: client }");
    if (!['memory', 'refuse'].includes(onStoreFailure)) refuse('onStoreFailure', "must be 'memory' or 'refuse'");
    if (typeof actions !== 'object' || actions === null) refuse('actions', 'must be an object');
    this.isEnabled = enabled;
    this.store = store;
    this.refusesOnFailure = onStoreFailure === 'refuse';
    const all = Object.entries<RateLimits | false>({ ...DEFAULT_RATE_LIMITS, ...actions });
    this.actions = new Map(all.map(([name, limits]) => [name, readLimits(name, limits)]));
  }
}

function hasClient(store: unknown): boolean {
  const client = (store as { redis?: unknown } | null)?.redis;
  return typeof client === 'object' && client !== null;
}

function readLimits(action: string, limits: RateLimits | false): RateLimits {
  const path = `actions.${action}`;
  if (!ACTION.test(action)) refuse('actions', 'must be named by letters, digits, _, - and .');
  if (limits === false) return {};
  if (typeof limits !== 'object' || limits === null) refuse(path, 'must be an object, or false');
  for (const [name, limit] of Object.entries(limits as Readonly<Record<string, RateLimit | undefined>>)) {
    if (!DIMENSIONS.some((dimension) => dimension === name))
      refuse(`${path}.${name}`, `is not an option; known are ${DIMENSIONS.join(', ')}`);
    for (const [field, max] of [
      ['points', Number.MAX_SAFE_INTEGER],
      ['seconds', MAX_SECONDS],
    ] as const) {
      const value = limit?.[field] ?? 0;
      if (!Number.isInteger(value) || value < 1 || value > max)
        refuse(`${path}.${name}.${field}`, `must be a whole number, 1 to ${max}`);
    }
  }
  return limits;
}

function refuse(name: string, message: string): never {
  const option = `rateLimits.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

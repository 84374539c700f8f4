import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';

import {
  IdentityContext,
  type NestAuthModuleOptions,
  type RateLimitCaller,
  type RateLimitOptions,
  RateLimitService,
} from '../../../src/index.js';
import { type NestApp, outcomesOf, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { HAS_REDIS, type RedisServer, startRedis } from '../../support/redis.js';
import { recordStatements } from '../../support/wire.js';
import { auth, AUTH, keys, PASSWORD, person, query, signedIn } from './fixture.js';

jest.setTimeout(60_000);

const FEW = { points: 3, seconds: 600 };
const ACTIONS = {
  signIn: { perIp: FEW },
  signUp: { perIp: FEW },
  refresh: { perIp: FEW },
  export: { perUser: FEW, perTenant: { points: 5, seconds: 600 }, perKey: FEW },
};
const withLimits = (rateLimits: RateLimitOptions): NestAuthModuleOptions => ({ ...AUTH, rateLimits });
const app = useNestApp({ auth: withLimits({ actions: ACTIONS }) });

const limits = ({ context }: NestApp): RateLimitService => context.get(RateLimitService);
const limited = { code: 'RATE_LIMITED', details: { retryAfterSeconds: expect.any(Number) } };

let serial = 0;
/** A network that no other test uses. */
const freshIp = (): string => `198.51.${100 + Math.floor(++serial / 250)}.${serial % 250}`;

afterEach(() => {
  jest.restoreAllMocks();
});

async function codesOf(count: number, call: () => Promise<unknown>): Promise<Record<string, number>> {
  const codes: Record<string, number> = {};
  for (let index = 0; index < count; index += 1) {
    const { codes: one } = await outcomesOf([call()]);
    const code = Object.keys(one)[0] ?? 'done';
    codes[code] = (codes[code] ?? 0) + 1;
  }
  return codes;
}

describe('AuthService', () => {
  it('refuses a sign-in over the limit before it asks anything, and says when to come back', async () => {
    const { email } = await person(app);
    const ip = freshIp();
    expect(await codesOf(3, () => auth(app).signIn({ email, password: PASSWORD }, { ip }))).toEqual({ done: 3 });
    const { statements, result } = await recordStatements(() =>
      auth(app)
        .signIn({ email, password: PASSWORD }, { ip })
        .catch((error: unknown) => error),
    );
    expect(statements).toEqual([]);
    expect(result).toMatchObject(limited);
    const { retryAfterSeconds } = (result as { details: { retryAfterSeconds: number } }).details;
    expect(retryAfterSeconds).toBeGreaterThan(590);
    expect(retryAfterSeconds).toBeLessThanOrEqual(600);
    await expect(auth(app).signIn({ email, password: PASSWORD }, { ip: freshIp() })).resolves.toBeDefined();
  });

  it('SEC-11: counts every call, however many of them one request makes', async () => {
    const { email } = await person(app);
    const verify = jest.spyOn(app.passwords, 'verify');
    const { codes } = await IdentityContext.run({ ip: freshIp(), requestId: 'one request' }, () =>
      outcomesOf(times(100, (index) => auth(app).signIn({ email, password: `guess ${index}` }))),
    );
    expect(codes).toEqual({ RATE_LIMITED: 97, INVALID_CREDENTIALS: 3 });
    expect(verify).toHaveBeenCalledTimes(3);
  });

  it('takes the /64 of IPv6 for one network', async () => {
    const { email } = await person(app);
    let host = 0;
    const call = () => auth(app).signIn({ email, password: PASSWORD }, { ip: `2001:db8:0:${serial}::${++host}` });
    expect(await codesOf(5, call)).toEqual({ done: 3, RATE_LIMITED: 2 });
  });

  it('limits refreshes and sign-ups, each for itself', async () => {
    const { refreshToken } = await signedIn(app);
    await IdentityContext.run({ ip: freshIp() }, async () => {
      expect(await codesOf(5, () => auth(app).refresh(refreshToken))).toEqual({ done: 3, RATE_LIMITED: 2 });
      const opened = await startNestApp(app.url, {
        auth: { ...withLimits({ actions: ACTIONS }), session: { keys, signUp: 'open' } },
      });
      try {
        const call = () => auth(opened).signUp({ email: `${crypto.randomUUID()}@example.com`, password: PASSWORD });
        expect(await codesOf(4, call)).toEqual({ done: 3, RATE_LIMITED: 1 });
      } finally {
        await opened.close();
      }
    });
  });

  it('limits nobody of whom it does not know where they come from, and nobody by default who is not many', async () => {
    const { email } = await person(app);
    expect(await codesOf(10, () => auth(app).signIn({ email, password: PASSWORD }))).toEqual({ done: 10 });
    const usual = await startNestApp(app.url, { auth: AUTH });
    try {
      const ip = freshIp();
      expect(await codesOf(20, () => auth(usual).signIn({ email, password: PASSWORD }, { ip }))).toEqual({ done: 20 });
    } finally {
      await usual.close();
    }
  });
});

/** What every store does alike. */
function behavesAsALimit(start: () => Promise<NestApp>): void {
  let limiting: NestApp;
  beforeAll(async () => {
    limiting = await start();
  });
  afterAll(() => limiting.close());

  const consume = (who: RateLimitCaller) => limits(limiting).consume('export', who);
  const tenants = () => [app.seed.tenantId, app.seed.otherTenantId] as const;

  it('lets as many through as it says, also of many at once', async () => {
    const userId = crypto.randomUUID();
    const { won, codes, errors } = await outcomesOf(times(20, () => consume({ userId })));
    expect(won).toHaveLength(3);
    expect(codes).toEqual({ RATE_LIMITED: 17 });
    expect(errors[0]).toMatchObject(limited);
  });

  it('SEC-69: the same user and the same key in two tenants are two', async () => {
    const [one, other] = tenants();
    const userId = crypto.randomUUID();
    expect(await codesOf(4, () => consume({ userId, tenantId: one }))).toEqual({ done: 3, RATE_LIMITED: 1 });
    expect(await codesOf(1, () => consume({ userId, tenantId: other }))).toEqual({ done: 1 });
    const key = crypto.randomUUID();
    expect(await codesOf(4, () => consume({ key }))).toEqual({ done: 3, RATE_LIMITED: 1 });
    expect(await codesOf(1, () => consume({ key: `${key}x` }))).toEqual({ done: 1 });
  });

  it('counts a tenant as a whole', async () => {
    const tenantId = crypto.randomUUID();
    const call = () => consume({ userId: crypto.randomUUID(), tenantId });
    expect(await codesOf(6, call)).toEqual({ done: 5, RATE_LIMITED: 1 });
  });
}

describe('the memory', () => {
  behavesAsALimit(() => startNestApp(app.url, { auth: withLimits({ actions: ACTIONS }) }));
});

describe('PostgreSQL', () => {
  const options = withLimits({ actions: ACTIONS, store: 'postgres' });
  const start = () => startNestApp(app.url, { auth: options });
  behavesAsALimit(start);

  it('counts for all processes together, and keeps no key as it is', async () => {
    const [one, other] = [await start(), await start()];
    try {
      const key = `somebody-${crypto.randomUUID()}@example.com`;
      const calls = times(10, (index) => limits(index % 2 === 0 ? one : other).consume('export', { key }));
      expect((await outcomesOf(calls)).won).toHaveLength(3);
      const rows = await query<{ key: string }>(app.url, 'select key from nest_auth_rate_limits');
      expect(rows.filter((row) => row.key.includes('somebody'))).toEqual([]);
    } finally {
      await one.close();
      await other.close();
    }
  });

  it('keeps the count when the caller rolls back', async () => {
    const one = await start();
    try {
      const userId = crypto.randomUUID();
      for (let round = 0; round < 3; round += 1) {
        const undo = new Error('undo');
        const failing = one.users.runInTransaction(async () => {
          await limits(one).consume('export', { userId });
          throw undo;
        });
        await expect(failing).rejects.toBe(undo);
      }
      await expect(limits(one).consume('export', { userId })).rejects.toMatchObject(limited);
    } finally {
      await one.close();
    }
  });

  it('is asked no more by whoever is over the limit', async () => {
    const one = await start();
    try {
      const userId = crypto.randomUUID();
      await codesOf(4, () => limits(one).consume('export', { userId }));
      const { statements } = await recordStatements(() => codesOf(10, () => limits(one).consume('export', { userId })));
      expect(statements).toEqual([]);
    } finally {
      await one.close();
    }
  });

  it.each(['memory', 'refuse'] as const)('that cannot be asked is reported, and then: %s', async (onStoreFailure) => {
    const one = await startNestApp(app.url, {
      auth: withLimits({ actions: ACTIONS, store: 'postgres', onStoreFailure }),
    });
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    await query(app.url, 'alter table nest_auth_rate_limits rename to nest_auth_rate_limits_away');
    try {
      const userId = crypto.randomUUID();
      const codes = await codesOf(4, () => limits(one).consume('export', { userId }));
      expect(codes).toEqual(onStoreFailure === 'memory' ? { done: 3, RATE_LIMITED: 1 } : { RATE_LIMITED: 4 });
      expect(error).toHaveBeenCalledTimes(1);
    } finally {
      await query(app.url, 'alter table nest_auth_rate_limits_away rename to nest_auth_rate_limits');
      await one.close();
    }
  });
});

(HAS_REDIS ? describe : describe.skip)('Redis (skipped where redis-server is not installed)', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());

  const start = async () =>
    startNestApp(app.url, { auth: withLimits({ actions: ACTIONS, store: { redis: await redis.connect() } }) });
  behavesAsALimit(start);

  it('counts for all processes together', async () => {
    const [one, other] = [await start(), await start()];
    try {
      const userId = crypto.randomUUID();
      const calls = times(10, (index) => limits(index % 2 === 0 ? one : other).consume('export', { userId }));
      expect((await outcomesOf(calls)).won).toHaveLength(3);
    } finally {
      await one.close();
      await other.close();
    }
  });

  it('that is gone keeps nobody waiting: the process counts by itself, and says so', async () => {
    const own = await startRedis();
    const one = await startNestApp(app.url, {
      auth: withLimits({ actions: ACTIONS, store: { redis: await own.connect() } }),
    });
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    try {
      await limits(one).consume('export', { userId: crypto.randomUUID() });
      await own.stop();
      const userId = crypto.randomUUID();
      const codes = await codesOf(4, () => limits(one).consume('export', { userId }));
      expect(codes).toEqual({ done: 3, RATE_LIMITED: 1 });
      expect(error).toHaveBeenCalledTimes(1);
    } finally {
      await one.close();
    }
  });
});

describe('consume', () => {
  it.each<[string, string, object]>([
    ['an action that nobody has named', 'fly', {}],
    ['a field that it does not know', 'export', { email: 'a@example.com' }],
    ['what is no address', 'signIn', { ip: 'localhost' }],
    ['a user that is no id', 'export', { userId: '1 or 1=1' }],
    ['a tenant that is no id', 'export', { tenantId: 'acme' }],
    ['a key that is empty', 'export', { key: '' }],
  ])('refuses %s', async (_, action, who) => {
    await expect(limits(app).consume(action, who)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  it('does nothing where limits are off, by action or altogether', async () => {
    const off = await startNestApp(app.url, { auth: withLimits({ enabled: false, actions: ACTIONS }) });
    const without = await startNestApp(app.url, { auth: withLimits({ actions: { signIn: false } }) });
    try {
      const userId = crypto.randomUUID();
      expect(await codesOf(10, () => limits(off).consume('export', { userId }))).toEqual({ done: 10 });
      const ip = freshIp();
      expect(await codesOf(400, () => limits(without).consume('signIn', { ip }))).toEqual({ done: 400 });
    } finally {
      await off.close();
      await without.close();
    }
  });
});

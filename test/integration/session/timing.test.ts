import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { NestAuthEvents, type SignInInput, TenantModeEnum, type NestAuthModuleOptions } from '../../../src/index.js';
import { freshEmail, type NestApp, outcomesOf, startNestApp, useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { auth, AUTH, lifecycle, PASSWORD, query } from './fixture.js';

jest.setTimeout(180_000);

/** Everything here comes from one network, and more of it than anybody sends. */
const UNLIMITED = { ...AUTH, rateLimits: { enabled: false }, lockout: { delaySeconds: 900 } };
const app = useNestApp({ auth: UNLIMITED });
const IP = '203.0.113.77';

afterEach(() => {
  jest.restoreAllMocks();
});

/** Everybody who cannot come in. Each makes somebody new, and answers what is tried. */
type Refused = (on: NestApp, tenantId: string | undefined) => Promise<SignInInput>;

async function somebody(
  on: NestApp,
  tenantId: string | undefined,
  isActive = true,
): Promise<{ id: string; email: string }> {
  const email = freshEmail();
  const { id } = await on.users.createUser({ email, isActive, password: await on.passwords.hash(PASSWORD) }, tenantId);
  return { id, email };
}

const REFUSED: Record<string, Refused> = {
  'known, with a wrong password': async (on, tenantId) => ({
    email: (await somebody(on, tenantId)).email,
    password: 'wrong',
    tenantId,
  }),
  unknown: async (_, tenantId) => ({ email: freshEmail(), password: PASSWORD, tenantId }),
  locked: async (on, tenantId) => {
    const { email } = await somebody(on, tenantId);
    const wrong = { email, password: 'wrong', tenantId };
    for (let round = 0; round < 5; round += 1)
      await auth(on)
        .signIn(wrong, { ip: IP })
        .catch(() => undefined);
    return { email, password: PASSWORD, tenantId };
  },
  disabled: async (on, tenantId) => {
    const { id, email } = await somebody(on, tenantId);
    await lifecycle(on).disableById(id);
    return { email, password: PASSWORD, tenantId };
  },
  pending: async (on, tenantId) => ({
    email: (await somebody(on, tenantId, false)).email,
    password: PASSWORD,
    tenantId,
  }),
  'without a password': async (on, tenantId) => {
    const email = freshEmail();
    await on.users.createUser({ email }, tenantId);
    return { email, password: PASSWORD, tenantId };
  },
  deleted: async (on, tenantId) => {
    const { id, email } = await somebody(on, tenantId);
    await lifecycle(on).disableById(id);
    await lifecycle(on).softDeleteById(id);
    return { email, password: PASSWORD, tenantId };
  },
};

interface Seen {
  readonly statements: readonly string[];
  readonly verified: number;
  readonly hashed: number;
  readonly answer: unknown;
}

async function seenBy(on: NestApp, input: SignInInput): Promise<Seen> {
  const verify = jest.spyOn(on.passwords, 'verify');
  const hash = jest.spyOn(on.passwords, 'hash');
  const { statements, result: error } = await recordStatements(() =>
    auth(on)
      .signIn(input, { ip: IP })
      .catch((caught: unknown) => caught),
  );
  const { name, code, message, details } = error as Record<string, unknown>;
  const counts = { verified: verify.mock.calls.length, hashed: hash.mock.calls.length };
  jest.restoreAllMocks();
  return { statements, ...counts, answer: { keys: Object.keys(error as object), name, code, message, details } };
}

const MODES: Record<string, NestAuthModuleOptions> = {
  SHARED: UNLIMITED,
  ISOLATED: { ...UNLIMITED, tenant: { mode: TenantModeEnum.ISOLATED } },
  DISABLED: { ...UNLIMITED, tenant: { mode: TenantModeEnum.DISABLED } },
};

describe.each(Object.entries(MODES))('SEC-08: in %s tenancy, whoever cannot come in', (mode, options) => {
  it('gets the same answer, by the same statements and as many hashes', async () => {
    const on = await startNestApp(app.url, { auth: options });
    try {
      const tenantId = mode === 'ISOLATED' ? app.seed.tenantId : undefined;
      // The dummy hash is made once.
      await auth(on)
        .signIn({ email: freshEmail(), password: 'x', tenantId })
        .catch(() => undefined);
      const known = await seenBy(on, await (REFUSED['known, with a wrong password'] as Refused)(on, tenantId));
      expect(known).toMatchObject({ verified: 1, hashed: 0, answer: { code: 'INVALID_CREDENTIALS', details: {} } });
      expect(known.statements).toHaveLength(3);
      for (const make of Object.values(REFUSED)) expect(await seenBy(on, await make(on, tenantId))).toEqual(known);
      const [last] = await query(app.url, 'select type from nest_auth_activities order by xid desc, id desc limit 1');
      expect(last).toEqual({ type: NestAuthEvents.USER_LOGIN_FAILED });
    } finally {
      await on.close();
    }
  });
});

describe('SEC-08: the time that a refusal takes', () => {
  /** How often a value of the one is above one of the other: a half when nothing tells them apart (Mann and Whitney). */
  function chanceOfMore(one: readonly number[], other: readonly number[]): number {
    let above = 0;
    for (const a of one) for (const b of other) above += a > b ? 1 : a === b ? 0.5 : 0;
    return above / (one.length * other.length);
  }

  it('does not tell known from unknown, locked, disabled or without a password: 100 calls each', async () => {
    const kinds = ['known, with a wrong password', 'unknown', 'locked', 'disabled', 'without a password'];
    const took = new Map<string, number[]>(kinds.map((kind) => [kind, []]));
    const inputs = new Map<string, SignInInput>();
    for (let round = 0; round < 100; round += 1) {
      // Before anybody is locked by it the person is another one.
      if (round % 4 === 0) for (const kind of kinds) inputs.set(kind, await (REFUSED[kind] as Refused)(app, undefined));
      for (const kind of kinds) {
        const begun = performance.now();
        const { codes } = await outcomesOf([auth(app).signIn(inputs.get(kind) as SignInInput, { ip: IP })]);
        expect(codes).toEqual({ INVALID_CREDENTIALS: 1 });
        took.get(kind)?.push(performance.now() - begun);
      }
    }
    const [known = [], ...others] = kinds.map((kind) => took.get(kind) ?? []);
    const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
    const lines = others.map((other, index) => {
      const [ratio, chance] = [median(other) / median(known), chanceOfMore(other, known)];
      return { kind: kinds[index + 1], ratio, chance };
    });
    console.info(
      `SEC-08: known ${median(known).toFixed(2)} ms; ${lines.map((one) => `${one.kind}: median × ${one.ratio.toFixed(3)}, slower in ${(one.chance * 100).toFixed(0)} %`).join('; ')}`,
    );
    // Wide: what is certain is counted above. A hash that is left out, or made twice, is far outside.
    for (const { chance, ratio } of lines) {
      expect(chance).toBeGreaterThan(0.1);
      expect(chance).toBeLessThan(0.9);
      expect(ratio).toBeGreaterThan(0.67);
      expect(ratio).toBeLessThan(1.5);
    }
  });
});

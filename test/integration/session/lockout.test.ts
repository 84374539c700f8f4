import { afterEach, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';

import { NestAuthEvents, TenantModeEnum } from '../../../src/index.js';
import { freshEmail, outcomesOf, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { race, type RacingProcess, startRacingProcess } from '../../support/racing-processes.js';
import type { SignInOrder, SignInReport } from '../../support/sign-in-process.js';
import { until } from '../../support/until.js';
import { recordStatements } from '../../support/wire.js';
import { activitiesOf, auth, AUTH, CHEAP, keys, PASSWORD, person, query } from './fixture.js';

jest.setTimeout(300_000);

/** Blocks that do not end by themselves while a test runs. */
const STRICT = { delaySeconds: 900 };
const app = useNestApp({ auth: { ...AUTH, lockout: STRICT } });

const refused = { code: 'INVALID_CREDENTIALS', details: {} };
const HOME = '198.51.100.7';
const STRANGER = '203.0.113.66';

afterEach(() => {
  jest.restoreAllMocks();
});

/** One try after the other, from an address; answers the codes. */
async function attempts(count: number, email: string, password: string, ip?: string, on = app): Promise<string[]> {
  const codes: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const { codes: one } = await outcomesOf([auth(on).signIn({ email, password }, ip === undefined ? {} : { ip })]);
    codes.push(Object.keys(one)[0] ?? 'signed in');
  }
  return codes;
}

async function reasonsOf(userId: string): Promise<unknown[]> {
  return (await activitiesOf(app.url, userId)).flatMap(({ type, details }) =>
    type === NestAuthEvents.USER_LOGIN_FAILED ? [(details as { reason: string }).reason] : [],
  );
}

/** As if everything that was counted had happened so many seconds earlier. */
function pass(subject: string, seconds: number): Promise<unknown> {
  const past = `- interval '1 second' * $2::integer`;
  return query(
    app.url,
    `with a as (update nest_auth_sign_in_failures set since = since ${past}, last_at = last_at ${past}
       where subject = $1)
     update nest_auth_sign_in_totals set since = since ${past} where subject = $1`,
    [subject, seconds],
  );
}

describe('SEC-09: after five failures in a row', () => {
  it('the network is refused without looking at the password, also the right one, and nobody is told', async () => {
    const { id, email } = await person(app);
    await attempts(5, email, 'wrong', STRANGER);
    const verify = jest.spyOn(app.passwords, 'verify');
    await expect(auth(app).signIn({ email, password: PASSWORD }, { ip: STRANGER })).rejects.toMatchObject(refused);
    expect(verify.mock.calls).toEqual([[null, PASSWORD]]);
    expect(await reasonsOf(id)).toEqual([...times(5, () => 'wrong_password'), 'locked']);
    expect(app.events.at(-1)).toMatchObject({ name: NestAuthEvents.USER_LOGIN_FAILED, reason: 'locked', userId: id });
  });

  it('the owner comes in from elsewhere all the same, which does not help the stranger', async () => {
    const { email } = await person(app);
    await attempts(5, email, 'wrong', STRANGER);
    expect(await attempts(1, email, PASSWORD, HOME)).toEqual(['signed in']);
    expect(await attempts(1, email, PASSWORD, STRANGER)).toEqual(['INVALID_CREDENTIALS']);
  });

  it('the delay ends by the clock of the database, doubles with each failure, and is capped', async () => {
    const { id, email } = await person(app);
    const swift = await startNestApp(app.url, {
      auth: { ...AUTH, lockout: { delaySeconds: 10, maxDelaySeconds: 40 } },
    });
    try {
      const delay = async (): Promise<number> => {
        const [row] = await query<{ seconds: number }>(
          app.url,
          'select wait_seconds as seconds from nest_auth_sign_in_failures where subject = $1',
          [id],
        );
        return row?.seconds ?? 0;
      };
      const seen: number[] = [];
      await Promise.all(
        times(4, () =>
          auth(swift)
            .signIn({ email, password: 'wrong' })
            .catch(() => undefined),
        ),
      );
      for (let round = 0; round < 4; round += 1) {
        await auth(swift)
          .signIn({ email, password: 'wrong' })
          .catch(() => undefined);
        seen.push(await delay());
        await pass(id, 41);
      }
      expect(seen).toEqual([10, 20, 40, 40]);
      await expect(auth(swift).signIn({ email, password: PASSWORD })).resolves.toMatchObject({ userId: id });
      expect(await query(app.url, 'select 1 from nest_auth_sign_in_failures where subject = $1', [id])).toEqual([]);
    } finally {
      await swift.close();
    }
  });

  it('a right password before that starts anew', async () => {
    const { email } = await person(app);
    for (let round = 0; round < 3; round += 1) {
      await attempts(4, email, 'wrong', HOME);
      expect(await attempts(1, email, PASSWORD, HOME)).toEqual(['signed in']);
    }
  });

  it('somebody else on the same network goes on', async () => {
    const [victim, neighbour] = [await person(app), await person(app)];
    await attempts(6, victim.email, 'wrong', STRANGER);
    expect(await attempts(1, neighbour.email, PASSWORD, STRANGER)).toEqual(['signed in']);
  });

  it.each([
    ['IPv6 of one /64', '2001:db8:1:2::1', '2001:db8:1:2:ffff::9', true],
    ['IPv6 of two /64', '2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['IPv4, and the same written as IPv6', '203.0.113.9', '::ffff:203.0.113.9', true],
    ['two addresses of IPv4', '203.0.113.9', '203.0.113.10', false],
  ])('%s: %s and %s are one network: %p', async (_, one, other, isSame) => {
    const { email } = await person(app);
    await attempts(5, email, 'wrong', one);
    expect(await attempts(1, email, PASSWORD, other)).toEqual([isSame ? 'INVALID_CREDENTIALS' : 'signed in']);
  });

  it('an unknown login is counted in the same way', async () => {
    const email = 'nobody-at-all@example.com';
    await attempts(6, email, 'wrong', STRANGER);
    const [last] = await query(app.url, 'select details from nest_auth_activities order by xid desc, id desc limit 1');
    expect(last).toEqual({ details: { reason: 'locked' } });
  });
});

describe('SEC-69: in ISOLATED tenancy', () => {
  it('one email in two tenants is two accounts, whether or not somebody has it', async () => {
    const isolated = await startNestApp(app.url, {
      auth: { ...AUTH, lockout: STRICT, tenant: { mode: TenantModeEnum.ISOLATED } },
    });
    try {
      const email = freshEmail();
      const tenants = [app.seed.tenantId, app.seed.otherTenantId];
      for (const tenantId of tenants)
        await isolated.users.createUser({ email, password: await isolated.passwords.hash(PASSWORD) }, tenantId);
      const signIn = (login: string, tenantId: string | undefined, password: string) =>
        outcomesOf([auth(isolated).signIn({ email: login, password, tenantId }, { ip: STRANGER })]);
      for (let round = 0; round < 6; round += 1) {
        await signIn(email, tenants[0], 'wrong');
        await signIn('nobody-here@example.com', tenants[0], 'wrong');
      }
      await signIn('nobody-here@example.com', tenants[1], 'wrong');
      const [last] = await query(
        app.url,
        'select details from nest_auth_activities order by xid desc, id desc limit 1',
      );
      expect(last).toEqual({ details: { reason: 'unknown_login' } });
      expect((await signIn(email, tenants[1], PASSWORD)).won).toHaveLength(1);
      expect((await signIn(email, tenants[0], PASSWORD)).codes).toEqual({ INVALID_CREDENTIALS: 1 });
    } finally {
      await isolated.close();
    }
  });
});

describe('SEC-09: a hundred failures from wherever', () => {
  /** As if strangers had failed so often, each from a network of their own. */
  async function failedElsewhere(email: string, id: string, count: number): Promise<void> {
    await attempts(1, email, 'wrong', STRANGER);
    await query(app.url, 'update nest_auth_sign_in_totals set failures = $2 where subject = $1', [id, count]);
  }

  it('the hundredth is verified, and the hundred and first refused with the right password', async () => {
    const { id, email } = await person(app);
    await failedElsewhere(email, id, 99);
    expect(await attempts(1, email, 'wrong', '192.0.2.1')).toEqual(['INVALID_CREDENTIALS']);
    expect(await attempts(1, email, PASSWORD, '192.0.2.2')).toEqual(['INVALID_CREDENTIALS']);
    expect(await reasonsOf(id)).toEqual(['wrong_password', 'wrong_password', 'locked']);
    // The network that was refused for the account has no delay of its own to wait for.
    await pass(id, 86_401);
    expect(await attempts(1, email, PASSWORD, '192.0.2.2')).toEqual(['signed in']);
  });

  it('lock the owner out of no network from which the owner has signed in before', async () => {
    const { id, email } = await person(app);
    expect(await attempts(1, email, PASSWORD, '2001:db8:7:7::1')).toEqual(['signed in']);
    await failedElsewhere(email, id, 100);
    expect(await attempts(1, email, PASSWORD, '192.0.2.3')).toEqual(['INVALID_CREDENTIALS']);
    expect(await attempts(1, email, PASSWORD, '2001:db8:7:7::99')).toEqual(['signed in']);
    expect(await attempts(1, email, PASSWORD, '192.0.2.3')).toEqual(['INVALID_CREDENTIALS']);
  });

  it('are forgotten after a day, and by whoever administers', async () => {
    const { id, email } = await person(app);
    await failedElsewhere(email, id, 100);
    expect(await auth(app).unlock(id)).toBe(true);
    expect((await activitiesOf(app.url, id)).at(-1)).toEqual({
      type: NestAuthEvents.USER_UNLOCKED,
      details: { failures: 100 },
    });
    expect(app.events.at(-1)).toMatchObject({ name: NestAuthEvents.USER_UNLOCKED, userId: id });
    expect(await attempts(1, email, PASSWORD, STRANGER)).toEqual(['signed in']);
    // Of whoever has come in nothing is left to forget.
    expect(await auth(app).unlock(id)).toBe(false);
    expect(await attempts(1, email, 'wrong', STRANGER)).toEqual(['INVALID_CREDENTIALS']);
    expect(await auth(app).unlock(id)).toBe(true);
    expect(await auth(app).unlock(id)).toBe(false);
  });
});

describe('SEC-10: inside a transaction of the caller', () => {
  it('failures count although everything is rolled back', async () => {
    const { id, email } = await person(app);
    for (let round = 0; round < 5; round += 1) {
      const undo = new Error('undo');
      const failing = app.users.runInTransaction(async () => {
        await expect(auth(app).signIn({ email, password: 'wrong' }, { ip: STRANGER })).rejects.toMatchObject(refused);
        throw undo;
      });
      await expect(failing).rejects.toBe(undo);
    }
    expect(await reasonsOf(id)).toEqual([]);
    expect(await attempts(1, email, PASSWORD, STRANGER)).toEqual(['INVALID_CREDENTIALS']);
  });

  it('fails fast where no second connection can be had, before the password is looked at', async () => {
    const narrow = await startNestApp(app.url, { auth: AUTH, pool: 1 });
    try {
      const { email } = await person(narrow);
      const verify = jest.spyOn(narrow.passwords, 'verify');
      const trying = narrow.users.runInTransaction(() => auth(narrow).signIn({ email, password: PASSWORD }));
      await expect(trying).rejects.toMatchObject({ code: 'CONNECTION_UNAVAILABLE' });
      expect(verify).not.toHaveBeenCalled();
      await expect(auth(narrow).signIn({ email, password: PASSWORD })).resolves.toBeDefined();
    } finally {
      await narrow.close();
    }
  });

  it('that has unlocked the same user it does not wait for itself', async () => {
    const { id, email } = await person(app);
    await attempts(1, email, 'wrong', STRANGER);
    const trying = app.users.runInTransaction(async (manager) => {
      expect(await auth(app).unlock(id, manager)).toBe(true);
      await auth(app).signIn({ email, password: PASSWORD }, { ip: STRANGER });
    });
    await expect(trying).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
    // Nothing of it stays, the unlocking neither.
    expect(await auth(app).unlock(id)).toBe(true);
  });
});

describe('of sign-ins at once', () => {
  it('with the right password are all let in, one after the other', async () => {
    const { email } = await person(app);
    const { won, codes } = await outcomesOf(
      times(20, () => auth(app).signIn({ email, password: PASSWORD }, { ip: HOME })),
    );
    expect(codes).toEqual({});
    expect(won).toHaveLength(20);
  });

  it('whom a full queue turns away have not failed', async () => {
    const narrow = await startNestApp(app.url, {
      auth: { ...AUTH, lockout: STRICT, password: { ...CHEAP, maxConcurrent: 1, maxQueued: 0 } },
    });
    try {
      const { id, email } = await person(narrow);
      const busy = narrow.passwords.hash(PASSWORD);
      const { codes } = await outcomesOf([auth(narrow).signIn({ email, password: PASSWORD }, { ip: HOME })]);
      await busy;
      expect(codes).toEqual({ HASHING_BUSY: 1 });
      const counted = await query(app.url, 'select failures from nest_auth_sign_in_totals where subject = $1', [id]);
      expect(counted).toEqual([{ failures: 0 }]);
    } finally {
      await narrow.close();
    }
  });

  it('cost two statements beside those of the sign-in itself', async () => {
    const { email } = await person(app);
    const { statements } = await recordStatements(() => auth(app).signIn({ email, password: PASSWORD }, { ip: HOME }));
    expect(statements).toHaveLength(4);
  });
});

describe('SEC-09: attempts that all have looked before the first of them is counted', () => {
  /** Holds the counters of somebody until so many wait for them: each has begun when the others had not been counted. */
  async function released(table: string, subject: string, waiting: number, begin: () => Promise<unknown>[]) {
    const client = new pg.Client({ connectionString: app.url });
    await client.connect();
    try {
      await client.query('begin');
      await client.query(`select 1 from ${table} where subject = $1 for update`, [subject]);
      const calls = begin();
      await until(`${waiting} wait`, async () => {
        const rows = await query(
          app.url,
          `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        return rows.length >= waiting;
      });
      await client.query('commit');
      return await outcomesOf(calls);
    } finally {
      await client.end();
    }
  }

  const verifiedOf = async (id: string): Promise<number> =>
    (await reasonsOf(id)).filter((reason) => reason === 'wrong_password').length;

  it('from one network, by as many processes, verify what is left for the network', async () => {
    const { id, email } = await person(app);
    await attempts(3, email, 'wrong', STRANGER);
    const others = await Promise.all(
      times(6, () => startNestApp(app.url, { auth: { ...AUTH, lockout: STRICT }, pool: 2 })),
    );
    try {
      const begin = () => others.map((one) => auth(one).signIn({ email, password: 'wrong' }, { ip: STRANGER }));
      const { codes } = await released('nest_auth_sign_in_failures', id, 6, begin);
      expect(codes).toEqual({ INVALID_CREDENTIALS: 6 });
      expect(await verifiedOf(id)).toBe(5);
    } finally {
      await Promise.all(others.map((one) => one.close()));
    }
  });

  it('from as many networks, verify what is left for the account', async () => {
    const { id, email } = await person(app);
    await attempts(1, email, 'wrong', STRANGER);
    await query(app.url, 'update nest_auth_sign_in_totals set failures = 97 where subject = $1', [id]);
    const begin = () =>
      times(8, (index) => auth(app).signIn({ email, password: 'wrong' }, { ip: `192.0.2.${10 + index}` }));
    const { codes } = await released('nest_auth_sign_in_totals', id, 8, begin);
    expect(codes).toEqual({ INVALID_CREDENTIALS: 8 });
    expect(await verifiedOf(id)).toBe(1 + 3);
  });
});

function startProcess(order: Partial<SignInOrder> & Pick<SignInOrder, 'email' | 'ip' | 'passwords'>): RacingProcess {
  const whole: SignInOrder = { url: app.url, keys, password: CHEAP, lockout: STRICT, ...order };
  return startRacingProcess('sign-in', whole);
}

const runAll = (started: readonly RacingProcess[]): Promise<SignInReport[]> => race(started);

const totalOf = (reports: readonly SignInReport[]): number => reports.reduce((sum, { verified }) => sum + verified, 0);

describe('SEC-09: processes with ten tries each at the same moment', () => {
  it('twenty from one network verify five, with nothing left for the right password until it is unlocked', async () => {
    const { id, email } = await person(app);
    const passwords = times(10, (index) => `wrong ${index}`);
    const reports = await runAll(times(20, () => startProcess({ email, ip: STRANGER, passwords })));
    expect(totalOf(reports)).toBe(5);
    expect(reports.map(({ codes }) => codes)).toEqual(times(20, () => ({ INVALID_CREDENTIALS: 10 })));
    const reasons = await reasonsOf(id);
    expect(reasons.filter((reason) => reason === 'wrong_password')).toHaveLength(5);
    expect(reasons.filter((reason) => reason === 'locked')).toHaveLength(195);
    expect(await attempts(1, email, PASSWORD, STRANGER)).toEqual(['INVALID_CREDENTIALS']);
    expect(await attempts(1, email, PASSWORD, HOME)).toEqual(['signed in']);
    await auth(app).unlock(id);
    expect(await attempts(1, email, PASSWORD, STRANGER)).toEqual(['signed in']);
  });

  it('from eight networks verify as many as the account allows, also when some are killed on the way', async () => {
    const { id, email } = await person(app);
    expect(await attempts(1, email, PASSWORD, HOME)).toEqual(['signed in']);
    const lockout = { ...STRICT, maxFailures: 20 };
    const passwords = times(10, (index) => `wrong ${index}`);
    const order = (index: number) => ({ email, passwords, lockout, ip: `192.0.2.${100 + index}` });
    const killed = times(2, (index) => startProcess({ ...order(index), hangs: true }));
    for (const { ready, go, line, child } of killed) {
      await ready;
      go();
      expect(await line()).toBe('verified');
      child.kill('SIGKILL');
    }
    const reports = await runAll(times(6, (index) => startProcess(order(2 + index))));
    expect(totalOf(reports)).toBe(18);
    const [total] = await query(app.url, 'select failures from nest_auth_sign_in_totals where subject = $1', [id]);
    expect(total).toEqual({ failures: 20 });
    const strict = await startNestApp(app.url, { auth: { ...AUTH, lockout } });
    try {
      const signIn = (ip: string) => auth(strict).signIn({ email, password: PASSWORD }, { ip });
      await expect(signIn('192.0.2.200')).rejects.toMatchObject(refused);
      await expect(signIn(HOME)).resolves.toMatchObject({ userId: id });
      await pass(id, 86_401);
      await expect(signIn('192.0.2.200')).resolves.toMatchObject({ userId: id });
    } finally {
      await strict.close();
    }
  });
});

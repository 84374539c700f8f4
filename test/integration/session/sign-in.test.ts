import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { IdentityContext, NestAuthEvents, type SignInInput } from '../../../src/index.js';
import { untilSomebodyWaits } from '../../support/tables.js';
import { outcomesOf, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { activitiesOf, auth, AUTH, CHEAP, lifecycle, person, PASSWORD, query, sessions } from './fixture.js';

const app = useNestApp({ auth: AUTH });

afterEach(() => {
  jest.restoreAllMocks();
});

describe('a sign-in', () => {
  it('opens a session, notes the moment, and tells it by an activity and an event of the person', async () => {
    const { id, email } = await person(app, app.seed.tenantId);
    const context = { ip: '203.0.113.7', userAgent: 'Firefox' };
    const { statements, result } = await recordStatements(() =>
      auth(app).signIn({ email, password: PASSWORD }, context),
    );
    // The look-up, the attempt counted, the sign-in itself, the attempt forgiven.
    expect(statements).toHaveLength(4);
    expect(result).toMatchObject({ userId: id, tenantId: app.seed.tenantId, user: { id, email } });
    const [session] = await sessions(app).getSessions(id);
    expect(session).toMatchObject({ id: result.sessionId, ...context, tenantId: app.seed.tenantId });
    const [user] = await query<{ seen: boolean }>(
      app.url,
      'select last_login_at is not null as seen from nest_auth_users where id = $1',
      [id],
    );
    expect(user).toEqual({ seen: true });
    const [last] = await query(
      app.url,
      'select type, actor_type, actor_id, host(ip) as ip from nest_auth_activities where user_id = $1 order by xid desc',
      [id],
    );
    expect(last).toEqual({ type: NestAuthEvents.USER_LOGGED_IN, actor_type: 'user', actor_id: id, ip: '203.0.113.7' });
    expect(app.events.at(-1)).toMatchObject({ name: NestAuthEvents.USER_LOGGED_IN, user: { id } });
  });

  it('answers tokens that are good, and a user without secrets', async () => {
    const { id, email } = await person(app);
    const { accessToken, user, tenantId } = await auth(app).signIn({ email, password: PASSWORD });
    expect(tenantId).toBeNull();
    expect(await auth(app).verifyAccessToken(accessToken, { fresh: true })).toMatchObject({
      userId: id,
      tenantId: null,
    });
    expect(await auth(app).me(accessToken)).toMatchObject({ user: { id }, tenantId: null });
    expect(JSON.stringify(user)).not.toMatch(/argon2|stamp/i);
  });

  it('goes by phone, in the form that the person types', async () => {
    const phone = '+49 30 901820';
    await app.users.createUser({ phone, password: await app.passwords.hash(PASSWORD) });
    await expect(auth(app).signIn({ phone: '+4930901820', password: PASSWORD })).resolves.toBeDefined();
  });

  it('is rolled back with its caller, and leaves no session', async () => {
    const { id, email } = await person(app);
    const undo = new Error('undo');
    const events = app.events.length;
    const failing = app.users.runInTransaction(async () => {
      await auth(app).signIn({ email, password: PASSWORD });
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    expect(await query(app.url, 'select 1 from nest_auth_sessions where user_id = $1', [id])).toEqual([]);
    expect(app.events).toHaveLength(events);
  });

  it('holds no connection while it hashes, on a pool of one', async () => {
    const narrow = await startNestApp(app.url, { auth: AUTH, pool: 1 });
    try {
      const { email } = await person(narrow);
      const verify = narrow.passwords.verify.bind(narrow.passwords);
      jest.spyOn(narrow.passwords, 'verify').mockImplementation(async (...given) => {
        // With the only connection held this would wait for ever.
        await narrow.dataSource.query('select 1');
        return verify(...given);
      });
      await expect(auth(narrow).signIn({ email, password: PASSWORD })).resolves.toBeDefined();
      await expect(auth(narrow).signIn({ email, password: 'wrong' })).rejects.toMatchObject({
        code: 'INVALID_CREDENTIALS',
      });
    } finally {
      await narrow.close();
    }
  });

  it.each<[string, unknown]>([
    ['neither login', { password: 'x' }],
    ['both logins', { email: 'a@example.com', phone: '+4930901820', password: 'x' }],
    ['an unknown field', { email: 'a@example.com', password: 'x', role: 'admin' }],
    ['a login that is no text', { email: { like: '%' }, password: 'x' }],
    ['a tenant that is no id', { email: 'a@example.com', password: 'x', tenantId: 'acme' }],
  ])('refuses %s', async (_, input) => {
    await expect(auth(app).signIn(input as SignInInput)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });
});

/** Everybody who cannot come in, with what they try and why not. */
const REFUSED: Record<string, () => Promise<[input: SignInInput, reason: string]>> = {
  'an unknown login': async () => [{ email: 'nobody@example.com', password: PASSWORD }, 'unknown_login'],
  'what cannot be a login': async () => [{ email: 'not an email', password: PASSWORD }, 'unknown_login'],
  'a wrong password': async () => [{ email: (await person(app)).email, password: 'wrong' }, 'wrong_password'],
  'an empty password': async () => [{ email: (await person(app)).email, password: '' }, 'wrong_password'],
  'a user without a password': async () => {
    const { email } = await app.users.createUser({ email: `sso-${Date.now()}@example.com` });
    return [{ email: email as string, password: PASSWORD }, 'no_password'];
  },
  'an inactive user': async () => [await somebodyAfter((id) => lifecycle(app).deactivateById(id)), 'user_not_active'],
  'a disabled user': async () => [await somebodyAfter((id) => lifecycle(app).disableById(id)), 'user_not_active'],
  'a pending user': async () => {
    const email = `pending-${Date.now()}@example.com`;
    await app.users.createUser({ email, isActive: false, password: await app.passwords.hash(PASSWORD) });
    return [{ email, password: PASSWORD }, 'user_not_active'];
  },
  'a soft-deleted user': async () => [
    await somebodyAfter(async (id) => {
      await lifecycle(app).disableById(id);
      await lifecycle(app).softDeleteById(id);
    }),
    'unknown_login',
  ],
  'somebody who is no member of the tenant': async () => [
    { email: (await person(app)).email, password: PASSWORD, tenantId: app.seed.tenantId },
    'no_access_to_tenant',
  ],
};

async function somebodyAfter(change: (id: string) => Promise<unknown>): Promise<SignInInput> {
  const { id, email } = await person(app);
  await change(id);
  return { email, password: PASSWORD };
}

describe('SEC-08: a sign-in that is refused', () => {
  it.each(Object.entries(REFUSED))(
    'has the one answer for %s, verifies once, and keeps the reason to the log',
    async (_, make) => {
      const [input, reason] = await make();
      const verify = jest.spyOn(app.passwords, 'verify');
      const error = await auth(app)
        .signIn(input)
        .catch((caught: unknown) => caught);
      expect(error).toMatchObject({ code: 'INVALID_CREDENTIALS', details: {} });
      expect((error as Error).message).toBe('The sign-in is refused: login and password do not fit');
      expect(Object.keys(error as object).toSorted()).toEqual(['code', 'details', 'name']);
      expect(verify).toHaveBeenCalledTimes(1);
      const [last] = await query(
        app.url,
        'select type, details from nest_auth_activities order by xid desc, id desc limit 1',
      );
      expect(last).toEqual({ type: NestAuthEvents.USER_LOGIN_FAILED, details: { reason } });
      expect(app.events.at(-1)).toMatchObject({ name: NestAuthEvents.USER_LOGIN_FAILED, reason });
    },
  );
});

describe('what is changed while a password is verified', () => {
  it.each<[string, (id: string) => Promise<unknown>]>([
    ['the password', async (id) => (await app.users.getUserById(id))?.setPassword('another one entirely')],
    ['the status', (id) => lifecycle(app).deactivateById(id)],
    [
      'the status, there and back',
      async (id) => {
        await lifecycle(app).deactivateById(id);
        await lifecycle(app).reactivateById(id);
      },
    ],
    ['the membership', (id) => app.users.deleteUserAccess(id, app.seed.tenantId)],
  ])('counts: %s', async (_, change) => {
    const { id, email } = await person(app, app.seed.tenantId);
    const verify = app.passwords.verify.bind(app.passwords);
    jest.spyOn(app.passwords, 'verify').mockImplementationOnce(async (...given) => {
      const answer = await verify(...given);
      await change(id);
      return answer;
    });
    const input = { email, password: PASSWORD, tenantId: app.seed.tenantId };
    await expect(auth(app).signIn(input)).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
    expect(await query(app.url, 'select 1 from nest_auth_sessions where user_id = $1', [id])).toEqual([]);
  });

  it('leaves no session when the user is deactivated in a transaction that commits meanwhile', async () => {
    const { id, email } = await person(app);
    let trying: Promise<unknown> | undefined;
    await app.users.runInTransaction(async (manager) => {
      await lifecycle(app).deactivateById(id, manager);
      trying = new Promise((resolve) => {
        // Outside of this transaction, and waiting for its row.
        void startNestApp(app.url, { auth: AUTH }).then(async (other) => {
          const { codes } = await outcomesOf([auth(other).signIn({ email, password: PASSWORD })]);
          await other.close();
          resolve(codes);
        });
      });
      await untilSomebodyWaits(app.url);
    });
    expect(await trying).toEqual({ INVALID_CREDENTIALS: 1 });
    expect(await query(app.url, 'select 1 from nest_auth_sessions where user_id = $1', [id])).toEqual([]);
  });
});

describe('SEC-02: a hash of older parameters', () => {
  const older = { ...AUTH, password: { memoryKiB: 9_216, iterations: 4, parallelism: 1 } };
  const stored = async (id: string): Promise<string> =>
    (await query<{ h: string }>(app.url, 'select password_hash as h from nest_auth_users where id = $1', [id]))[0]?.h ??
    '';

  async function personOfOld(): Promise<{ id: string; email: string }> {
    const before = await startNestApp(app.url, { auth: older });
    try {
      return await person(before);
    } finally {
      await before.close();
    }
  }

  it('is replaced by a sign-in, once, also when ten come at once, and ends no session', async () => {
    const { id, email } = await personOfOld();
    const { won } = await outcomesOf(times(10, () => auth(app).signIn({ email, password: PASSWORD })));
    expect(won).toHaveLength(10);
    expect(await stored(id)).toContain(`m=${CHEAP.memoryKiB},t=${CHEAP.iterations}`);
    expect(await sessions(app).getSessions(id)).toHaveLength(10);
  });

  it('is replaced also when a second factor is asked for then', async () => {
    const { id, email } = await personOfOld();
    await query(
      app.url,
      `insert into nest_auth_second_factors (user_id, kind, realm_id, enabled_at)
        select id, 'email', realm_id, now() from nest_auth_users where id = $1`,
      [id],
    );
    await expect(auth(app).signIn({ email, password: PASSWORD })).rejects.toMatchObject({
      code: 'SECOND_FACTOR_REQUIRED',
    });
    expect(await stored(id)).toContain(`m=${CHEAP.memoryKiB},t=${CHEAP.iterations}`);
  });

  it('stays when it cannot be replaced, and the person is signed in all the same', async () => {
    const { id, email } = await personOfOld();
    await query(
      app.url,
      `create function refuse_rehash() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
       create trigger refuse_rehash before update of password_hash on nest_auth_users for each row execute function refuse_rehash()`,
    );
    try {
      await expect(auth(app).signIn({ email, password: PASSWORD })).resolves.toMatchObject({ userId: id });
      const committed = await app.users.runInTransaction(() => auth(app).signIn({ email, password: PASSWORD }));
      expect((await sessions(app).getSessions(id)).map((one) => one.id)).toContain(committed.sessionId);
      expect(await stored(id)).toContain('m=9216');
    } finally {
      await query(app.url, 'drop function refuse_rehash cascade');
    }
  });
});

describe('without keys', () => {
  it('nobody can sign in, and none are made up', async () => {
    const without = await startNestApp(app.url, {});
    try {
      const refused = { code: 'INVALID_OPTIONS', details: { option: 'session.keys' } };
      const { email } = await person(without);
      await expect(auth(without).signIn({ email, password: PASSWORD })).rejects.toMatchObject(refused);
      await expect(auth(without).refresh('x')).rejects.toMatchObject(refused);
      expect(() => auth(without).jwks()).toThrow(expect.objectContaining(refused));
    } finally {
      await without.close();
    }
  });
});

it('the actor that the application names is kept', async () => {
  const { id, email } = await person(app);
  await IdentityContext.run({ actor: { type: 'service', id: 'importer' } }, () =>
    auth(app).signIn({ email, password: PASSWORD }),
  );
  const all = await activitiesOf(app.url, id);
  expect(all.at(-1)?.type).toBe(NestAuthEvents.USER_LOGGED_IN);
  const [row] = await query(app.url, `select actor_id from nest_auth_activities where user_id = $1 and type = $2`, [
    id,
    NestAuthEvents.USER_LOGGED_IN,
  ]);
  expect(row).toEqual({ actor_id: 'importer' });
});

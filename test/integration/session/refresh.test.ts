import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { AccessStatusEnum, NestAuthEvents } from '../../../src/index.js';
import { outcomesOf, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { LOCK_WAITS, withClient } from '../../support/database.js';
import { eventually } from '../../support/identity-fixture.js';
import { race, startRacingProcess } from '../../support/racing-processes.js';
import { recordStatements } from '../../support/wire.js';
import {
  activitiesOf,
  age,
  ageTokens,
  auth,
  AUTH,
  keys,
  lifecycle,
  PASSWORD,
  person,
  query,
  sessions,
  signedIn,
} from './fixture.js';

const app = useNestApp({ auth: AUTH });
const refused = { code: 'REFRESH_TOKEN_INVALID' };

afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

describe('a refresh', () => {
  it('SEC-40: answers a new token of the same session by one statement, and the old one is used up', async () => {
    const first = await signedIn(app);
    const { result, statements } = await recordStatements(() => auth(app).refresh(first.refreshToken));
    expect(statements).toHaveLength(1);
    expect(result).toMatchObject({ sessionId: first.sessionId, userId: first.userId });
    expect(result.refreshToken).not.toBe(first.refreshToken);
    await expect(auth(app).refresh(result.refreshToken)).resolves.toMatchObject({ sessionId: first.sessionId });
  });

  it.each(['', 'x', `${'A'.repeat(22)}.${'A'.repeat(43)}`, 7, null])(
    'refuses %p, which is no token of ours',
    async (token) => {
      await expect(auth(app).refresh(token as string)).rejects.toMatchObject(refused);
    },
  );

  it('that is rolled back with its caller leaves the token as it was', async () => {
    const { refreshToken } = await signedIn(app);
    const undo = new Error('undo');
    const failing = app.users.runInTransaction(async () => {
      await auth(app).refresh(refreshToken);
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    await expect(auth(app).refresh(refreshToken)).resolves.toBeDefined();
  });

  it('keeps the session alive, but not beyond its absolute end', async () => {
    const { refreshToken, sessionId } = await signedIn(app);
    await query(app.url, `update nest_auth_sessions set expires_at = now() + interval '1 minute' where id = $1`, [
      sessionId,
    ]);
    const { sessionExpiresAt, accessTokenExpiresAt } = await auth(app).refresh(refreshToken);
    const [row] = await query<{ same: boolean }>(
      app.url,
      'select idle_expires_at = expires_at as same from nest_auth_sessions where id = $1',
      [sessionId],
    );
    expect(row?.same).toBe(true);
    expect(accessTokenExpiresAt.getTime()).toBeLessThanOrEqual(sessionExpiresAt.getTime());
  });
});

describe('SEC-41: a token that was used', () => {
  it('ends the whole session when it comes again, with an activity and an event', async () => {
    const { refreshToken: a, userId, sessionId } = await signedIn(app);
    const { refreshToken: b, accessToken } = await auth(app).refresh(a);
    await ageTokens(app.url, sessionId, 11);
    await expect(auth(app).refresh(a)).rejects.toMatchObject(refused);
    await expect(auth(app).refresh(b)).rejects.toMatchObject(refused);
    await expect(auth(app).verifyAccessToken(accessToken, { fresh: true })).rejects.toMatchObject({
      code: 'ACCESS_TOKEN_INVALID',
    });
    expect((await activitiesOf(app.url, userId)).at(-1)).toMatchObject({
      type: NestAuthEvents.REFRESH_TOKEN_REUSED,
      details: { reason: 'refresh_token_reused', sessionIds: [sessionId] },
    });
    expect(app.events.at(-1)).toMatchObject({ name: NestAuthEvents.REFRESH_TOKEN_REUSED, userId, sessionId });
  });

  it('ends it although the refusal is thrown inside of a transaction that goes on', async () => {
    const { refreshToken, userId, sessionId } = await signedIn(app);
    await auth(app).refresh(refreshToken);
    await ageTokens(app.url, sessionId, 11);
    await app.users.runInTransaction(async () => {
      await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject(refused);
    });
    expect(await sessions(app).getSessions(userId)).toEqual([]);
  });

  it('ends no other session of the user', async () => {
    const { refreshToken, userId, sessionId, email } = await signedIn(app);
    const other = await auth(app).signIn({ email, password: PASSWORD });
    await auth(app).refresh(refreshToken);
    await ageTokens(app.url, sessionId, 11);
    await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject(refused);
    expect((await sessions(app).getSessions(userId)).map(({ id }) => id)).toEqual([other.sessionId]);
  });
});

describe('SEC-43: within the reuse window', () => {
  it('a used token answers the same successor, and outside of it ends the session', async () => {
    const { refreshToken, sessionId } = await signedIn(app);
    const { refreshToken: successor } = await auth(app).refresh(refreshToken);
    await ageTokens(app.url, sessionId, 8);
    expect((await auth(app).refresh(refreshToken)).refreshToken).toBe(successor);
    await ageTokens(app.url, sessionId, 3);
    await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject(refused);
  });

  it('lasts as long as the application says', async () => {
    const strict = await startNestApp(app.url, { auth: { ...AUTH, session: { keys, reuseWindowSeconds: 0 } } });
    try {
      const { refreshToken, userId } = await signedIn(strict);
      await auth(strict).refresh(refreshToken);
      await ageTokens(app.url, (await sessions(strict).getSessions(userId))[0]?.id ?? '', 1);
      await expect(auth(strict).refresh(refreshToken)).rejects.toMatchObject(refused);
      expect(await sessions(strict).getSessions(userId)).toEqual([]);
    } finally {
      await strict.close();
    }
  });

  it('a session that was ended answers nothing', async () => {
    const { refreshToken, userId } = await signedIn(app);
    await auth(app).refresh(refreshToken);
    await sessions(app).revokeAllSessions(userId);
    await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject(refused);
  });

  it('counts from when it was asked, however long the winner keeps it waiting', async () => {
    const { refreshToken, sessionId } = await signedIn(app);
    const other = await startNestApp(app.url, { auth: { ...AUTH, session: { keys, reuseWindowSeconds: 1 } } });
    let late: Promise<unknown> | undefined;
    try {
      const { refreshToken: successor } = await app.users.runInTransaction(async () => {
        const won = await auth(app).refresh(refreshToken);
        late = new Promise((resolve) => setImmediate(() => resolve(auth(other).refresh(refreshToken))));
        await new Promise((resolve) => setTimeout(resolve, 1_300));
        return won;
      });
      expect(await late).toMatchObject({ refreshToken: successor, sessionId });
    } finally {
      await other.close();
    }
  });
});

describe('SEC-22, SEC-42: thirty refreshes of one token at once, from three processes', () => {
  it('make one successor, which all of them get, and the user stays signed in', async () => {
    const { refreshToken, sessionId } = await signedIn(app);
    const processes = times(3, () => startRacingProcess('refresh', app.url, keys, refreshToken, '10'));
    const answers = (await race<string[]>(processes)).flat();
    expect(answers).toHaveLength(30);
    expect(new Set(answers).size).toBe(1);
    const tokens = await query(app.url, 'select used_at from nest_auth_refresh_tokens where session_id = $1', [
      sessionId,
    ]);
    expect(tokens).toHaveLength(2);
    await expect(auth(app).refresh(answers[0] as string)).resolves.toMatchObject({ sessionId });
  }, 60_000);

  it('make one successor when every one of them has seen the token unused', async () => {
    const { refreshToken, sessionId } = await signedIn(app);
    const calls = await withClient(app.url, async (client) => {
      await client.query('begin');
      await client.query('select 1 from nest_auth_sessions where id = $1 for update', [sessionId]);
      const waiting = times(5, () => auth(app).refresh(refreshToken));
      await eventually(async () => {
        return (await query(app.url, LOCK_WAITS)).length === 5;
      });
      await client.query('commit');
      return waiting;
    });
    const answers = await Promise.all(calls);
    expect(new Set(answers.map((one) => one.refreshToken)).size).toBe(1);
    const tokens = await query(app.url, 'select 1 from nest_auth_refresh_tokens where session_id = $1', [sessionId]);
    expect(tokens).toHaveLength(2);
  });

  it('and a revocation among them: afterwards nothing goes on', async () => {
    const { refreshToken, userId } = await signedIn(app);
    const calls = times(10, () => auth(app).refresh(refreshToken));
    const [{ won }] = await Promise.all([outcomesOf(calls), sessions(app).revokeAllSessions(userId)]);
    for (const one of won) await expect(auth(app).refresh(one.refreshToken)).rejects.toMatchObject(refused);
  });
});

describe('SEC-44: the lifetimes of a session are judged by the clock of the database', () => {
  it.each([-3_600_000, 3_600_000])('with the clock of the application %i ms off nothing changes', async (offset) => {
    const { refreshToken, sessionId, userId } = await signedIn(app);
    const timers = ['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate'];
    jest.useFakeTimers({
      now: Date.now() + offset,
      doNotFake: [...timers, 'nextTick', 'queueMicrotask', 'performance', 'hrtime'] as never,
    });
    const next = await auth(app).refresh(refreshToken);
    expect(await sessions(app).getSessions(userId)).toHaveLength(1);
    await age(app.url, sessionId, 10_081);
    await expect(auth(app).refresh(next.refreshToken)).rejects.toMatchObject(refused);
    expect(await sessions(app).getSessions(userId)).toEqual([]);
  });

  it('ends when it is idle for too long, and at its absolute end however often it is refreshed', async () => {
    const idle = await signedIn(app);
    await age(app.url, idle.sessionId, 10_081);
    await expect(auth(app).refresh(idle.refreshToken)).rejects.toMatchObject(refused);
    const old = await signedIn(app);
    await age(app.url, old.sessionId, 43_201);
    await query(app.url, `update nest_auth_sessions set idle_expires_at = now() + interval '1 day' where id = $1`, [
      old.sessionId,
    ]);
    await expect(auth(app).refresh(old.refreshToken)).rejects.toMatchObject(refused);
  });
});

describe('SEC-45: at once after', () => {
  const ends: Record<string, (userId: string) => Promise<unknown>> = {
    'a deactivation': (id) => lifecycle(app).deactivateById(id),
    'a disabling': (id) => lifecycle(app).disableById(id),
    'a deactivation by updateUserStatus': (id) => app.users.updateUserStatus(id, false),
    'a deletion': (id) => app.users.deleteUser(id),
    'a change of the password': async (id) => (await app.users.getUserById(id))?.setPassword('another one entirely'),
    'the end of the access': (id) => app.users.deleteUserAccess(id, app.seed.tenantId),
    'a suspension of the access': (id) =>
      app.access.setUserAccessStatus(id, app.seed.tenantId, AccessStatusEnum.SUSPENDED),
    'a suspension in raw SQL': (id) =>
      query(app.url, `update nest_auth_user_accesses set status = 'suspended' where user_id = $1`, [id]),
  };

  it.each(Object.entries(ends))(
    '%s the refresh is refused, in another process too, and the access token where asked',
    async (_, end) => {
      const other = await startNestApp(app.url, { auth: AUTH });
      try {
        const { userId, refreshToken, accessToken } = await signedIn(app, app.seed.tenantId);
        await end(userId);
        for (const one of [other, app]) {
          await expect(auth(one).refresh(refreshToken)).rejects.toMatchObject(refused);
          await expect(auth(one).verifyAccessToken(accessToken, { fresh: true })).rejects.toMatchObject({
            code: 'ACCESS_TOKEN_INVALID',
          });
          await expect(auth(one).me(accessToken)).rejects.toMatchObject({ code: 'ACCESS_TOKEN_INVALID' });
          // The documented bound: whoever does not ask believes it until it expires.
          await expect(auth(one).verifyAccessToken(accessToken)).resolves.toMatchObject({ userId });
        }
      } finally {
        await other.close();
      }
    },
  );

  it('and no session comes back when the user or the access does', async () => {
    const one = await signedIn(app, app.seed.tenantId);
    await lifecycle(app).deactivateById(one.userId);
    await lifecycle(app).reactivateById(one.userId);
    await expect(auth(app).refresh(one.refreshToken)).rejects.toMatchObject(refused);
    const two = await auth(app).signIn({ email: one.email, password: PASSWORD, tenantId: app.seed.tenantId });
    await app.access.setUserAccessStatus(one.userId, app.seed.tenantId, AccessStatusEnum.SUSPENDED);
    await app.access.setUserAccessStatus(one.userId, app.seed.tenantId, AccessStatusEnum.ACTIVE);
    await expect(auth(app).refresh(two.refreshToken)).rejects.toMatchObject(refused);
  });

  it('also when a process that knows no sessions has deactivated and reactivated the user', async () => {
    const without = await startNestApp(app.url, {});
    try {
      const { userId, refreshToken } = await signedIn(app);
      await lifecycle(without).deactivateById(userId);
      await lifecycle(without).reactivateById(userId);
      await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject(refused);
    } finally {
      await without.close();
    }
  });

  it('the sessions end with the change, and come back with its rollback', async () => {
    const { userId, refreshToken } = await signedIn(app);
    const undo = new Error('undo');
    const failing = app.users.runInTransaction(async () => {
      await lifecycle(app).deactivateById(userId);
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    await expect(auth(app).refresh(refreshToken)).resolves.toBeDefined();
    await lifecycle(app).deactivateById(userId);
    expect(
      (await activitiesOf(app.url, userId))
        .map(({ type }) => type)
        .slice(-2)
        .toSorted(),
    ).toEqual([NestAuthEvents.USER_DEACTIVATED, NestAuthEvents.SESSIONS_REVOKED].toSorted());
  });
});

it('SEC-20, SEC-40: nothing in the database is a token, a JWT or a password', async () => {
  const { email } = await person(app);
  const first = await auth(app).signIn({ email, password: PASSWORD });
  const second = await auth(app).refresh(first.refreshToken);
  const tables = await query<{ name: string }>(
    app.url,
    `select table_name as name from information_schema.tables where table_schema = 'public'`,
  );
  const dump: string[] = [];
  for (const { name } of tables) {
    dump.push(
      ...(await query<{ row: string }>(app.url, `select t::text as row from "${name}" t`)).map(({ row }) => row),
    );
  }
  const all = dump.join('\n');
  expect(dump.length).toBeGreaterThan(50);
  for (const { accessToken, refreshToken } of [first, second]) {
    const secret = refreshToken.split('.')[1] as string;
    const raw = Buffer.from(secret, 'base64url');
    expect(raw).toHaveLength(32);
    for (const form of [secret, raw.toString('hex'), accessToken, accessToken.split('.')[2] as string]) {
      expect(all).not.toContain(form);
    }
  }
  expect(all).not.toContain(PASSWORD);
});

import { inspect } from 'node:util';
import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { NestAuthEvents, SecondFactorRequiredError } from '../../../src/index.js';
import { useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { activitiesOf, auth, PASSWORD, query, sessions, signedIn } from '../session/fixture.js';
import { challenged, codeOf, enrolled, MFA, twoFactor, wrong } from './fixture.js';

const app = useNestApp({ auth: MFA });
afterEach(() => void jest.useRealTimers());

const invalid = { code: 'SECOND_FACTOR_INVALID' };

describe('signing in with a second factor', () => {
  it('SEC-51: the password opens nothing, and the challenge with a code does', async () => {
    const user = await enrolled(app);
    const challenge = await challenged(app, user);
    expect(challenge.methods).toEqual(['totp', 'recovery_code']);
    expect(challenge.expiresAt.getTime() - Date.now()).toBeLessThanOrEqual(600_000);
    expect(await sessions(app).getSessions(user.id)).toEqual([]);
    const signed = await twoFactor(app).completeSignIn({
      challengeToken: challenge.token,
      code: await codeOf(app, user.secret),
    });
    expect(signed).toMatchObject({ userId: user.id, tenantId: null, trustedDevice: null });
    await expect(auth(app).me(signed.accessToken)).resolves.toMatchObject({ sessionId: signed.sessionId });
    expect(await sessions(app).getSessions(user.id)).toMatchObject([{ secondFactor: 'totp' }]);
    const told = (await activitiesOf(app.url, user.id)).slice(-2);
    expect(told.map(({ type }) => type)).toEqual([
      NestAuthEvents.SECOND_FACTOR_CHALLENGED,
      NestAuthEvents.USER_LOGGED_IN,
    ]);
    expect(told[1]?.details).toMatchObject({ sessionId: signed.sessionId, secondFactor: 'totp' });
  });

  it('costs one statement more to ask, and three to answer; without a factor nothing', async () => {
    const user = await enrolled(app);
    const { statements: asked, result: challenge } = await recordStatements(() => challenged(app, user));
    const code = await codeOf(app, user.secret);
    const { statements: answered } = await recordStatements(() =>
      twoFactor(app).completeSignIn({ challengeToken: challenge.token, code }),
    );
    const { email } = await signedIn(app);
    const { statements: without } = await recordStatements(() => auth(app).signIn({ email, password: PASSWORD }));
    expect([without.length, asked.length, answered.length]).toEqual([4, 5, 3]);
  });

  it('opens the session in the tenant that was named', async () => {
    const user = await enrolled(app, app.seed.tenantId);
    const { token: challengeToken } = await challenged(app, user);
    const code = await codeOf(app, user.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({
      tenantId: app.seed.tenantId,
    });
  });
});

describe('SEC-51 a challenge', () => {
  it.each([
    ['runs out', `expires_at = now()`],
    ['has had all its answers', `attempts = 5`],
  ])('is worth nothing any more when it %s', async (_why, set) => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    await query(app.url, `update nest_auth_second_factor_challenges set ${set} where user_id = $1`, [user.id]);
    const code = await codeOf(app, user.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject(invalid);
  });

  it('is for one sign-in', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    await twoFactor(app).completeSignIn({ challengeToken, code: await codeOf(app, user.secret) });
    const [recoveryCode] = user.recoveryCodes;
    await expect(twoFactor(app).completeSignIn({ challengeToken, recoveryCode })).rejects.toMatchObject(invalid);
  });

  it('takes another answer after a wrong one, which is told and counted', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    const code = await codeOf(app, user.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code: wrong(code) })).rejects.toMatchObject(invalid);
    const [state] = await query(app.url, 'select failures from nest_auth_second_factor_states where user_id = $1', [
      user.id,
    ]);
    expect(state).toEqual({ failures: 1 });
    expect((await activitiesOf(app.url, user.id)).at(-1)).toEqual({
      type: NestAuthEvents.USER_LOGIN_FAILED,
      details: { reason: 'wrong_second_factor' },
    });
    expect(app.events.at(-1)).toMatchObject({ userId: user.id, reason: 'wrong_second_factor' });
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ userId: user.id });
    const [forgiven] = await query(app.url, 'select failures from nest_auth_second_factor_states where user_id = $1', [
      user.id,
    ]);
    expect(forgiven).toEqual({ failures: 0 });
  });

  it('is nothing but a challenge: no access token, no refresh token, no session; and those are no challenges', async () => {
    const user = await enrolled(app);
    const { token } = await challenged(app, user);
    await expect(auth(app).refresh(token)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    await expect(auth(app).switchTenant(token, app.seed.tenantId)).rejects.toMatchObject({
      code: 'REFRESH_TOKEN_INVALID',
    });
    expect(await auth(app).signOut(token)).toBe(false);
    await expect(auth(app).verifyAccessToken(token)).rejects.toMatchObject({ code: 'ACCESS_TOKEN_INVALID' });
    const code = await codeOf(app, user.secret);
    const { refreshToken } = await twoFactor(app).completeSignIn({ challengeToken: token, code });
    const [recoveryCode] = user.recoveryCodes;
    const answer = twoFactor(app).completeSignIn({ challengeToken: refreshToken, recoveryCode });
    await expect(answer).rejects.toMatchObject(invalid);
  });

  it('is not answered by whoever says where from in no form', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    const code = await codeOf(app, user.secret);
    const refused = { code: 'VALIDATION_FAILED' };
    for (const from of [{ userAgent: 7 }, { userAgent: null }, { userAgent: ['Safari'] }] as never[]) {
      await expect(twoFactor(app).completeSignIn({ challengeToken, code }, from)).rejects.toMatchObject(refused);
      await expect(auth(app).signIn({ email: user.email, password: PASSWORD }, from)).rejects.toMatchObject(refused);
    }
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ userId: user.id });
  });

  it('is of its own user: the code of somebody else fits none of it', async () => {
    const [one, other] = [await enrolled(app), await enrolled(app)];
    const { token: challengeToken } = await challenged(app, one);
    const code = await codeOf(app, other.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject(invalid);
    const [recoveryCode] = other.recoveryCodes;
    await expect(twoFactor(app).completeSignIn({ challengeToken, recoveryCode })).rejects.toMatchObject(invalid);
  });

  it('ends with the password that it was made by, and uses up no code then', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    await (await app.users.getUserById(user.id))?.setPassword('another battery staple horse');
    const [recoveryCode] = user.recoveryCodes;
    await expect(twoFactor(app).completeSignIn({ challengeToken, recoveryCode })).rejects.toMatchObject(invalid);
    expect((await twoFactor(app).listSecondFactors(user.id)).recoveryCodesLeft).toBe(10);
  });

  it('SEC-09: of an older password counts no failure against the user', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    await (await app.users.getUserById(user.id))?.setPassword('another battery staple horse');
    const code = wrong(await codeOf(app, user.secret));
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject(invalid);
    const counted = await query(app.url, 'select failures from nest_auth_second_factor_states where user_id = $1', [
      user.id,
    ]);
    expect(counted).toEqual([{ failures: 0 }]);
  });

  it('outlives the transaction of the caller that is rolled back by it', async () => {
    const user = await enrolled(app);
    const refused = await app.users
      .runInTransaction(() => auth(app).signIn({ email: user.email, password: PASSWORD }))
      .catch((error: unknown) => error as SecondFactorRequiredError);
    expect(refused).toBeInstanceOf(SecondFactorRequiredError);
    const { token: challengeToken } = (refused as SecondFactorRequiredError).challenge;
    const code = await codeOf(app, user.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ userId: user.id });
  });

  it('that is answered in a transaction which is rolled back has counted the answer, and used up nothing', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    const code = await codeOf(app, user.secret);
    const undo = new Error('undo');
    const failing = app.users.runInTransaction(async () => {
      await twoFactor(app).completeSignIn({ challengeToken, code });
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    const rows = await query(app.url, 'select attempts from nest_auth_second_factor_challenges where user_id = $1', [
      user.id,
    ]);
    expect(rows).toEqual([{ attempts: 1 }]);
    expect(await sessions(app).getSessions(user.id)).toEqual([]);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ userId: user.id });
  });

  it('SEC-52: does not stand in what a logger makes of the error', async () => {
    const user = await enrolled(app);
    const error = await auth(app)
      .signIn({ email: user.email, password: PASSWORD })
      .catch((refused: unknown) => refused as SecondFactorRequiredError);
    const { token } = (error as SecondFactorRequiredError).challenge;
    for (const seen of [inspect(error, { depth: 9, showHidden: true }), JSON.stringify(error)])
      expect(seen).not.toContain(token);
  });
});

describe('SEC-48 a code', () => {
  it('is taken once, by whichever challenge; and none of a step before it', async () => {
    const user = await enrolled(app);
    const now = await codeOf(app, user.secret);
    const before = await codeOf(app, user.secret, -1);
    const [first, second] = [await challenged(app, user), await challenged(app, user)];
    await twoFactor(app).completeSignIn({ challengeToken: first.token, code: now });
    const again = twoFactor(app).completeSignIn({ challengeToken: second.token, code: now });
    await expect(again).rejects.toMatchObject(invalid);
    const older = twoFactor(app).completeSignIn({ challengeToken: second.token, code: before });
    await expect(older).rejects.toMatchObject(invalid);
  });

  it('of more than one step away is refused, and of one step is taken', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    for (const steps of [-3, 3]) {
      const code = await codeOf(app, user.secret, steps);
      await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject(invalid);
    }
    const code = await codeOf(app, user.secret, 1);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ userId: user.id });
  });

  it('is judged by the clock of the database, and not by that of the application', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    const code = await codeOf(app, user.secret);
    jest.useFakeTimers({
      now: Date.now() + 3_600_000,
      doNotFake: [
        'nextTick',
        'setImmediate',
        'setTimeout',
        'clearTimeout',
        'setInterval',
        'clearInterval',
        'queueMicrotask',
        'performance',
      ],
    });
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ userId: user.id });
  });
});

describe('SEC-50 a recovery code', () => {
  it('is taken once, however it is typed, and told', async () => {
    const user = await enrolled(app);
    const [code = ''] = user.recoveryCodes;
    const typed = ` ${code.toLowerCase().replaceAll('-', ' ')} `;
    const { token: challengeToken } = await challenged(app, user);
    await twoFactor(app).completeSignIn({ challengeToken, recoveryCode: typed });
    expect(await sessions(app).getSessions(user.id)).toMatchObject([{ secondFactor: 'recovery_code' }]);
    expect((await activitiesOf(app.url, user.id)).at(-2)).toEqual({
      type: NestAuthEvents.RECOVERY_CODE_USED,
      details: { codesLeft: 9, email: user.email },
    });
    const { token: next } = await challenged(app, user);
    const again = twoFactor(app).completeSignIn({ challengeToken: next, recoveryCode: code });
    await expect(again).rejects.toMatchObject(invalid);
  });

  it('SEC-09: lets somebody in whose codes others have tried until no more are looked at', async () => {
    const user = await enrolled(app);
    await query(app.url, 'update nest_auth_second_factor_states set failures = 20, failing_since = now()');
    const { token: challengeToken } = await challenged(app, user);
    const code = await codeOf(app, user.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject(invalid);
    expect((await activitiesOf(app.url, user.id)).at(-1)?.details).toEqual({ reason: 'second_factor_locked' });
    const [recoveryCode] = user.recoveryCodes;
    await expect(twoFactor(app).completeSignIn({ challengeToken, recoveryCode })).resolves.toMatchObject({
      userId: user.id,
    });
  });

  it('SEC-09: the failures of long ago are forgotten', async () => {
    const user = await enrolled(app);
    await query(
      app.url,
      `update nest_auth_second_factor_states set failures = 20, failing_since = now() - interval '1 day' where user_id = $1`,
      [user.id],
    );
    const { token: challengeToken } = await challenged(app, user);
    const code = await codeOf(app, user.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ userId: user.id });
  });
});

describe('what cannot be an answer', () => {
  it.each(['', 'x', `${'A'.repeat(22)}.${'A'.repeat(43)}`, `${'_'.repeat(22)}.${'A'.repeat(43)}`])(
    'is %p as a challenge',
    async (challengeToken) => {
      await expect(twoFactor(app).completeSignIn({ challengeToken, code: '123456' })).rejects.toMatchObject(invalid);
    },
  );

  it.each(['', '12345', '1234567', 'abcdef', '１２３４５６', '0x1234'])('is %p as a code', async (code) => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject(invalid);
  });

  it('are two proofs, none, and what is no text', async () => {
    const refused = { code: 'VALIDATION_FAILED' };
    const answers = [
      {},
      { code: '123456', recoveryCode: 'x' },
      { code: 123_456 },
      { recoveryCode: [] },
      { code: '1', method: 'x' },
    ];
    for (const answer of answers) {
      const input = { challengeToken: 'x', ...answer } as never;
      await expect(twoFactor(app).completeSignIn(input)).rejects.toMatchObject(refused);
    }
  });
});

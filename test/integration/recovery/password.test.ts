import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { NestAuthEvents, type PasswordResetRequestedEvent, UserLifecycleService } from '../../../src/index.js';
import { freshEmail, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { activitiesOf, auth, PASSWORD, query, sessions } from '../session/fixture.js';
import {
  AUTH,
  codeOf,
  expire,
  INVALID,
  NEW_PASSWORD,
  recovery,
  resetToken,
  somebody,
  stored,
  tokenOf,
  verification,
} from './fixture.js';

const app = useNestApp({ auth: AUTH });
const undo = new Error('undo');
const refused = { code: 'INVALID_CREDENTIALS' };
const signIn = (email: string, password: string) => auth(app).signIn({ email, password });
afterEach(() => {
  jest.restoreAllMocks();
});

/** What was announced last of sessions that were ended. */
const revoked = () => app.events.findLast(({ name }) => name === NestAuthEvents.SESSIONS_REVOKED);

const reset = (token: string, password = NEW_PASSWORD) => recovery(app).resetPassword({ token, password });

describe('a password reset', () => {
  it('SEC-25: sets the password by the link to the stored address, proves the email and signs nobody in', async () => {
    const { id, email } = await somebody(app);
    const asked = await recovery(app).requestPasswordReset({ email: email.toUpperCase() });
    const [row] = await query(app.url, 'select address from nest_auth_one_time_tokens where user_id = $1', [id]);
    expect(row).toEqual({ address: email });
    await expect(reset(tokenOf(asked))).resolves.toBeUndefined();
    await expect(signIn(email, PASSWORD)).rejects.toMatchObject(refused);
    expect(await query(app.url, 'select id from nest_auth_sessions where user_id = $1', [id])).toEqual([]);
    await expect(signIn(email, NEW_PASSWORD)).resolves.toBeDefined();
    expect(await stored(app.url, id)).toMatchObject({ email_verified: true, security_stamp: 2 });
  });

  it('SEC-24: of three links the last one is good, and it once', async () => {
    const { email } = await somebody(app);
    const tokens = [await resetToken(app, email), await resetToken(app, email), await resetToken(app, email)] as const;
    for (const token of [tokens[0], tokens[1]]) await expect(reset(token)).rejects.toMatchObject(INVALID);
    await reset(tokens[2]);
    for (const token of tokens) await expect(reset(token)).rejects.toMatchObject(INVALID);
  });

  it('SEC-24: ends every session, everything that was asked for, and the lockout, with what the log tells of it', async () => {
    const { id, email } = await somebody(app);
    const session = await signIn(email, PASSWORD);
    const other = await signIn(email, PASSWORD);
    const change = tokenOf(
      await verification(app).requestEmailChange({ userId: id, email: freshEmail(), currentPassword: PASSWORD }),
    );
    await signIn(email, 'wrong').catch(() => undefined);
    await reset(await resetToken(app, email));
    for (const { refreshToken, accessToken } of [session, other]) {
      await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
      await expect(auth(app).authenticate(accessToken)).rejects.toMatchObject({ code: 'ACCESS_TOKEN_INVALID' });
    }
    await expect(verification(app).confirmEmailChange({ token: change })).rejects.toMatchObject(INVALID);
    expect(await query(app.url, 'select subject from nest_auth_sign_in_totals where subject = $1', [id])).toEqual([]);
    expect((await activitiesOf(app.url, id)).slice(-5).map(({ type }) => type)).toEqual([
      NestAuthEvents.PASSWORD_RESET,
      NestAuthEvents.USER_UPDATED,
      NestAuthEvents.USER_UPDATED,
      NestAuthEvents.SESSIONS_REVOKED,
      NestAuthEvents.USER_UNLOCKED,
    ]);
    const [ended] = await query(app.url, `select distinct revoked_reason from nest_auth_sessions where user_id = $1`, [
      id,
    ]);
    expect(ended).toEqual({ revoked_reason: 'password_changed' });
    expect(revoked()).toMatchObject({
      userId: id,
      reason: 'password_changed',
      sessionIds: [session.sessionId, other.sessionId].toSorted(),
    });
  });

  it('SEC-22: of 50 at once one succeeds', async () => {
    const { id, email } = await somebody(app);
    const token = await resetToken(app, email);
    const { won, codes } = await outcomesOf(times(50, (index) => reset(token, `${NEW_PASSWORD} ${index}`)));
    expect(won).toHaveLength(1);
    expect(codes).toEqual({ ONE_TIME_TOKEN_INVALID: 49 });
    expect(await stored(app.url, id)).toMatchObject({ security_stamp: 2 });
  });

  it('SEC-09: is open to somebody who is locked out, who may then sign in', async () => {
    const { email } = await somebody(app);
    await Promise.all(times(8, () => signIn(email, 'wrong').catch(() => undefined)));
    await expect(signIn(email, PASSWORD)).rejects.toMatchObject(refused);
    await reset(await resetToken(app, email));
    await expect(signIn(email, NEW_PASSWORD)).resolves.toBeDefined();
  });

  it('SEC-23: is not possible by a link that has expired, was made for nobody, or is none', async () => {
    const { id, email } = await somebody(app);
    const token = await resetToken(app, email);
    await expire(app.url, id);
    for (const one of [token, `${token.slice(0, 23)}${'A'.repeat(43)}`, 'x'])
      await expect(reset(one)).rejects.toMatchObject(INVALID);
  });

  it('SEC-06: with a password that is refused leaves the link as it was', async () => {
    const { email } = await somebody(app);
    const token = await resetToken(app, email);
    for (const bad of ['short', 'password password1', `${email} 1`])
      await expect(reset(token, bad)).rejects.toMatchObject({ code: 'PASSWORD_REFUSED' });
    await expect(reset(token)).resolves.toBeUndefined();
  });

  it('SEC-24: ends the code by which somebody could still prove a phone number of the account', async () => {
    const [one, other] = [await somebody(app), await somebody(app)];
    const ask = async ({ id }: { id: string }) => codeOf(await verification(app).requestPhoneVerification(id));
    const [code, theirs] = [await ask(one), await ask(other)];
    await reset(await resetToken(app, one.email));
    await expect(verification(app).verifyPhone({ userId: one.id, code })).rejects.toMatchObject(INVALID);
    expect(await stored(app.url, one.id)).toMatchObject({ phone_verified: false });
    await verification(app).verifyPhone({ userId: one.id, code: await ask(one) });
    await verification(app).verifyPhone({ userId: other.id, code: theirs });
  });

  it('SEC-06: and a change, with the names of the person is refused as at the creation', async () => {
    const email = freshEmail();
    const metadata = { firstName: 'Kunigunde', lastName: 'Habsburgerin' };
    const { id } = await app.users.createUser({ email, metadata, password: PASSWORD });
    const named = 'kunigunde habsburgerin';
    const personal = { code: 'PASSWORD_REFUSED', details: { issues: [{ code: 'PERSONAL' }] } };
    await expect(reset(await resetToken(app, email), named)).rejects.toMatchObject(personal);
    const input = { userId: id, currentPassword: PASSWORD };
    const changed = recovery(app).changePassword({ ...input, newPassword: named });
    await expect(changed).rejects.toMatchObject(personal);
    await recovery(app).changePassword({ ...input, newPassword: NEW_PASSWORD });
  });

  it('is undone as a whole with its caller, and the link stays good', async () => {
    const { id, email } = await somebody(app);
    const { refreshToken } = await signIn(email, PASSWORD);
    const token = await resetToken(app, email);
    const before = await stored(app.url, id);
    const failing = app.users.runInTransaction(async (manager) => {
      await recovery(app).resetPassword({ token, password: NEW_PASSWORD }, manager);
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    expect(await stored(app.url, id)).toEqual(before);
    await expect(auth(app).refresh(refreshToken)).resolves.toBeDefined();
    await expect(reset(token)).resolves.toBeUndefined();
  });

  it('is begun as a transaction when the password has been hashed, and not before', async () => {
    const { email } = await somebody(app);
    const token = await resetToken(app, email);
    const connections: number[] = [];
    const hash = app.passwords.hash.bind(app.passwords);
    jest.spyOn(app.passwords, 'hash').mockImplementationOnce(async (password) => {
      const { master } = app.dataSource.driver as unknown as { master: { totalCount: number; idleCount: number } };
      connections.push(master.totalCount - master.idleCount);
      return hash(password);
    });
    const { statements } = await recordStatements(() => reset(token));
    expect(connections).toEqual([0]);
    expect(statements.slice(0, 2)).toEqual([
      expect.stringMatching(/^select u\.email/),
      expect.stringMatching(/^START/i),
    ]);
    expect(statements.filter((text) => /^START/i.test(text))).toHaveLength(1);
  });
});

describe('SEC-28 an account that somebody else has made under the email', () => {
  it('loses what was linked to it, when the reset shows for the first time whose the email is', async () => {
    const { id, email } = await somebody(app);
    const user = await app.users.getUserById(id);
    await user?.findOrCreateIdentity('google', `attacker-${id}`);
    await user?.findOrCreateIdentity('github', `attacker-${id}`);
    await reset(await resetToken(app, email));
    expect(
      await query(app.url, 'select provider from nest_auth_identities where user_id = $1 order by 1', [id]),
    ).toEqual([{ provider: 'email' }, { provider: 'phone' }]);
  });

  it('keeps what was linked after the email was proven', async () => {
    const { id, email } = await somebody(app);
    await app.users.verifyUser(id);
    await (await app.users.getUserById(id))?.findOrCreateIdentity('google', `own-${id}`);
    await reset(await resetToken(app, email));
    expect(
      await query(app.url, `select provider from nest_auth_identities where user_id = $1 and provider = 'google'`, [
        id,
      ]),
    ).toHaveLength(1);
  });
});

describe('SEC-08 to ask for a reset', () => {
  const disabled = async () => {
    const one = await somebody(app);
    await app.context.get(UserLifecycleService).disableById(one.id);
    return one.email;
  };
  const deleted = async () => {
    const one = await somebody(app);
    const lifecycle = app.context.get(UserLifecycleService);
    await lifecycle.disableById(one.id);
    await lifecycle.softDeleteById(one.id);
    return one.email;
  };
  const inactive = async () => {
    const one = await somebody(app);
    await app.users.updateUserStatus(one.id, false);
    return one.email;
  };
  const pending = async () => {
    const email = freshEmail();
    await app.users.createUser({ email, isActive: false });
    return email;
  };
  const withoutPassword = async () => {
    const email = freshEmail();
    await app.users.createUser({ email });
    return email;
  };

  it.each([
    ['somebody', async () => (await somebody(app)).email, true],
    ['somebody without a password', withoutPassword, true],
    ['somebody who is not activated yet', pending, true],
    ['nobody', () => Promise.resolve(freshEmail()), false],
    ['no email at all', () => Promise.resolve('x'), false],
    ['somebody inactive', inactive, false],
    ['somebody disabled', disabled, false],
    ['somebody deleted', deleted, false],
  ] as const)('of %s gets the same answer by the same statements', async (_who, make, gets) => {
    const email = await make();
    const { result, statements } = await recordStatements(() => recovery(app).requestPasswordReset({ email }));
    expect(statements).toHaveLength(2);
    expect(JSON.stringify(result)).toBe('{}');
    expect(Object.keys(result)).toEqual([]);
    expect(result.reveal() !== null).toBe(gets);
    const told = app.events.at(-1) as PasswordResetRequestedEvent;
    expect(told.name).toBe(NestAuthEvents.PASSWORD_RESET_REQUESTED);
    expect(told.userId !== null).toBe(gets);
    const [written] = await query(
      app.url,
      'select type, user_id from nest_auth_activities order by xid desc, id desc limit 1',
    );
    expect(written).toEqual({ type: told.name, user_id: told.userId });
  });

  it('by naming a tenant gives nothing to whoever is no active member', async () => {
    const { email } = await somebody(app, app.seed.tenantId);
    const ask = (tenantId: string) => recovery(app).requestPasswordReset({ email, tenantId });
    expect((await ask(app.seed.otherTenantId)).reveal()).toBeNull();
    expect((await ask(app.seed.tenantId)).reveal()).not.toBeNull();
  });
});

describe('SEC-07 a change of the password', () => {
  const change = (userId: string, currentPassword: string, keepSessionId?: string) =>
    recovery(app).changePassword({
      userId,
      currentPassword,
      newPassword: NEW_PASSWORD,
      ...(keepSessionId === undefined ? {} : { keepSessionId }),
    });

  it('needs the current one; a wrong one counts like one at a sign-in', async () => {
    const { id, email } = await somebody(app);
    await expect(change(id, 'wrong')).rejects.toMatchObject(refused);
    expect(await query(app.url, 'select failures from nest_auth_sign_in_totals where subject = $1', [id])).toEqual([
      { failures: 1 },
    ]);
    await change(id, PASSWORD);
    expect(await query(app.url, 'select failures from nest_auth_sign_in_failures where subject = $1', [id])).toEqual(
      [],
    );
    await expect(signIn(email, NEW_PASSWORD)).resolves.toBeDefined();
  });

  it('ends every session but the one in which it is done, whose refresh token goes on', async () => {
    const { id, email } = await somebody(app);
    const [mine, other] = [await signIn(email, PASSWORD), await signIn(email, PASSWORD)];
    await change(id, PASSWORD, mine.sessionId);
    expect(revoked()).toMatchObject({ userId: id, reason: 'password_changed', sessionIds: [other.sessionId] });
    await expect(auth(app).refresh(other.refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    await expect(auth(app).authenticate(mine.accessToken)).rejects.toMatchObject({ code: 'ACCESS_TOKEN_INVALID' });
    const next = await auth(app).refresh(mine.refreshToken);
    await expect(auth(app).authenticate(next.accessToken)).resolves.toMatchObject({ sessionId: mine.sessionId });
    expect((await sessions(app).getSessions(id)).map((one) => one.id)).toEqual([mine.sessionId]);
  });

  it('does not bring back a session that has ended, or that is another user’s', async () => {
    const [one, other] = [await somebody(app), await somebody(app)];
    const [ended, foreign] = [await signIn(one.email, PASSWORD), await signIn(other.email, PASSWORD)];
    await sessions(app).revokeSession(one.id, ended.sessionId);
    await change(one.id, PASSWORD, ended.sessionId);
    await expect(auth(app).refresh(ended.refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    await recovery(app).changePassword({
      userId: one.id,
      currentPassword: NEW_PASSWORD,
      newPassword: `${NEW_PASSWORD} twice`,
      keepSessionId: foreign.sessionId,
    });
    await expect(auth(app).refresh(foreign.refreshToken)).resolves.toBeDefined();
  });

  it('that was begun under a password of before does not bring back its session', async () => {
    const { id, email } = await somebody(app);
    const old = await signIn(email, PASSWORD);
    await (await app.users.getUserById(id))?.setPassword('another password of an admin');
    await change(id, 'another password of an admin', old.sessionId);
    await expect(auth(app).refresh(old.refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
  });

  it('of two at once is done once', async () => {
    const { id } = await somebody(app);
    const { won, codes } = await outcomesOf(times(2, () => change(id, PASSWORD)));
    expect(won).toHaveLength(1);
    expect(codes).toEqual({ INVALID_CREDENTIALS: 1 });
    expect(await stored(app.url, id)).toMatchObject({ security_stamp: 2 });
  });

  it('SEC-06: refuses a password that should not be used, and keeps the present one', async () => {
    const { id, email } = await somebody(app);
    const weak = recovery(app).changePassword({ userId: id, currentPassword: PASSWORD, newPassword: email });
    await expect(weak).rejects.toMatchObject({ code: 'PASSWORD_REFUSED' });
    await expect(signIn(email, PASSWORD)).resolves.toBeDefined();
  });

  it('gives nobody, a user without a password and one who is not active the same refusal', async () => {
    const [inactive, without] = [await somebody(app), await somebody(app)];
    await app.users.updateUserStatus(inactive.id, false);
    await (await app.users.getUserById(without.id))?.setPassword(null);
    const ids = [inactive.id, without.id, '01890000-0000-7000-8000-000000000000'];
    const messages = await Promise.all(ids.map((id) => change(id, PASSWORD).catch((error: Error) => error.message)));
    expect(new Set(messages).size).toBe(1);
  });

  it('is undone as a whole with its caller', async () => {
    const { id, email } = await somebody(app);
    const { refreshToken } = await signIn(email, PASSWORD);
    const failing = app.users.runInTransaction(async (manager) => {
      await recovery(app).changePassword({ userId: id, currentPassword: PASSWORD, newPassword: NEW_PASSWORD }, manager);
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    await expect(auth(app).refresh(refreshToken)).resolves.toBeDefined();
    await expect(signIn(email, PASSWORD)).resolves.toBeDefined();
  });
});

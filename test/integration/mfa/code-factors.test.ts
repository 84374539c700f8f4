import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import {
  NestAuthEvents,
  type NestAuthModuleOptions,
  RequiredEnrolmentService,
  SecondFactorCodeService,
  type SecondFactorKind,
} from '../../../src/index.js';
import { CapturingSender } from '../../../src/testing/index.js';
import {
  freshEmail,
  freshPhone,
  type NestApp,
  outcomesOf,
  startNestApp,
  times,
  useNestApp,
} from '../../support/nest-app.js';
import { race, startRacingProcess } from '../../support/racing-processes.js';
import { untilSomebodyWaits } from '../../support/tables.js';
import { activitiesOf, auth, keys, PASSWORD, query, sessions } from '../session/fixture.js';
import { challenged, codeOf, enrolled, forgetSteps, MFA, SECRETS, twoFactor, wrong } from './fixture.js';

jest.setTimeout(120_000);

const sender = new CapturingSender();
const LINKS = { invitation: false, emailVerification: false, emailChange: false, passwordReset: false } as const;
const WITH_CODES: NestAuthModuleOptions = {
  ...MFA,
  twoFactor: { methods: ['totp', 'email', 'sms'] },
  delivery: { sender, links: LINKS },
  subscribers: { pollMs: 20 },
};
const app = useNestApp({ auth: WITH_CODES });

/** Only says that a message will never come; a busy machine may take long. */
const PATIENCE_MS = 60_000;

const codes = ({ context }: NestApp): SecondFactorCodeService => context.get(SecondFactorCodeService);
const invalid = { code: 'SECOND_FACTOR_INVALID' };
type CodeKind = Exclude<SecondFactorKind, 'totp'>;

interface Somebody {
  readonly id: string;
  readonly email: string;
  readonly phone: string;
  readonly tenantId: undefined;
  readonly recoveryCodes: readonly string[] | null;
}

/** Somebody who has verified both addresses, and gets codes. */
async function coded(kind: CodeKind, isVerified = true): Promise<Somebody> {
  const [email, phone] = [freshEmail(), freshPhone()];
  const { id } = await app.users.createUser({ email, phone, password: await app.passwords.hash(PASSWORD) });
  if (isVerified) await verify(id);
  const { recoveryCodes } = await codes(app).enableSecondFactorCodes(id, kind, { currentPassword: PASSWORD });
  return { id, email, phone, tenantId: undefined, recoveryCodes };
}

const verify = (userId: string) =>
  query(
    app.url,
    `update nest_auth_users set email_verified_at = now(), phone_verified_at = case when phone is not null then now() end
     where id = $1`,
    [userId],
  );

const addressOf = (user: Somebody, kind: CodeKind): string => (kind === 'email' ? user.email : user.phone);

/** The code that was sent last. */
async function sent(challengeToken: string, user: Somebody, kind: CodeKind): Promise<string> {
  await codes(app).sendSecondFactorCode({ challengeToken, kind });
  const { code } = await sender.waitFor('second_factor_code', { to: addressOf(user, kind), timeoutMs: PATIENCE_MS });
  return code;
}

describe.each(['email', 'sms'] as const)('codes by %s', (kind) => {
  it('complete a sign-in, as an authenticator does', async () => {
    const user = await coded(kind);
    expect(user.recoveryCodes).toHaveLength(10);
    const { token: challengeToken, methods } = await challenged(app, user);
    expect(methods).toEqual([kind, 'recovery_code']);
    const code = await sent(challengeToken, user, kind);
    const signed = await twoFactor(app).completeSignIn({ challengeToken, code, method: kind });
    expect(signed.userId).toBe(user.id);
    expect(await sessions(app).getSessions(user.id)).toMatchObject([{ secondFactor: kind }]);
    expect((await twoFactor(app).listSecondFactors(user.id)).factors).toMatchObject([{ kind }]);
    const messages = sender.sent.filter((one) => one.kind === 'second_factor_code' && one.to === addressOf(user, kind));
    expect(messages).toMatchObject([{ channel: kind, userId: user.id, code }]);
  });

  it('SEC-52 are in no table, event, activity or answer', async () => {
    const user = await coded(kind);
    const { token: challengeToken } = await challenged(app, user);
    const answer = await codes(app).sendSecondFactorCode({ challengeToken, kind });
    const { code } = await sender.waitFor('second_factor_code', { to: addressOf(user, kind), timeoutMs: PATIENCE_MS });
    expect(Object.keys(answer)).toEqual(['expiresAt']);
    const told = (await activitiesOf(app.url, user.id)).find(
      ({ type }) => type === NestAuthEvents.SECOND_FACTOR_CODE_REQUESTED,
    );
    expect(Object.keys(told?.details ?? {}).toSorted()).toEqual(['issueId', 'kind']);
    const event = app.events.find(({ name }) => name === NestAuthEvents.SECOND_FACTOR_CODE_REQUESTED);
    expect(Object.keys(event ?? {}).toSorted()).toEqual(['issueId', 'kind', 'name', 'userId']);
    const rows = await query(app.url, 'select * from nest_auth_second_factor_codes where user_id = $1', [user.id]);
    expect(JSON.stringify(rows)).not.toContain(code);
  });

  it('go to no address that is not verified', async () => {
    await expect(coded(kind, false)).rejects.toMatchObject({ code: 'ADDRESS_NOT_VERIFIED' });
    const user = await coded(kind);
    const column = kind === 'email' ? 'email_verified_at' : 'phone_verified_at';
    const { token: challengeToken } = await challenged(app, user);
    const code = await sent(challengeToken, user, kind);
    await query(app.url, `update nest_auth_users set ${column} = null where id = $1`, [user.id]);
    const again = codes(app).sendSecondFactorCode({ challengeToken, kind });
    await expect(again).rejects.toMatchObject(invalid);
    const attempt = twoFactor(app).completeSignIn({ challengeToken, code, method: kind });
    await expect(attempt).rejects.toMatchObject(invalid);
  });

  it('SEC-22 are good once, by a race of twenty', async () => {
    const user = await coded(kind);
    const { token: challengeToken } = await challenged(app, user);
    const code = await sent(challengeToken, user, kind);
    // So that it is not the number of answers that keeps the others out.
    await query(app.url, 'update nest_auth_second_factor_challenges set attempts = -30 where user_id = $1', [user.id]);
    const { won, codes: refusals } = await outcomesOf(
      times(20, () => twoFactor(app).completeSignIn({ challengeToken, code, method: kind })),
    );
    expect([won.length, refusals]).toEqual([1, { SECOND_FACTOR_INVALID: 19 }]);
    expect(await sessions(app).getSessions(user.id)).toHaveLength(1);
  });
});

describe('a code that was sent', () => {
  it('SEC-22, SEC-51 is taken once in three processes', async () => {
    const user = await coded('email');
    const { token: challengeToken } = await challenged(app, user);
    const code = await sent(challengeToken, user, 'email');
    await query(app.url, 'update nest_auth_second_factor_challenges set attempts = -30 where user_id = $1', [user.id]);
    const answers = times(7, () => ({ challengeToken, code, method: 'email' as const }));
    const order = { url: app.url, keys, secrets: SECRETS, answers, twoFactor: WITH_CODES.twoFactor };
    const said = await race<string[]>(times(3, () => startRacingProcess('second-factor', order)));
    expect(said.flat().filter((one) => one === 'done')).toHaveLength(1);
    expect(new Set(said.flat())).toEqual(new Set(['done', 'SECOND_FACTOR_INVALID']));
  });

  it('is replaced by the next one, and is for its challenge alone', async () => {
    const user = await coded('email');
    const [one, other] = [await challenged(app, user), await challenged(app, user)];
    const first = await sent(one.token, user, 'email');
    const second = await sent(one.token, user, 'email');
    const show = (challengeToken: string, code: string) =>
      twoFactor(app).completeSignIn({ challengeToken, code, method: 'email' });
    // One in a million is the same again, and would open it.
    await expect(show(one.token, first === second ? wrong(second) : first)).rejects.toMatchObject(invalid);
    await expect(show(other.token, second)).rejects.toMatchObject(invalid);
    await expect(show(one.token, second)).resolves.toMatchObject({ userId: user.id });
  });

  it('is no code of an authenticator, and the other way round', async () => {
    const user = await enrolled(app);
    await verify(user.id);
    const enabled = await codes(app).enableSecondFactorCodes(user.id, 'email', {
      currentPassword: PASSWORD,
      recoveryCode: user.recoveryCodes[0],
    });
    expect(enabled.recoveryCodes).toBeNull();
    const { token: challengeToken, methods } = await challenged(app, user);
    expect(methods).toEqual(['totp', 'email', 'recovery_code']);
    await codes(app).sendSecondFactorCode({ challengeToken, kind: 'email' });
    const { code } = await sender.waitFor('second_factor_code', { to: user.email, timeoutMs: PATIENCE_MS });
    const totp = await codeOf(app, user.secret);
    const show = (answer: { code: string; method: SecondFactorKind }) =>
      twoFactor(app).completeSignIn({ challengeToken, ...answer });
    await expect(show({ code, method: 'totp' })).rejects.toMatchObject(invalid);
    await expect(show({ code: totp, method: 'email' })).rejects.toMatchObject(invalid);
    await expect(show({ code, method: 'email' })).resolves.toMatchObject({ userId: user.id });
  });

  it('SEC-51 is guessed as often as the challenge says, in parallel too', async () => {
    const user = await coded('email');
    const { token: challengeToken } = await challenged(app, user);
    const code = await sent(challengeToken, user, 'email');
    const guesses = await outcomesOf(
      times(12, () => twoFactor(app).completeSignIn({ challengeToken, code: wrong(code), method: 'email' })),
    );
    expect(guesses.codes).toEqual({ SECOND_FACTOR_INVALID: 12 });
    const [row] = await query<{ attempts: number }>(
      app.url,
      'select attempts from nest_auth_second_factor_challenges where user_id = $1',
      [user.id],
    );
    expect(row?.attempts).toBe(5);
    const right = twoFactor(app).completeSignIn({ challengeToken, code, method: 'email' });
    await expect(right).rejects.toMatchObject(invalid);
  });

  it('is over with its challenge', async () => {
    const user = await coded('email');
    const { token: challengeToken } = await challenged(app, user);
    const code = await sent(challengeToken, user, 'email');
    await query(app.url, 'update nest_auth_second_factor_challenges set expires_at = now() where user_id = $1', [
      user.id,
    ]);
    const attempt = twoFactor(app).completeSignIn({ challengeToken, code, method: 'email' });
    await expect(attempt).rejects.toMatchObject(invalid);
    await expect(codes(app).sendSecondFactorCode({ challengeToken, kind: 'email' })).rejects.toMatchObject(invalid);
  });

  it('is sent for no challenge that has had all its answers', async () => {
    const user = await coded('email');
    const { token: challengeToken } = await challenged(app, user);
    const spend = 'update nest_auth_second_factor_challenges set attempts = 5 where user_id = $1';
    await query(app.url, spend, [user.id]);
    await expect(codes(app).sendSecondFactorCode({ challengeToken, kind: 'email' })).rejects.toMatchObject(invalid);
    expect(await query(app.url, 'select 1 from nest_auth_second_factor_codes where user_id = $1', [user.id])).toEqual(
      [],
    );
  });

  it('is sent to nobody who has no such factor', async () => {
    const user = await coded('email');
    const { token: challengeToken } = await challenged(app, user);
    await expect(codes(app).sendSecondFactorCode({ challengeToken, kind: 'sms' })).rejects.toMatchObject(invalid);
    const forged = `${challengeToken.slice(0, 23)}${'A'.repeat(43)}`;
    const attempt = codes(app).sendSecondFactorCode({ challengeToken: forged, kind: 'email' });
    await expect(attempt).rejects.toMatchObject(invalid);
  });
});

describe('to enable codes', () => {
  it('SEC-53 is not enough to enrol an authenticator by the challenge of a sign-in', async () => {
    const user = await coded('email');
    const { token: challengeToken } = await challenged(app, user);
    const enrolment = app.context.get(RequiredEnrolmentService);
    await expect(enrolment.beginEnrolment({ challengeToken })).rejects.toMatchObject(invalid);
    // Begun by somebody who is signed in, it is not to be completed by it either.
    const [recoveryCode] = user.recoveryCodes ?? [];
    const { secret } = await twoFactor(app).enableTwoFactor(user.id, { currentPassword: PASSWORD, recoveryCode });
    const code = await codeOf(app, secret);
    await expect(enrolment.completeEnrolment({ challengeToken, code })).rejects.toMatchObject(invalid);
    expect(await sessions(app).getSessions(user.id)).toEqual([]);
  });

  it('SEC-53 takes the password, and is done once', async () => {
    const [email, phone] = [freshEmail(), freshPhone()];
    const user = await app.users.createUser({ email, phone, password: await app.passwords.hash(PASSWORD) });
    await verify(user.id);
    const enable = (currentPassword?: string) =>
      codes(app).enableSecondFactorCodes(user.id, 'sms', currentPassword === undefined ? {} : { currentPassword });
    await expect(enable()).rejects.toMatchObject({ code: 'REAUTHENTICATION_REQUIRED' });
    await expect(enable('wrong')).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
    const { won, codes: refusals } = await outcomesOf(times(4, () => enable(PASSWORD)));
    expect(won).toHaveLength(1);
    expect(Object.keys(refusals)).not.toContain('undefined');
    const late = ['REAUTHENTICATION_REQUIRED', 'SECOND_FACTOR_ALREADY_ENABLED'];
    expect(Object.keys(refusals).filter((code) => !late.includes(code))).toEqual([]);
    await expect(enable(PASSWORD)).rejects.toMatchObject({ code: 'SECOND_FACTOR_ALREADY_ENABLED' });
  });

  it('SEC-53 beside another factor takes that one too, once, and the password alone adds nothing', async () => {
    const user = await coded('email');
    const currentPassword = PASSWORD;
    const [recoveryCode, next] = user.recoveryCodes ?? [];
    const unproven = { code: 'VALIDATION_FAILED' };
    await expect(twoFactor(app).enableTwoFactor(user.id, { currentPassword })).rejects.toMatchObject(unproven);
    const sms = codes(app).enableSecondFactorCodes(user.id, 'sms', { currentPassword });
    await expect(sms).rejects.toMatchObject(unproven);
    const guess = twoFactor(app).enableTwoFactor(user.id, { currentPassword, recoveryCode: 'AAAA-AAAA' });
    await expect(guess).rejects.toMatchObject(invalid);
    const { secret } = await twoFactor(app).enableTwoFactor(user.id, { currentPassword, recoveryCode });
    const used = twoFactor(app).enableTwoFactor(user.id, { currentPassword, recoveryCode });
    await expect(used).rejects.toMatchObject(invalid);
    // What was begun does not outlive that another one is enabled.
    await codes(app).enableSecondFactorCodes(user.id, 'sms', { currentPassword, recoveryCode: next });
    const late = twoFactor(app).verifyTwoFactorSetup(user.id, await codeOf(app, secret));
    await expect(late).rejects.toMatchObject({ code: 'SECOND_FACTOR_NOT_ENABLED' });
    const { factors } = await twoFactor(app).listSecondFactors(user.id);
    expect(factors.map(({ kind }) => kind)).toEqual(['email', 'sms']);
  });

  it('SEC-53 beside an authenticator takes a code of it, once', async () => {
    const user = await enrolled(app);
    await verify(user.id);
    await forgetSteps(app.url, user.id);
    const code = await codeOf(app, user.secret);
    const shown = { currentPassword: PASSWORD, code };
    await codes(app).enableSecondFactorCodes(user.id, 'email', shown);
    await expect(twoFactor(app).disableTwoFactor(user.id, { code })).rejects.toMatchObject(invalid);
  });

  it('SEC-09 by a right code of the authenticator counts no failure, and forgives those of before', async () => {
    const user = await enrolled(app);
    await verify(user.id);
    const failed = 'update nest_auth_second_factor_states set failures = 19, failing_since = now() where user_id = $1';
    await query(app.url, failed, [user.id]);
    const code = await codeOf(app, user.secret);
    await codes(app).enableSecondFactorCodes(user.id, 'email', { currentPassword: PASSWORD, code });
    await forgetSteps(app.url, user.id);
    const { token: challengeToken } = await challenged(app, user);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ userId: user.id });
  });

  it('SEC-49, SEC-50 by a recovery code tells that it was used, and refuses it the next time on record', async () => {
    const user = await coded('email');
    const shown = { currentPassword: PASSWORD, recoveryCode: user.recoveryCodes?.[0] };
    await twoFactor(app).enableTwoFactor(user.id, shown);
    const told = (await activitiesOf(app.url, user.id)).slice(-2);
    expect(told).toEqual([
      {
        type: NestAuthEvents.RECOVERY_CODE_USED,
        details: { email: user.email, phone: user.phone, codesLeft: 9 },
      },
      { type: NestAuthEvents.SECOND_FACTOR_BEGUN, details: { email: user.email, phone: user.phone, kind: 'totp' } },
    ]);
    const used = app.events.filter(({ name }) => name === NestAuthEvents.RECOVERY_CODE_USED).at(-1);
    expect(used).toMatchObject({ userId: user.id, left: 9 });
    const again = [
      twoFactor(app).enableTwoFactor(user.id, shown),
      codes(app).enableSecondFactorCodes(user.id, 'sms', shown),
    ];
    for (const one of again) await expect(one).rejects.toMatchObject(invalid);
    expect((await activitiesOf(app.url, user.id)).slice(-2)).toEqual(
      times(2, () => ({ type: NestAuthEvents.USER_LOGIN_FAILED, details: { reason: 'wrong_second_factor' } })),
    );
  });

  it('SEC-53 by a password that has changed meanwhile is refused by that name', async () => {
    const email = freshEmail();
    const user = await app.users.createUser({ email, password: await app.passwords.hash(PASSWORD) });
    await verify(user.id);
    // Of its own, so that it does not join the transaction that is running.
    const other = await startNestApp(app.url, { auth: WITH_CODES, pool: 3 });
    try {
      let late: Promise<unknown> = Promise.resolve();
      await app.users.runInTransaction(async () => {
        await user.setPassword(await app.passwords.hash(PASSWORD));
        late = codes(other)
          .enableSecondFactorCodes(user.id, 'email', { currentPassword: PASSWORD })
          .catch((error: unknown) => error);
        await untilSomebodyWaits(app.url);
      });
      expect(await late).toMatchObject({ code: 'REAUTHENTICATION_REQUIRED' });
    } finally {
      await other.close();
    }
    expect((await twoFactor(app).listSecondFactors(user.id)).factors).toEqual([]);
  });

  it('ends every session but the one that is named', async () => {
    const email = freshEmail();
    const { id } = await app.users.createUser({ email, password: await app.passwords.hash(PASSWORD) });
    await verify(id);
    const [kept, other] = [
      await auth(app).signIn({ email, password: PASSWORD }),
      await auth(app).signIn({ email, password: PASSWORD }),
    ];
    const options = { currentPassword: PASSWORD, keepSessionId: kept.sessionId };
    await codes(app).enableSecondFactorCodes(id, 'email', options);
    await expect(auth(app).refresh(kept.refreshToken)).resolves.toMatchObject({ sessionId: kept.sessionId });
    await expect(auth(app).refresh(other.refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
  });
});

describe('without the option', () => {
  let plain: NestApp;
  beforeAll(async () => {
    plain = await startNestApp(app.url, { auth: MFA, pool: 3 });
  });
  afterAll(() => plain.close());

  it('nobody can have codes, and whoever had them has the recovery codes', async () => {
    const user = await coded('email');
    const enabling = codes(plain).enableSecondFactorCodes(user.id, 'sms', { currentPassword: PASSWORD });
    await expect(enabling).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    const { token: challengeToken, methods } = await challenged(plain, user);
    expect(methods).toEqual(['recovery_code']);
    const sending = codes(plain).sendSecondFactorCode({ challengeToken, kind: 'email' });
    await expect(sending).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    const [recoveryCode] = user.recoveryCodes ?? [];
    await expect(twoFactor(plain).completeSignIn({ challengeToken, recoveryCode })).resolves.toMatchObject({
      userId: user.id,
    });
  });
});

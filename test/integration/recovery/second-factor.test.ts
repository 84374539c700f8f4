import { describe, expect, it } from '@jest/globals';

import {
  NestAuthEvents,
  type NestAuthModuleOptions,
  SecondFactorCodeService,
  type SecondFactorKind,
} from '../../../src/index.js';
import { CapturingSender } from '../../../src/testing/index.js';
import { freshEmail, freshPhone, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { codeOf as totpOf, type Enrolled, enrolled, forgetSteps, twoFactor, wrong } from '../mfa/fixture.js';
import { activitiesOf, PASSWORD, query, signedIn } from '../session/fixture.js';
import { AUTH, codeOf, somebody, stored, tokenOf, verification } from './fixture.js';

const auth: NestAuthModuleOptions = {
  ...AUTH,
  twoFactor: { methods: ['totp', 'email', 'sms'] },
  delivery: {
    sender: new CapturingSender(),
    links: { invitation: false, emailVerification: false, emailChange: false, passwordReset: false },
  },
};
const app = useNestApp({ auth });
const limited = useNestApp({ auth: { ...auth, rateLimits: {} } });
const undo = new Error('undo');

const unproven = { code: 'VALIDATION_FAILED', details: { issues: [{ path: 'code' }] } };
const invalid = { code: 'SECOND_FACTOR_INVALID' };

/** What somebody shows beside the password. */
interface Shown {
  readonly code?: string | undefined;
  readonly recoveryCode?: string | undefined;
}

/** Both addresses can be where codes go, and both are asked for in the same way. */
const CHANGES = {
  email: (userId: string, shown: Shown = {}, currentPassword = PASSWORD) =>
    verification(app).requestEmailChange({ userId, email: freshEmail(), currentPassword, ...shown }),
  phone: (userId: string, shown: Shown = {}, currentPassword = PASSWORD) =>
    verification(app).requestPhoneChange({ userId, phone: freshPhone(), currentPassword, ...shown }),
};

/** Somebody whose only second factor are codes to the verified address. */
async function coded(kind: Exclude<SecondFactorKind, 'totp'>): Promise<{ id: string; recoveryCodes: string[] }> {
  const { id } = await somebody(app);
  await query(
    app.url,
    'update nest_auth_users set email_verified_at = now(), phone_verified_at = now() where id = $1',
    [id],
  );
  const codes = app.context.get(SecondFactorCodeService);
  const { recoveryCodes } = await codes.enableSecondFactorCodes(id, kind, { currentPassword: PASSWORD });
  return { id, recoveryCodes: [...(recoveryCodes ?? [])] };
}

const asked = (userId: string) =>
  query(app.url, `select purpose from nest_auth_one_time_tokens where user_id = $1`, [userId]);
const failuresOf = async (userId: string) => {
  const states = 'select failures from nest_auth_second_factor_states where user_id = $1';
  return (await query<{ failures: number }>(app.url, states, [userId]))[0]?.failures;
};
const codesLeft = async (userId: string) => (await twoFactor(app).listSecondFactors(userId)).recoveryCodesLeft;
const lastOf = async (userId: string) => (await activitiesOf(app.url, userId)).at(-1);

describe.each(['email', 'phone'] as const)('SEC-27 a change of the %s', (login) => {
  const ask = CHANGES[login];

  it.each(['totp', 'email', 'sms'] as const)('by the password alone is refused of who has %s', async (kind) => {
    const { id } = kind === 'totp' ? await enrolled(app) : await coded(kind);
    await expect(ask(id)).rejects.toMatchObject(unproven);
    await expect(ask(id, { code: '123456', recoveryCode: 'AAAA' })).rejects.toMatchObject(unproven);
    expect(await asked(id)).toEqual([]);
  });

  it('takes a code of the authenticator, once', async () => {
    const user = await enrolled(app);
    const code = await totpOf(app, user.secret);
    await expect(ask(user.id, { code })).resolves.toBeDefined();
    expect(await asked(user.id)).toEqual([{ purpose: `${login}_change` }]);
    await expect(ask(user.id, { code })).rejects.toMatchObject(invalid);
    await expect(twoFactor(app).disableTwoFactor(user.id, { code })).rejects.toMatchObject(invalid);
  });

  it.each(['email', 'sms'] as const)('of who has codes by %s alone takes a recovery code', async (kind) => {
    const { id, recoveryCodes } = await coded(kind);
    await expect(ask(id, { code: '123456' })).rejects.toMatchObject(invalid);
    await expect(ask(id, { recoveryCode: recoveryCodes[0] })).resolves.toBeDefined();
    expect(await codesLeft(id)).toBe(9);
  });

  it('of who has no second factor takes the password, whatever else is passed', async () => {
    const { id } = await somebody(app);
    await twoFactor(app).enableTwoFactor(id, { currentPassword: PASSWORD });
    // A seed that nobody has confirmed is no factor.
    await expect(ask(id)).resolves.toBeDefined();
    await expect(ask(id, { code: '123456' })).resolves.toBeDefined();
  });

  it('with a code that is no text is refused by that name', async () => {
    const { id } = await somebody(app);
    await expect(ask(id, { code: 123456 as never })).rejects.toMatchObject(unproven);
  });
});

describe('SEC-27 the second factor that is shown for another address', () => {
  it('lets the change be confirmed, as without one', async () => {
    const { id, recoveryCodes } = await coded('sms');
    const [email, phone] = [freshEmail(), freshPhone()];
    const shown = (index: number) => ({ userId: id, currentPassword: PASSWORD, recoveryCode: recoveryCodes[index] });
    const token = tokenOf(await verification(app).requestEmailChange({ ...shown(0), email }));
    await verification(app).confirmEmailChange({ token });
    const code = codeOf(await verification(app).requestPhoneChange({ ...shown(1), phone }));
    await verification(app).confirmPhoneChange({ userId: id, code });
    expect(await stored(app.url, id)).toMatchObject({ email, phone, email_verified: true, phone_verified: true });
  });

  it('SEC-50 when a recovery code, is used up, told and announced, and refused the next time on record', async () => {
    const { id, recoveryCodes } = await coded('sms');
    const [recoveryCode] = recoveryCodes;
    await CHANGES.phone(id, { recoveryCode });
    expect((await activitiesOf(app.url, id)).slice(-2)).toMatchObject([
      { type: NestAuthEvents.RECOVERY_CODE_USED, details: { codesLeft: 9 } },
      { type: NestAuthEvents.PHONE_CHANGE_REQUESTED },
    ]);
    const told = app.events.filter(({ name }) => name === NestAuthEvents.RECOVERY_CODE_USED).at(-1);
    expect(told).toMatchObject({ userId: id, left: 9 });
    await expect(CHANGES.phone(id, { recoveryCode })).rejects.toMatchObject(invalid);
    expect(await lastOf(id)).toEqual({
      type: NestAuthEvents.USER_LOGIN_FAILED,
      details: { reason: 'wrong_second_factor' },
    });
  });

  it('SEC-22 when a recovery code, is good for one of twelve at once', async () => {
    const { id, recoveryCodes } = await coded('sms');
    const [recoveryCode] = recoveryCodes;
    const { won, codes } = await outcomesOf(times(12, () => CHANGES.phone(id, { recoveryCode })));
    expect([won.length, codes]).toEqual([1, { SECOND_FACTOR_INVALID: 11 }]);
  });

  it('SEC-09 counts as at a sign-in when it is wrong, until none is looked at', async () => {
    const user = await enrolled(app);
    const code = await totpOf(app, user.secret);
    await expect(CHANGES.email(user.id, { code: wrong(code) })).rejects.toMatchObject(invalid);
    expect(await failuresOf(user.id)).toBe(1);
    expect((await lastOf(user.id))?.details).toEqual({ reason: 'wrong_second_factor' });
    await query(app.url, 'update nest_auth_second_factor_states set failures = 20 where user_id = $1', [user.id]);
    await expect(CHANGES.email(user.id, { code })).rejects.toMatchObject(invalid);
    expect((await lastOf(user.id))?.details).toEqual({ reason: 'second_factor_locked' });
    expect(await asked(user.id)).toEqual([]);
    await expect(CHANGES.email(user.id, { recoveryCode: user.recoveryCodes[0] })).resolves.toBeDefined();
  });

  it('is not looked at before the password is right', async () => {
    const user = await enrolled(app);
    const code = await totpOf(app, user.secret);
    const refused = { code: 'INVALID_CREDENTIALS' };
    await expect(CHANGES.email(user.id, { code }, 'wrong')).rejects.toMatchObject(refused);
    await expect(CHANGES.email(user.id, {}, 'wrong')).rejects.toMatchObject(refused);
    expect(await failuresOf(user.id)).toBe(0);
    await expect(CHANGES.email(user.id, { code })).resolves.toBeDefined();
  });

  it('is shown by who has no password, too', async () => {
    const { userId, sessionId } = await signedIn(app);
    const { secret } = await twoFactor(app).enableTwoFactor(userId, { currentPassword: PASSWORD });
    const setUp = await totpOf(app, secret);
    await twoFactor(app).verifyTwoFactorSetup(userId, setUp, { keepSessionId: sessionId });
    await forgetSteps(app.url, userId);
    await query(app.url, 'update nest_auth_users set password_hash = null where id = $1', [userId]);
    const change = (shown: Shown) =>
      verification(app).requestEmailChange({ userId, email: freshEmail(), sessionId, ...shown });
    await expect(change({})).rejects.toMatchObject(unproven);
    await expect(change({ code: await totpOf(app, secret) })).resolves.toBeDefined();
  });

  it('is as good as before when the caller rolls the change back, and its failure stays counted', async () => {
    const user: Enrolled = await enrolled(app);
    const [recoveryCode] = user.recoveryCodes;
    const undone = app.users.runInTransaction(async (manager) => {
      const input = { userId: user.id, email: freshEmail(), currentPassword: PASSWORD };
      const code = wrong(await totpOf(app, user.secret));
      await expect(verification(app).requestEmailChange({ ...input, code }, manager)).rejects.toMatchObject(invalid);
      await verification(app).requestEmailChange({ ...input, recoveryCode }, manager);
      throw undo;
    });
    await expect(undone).rejects.toBe(undo);
    expect([await codesLeft(user.id), await failuresOf(user.id), await asked(user.id)]).toEqual([10, 1, []]);
    await expect(CHANGES.email(user.id, { recoveryCode })).resolves.toBeDefined();
  });

  it('SEC-11 is limited as wherever else it is shown, and asking without one is not', async () => {
    const { id } = await somebody(limited);
    const ask = (shown: Shown) =>
      verification(limited).requestEmailChange({
        userId: id,
        email: freshEmail(),
        currentPassword: PASSWORD,
        ...shown,
      });
    for (const code of times(10, () => '123456')) await ask({ code });
    await expect(ask({ code: '123456' })).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    await expect(ask({})).resolves.toBeDefined();
  });
});

import { describe, expect, it } from '@jest/globals';

import { freshEmail, outcomesOf, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { PASSWORD, query } from '../session/fixture.js';
import { AUTH, codeOf, NEW_PASSWORD, recovery, resetToken, somebody, tokenOf, verification, wrong } from './fixture.js';

const app = useNestApp({ auth: { ...AUTH, rateLimits: {} } });
const limited = { code: 'RATE_LIMITED' };

describe('SEC-08 SEC-11 how often one may ask', () => {
  it('for a reset is ten times an hour for an email, whether or not anybody has it', async () => {
    const { email } = await somebody(app);
    for (const one of [email, freshEmail()]) {
      await Promise.all(times(10, () => recovery(app).requestPasswordReset({ email: one })));
      await expect(recovery(app).requestPasswordReset({ email: one.toUpperCase() })).rejects.toMatchObject(limited);
    }
  });

  it('to change to an email is twenty times an hour for that email, whoever asks', async () => {
    const target = freshEmail();
    const askers = await Promise.all(times(2, () => somebody(app)));
    const ask = (index: number) =>
      verification(app).requestEmailChange({
        userId: askers[index % 2]?.id as string,
        email: target,
        currentPassword: PASSWORD,
      });
    for (let index = 0; index < 20; index += 1) await ask(index);
    await expect(ask(0)).rejects.toMatchObject(limited);
  });

  it('to change to another email is twenty times an hour for a user, to whatever address', async () => {
    const [one, other] = [await somebody(app), await somebody(app)];
    const ask = (userId: string, email: string) =>
      verification(app).requestEmailChange({ userId, email, currentPassword: PASSWORD });
    for (let asked = 0; asked < 20; asked += 1) await ask(one.id, freshEmail());
    const target = freshEmail();
    await expect(ask(one.id, target)).rejects.toMatchObject(limited);
    await expect(ask(other.id, target)).resolves.toBeDefined();
  });

  it('counts before a password is looked at, or a code', async () => {
    const { id } = await somebody(app);
    const code = codeOf(await verification(app).requestPhoneVerification(id));
    const guesses = times(20, (index) => verification(app).verifyPhone({ userId: id, code: wrong(code, index + 1) }));
    expect((await outcomesOf(guesses)).codes).toEqual({ ONE_TIME_TOKEN_INVALID: 20 });
    await expect(verification(app).verifyPhone({ userId: id, code })).rejects.toMatchObject(limited);
  });
});

describe('what is left over', () => {
  it('is removed a day after it has expired, and nothing else', async () => {
    const [old, expired, live] = await Promise.all(times(3, () => somebody(app)));
    for (const one of [old, expired, live]) await verification(app).requestEmailVerification(one?.id as string);
    const past = `update nest_auth_one_time_tokens set expires_at = now() - $2::interval where user_id = $1`;
    await query(app.url, past, [old?.id, '1 day']);
    await query(app.url, past, [expired?.id, '23 hours']);
    expect(await verification(app).removeExpiredTokens()).toBe(1);
    const left = await query<{ user_id: string }>(
      app.url,
      'select user_id from nest_auth_one_time_tokens where user_id = any($1)',
      [[old?.id, expired?.id, live?.id]],
    );
    expect(left.map((row) => row.user_id).toSorted()).toEqual(
      [expired, live].map((one) => one?.id as string).toSorted(),
    );
    expect(await verification(app).removeExpiredTokens()).toBe(0);
  });
});

describe('without keys of the application', () => {
  it('nothing is made, and it is said which option is missing', async () => {
    const { secrets: _, ...without } = AUTH;
    const bare = await startNestApp(app.url, { auth: without });
    try {
      const { id, email } = await somebody(bare);
      const refused = { code: 'INVALID_OPTIONS', details: { option: 'secrets.keys' } };
      await expect(verification(bare).requestEmailVerification(id)).rejects.toMatchObject(refused);
      await expect(recovery(bare).requestPasswordReset({ email })).rejects.toMatchObject(refused);
      await expect(recovery(bare).requestPasswordReset({ email: freshEmail() })).rejects.toMatchObject(refused);
      // A change by the current password needs none.
      await recovery(bare).changePassword({ userId: id, currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
    } finally {
      await bare.close();
    }
  });

  it('that were replaced by newer ones, what was made before is still good', async () => {
    const { id, email } = await somebody(app);
    const token = await resetToken(app, email);
    const code = codeOf(await verification(app).requestPhoneVerification(id));
    const [key] = AUTH.secrets?.keys ?? [];
    const newer = {
      keys: [{ id: 'k2', secret: 'another thirty-two characters or so' }, ...(key === undefined ? [] : [key])],
    };
    const rotated = await startNestApp(app.url, { auth: { ...AUTH, secrets: newer } });
    try {
      await verification(rotated).verifyPhone({ userId: id, code });
      await recovery(rotated).resetPassword({ token, password: NEW_PASSWORD });
      expect(
        tokenOf(
          await verification(rotated).requestEmailChange({
            userId: id,
            email: freshEmail(),
            currentPassword: NEW_PASSWORD,
          }),
        ),
      ).toBeDefined();
      const [row] = await query(
        app.url,
        `select key_id from nest_auth_one_time_tokens where user_id = $1 and purpose = 'email_change'`,
        [id],
      );
      expect(row).toEqual({ key_id: 'k2' });
    } finally {
      await rotated.close();
    }
  });
});

describe('a guess in a transaction that has itself asked for another code', () => {
  it('does not wait for ever for the row that the transaction holds', async () => {
    const { id } = await somebody(app);
    await verification(app).requestPhoneVerification(id);
    const failing = app.users.runInTransaction(async (manager) => {
      const code = codeOf(await verification(app).requestPhoneVerification(id, manager));
      await verification(app).verifyPhone({ userId: id, code }, manager);
    });
    await expect(failing).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
  });
});

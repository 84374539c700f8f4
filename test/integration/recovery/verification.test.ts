import { describe, expect, it } from '@jest/globals';

import { NestAuthEvents, UserLifecycleService } from '../../../src/index.js';
import { freshPhone, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { activitiesOf, PASSWORD, query } from '../session/fixture.js';
import { AUTH, codeOf, expire, INVALID, somebody, stored, tokenOf, verification, wrong } from './fixture.js';

const app = useNestApp({ auth: AUTH });
const undo = new Error('undo');

describe('the email of a user', () => {
  it('is proven by the link that went to it, once', async () => {
    const { id } = await somebody(app);
    const token = tokenOf(await verification(app).requestEmailVerification(id));
    await expect(verification(app).verifyEmail({ token })).resolves.toMatchObject({ id });
    expect(await stored(app.url, id)).toMatchObject({ email_verified: true, phone_verified: false });
    await expect(verification(app).verifyEmail({ token })).rejects.toMatchObject(INVALID);
  });

  it('is proven by a code that went to it, once', async () => {
    const { id } = await somebody(app);
    const code = codeOf(await verification(app).requestEmailVerification(id, { by: 'code' }));
    expect(code).toMatch(/^\d{6}$/);
    await verification(app).verifyEmail({ userId: id, code });
    expect(await stored(app.url, id)).toMatchObject({ email_verified: true });
    await expect(verification(app).verifyEmail({ userId: id, code })).rejects.toMatchObject(INVALID);
  });

  it('costs one statement to ask for, and is told in the activity log and to listeners', async () => {
    const { id } = await somebody(app);
    const { result, statements } = await recordStatements(() => verification(app).requestEmailVerification(id));
    expect(statements).toHaveLength(1);
    expect(result.expiresAt).toBeInstanceOf(Date);
    const [, asked] = await activitiesOf(app.url, id);
    const [row] = await query<{ id: string }>(app.url, 'select id from nest_auth_one_time_tokens where user_id = $1', [
      id,
    ]);
    expect(asked).toEqual({
      type: NestAuthEvents.VERIFICATION_REQUESTED,
      details: { issueId: row?.id, form: 'link' },
    });
    expect(app.events.at(-1)).toMatchObject({
      name: NestAuthEvents.VERIFICATION_REQUESTED,
      userId: id,
      issueId: row?.id,
    });
    expect(JSON.stringify(result)).toBe(JSON.stringify({ expiresAt: result.expiresAt }));
  });

  it('that is proven already needs no proof: nothing is made', async () => {
    const { id } = await somebody(app);
    await app.users.verifyUser(id);
    const { length } = app.events;
    const asked = await verification(app).requestEmailVerification(id);
    expect(asked).toMatchObject({ expiresAt: null });
    expect(asked.reveal()).toBeNull();
    expect(app.events).toHaveLength(length);
  });

  it('is not proven by a link that went to the address of before', async () => {
    const { id } = await somebody(app);
    const token = tokenOf(await verification(app).requestEmailVerification(id));
    await app.users.updateUser(id, { email: `other-${id}@example.com` });
    await expect(verification(app).verifyEmail({ token })).rejects.toMatchObject(INVALID);
    expect(await stored(app.url, id)).toMatchObject({ email_verified: false });
  });

  it('SEC-22 SEC-23: a link that has expired, was replaced, or that nobody made gets one answer', async () => {
    const { id } = await somebody(app);
    const first = tokenOf(await verification(app).requestEmailVerification(id));
    const second = tokenOf(await verification(app).requestEmailVerification(id));
    await expire(app.url, id);
    const unknown = `${second.slice(0, 23)}${'A'.repeat(43)}`;
    const answers = await Promise.all(
      [first, second, unknown, 'x', ''].map((token) =>
        verification(app)
          .verifyEmail({ token })
          .catch((error: Error & { details: object }) => [error.message, error.details]),
      ),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    await expect(verification(app).verifyEmail({ token: second })).rejects.toMatchObject(INVALID);
  });

  it('a link expires also while a transaction runs that had begun before', async () => {
    const { id } = await somebody(app);
    const token = tokenOf(await verification(app).requestEmailVerification(id));
    const late = app.users.runInTransaction(async (manager) => {
      await manager.query('select 1');
      // Rounded down: the column holds milliseconds, and none of them is still to come.
      const over = `update nest_auth_one_time_tokens set expires_at = date_trunc('milliseconds', clock_timestamp()) where user_id = $1`;
      await query(app.url, over, [id]);
      return verification(app).verifyEmail({ token }, manager);
    });
    await expect(late).rejects.toMatchObject(INVALID);
    expect(await stored(app.url, id)).toMatchObject({ email_verified: false });
  });

  it('SEC-22: of 50 redemptions of one link at once one succeeds', async () => {
    const { id } = await somebody(app);
    const token = tokenOf(await verification(app).requestEmailVerification(id));
    const { won, codes } = await outcomesOf(times(50, () => verification(app).verifyEmail({ token })));
    expect(won).toHaveLength(1);
    expect(codes).toEqual({ ONE_TIME_TOKEN_INVALID: 49 });
  });

  it('stays unproven when the caller rolls back, and the link stays good', async () => {
    const { id } = await somebody(app);
    const token = tokenOf(await verification(app).requestEmailVerification(id));
    const failing = app.users.runInTransaction(async (manager) => {
      await verification(app).verifyEmail({ token }, manager);
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    expect(await stored(app.url, id)).toMatchObject({ email_verified: false });
    await expect(verification(app).verifyEmail({ token })).resolves.toBeDefined();
  });

  it('cannot be proven by somebody who was disabled or deleted meanwhile, or never was', async () => {
    const [gone, disabled] = [await somebody(app), await somebody(app)];
    const tokens = await Promise.all(
      [gone, disabled].map(async ({ id }) => tokenOf(await verification(app).requestEmailVerification(id))),
    );
    await app.users.deleteUser(gone.id);
    await app.context.get(UserLifecycleService).disableById(disabled.id);
    for (const token of tokens) await expect(verification(app).verifyEmail({ token })).rejects.toMatchObject(INVALID);
    await expect(verification(app).requestEmailVerification(gone.id)).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    await expect(verification(app).requestEmailVerification(disabled.id)).rejects.toMatchObject({
      code: 'USER_DISABLED',
    });
  });

  it('is refused where there is none', async () => {
    const { id, email } = await somebody(app);
    await app.users.updateUser(id, { email: null });
    await expect(verification(app).requestEmailVerification(id)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    await app.users.updateUser(id, { email });
  });
});

describe('the phone number of a user', () => {
  it('is proven by the code that went to it', async () => {
    const { id } = await somebody(app);
    const code = codeOf(await verification(app).requestPhoneVerification(id));
    await verification(app).verifyPhone({ userId: id.toUpperCase(), code });
    expect(await stored(app.url, id)).toMatchObject({ email_verified: false, phone_verified: true });
  });

  it('SEC-21: is not proven by the code of the email, nor the other way round', async () => {
    const { id } = await somebody(app);
    const byEmail = codeOf(await verification(app).requestEmailVerification(id, { by: 'code' }));
    const byPhone = codeOf(await verification(app).requestPhoneVerification(id));
    await expect(verification(app).verifyPhone({ userId: id, code: byEmail })).rejects.toMatchObject(INVALID);
    await expect(verification(app).verifyEmail({ userId: id, code: byPhone })).rejects.toMatchObject(INVALID);
  });
});

describe('SEC-09 a code', () => {
  it('can be tried five times, and then is worth nothing even if it is right', async () => {
    const { id } = await somebody(app);
    const code = codeOf(await verification(app).requestPhoneVerification(id));
    for (const index of [1, 2, 3, 4, 5])
      await expect(verification(app).verifyPhone({ userId: id, code: wrong(code, index) })).rejects.toMatchObject(
        INVALID,
      );
    await expect(verification(app).verifyPhone({ userId: id, code })).rejects.toMatchObject(INVALID);
    expect(await stored(app.url, id)).toMatchObject({ phone_verified: false });
  });

  it('that is right at the fifth try is taken', async () => {
    const { id } = await somebody(app);
    const code = codeOf(await verification(app).requestPhoneVerification(id));
    for (const index of [1, 2, 3, 4])
      await expect(verification(app).verifyPhone({ userId: id, code: wrong(code, index) })).rejects.toMatchObject(
        INVALID,
      );
    await expect(verification(app).verifyPhone({ userId: id, code })).resolves.toBeDefined();
  });

  it('SEC-10: was tried although the caller rolls back', async () => {
    const { id } = await somebody(app);
    const code = codeOf(await verification(app).requestPhoneVerification(id));
    for (const index of [1, 2, 3, 4, 5]) {
      const failing = app.users.runInTransaction((manager) =>
        verification(app).verifyPhone({ userId: id, code: wrong(code, index) }, manager),
      );
      await expect(failing).rejects.toMatchObject(INVALID);
    }
    await expect(verification(app).verifyPhone({ userId: id, code })).rejects.toMatchObject(INVALID);
  });

  it('of today counts against the next ones, too: a hundred guesses a day', async () => {
    const { id } = await somebody(app);
    for (let asked = 0; asked < 20; asked += 1) {
      const code = codeOf(await verification(app).requestPhoneVerification(id));
      for (const index of [1, 2, 3, 4, 5])
        await expect(verification(app).verifyPhone({ userId: id, code: wrong(code, index) })).rejects.toMatchObject(
          INVALID,
        );
    }
    const code = codeOf(await verification(app).requestPhoneVerification(id));
    await expect(verification(app).verifyPhone({ userId: id, code })).rejects.toMatchObject(INVALID);
    await query(
      app.url,
      `update nest_auth_one_time_tokens set guesses_since = now() - interval '1 day' where user_id = $1`,
      [id],
    );
    await expect(verification(app).verifyPhone({ userId: id, code })).resolves.toBeDefined();
  });

  it('that is right takes none of the wrong guesses of the day back', async () => {
    const { id } = await somebody(app);
    const guessesOf = () => query(app.url, 'select guesses from nest_auth_one_time_tokens where user_id = $1', [id]);
    for (const vain of [3, 0, 2]) {
      const phone = freshPhone();
      const asked = await verification(app).requestPhoneChange({ userId: id, phone, currentPassword: PASSWORD });
      const code = codeOf(asked);
      for (let index = 1; index <= vain; index += 1)
        await expect(
          verification(app).confirmPhoneChange({ userId: id, code: wrong(code, index) }),
        ).rejects.toMatchObject(INVALID);
      await verification(app).confirmPhoneChange({ userId: id, code });
    }
    expect(await guessesOf()).toEqual([{ guesses: 5 }]);
  });

  it('made and used in one transaction is gone with it', async () => {
    const { id } = await somebody(app);
    const failing = app.users.runInTransaction(async (manager) => {
      const code = codeOf(await verification(app).requestPhoneVerification(id, manager));
      await verification(app).verifyPhone({ userId: id, code }, manager);
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    expect(await query(app.url, 'select id from nest_auth_one_time_tokens where user_id = $1', [id])).toEqual([]);
    expect(await stored(app.url, id)).toMatchObject({ phone_verified: false });
  });
});

import { describe, expect, it } from '@jest/globals';

import { freshPhone, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { LOCK_WAITS, withClient } from '../../support/database.js';
import { eventually } from '../../support/identity-fixture.js';
import { race, startRacingProcess } from '../../support/racing-processes.js';
import type { RecoveryOrder } from '../../support/recovery-process.js';
import { auth, PASSWORD, query } from '../session/fixture.js';
import {
  AUTH,
  codeOf,
  INVALID,
  NEW_PASSWORD,
  recovery,
  resetToken,
  SECRETS,
  somebody,
  stored,
  tokenOf,
  verification,
  wrong,
} from './fixture.js';

const app = useNestApp({ auth: AUTH });

/** What became of the calls of so many processes at once, by answer. */
async function inProcesses(orders: readonly Omit<RecoveryOrder, 'url' | 'secrets'>[]): Promise<Record<string, number>> {
  const processes = orders.map((order) =>
    startRacingProcess('recovery', { ...order, url: app.url, secrets: SECRETS } satisfies RecoveryOrder),
  );
  const counts: Record<string, number> = {};
  for (const answer of (await race<string[]>(processes)).flat()) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}

/** Lets all of them begin while the user is held, so that each has seen the link unused. */
async function whileHeld<T>(userId: string, waiting: number, begin: () => Promise<T>[]): Promise<Promise<T>[]> {
  return withClient(app.url, async (client) => {
    await client.query('begin');
    await client.query('select 1 from nest_auth_users where id = $1 for update', [userId]);
    const calls = begin();
    await eventually(async () => (await query(app.url, LOCK_WAITS)).length === waiting);
    await client.query('commit');
    return calls;
  });
}

describe('SEC-22: 51 redemptions of one link at once, from three processes', () => {
  it('reset the password once', async () => {
    const { id, email } = await somebody(app);
    const token = await resetToken(app, email);
    const orders = times(3, (process) => ({
      resets: times(17, (index) => ({ token, password: `${NEW_PASSWORD} ${process} ${index}` })),
    }));
    expect(await inProcesses(orders)).toEqual({ done: 1, ONE_TIME_TOKEN_INVALID: 50 });
    expect(await stored(app.url, id)).toMatchObject({ security_stamp: 2 });
  }, 60_000);

  it('verify the email once', async () => {
    const { id } = await somebody(app);
    const token = tokenOf(await verification(app).requestEmailVerification(id));
    const orders = times(3, () => ({ emails: times(17, () => ({ token })) }));
    expect(await inProcesses(orders)).toEqual({ done: 1, ONE_TIME_TOKEN_INVALID: 50 });
  }, 60_000);

  it('succeed once also when every one of them has seen the link unused', async () => {
    const { id, email } = await somebody(app);
    const token = await resetToken(app, email);
    const calls = await whileHeld(id, 5, () =>
      times(5, (index) => recovery(app).resetPassword({ token, password: `${NEW_PASSWORD} ${index}` })),
    );
    expect((await outcomesOf(calls)).codes).toEqual({ ONE_TIME_TOKEN_INVALID: 4 });
    expect(await stored(app.url, id)).toMatchObject({ security_stamp: 2 });
  });
});

describe('SEC-09 SEC-11: guesses at a code from three processes', () => {
  it('are five, however many come at once, and none of them is taken afterwards', async () => {
    const { id, phone } = await somebody(app);
    const input = { userId: id, phone: freshPhone(), currentPassword: PASSWORD };
    const code = codeOf(await verification(app).requestPhoneChange(input));
    const orders = times(3, (process) => ({
      phones: times(10, (index) => ({ userId: id, code: wrong(code, process * 10 + index + 1) })),
    }));
    expect(await inProcesses(orders)).toEqual({ ONE_TIME_TOKEN_INVALID: 30 });
    expect(await query(app.url, 'select attempts from nest_auth_one_time_tokens where user_id = $1', [id])).toEqual([
      { attempts: 5 },
    ]);
    await expect(verification(app).confirmPhoneChange({ userId: id, code })).rejects.toMatchObject(INVALID);
    expect(await stored(app.url, id)).toMatchObject({ phone });
  }, 60_000);

  it('that are right change the number once', async () => {
    const { id } = await somebody(app);
    const phone = freshPhone();
    const code = codeOf(await verification(app).requestPhoneChange({ userId: id, phone, currentPassword: PASSWORD }));
    const orders = times(3, () => ({ phones: times(10, () => ({ userId: id, code })) }));
    expect(await inProcesses(orders)).toEqual({ done: 1, ONE_TIME_TOKEN_INVALID: 29 });
    expect(await stored(app.url, id)).toMatchObject({ phone, phone_verified: true });
  }, 60_000);
});

describe('a reset beside something else that happens to the user', () => {
  it('SEC-24: is refused when the password is changed while it waits', async () => {
    const { id, email } = await somebody(app);
    const token = await resetToken(app, email);
    const [reset] = await withClient(app.url, async (client) => {
      await client.query('begin');
      await client.query('update nest_auth_users set security_stamp = security_stamp + 1 where id = $1', [id]);
      const waiting = [recovery(app).resetPassword({ token, password: NEW_PASSWORD })];
      await eventually(async () => (await query(app.url, LOCK_WAITS)).length === 1);
      await client.query('commit');
      return waiting;
    });
    await expect(reset).rejects.toMatchObject(INVALID);
    await expect(auth(app).signIn({ email, password: PASSWORD })).resolves.toBeDefined();
  });

  it('and a sign-in with the password of before: afterwards no session of it goes on', async () => {
    const { email } = await somebody(app);
    const token = await resetToken(app, email);
    const calls = times(5, () => auth(app).signIn({ email, password: PASSWORD }));
    const [{ won }] = await Promise.all([
      outcomesOf(calls),
      recovery(app).resetPassword({ token, password: NEW_PASSWORD }),
    ]);
    for (const { refreshToken } of won)
      await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
  });

  it('and the deletion of the user: one of them comes first, and nothing is left half done', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { id, email } = await somebody(app);
      const token = await resetToken(app, email);
      const { codes } = await outcomesOf([
        recovery(app).resetPassword({ token, password: NEW_PASSWORD }),
        app.users.deleteUser(id),
      ]);
      expect([{}, { ONE_TIME_TOKEN_INVALID: 1 }]).toContainEqual(codes);
      expect(await query(app.url, 'select id from nest_auth_one_time_tokens where user_id = $1', [id])).toEqual([]);
    }
  });
});

describe('asking for many links at once', () => {
  it('makes one that is good, and it is the one that is stored', async () => {
    const { email } = await somebody(app);
    const asked = await Promise.all(times(10, () => recovery(app).requestPasswordReset({ email })));
    const tokens = asked.map((one) => one.reveal()?.token as string);
    expect(new Set(tokens).size).toBe(10);
    const { won } = await outcomesOf(
      tokens.map((token) => recovery(app).resetPassword({ token, password: NEW_PASSWORD })),
    );
    expect(won).toHaveLength(1);
  });
});

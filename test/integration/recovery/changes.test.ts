import { describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import { ActorTypeEnum, IdentityContext, NestAuthEvents, type UserChange, type UserHooks } from '../../../src/index.js';
import { AppUser, freshEmail, freshPhone, outcomesOf, useNestApp } from '../../support/nest-app.js';
import { activitiesOf, auth, PASSWORD, query, signedIn } from '../session/fixture.js';
import {
  AUTH,
  codeOf,
  INVALID,
  NEW_PASSWORD,
  recovery,
  resetToken,
  somebody,
  type Somebody,
  stored,
  tokenOf,
  verification,
  wrong,
} from './fixture.js';

/** What the host does in the same transaction, when it is told to. */
let mirror: (user: { id: string }, change: UserChange, manager: EntityManager) => Promise<void> = () =>
  Promise.resolve();
const user: UserHooks = { afterUpdate: (changed, change, manager) => mirror(changed, change, manager) };

const plain = useNestApp({ auth: AUTH });
const hooked = useNestApp({ auth: { ...AUTH, user } });
const undo = new Error('undo');

const wantsEmail = (app: typeof plain, { id }: Somebody, email: string, currentPassword = PASSWORD) =>
  verification(app).requestEmailChange({ userId: id, email, currentPassword });
const wantsPhone = (app: typeof plain, { id }: Somebody, phone: string) =>
  verification(app).requestPhoneChange({ userId: id, phone, currentPassword: PASSWORD });

describe('SEC-27 a change of the email', () => {
  it('needs the current password, and a wrong one counts like one at a sign-in', async () => {
    const one = await somebody(plain);
    await expect(wantsEmail(plain, one, freshEmail(), 'wrong')).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
    expect(
      await query(plain.url, 'select failures from nest_auth_sign_in_totals where subject = $1', [one.id]),
    ).toEqual([{ failures: 1 }]);
    expect((await activitiesOf(plain.url, one.id)).at(-1)).toMatchObject({
      type: NestAuthEvents.USER_LOGIN_FAILED,
      details: { reason: 'wrong_password' },
    });
    const missing = verification(plain).requestEmailChange({ userId: one.id, email: freshEmail() });
    await expect(missing).rejects.toMatchObject({ code: 'REAUTHENTICATION_REQUIRED' });
    expect(await query(plain.url, 'select id from nest_auth_one_time_tokens where user_id = $1', [one.id])).toEqual([]);
  });

  it('is locked out where a sign-in would be', async () => {
    const one = await somebody(plain);
    const tries = Array.from({ length: 6 }, () => wantsEmail(plain, one, freshEmail(), 'wrong').catch(() => undefined));
    await Promise.all(tries);
    await expect(wantsEmail(plain, one, freshEmail())).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
    await expect(auth(plain).signIn({ email: one.email, password: PASSWORD })).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
  });

  it('leaves the present one as it is until the other one is confirmed, which is proven by that', async () => {
    const one = await somebody(plain);
    const email = `New.Name-${one.id}@Example.com`;
    const token = tokenOf(await wantsEmail(plain, one, email));
    expect(await stored(plain.url, one.id)).toMatchObject({ email: one.email });
    await auth(plain).signIn({ email: one.email, password: PASSWORD });
    await expect(verification(plain).confirmEmailChange({ token })).resolves.toMatchObject({ id: one.id, email });
    expect(await stored(plain.url, one.id)).toMatchObject({ email, email_verified: true });
    await expect(auth(plain).signIn({ email: one.email, password: PASSWORD })).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
    await expect(auth(plain).signIn({ email, password: PASSWORD })).resolves.toBeDefined();
    await expect(verification(plain).confirmEmailChange({ token })).rejects.toMatchObject(INVALID);
  });

  it('ends what was sent to the address of before', async () => {
    const one = await somebody(plain);
    const [reset, proof] = [
      await resetToken(plain, one.email),
      tokenOf(await verification(plain).requestEmailVerification(one.id)),
    ];
    await verification(plain).confirmEmailChange({ token: tokenOf(await wantsEmail(plain, one, freshEmail())) });
    await expect(recovery(plain).resetPassword({ token: reset, password: NEW_PASSWORD })).rejects.toMatchObject(
      INVALID,
    );
    await expect(verification(plain).verifyEmail({ token: proof })).rejects.toMatchObject(INVALID);
  });

  it('ends with a password that was changed meanwhile', async () => {
    const one = await somebody(plain);
    const token = tokenOf(await wantsEmail(plain, one, freshEmail()));
    await recovery(plain).changePassword({ userId: one.id, currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
    await expect(verification(plain).confirmEmailChange({ token })).rejects.toMatchObject(INVALID);
  });

  it('to one that somebody else has is asked for like any other, and refused to whoever holds the mailbox', async () => {
    const [one, other] = [await somebody(plain), await somebody(plain)];
    const token = tokenOf(await wantsEmail(plain, one, other.email.toUpperCase()));
    await expect(verification(plain).confirmEmailChange({ token })).rejects.toMatchObject({
      code: 'EMAIL_ALREADY_EXISTS',
    });
    expect(await stored(plain.url, one.id)).toMatchObject({ email: one.email });
    await plain.users.deleteUser(other.id);
    await expect(verification(plain).confirmEmailChange({ token })).resolves.toBeDefined();
  });

  it('of a user without a password needs a session that has begun a moment ago', async () => {
    const { userId, sessionId } = await signedIn(plain);
    const stranger = await signedIn(plain);
    await query(plain.url, 'update nest_auth_users set password_hash = null where id = $1', [userId]);
    const ask = (session: string) =>
      verification(plain).requestEmailChange({ userId, email: freshEmail(), sessionId: session });
    await expect(ask(stranger.sessionId)).rejects.toMatchObject({ code: 'REAUTHENTICATION_REQUIRED' });
    await expect(ask(sessionId)).resolves.toBeDefined();
    await query(plain.url, `update nest_auth_users set activated_at = activated_at - interval '1 day' where id = $1`, [
      userId,
    ]);
    await query(
      plain.url,
      `update nest_auth_sessions set created_at = created_at - interval '11 minutes' where id = $1`,
      [sessionId],
    );
    await expect(ask(sessionId)).rejects.toMatchObject({ code: 'REAUTHENTICATION_REQUIRED' });
  });

  it('of a user with a password is not done by a session, however new', async () => {
    const { userId, sessionId } = await signedIn(plain);
    const asked = verification(plain).requestEmailChange({ userId, email: freshEmail(), sessionId });
    await expect(asked).rejects.toMatchObject({ code: 'REAUTHENTICATION_REQUIRED' });
  });

  it('is told in the log: who asked, and what was before and after', async () => {
    const one = await somebody(plain);
    const email = freshEmail();
    await verification(plain).confirmEmailChange({ token: tokenOf(await wantsEmail(plain, one, email)) });
    const log = await query<{ type: string; actor_id: string; before: object | null; after: object | null }>(
      plain.url,
      'select type, actor_id, before, after from nest_auth_activities where user_id = $1 order by xid, id',
      [one.id],
    );
    expect(log.slice(1)).toEqual([
      { type: NestAuthEvents.EMAIL_CHANGE_REQUESTED, actor_id: one.id, before: null, after: null },
      { type: NestAuthEvents.USER_UPDATED, actor_id: one.id, before: { email: one.email }, after: { email } },
      {
        type: NestAuthEvents.USER_UPDATED,
        actor_id: one.id,
        before: { emailVerifiedAt: null },
        after: { emailVerifiedAt: expect.any(String) },
      },
    ]);
  });
});

describe('SEC-26 of two changes that are asked for at once', () => {
  it('one can be confirmed, and it writes the address to which its own link went', async () => {
    const one = await somebody(plain);
    const [a, b] = [freshEmail(), freshEmail()];
    const [first, second] = await Promise.all([wantsEmail(plain, one, a), wantsEmail(plain, one, b)]);
    const { won, codes } = await outcomesOf(
      [first, second].map((asked) => verification(plain).confirmEmailChange({ token: tokenOf(asked) })),
    );
    expect(codes).toEqual({ ONE_TIME_TOKEN_INVALID: 1 });
    const [row] = await query<{ address: string }>(
      plain.url,
      `select address from nest_auth_one_time_tokens where user_id = $1 and purpose = 'email_change'`,
      [one.id],
    );
    expect(won.map(({ email }) => email)).toEqual([row?.address]);
    expect(await stored(plain.url, one.id)).toMatchObject({ email: row?.address, email_verified: true });
  });

  it('the link of the one never confirms the address of the other', async () => {
    const one = await somebody(plain);
    const [attacker, victim] = [freshEmail(), freshEmail()];
    const mine = tokenOf(await wantsEmail(plain, one, attacker));
    await wantsEmail(plain, one, victim);
    await expect(verification(plain).confirmEmailChange({ token: mine })).rejects.toMatchObject(INVALID);
    expect(await stored(plain.url, one.id)).toMatchObject({ email: one.email });
  });
});

describe('a change of the phone number', () => {
  it('is confirmed by the code that went to the new one', async () => {
    const one = await somebody(plain);
    const phone = freshPhone();
    const code = codeOf(await wantsPhone(plain, one, phone));
    await expect(verification(plain).confirmPhoneChange({ userId: one.id, code: wrong(code) })).rejects.toMatchObject(
      INVALID,
    );
    expect(await stored(plain.url, one.id)).toMatchObject({ phone: one.phone });
    await verification(plain).confirmPhoneChange({ userId: one.id, code });
    expect(await stored(plain.url, one.id)).toMatchObject({ phone, phone_verified: true, email: one.email });
  });

  it('SEC-09 SEC-11: takes five guesses, however many come at once', async () => {
    const one = await somebody(plain);
    const code = codeOf(await wantsPhone(plain, one, freshPhone()));
    const guesses = Array.from({ length: 20 }, (_, index) =>
      verification(plain).confirmPhoneChange({ userId: one.id, code: wrong(code, index + 1) }),
    );
    expect((await outcomesOf(guesses)).codes).toEqual({ ONE_TIME_TOKEN_INVALID: 20 });
    expect(
      await query(plain.url, 'select attempts, guesses from nest_auth_one_time_tokens where user_id = $1', [one.id]),
    ).toEqual([{ attempts: 5, guesses: 5 }]);
    await expect(verification(plain).confirmPhoneChange({ userId: one.id, code })).rejects.toMatchObject(INVALID);
  });
});

describe('the host, which mirrors what changes', () => {
  it('writes in the same transaction, for the address and for its proof', async () => {
    const one = await somebody(hooked);
    const changes: UserChange[] = [];
    mirror = async ({ id }, change, manager) => {
      changes.push(change);
      if (change.email !== undefined)
        await manager.insert(AppUser, { authUserId: id, displayName: String(change.email) });
    };
    const email = freshEmail();
    await verification(hooked).confirmEmailChange({ token: tokenOf(await wantsEmail(hooked, one, email)) });
    expect(changes).toEqual([{ email }, { emailVerified: true }]);
    expect(await query(hooked.url, 'select display_name from app_users where auth_user_id = $1', [one.id])).toEqual([
      { display_name: email },
    ]);
  });

  it('undoes all of it by throwing, and the link stays good', async () => {
    const one = await somebody(hooked);
    mirror = async ({ id }, change, manager) => {
      await manager.insert(AppUser, { authUserId: id, displayName: 'half' });
      if (change.email !== undefined) throw undo;
    };
    const token = tokenOf(await wantsEmail(hooked, one, freshEmail()));
    await expect(verification(hooked).confirmEmailChange({ token })).rejects.toBe(undo);
    expect(await stored(hooked.url, one.id)).toMatchObject({ email: one.email });
    expect(await query(hooked.url, 'select id from app_users where auth_user_id = $1', [one.id])).toEqual([]);
    mirror = () => Promise.resolve();
    await expect(verification(hooked).confirmEmailChange({ token })).resolves.toBeDefined();
  });

  it('may write another address itself, which nobody has proven: that one is not marked', async () => {
    const [one, two, three] = [await somebody(hooked), await somebody(hooked), await somebody(hooked)];
    const [wanted, own] = [freshEmail(), freshEmail()];
    const change = tokenOf(await wantsEmail(hooked, one, wanted));
    const reset = await resetToken(hooked, two.email);
    const replace = (happens: (asked: UserChange) => boolean, email: string) => {
      mirror = async ({ id }, asked, manager) => {
        if (happens(asked)) await hooked.users.updateUser(id, { email }, manager);
      };
    };
    replace(({ email }) => email === wanted, own);
    await verification(hooked).confirmEmailChange({ token: change });
    expect(await stored(hooked.url, one.id)).toMatchObject({ email: own, email_verified: false });
    const other = freshEmail();
    replace(({ passwordChanged }) => passwordChanged === true, other);
    await recovery(hooked).resetPassword({ token: reset, password: NEW_PASSWORD });
    expect(await stored(hooked.url, two.id)).toMatchObject({ email: other, email_verified: false });
    mirror = () => Promise.resolve();
    await recovery(hooked).resetPassword({ token: await resetToken(hooked, three.email), password: NEW_PASSWORD });
    expect(await stored(hooked.url, three.id)).toMatchObject({ email: three.email, email_verified: true });
  });

  it('has whoever asked as the actor, unless somebody else is said to act', async () => {
    const one = await somebody(plain);
    const admin = { type: ActorTypeEnum.USER, id: '01890000-0000-7000-8000-000000000001' };
    await IdentityContext.run({ actor: admin }, () => wantsEmail(plain, one, freshEmail()));
    const [row] = await query(plain.url, 'select actor_id from nest_auth_activities where user_id = $1 and type = $2', [
      one.id,
      NestAuthEvents.EMAIL_CHANGE_REQUESTED,
    ]);
    expect(row).toEqual({ actor_id: admin.id });
  });
});

describe('a change in a transaction of the caller', () => {
  it('that is refused leaves the transaction usable, and the link as it was', async () => {
    const [one, other] = [await somebody(plain), await somebody(plain)];
    const token = tokenOf(await wantsEmail(plain, one, other.email));
    const made = await plain.users.runInTransaction(async (manager) => {
      await expect(verification(plain).confirmEmailChange({ token }, manager)).rejects.toMatchObject({
        code: 'EMAIL_ALREADY_EXISTS',
      });
      return plain.users.createUser({ email: freshEmail() }, undefined, {}, manager);
    });
    expect(await plain.users.getUserById(made.id)).not.toBeNull();
    expect(await stored(plain.url, one.id)).toMatchObject({ email: one.email });
    await plain.users.deleteUser(other.id);
    await expect(verification(plain).confirmEmailChange({ token })).resolves.toMatchObject({ email: other.email });
  });

  it('that is rolled back changes nothing, and the link stays good', async () => {
    const one = await somebody(plain);
    const token = tokenOf(await wantsEmail(plain, one, freshEmail()));
    const failing = plain.users.runInTransaction(async (manager) => {
      await verification(plain).confirmEmailChange({ token }, manager);
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    expect(await stored(plain.url, one.id)).toMatchObject({ email: one.email });
    await expect(verification(plain).confirmEmailChange({ token })).resolves.toBeDefined();
  });
});

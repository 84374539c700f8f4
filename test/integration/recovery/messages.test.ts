import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { type IdentityEvent, type NestAuthModuleOptions, NestAuthEvents } from '../../../src/index.js';
import { RecoveryNotifications } from '../../../src/recovery/recovery.notifications.js';
import { CapturingSender } from '../../../src/testing/index.js';
import { createTestDatabase } from '../../support/database.js';
import { freshEmail, freshPhone, type NestApp, startNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';
import { PASSWORD, query } from '../session/fixture.js';
import { AUTH, expire, NEW_PASSWORD, recovery, resetToken, somebody, verification } from './fixture.js';

const sender = new CapturingSender();
const page = (name: string): string => `https://app.example.com/${name}#{token}`;
const DELIVERING: NestAuthModuleOptions = {
  ...AUTH,
  subscribers: { pollMs: 20 },
  delivery: {
    sender,
    links: {
      invitation: false,
      emailVerification: page('verify'),
      emailChange: page('change'),
      passwordReset: page('reset'),
    },
  },
};

let app: NestApp & { url: string };
let drop: () => Promise<void>;

beforeAll(async () => {
  const database = await createTestDatabase();
  ({ drop } = database);
  app = { ...(await startNestApp(database.url, { auth: DELIVERING })), url: database.url };
});
afterAll(async () => {
  await app.close();
  await drop();
});
beforeEach(() => sender.clear());

describe('a message', () => {
  it('brings the link of a reset to the stored address, and nobody else makes it', async () => {
    const { id, email } = await somebody(app);
    await recovery(app).requestPasswordReset({ email: ` ${email.toUpperCase()} ` });
    const sent = await sender.waitFor('password_reset', { to: email });
    expect(sent).toMatchObject({
      channel: 'email',
      to: email,
      userId: id,
      url: `https://app.example.com/reset#${sent.token}`,
    });
    await recovery(app).resetPassword({ token: sent.token, password: NEW_PASSWORD });
    await sender.waitFor('password_changed', { to: email });
  });

  it('brings the link or the code of a verification', async () => {
    const { id, email, phone } = await somebody(app);
    await verification(app).requestEmailVerification(id, { by: 'code' });
    const byCode = await sender.waitFor('email_verification_code', { to: email });
    expect(byCode.code).toMatch(/^\d{6}$/);
    await verification(app).requestEmailVerification(id);
    const byLink = await sender.waitFor('email_verification', { to: email });
    await verification(app).verifyEmail({ token: byLink.token });
    await verification(app).requestPhoneVerification(id);
    const bySms = await sender.waitFor('phone_verification_code', { to: phone });
    expect(bySms.channel).toBe('sms');
    await verification(app).verifyPhone({ userId: id, code: bySms.code });
  });

  it('SEC-27: asks the new email, and tells the one of before when it is another', async () => {
    const { id, email } = await somebody(app);
    const next = freshEmail();
    await verification(app).requestEmailChange({ userId: id, email: next, currentPassword: PASSWORD });
    const { token } = await sender.waitFor('email_change', { to: next });
    expect(sender.sent.map(({ to }) => to)).toEqual([next]);
    await verification(app).confirmEmailChange({ token });
    await sender.waitFor('email_changed', { to: email });
    expect(sender.sent.map(({ kind, to }) => [kind, to])).toEqual([
      ['email_change', next],
      ['email_changed', email],
    ]);
  });

  it('asks the new phone number, and tells the one of before when it is another', async () => {
    const { id, phone } = await somebody(app);
    const next = freshPhone();
    await verification(app).requestPhoneChange({ userId: id, phone: next, currentPassword: PASSWORD });
    const { code } = await sender.waitFor('phone_change_code', { to: next });
    await verification(app).confirmPhoneChange({ userId: id, code });
    await expect(sender.waitFor('phone_changed', { to: phone })).resolves.toMatchObject({ channel: 'sms', userId: id });
  });

  it('tells both the email and the phone number of before, when one change replaces the two', async () => {
    const { id, email, phone } = await somebody(app);
    await app.users.updateUser(id, { email: freshEmail(), phone: freshPhone() });
    await expect(sender.waitFor('email_changed', { to: email })).resolves.toMatchObject({ channel: 'email' });
    await expect(sender.waitFor('phone_changed', { to: phone })).resolves.toMatchObject({ channel: 'sms', userId: id });
    expect(sender.sent).toHaveLength(2);
  });

  it('tells of a password that was changed, to the address of then', async () => {
    const { id, email } = await somebody(app);
    await recovery(app).changePassword({ userId: id, currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
    await app.users.updateUser(id, { email: freshEmail() });
    await expect(sender.waitFor('password_changed', { to: email })).resolves.toMatchObject({ userId: id });
    await expect(sender.waitFor('email_changed', { to: email })).resolves.toMatchObject({ userId: id });
  });

  it('goes to nobody for a request that was rolled back, or for somebody who cannot reset', async () => {
    const { id, email } = await somebody(app);
    const undone = app.users.runInTransaction(async () => {
      await verification(app).requestEmailVerification(id);
      throw new Error('undo');
    });
    await expect(undone).rejects.toThrow('undo');
    await recovery(app).requestPasswordReset({ email: freshEmail() });
    await recovery(app).requestPasswordReset({ email });
    await sender.waitFor('password_reset', { to: email });
    expect(sender.sent).toHaveLength(1);
  });
});

describe('SEC-24 the link of a request', () => {
  const notifications = () => app.context.get(RecoveryNotifications, { strict: false });

  /** The entry of the log that asked for the newest link of the user. */
  async function requestOf(userId: string): Promise<IdentityEvent> {
    const [row] = await query<{ type: string; details: { issueId: string } }>(
      app.url,
      'select type, details from nest_auth_activities where user_id = $1 and type = $2 order by xid desc, id desc limit 1',
      [userId, NestAuthEvents.PASSWORD_RESET_REQUESTED],
    );
    return { ...row, userId, tenantId: null } as unknown as IdentityEvent;
  }

  it('is made again from what is stored as long as it is good, and not when it was replaced, used or has expired', async () => {
    const { id, email } = await somebody(app);
    const draft = async (event: IdentityEvent) => notifications().draft(app.manager, event);
    const first = await resetToken(app, email);
    const asked = await requestOf(id);
    expect(await draft(asked)).toMatchObject({ kind: 'password_reset', token: first, to: email });
    const second = await resetToken(app, email);
    const again = await requestOf(id);
    expect(await draft(asked)).toBeNull();
    expect(await draft(again)).toMatchObject({ token: second });
    await expire(app.url, id);
    expect(await draft(again)).toBeNull();
    await query(
      app.url,
      `update nest_auth_one_time_tokens set expires_at = now() + interval '1 minute' where user_id = $1`,
      [id],
    );
    expect(await draft(again)).toMatchObject({ token: second });
    await recovery(app).resetPassword({ token: second, password: NEW_PASSWORD });
    expect(await draft(again)).toBeNull();
  });

  it('cannot be made without the key of the application', async () => {
    const { id, email } = await somebody(app);
    await resetToken(app, email);
    const event = await requestOf(id);
    await query(app.url, `update nest_auth_one_time_tokens set key_id = 'gone' where user_id = $1`, [id]);
    expect(await notifications().draft(app.manager, event)).toBeNull();
  });
});

describe('SEC-20 what is stored of links and codes', () => {
  it('holds none of them: neither the table, nor the log, nor what waits to be delivered', async () => {
    const { id, email } = await somebody(app);
    await verification(app).requestEmailVerification(id);
    await verification(app).requestPhoneVerification(id);
    await recovery(app).requestPasswordReset({ email });
    await verification(app).requestEmailChange({ userId: id, email: freshEmail(), currentPassword: PASSWORD });
    await verification(app).requestPhoneChange({ userId: id, phone: freshPhone(), currentPassword: PASSWORD });
    await sender.waitFor('phone_change_code');
    const secrets = sender.sent.flatMap((sent) => ('token' in sent ? [sent.token] : 'code' in sent ? [sent.code] : []));
    expect(secrets).toHaveLength(5);
    const dump = JSON.stringify(await dumpTables(app.url));
    for (const secret of secrets.filter((one) => one.length > 6)) {
      const [, random = ''] = secret.split('.');
      for (const form of [
        random,
        Buffer.from(random, 'base64url').toString('hex'),
        Buffer.from(random, 'base64url').toString('base64'),
      ])
        expect(dump).not.toContain(form);
    }
    // Six digits turn up by chance in times and ids; as a value of their own they do not.
    const values = new Set(dump.split(/[^0-9A-Za-z]+/));
    for (const code of secrets.filter((one) => one.length === 6)) expect(values).not.toContain(code);
  });

  it('is enough for 256 bits that are others each time', async () => {
    const { email } = await somebody(app);
    const tokens: string[] = [];
    for (let count = 0; count < 50; count += 1) tokens.push((await resetToken(app, email)).split('.')[1] ?? '');
    expect(new Set(tokens).size).toBe(50);
    for (const token of tokens) expect(Buffer.from(token, 'base64url')).toHaveLength(32);
  });

  it('and nothing of it is in what listeners are told, or in JSON of an answer', async () => {
    const { id, email } = await somebody(app);
    const { length } = app.events;
    const asked = await verification(app).requestEmailVerification(id);
    const reset = await recovery(app).requestPasswordReset({ email });
    const secrets = [asked.reveal(), reset.reveal()].map((one) => (one as { token: string }).token);
    const told = JSON.stringify([asked, reset, app.events.slice(length)]);
    for (const secret of secrets) expect(told).not.toContain(secret.split('.')[1]);
  });
});

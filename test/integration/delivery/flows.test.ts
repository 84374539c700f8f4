import { once } from 'node:events';
import { request } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Body, Controller, type INestApplication, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';

import {
  InvitationService,
  NestAuthEntities,
  NestAuthModule,
  type NestAuthModuleOptions,
  PasswordRecoveryService,
  SecondFactorCodeService,
  type SecondFactorRequiredError,
  TwoFactorService,
  UserService,
  VerificationService,
} from '../../../src/index.js';
import { CapturingSender } from '../../../src/testing/index.js';
import { PREPARED } from '../../support/connection-mode.js';
import { createTestDatabase } from '../../support/database.js';
import {
  freshEmail,
  freshPhone,
  type NestApp,
  type NestAppOptions,
  seed,
  startNestApp,
} from '../../support/nest-app.js';
import { startRlsApp } from '../../support/rls-app.js';
import { createRlsDatabase } from '../../support/rls-database.js';
import { untilSent } from '../../support/wire.js';
import { AUTH, auth } from '../session/fixture.js';
import { LINKS, SECRETS } from './fixture.js';

jest.setTimeout(120_000);

const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

const PASSWORD = 'a bicycle for the kraken 71';
const READS_LOG = /as horizon left join lateral/;

function deliveryBy(sender: CapturingSender): NestAuthModuleOptions {
  return { secrets: SECRETS, delivery: { sender, links: LINKS }, subscribers: { pollMs: 20, leaseMs: 600 } };
}

interface Mailing extends NestApp {
  readonly sender: CapturingSender;
  readonly verification: VerificationService;
  readonly recovery: PasswordRecoveryService;
  readonly invitations: InvitationService;
}

async function start(options: NestAppOptions = {}): Promise<Mailing> {
  const { url, drop } = await createTestDatabase();
  open.push(drop);
  const sender = new CapturingSender();
  const app = await startNestApp(url, { ...options, auth: { ...deliveryBy(sender), ...options.auth } });
  open.push(() => app.close());
  return withServices(app, sender);
}

function withServices<App extends NestApp>(app: App, sender: CapturingSender): App & Mailing {
  const { context } = app;
  return {
    ...app,
    sender,
    verification: context.get(VerificationService),
    recovery: context.get(PasswordRecoveryService),
    invitations: context.get(InvitationService),
  };
}

describe('what is asked for', () => {
  it('is sent to the address of the request, with a link that works', async () => {
    const { users, verification, recovery, sender } = await start();
    const email = freshEmail();
    const { id } = await users.createUser({ email, password: PASSWORD });
    await verification.requestEmailVerification(id);
    const verify = await sender.waitFor('email_verification', { to: email });
    expect(verify.url).toBe(`https://app.example.com/verify#${verify.token}`);
    await verification.verifyEmail({ token: verify.token });
    await verification.requestEmailVerification(id, { by: 'code' });
    await recovery.requestPasswordReset({ email });
    const reset = await sender.waitFor('password_reset', { to: email });
    expect(new URL(reset.url).hash.slice(1)).toBe(reset.token);
    await recovery.resetPassword({ token: reset.token, password: `${PASSWORD} again` });
    expect(await sender.waitFor('password_changed')).toMatchObject({ to: email, userId: id });
    expect(sender.sent.map(({ kind }) => kind)).toEqual(['email_verification', 'password_reset', 'password_changed']);
  });

  it('SEC-26 goes to the new address, and the old one is told when it is changed', async () => {
    const { users, verification, sender } = await start();
    const [old, fresh] = [freshEmail(), freshEmail()];
    const { id } = await users.createUser({ email: old, password: PASSWORD });
    await verification.requestEmailChange({ userId: id, email: fresh, currentPassword: PASSWORD });
    const change = await sender.waitFor('email_change');
    expect([change.to, change.url]).toEqual([fresh, `https://app.example.com/change#${change.token}`]);
    await verification.confirmEmailChange({ token: change.token });
    expect(await sender.waitFor('email_changed')).toMatchObject({ to: old });
  });

  it('goes by SMS to a phone', async () => {
    const { users, verification, sender } = await start();
    const phone = freshPhone();
    const { id } = await users.createUser({ phone });
    await verification.requestPhoneVerification(id);
    const { code, channel, to } = await sender.waitFor('phone_verification_code');
    expect([channel, to]).toEqual(['sms', phone]);
    await verification.verifyPhone({ userId: id, code });
  });

  it('of a tenant names it, and leads to a membership', async () => {
    const app = await start();
    const { tenantId } = await seed(app);
    const email = freshEmail();
    await app.invitations.sendInvitation({ email, tenantId });
    const { url, token, ...rest } = await app.sender.waitFor('invitation', { to: email });
    expect(rest).toMatchObject({ tenantName: 'Acme', tenantId, userId: null });
    expect(url).toBe(`https://app.example.com/join#${token}`);
    expect(await app.invitations.acceptInvitation({ token, password: PASSWORD })).toMatchObject({ isNewUser: true });
  });

  it('of a tenant is not sent once it was taken back, and once when it was asked for twice', async () => {
    const app = await start();
    const { tenantId } = await seed(app);
    const [kept, revoked] = [freshEmail(), freshEmail()];
    const last = await app.users.runInTransaction(async () => {
      const { invitation } = await app.invitations.sendInvitation({ email: revoked, tenantId });
      await app.invitations.revokeInvitation(invitation.id, tenantId);
      const first = await app.invitations.sendInvitation({ email: kept, tenantId });
      return app.invitations.resendInvitation(first.invitation.id, tenantId);
    });
    expect((await app.sender.waitFor('invitation')).token).toBe(last.reveal().token);
    await app.invitations.sendInvitation({ email: freshEmail(), tenantId });
    await app.sender.waitFor('invitation');
    expect(app.sender.sent.map(({ to }) => to)).toEqual([kept, expect.any(String)]);
  });
});

describe('second factors', () => {
  it('are told of when they change, and their codes come by mail and work', async () => {
    const app = await start({ auth: { ...AUTH, twoFactor: { methods: ['totp', 'email'] } } });
    const [factors, twoFactor] = [app.context.get(SecondFactorCodeService), app.context.get(TwoFactorService)];
    const email = freshEmail();
    const { id } = await app.users.createUser({ email, password: PASSWORD });
    await app.verification.requestEmailVerification(id);
    await app.verification.verifyEmail({ token: (await app.sender.waitFor('email_verification')).token });
    await factors.enableSecondFactorCodes(id, 'email', { currentPassword: PASSWORD });
    expect(await app.sender.waitFor('second_factor_enabled')).toMatchObject({ to: email, userId: id });
    const refused = (await auth(app)
      .signIn({ email, password: PASSWORD })
      .catch((error: unknown) => error)) as SecondFactorRequiredError;
    const challengeToken = refused.challenge.token;
    await factors.sendSecondFactorCode({ challengeToken, kind: 'email' });
    const { code } = await app.sender.waitFor('second_factor_code', { to: email });
    const signedIn = await twoFactor.completeSignIn({ challengeToken, method: 'email', code, trustDevice: true });
    expect(signedIn).toMatchObject({ user: { id } });
    expect(await app.sender.waitFor('trusted_device_added')).toMatchObject({ to: email });
  });
});

describe('what was undone', () => {
  it('is never sent: neither for a user nor for a request that was rolled back', async () => {
    const { users, verification, recovery, sender } = await start();
    const email = freshEmail();
    const user = await users.createUser({ email });
    const undone = users.runInTransaction(async () => {
      const { id } = await users.createUser({ email: freshEmail() });
      await verification.requestEmailVerification(id);
      await recovery.requestPasswordReset({ email });
      await untilSent(READS_LOG, 3);
      throw new Error('undo');
    });
    await expect(undone).rejects.toThrow('undo');
    // What is asked for now comes behind it, in order.
    await verification.requestEmailVerification(user.id);
    await sender.waitFor('email_verification', { to: email });
    expect(sender.sent).toHaveLength(1);
  });

  it('by another request in the same transaction is sent once: the last one', async () => {
    const { users, recovery, sender } = await start();
    const email = freshEmail();
    await users.createUser({ email });
    const last = await users.runInTransaction(async () => {
      await recovery.requestPasswordReset({ email });
      await recovery.requestPasswordReset({ email });
      return (await recovery.requestPasswordReset({ email })).reveal();
    });
    expect((await sender.waitFor('password_reset')).token).toBe(last?.token);
    const other = freshEmail();
    await users.createUser({ email: other });
    await recovery.requestPasswordReset({ email: other });
    await sender.waitFor('password_reset', { to: other });
    expect(sender.sent).toHaveLength(2);
  });
});

describe('sending', () => {
  it('needs no more than one connection', async () => {
    const { users, recovery, sender } = await start({ pool: 1 });
    const emails = [freshEmail(), freshEmail(), freshEmail()];
    for (const email of emails) {
      await users.createUser({ email });
      await recovery.requestPasswordReset({ email });
    }
    for (const to of emails) await sender.waitFor('password_reset', { to });
    expect(sender.sent.map(({ to }) => to)).toEqual(emails);
  });

  it('reads for the whole platform where row-level security is on', async () => {
    const database = await createRlsDatabase();
    open.push(() => database.drop());
    const sender = new CapturingSender();
    const made = await startRlsApp(database, { auth: deliveryBy(sender) });
    open.push(() => made.close());
    const app = withServices(made, sender);
    const tenantId = await made.tenant.withoutTenant(
      'seed',
      async () => (await app.tenants.createTenant({ name: 'Walled', slug: 'walled' })).id,
    );
    const email = freshEmail();
    const member = await made.tenant.run(tenantId, () => app.users.createUser({ email }, tenantId));
    await made.tenant.run(tenantId, () => app.invitations.sendInvitation({ email: freshEmail(), tenantId }));
    await app.recovery.requestPasswordReset({ email });
    expect(await sender.waitFor('invitation')).toMatchObject({ tenantName: 'Walled' });
    expect(await sender.waitFor('password_reset')).toMatchObject({ to: email, userId: member.id });
  });
});

describe('SEC-33: the link of a mail', () => {
  it('leads where the options say, whatever host the request names', async () => {
    const { url, drop } = await createTestDatabase();
    open.push(drop);
    const sender = new CapturingSender();
    const { port, app } = await startHttp(url, sender);
    const email = freshEmail();
    await app.get(UserService).createUser({ email });
    expect(await post(port, { email }, EVIL)).toBe(201);
    const { url: link, token } = await sender.waitFor('password_reset', { to: email });
    expect(link).toBe(`https://app.example.com/reset#${token}`);
    expect(JSON.stringify(sender.sent)).not.toContain('evil.example');
  });
});

const EVIL = {
  host: 'evil.example',
  'x-forwarded-host': 'evil.example',
  'x-forwarded-proto': 'http',
  forwarded: 'host=evil.example;proto=http',
  origin: 'https://evil.example',
  referer: 'https://evil.example/reset',
};

@Controller()
class ForgottenController {
  constructor(private readonly recovery: PasswordRecoveryService) {}

  @Post('forgotten')
  async forgotten(@Body() { email }: { email: string }): Promise<void> {
    await this.recovery.requestPasswordReset({ email });
  }
}

async function startHttp(url: string, sender: CapturingSender): Promise<{ port: number; app: INestApplication }> {
  @Module({
    imports: [
      EventEmitterModule.forRoot(),
      TypeOrmModule.forRoot({ type: 'postgres', url, entities: [...NestAuthEntities], retryAttempts: 0 }),
      NestAuthModule.forRoot({ statements: { prepared: PREPARED }, ...deliveryBy(sender) }),
    ],
    controllers: [ForgottenController],
  })
  class Host {}
  const app = await NestFactory.create(Host, { logger: false });
  open.push(() => app.close());
  await app.listen(0, '127.0.0.1');
  return { port: ((app.getHttpServer() as Server).address() as AddressInfo).port, app };
}

async function post(port: number, body: object, headers: Record<string, string>): Promise<number | undefined> {
  const outgoing = request({
    host: '127.0.0.1',
    port,
    path: '/forgotten',
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
  });
  outgoing.end(JSON.stringify(body));
  const [answer] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
  answer.resume();
  return answer.statusCode;
}

import { stdout } from 'node:process';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  AuthService,
  InvitationService,
  type NestAuthModuleOptions,
  PasswordService,
  RoleGuardEnum,
  RoleService,
  TwoFactorService,
  UserService,
  VerificationService,
} from 'nest-auth-identity';
import { smtpSender } from 'nest-auth-identity/nodemailer';
import { expectAtomic } from 'nest-auth-identity/testing';
import { DataSource } from 'typeorm';

import { AppUser } from '../../../examples/portal/app/app-user.entity.js';
import { PortalModule } from '../../../examples/portal/app/portal.module.js';
import { PortalUserService } from '../../../examples/portal/app/portal-user.service.js';
import { showInvited } from '../../../examples/portal/demo/invited.js';
import { PostOffice } from '../../../examples/portal/demo/post-office.js';
import { createSetting, type Setting } from '../../../examples/portal/demo/setting.js';
import { untilWelcomed } from '../../../examples/portal/demo/welcome.js';
import { PREPARED } from '../../support/connection-mode.js';
import { createTestDatabase, ON_CLUSTER, useDatabase } from '../../support/database.js';
import { until } from '../../support/until.js';

// Before the database goes, or the subscriber would look for it in vain.
afterAll(async () => {
  await app.close();
  await office.close();
});

const PASSWORD = 'a long walk on a short pier';
const database = useDatabase({ plain: ON_CLUSTER });
let app: INestApplication;
let office: PostOffice;
let setting: Setting;
let printed = '';
let serial = 0;

beforeAll(async () => {
  office = await PostOffice.open();
  const sender = smtpSender({ url: office.url, from: 'portal@example.com' });
  const auth = { statements: { prepared: PREPARED }, subscribers: { pollMs: 50 }, delivery: { sender } };
  app = await startPortal(auth);
  setting = await createSetting(app);
});

afterEach(() => {
  jest.restoreAllMocks();
});

async function startPortal(auth: NestAuthModuleOptions, url = database.url): Promise<INestApplication> {
  const module = await Test.createTestingModule({ imports: [PortalModule.connectedTo(url, auth)] }).compile();
  const started = module.createNestApplication({ logger: false });
  await started.listen(0, '127.0.0.1');
  return started;
}

function capture(): void {
  printed = '';
  jest.spyOn(stdout, 'write').mockImplementation((text) => (printed += String(text)) !== '');
}

const tenantOf = (slug: string): string => setting.tenants.get(slug)?.id ?? '';
const roleOf = (name: string): string => setting.roleIds.get(name) ?? '';
const library = (): string => tenantOf('lumen-library');

function freshEmail(): string {
  serial += 1;
  return `invited.${serial}@example.com`;
}

async function invitation(email = freshEmail(), tenantId = library()): Promise<{ email: string; token: string }> {
  const issued = await app.get(InvitationService).sendInvitation({ email, tenantId, roleIds: [roleOf('member')] });
  return { email, token: issued.reveal().token };
}

async function ask(method: string, path: string, token?: string, body?: object, at = app) {
  const response = await fetch(`${await at.getUrl()}${path}`, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const read: unknown = text === '' ? {} : JSON.parse(text);
  return {
    status: response.status,
    body: read as Record<string, unknown>,
    cache: response.headers.get('cache-control'),
  };
}

async function signedIn(roleId: string): Promise<string> {
  const login = { email: freshEmail(), password: PASSWORD, tenantId: library() };
  await app.get(PortalUserService).createPortalUser({ ...login, displayName: 'Somebody', roleIds: [roleId] });
  return (await app.get(AuthService).signIn(login)).accessToken;
}

describe('accepting an invitation', () => {
  it('makes auth user, membership and AppUser, of which each statement may fail without leaving anything', async () => {
    const { email, token } = await invitation();
    await untilWelcomed(database.url);
    const accept = () => app.get(PortalUserService).acceptInvitation({ token, displayName: 'Noor', locale: 'de' });
    const { statements } = await expectAtomic(app.get(DataSource), accept);
    expect(statements.length).toBeGreaterThan(5);
    const user = await app.get(UserService).getUserByEmail(email);
    expect(user).toMatchObject({ status: 'active', emailVerifiedAt: expect.any(Date) });
    const appUser = await app.get(DataSource).manager.findOneByOrFail(AppUser, { authUserId: user?.id ?? '' });
    expect(appUser).toMatchObject({ email, displayName: 'Noor', locale: 'de' });
  }, 120_000);

  it('leaves the invitation as it was when AppUser is refused, for the same link', async () => {
    const { email, token } = await invitation();
    const body = { token, displayName: 'Noor', password: PASSWORD };
    const refused = await ask('POST', '/invitations/accept', undefined, { ...body, locale: 'xx' });
    expect(refused).toMatchObject({ status: 422, body: { code: 'LOCALE_REFUSED' } });
    expect(await app.get(UserService).getUserByEmail(email)).toBeNull();
    const { items } = await app.get(InvitationService).listInvitations({ tenantId: library(), email });
    expect(items).toMatchObject([{ status: 'pending', acceptedBy: null }]);
    expect(await ask('POST', '/invitations/accept', undefined, body)).toMatchObject({ status: 201 });
  });

  it('lets somebody who is known into another tenant, with the AppUser that there is', async () => {
    const { email, token } = await invitation();
    const made = await app.get(PortalUserService).acceptInvitation({ token, displayName: 'Noor', password: PASSWORD });
    const school = tenantOf('alder-school');
    const second = await invitation(email, school);
    const preview = await ask('POST', '/invitations/preview', undefined, { token: second.token });
    expect(preview.body).toMatchObject({ tenantName: 'Alder Street School', email, hasAccount: true });
    const again = await app.get(PortalUserService).acceptInvitation({ token: second.token, displayName: 'Other' });
    expect(again).toMatchObject({ id: made.id, displayName: 'Noor' });
    expect(await app.get(UserService).isUserInTenant(made.authUserId, school)).toBe(true);
  });

  it('hashes no password by a token that is none', async () => {
    const hash = jest.spyOn(app.get(PasswordService), 'hash');
    const { token } = await invitation();
    const wrong = { token: `${token.slice(0, -2)}xx`, displayName: 'Noor', password: PASSWORD };
    const answer = await ask('POST', '/invitations/accept', undefined, wrong);
    expect(answer).toMatchObject({ status: 404, body: { code: 'INVITATION_INVALID' } });
    expect(hash).not.toHaveBeenCalled();
  });
});

describe('inviting', () => {
  it('SEC-31 gives nobody what the inviter does not hold', async () => {
    const host = { name: 'host', guard: RoleGuardEnum.PORTAL, tenantId: library() };
    const { id } = await app.get(RoleService).createRole({ ...host, permissions: ['members.invite'] });
    const token = await signedIn(id);
    const manager = { email: freshEmail(), roleIds: [roleOf('manager')] };
    const refused = await ask('POST', '/portal/invitations', token, manager);
    expect(refused).toMatchObject({ status: 403, body: { code: 'GRANT_NOT_HELD' } });
    expect(await ask('POST', '/portal/invitations', token, { email: manager.email })).toMatchObject({ status: 201 });
  });

  it('answers no token, lists, sends again and takes back', async () => {
    const token = await signedIn(roleOf('manager'));
    const email = freshEmail();
    const seen = office.mails.length;
    const { body: sent } = await ask('POST', '/portal/invitations', token, { email });
    const { body: resent } = await ask('POST', `/portal/invitations/${String(sent['id'])}/resend`, token);
    expect([sent, resent]).toMatchObject([
      { status: 'pending', issue: 1 },
      { status: 'pending', issue: 2 },
    ]);
    const { text } = await office.nextTo(email, seen);
    const [, mailed = ''] = /#(\S+)/.exec(text) ?? [];
    expect(JSON.stringify([sent, resent])).not.toContain(mailed.split('.')[1]);
    expect(await ask('DELETE', `/portal/invitations/${String(sent['id'])}`, token)).toMatchObject({ status: 204 });
    const { body } = await ask('GET', '/portal/invitations', token);
    expect(body['items']).toEqual(expect.arrayContaining([expect.objectContaining({ email, status: 'revoked' })]));
  });
});

describe('another email', () => {
  it('is that of auth user and AppUser, or of neither, whichever statement fails', async () => {
    const { token } = await invitation();
    const portal = app.get(PortalUserService);
    const { authUserId } = await portal.acceptInvitation({ token, displayName: 'Noor', password: PASSWORD });
    const email = freshEmail();
    const request = { userId: authUserId, email, currentPassword: PASSWORD };
    const proof = (await app.get(VerificationService).requestEmailChange(request)).reveal();
    const change = proof !== null && 'token' in proof ? proof.token : '';
    await untilWelcomed(database.url);
    await expectAtomic(app.get(DataSource), () => portal.confirmEmailChange(change));
    expect(await app.get(DataSource).manager.findOneByOrFail(AppUser, { authUserId })).toMatchObject({ email });
    expect(await app.get(UserService).getUserById(authUserId)).toMatchObject({ email });
  }, 120_000);
});

describe('the routes of recovery and of the second factor', () => {
  it('SEC-08 answer the same to whoever has forgotten a password, known or not', async () => {
    const { email, token } = await invitation();
    await app.get(PortalUserService).acceptInvitation({ token, displayName: 'Noor', password: PASSWORD });
    const known = await ask('POST', '/auth/password/forgotten', undefined, { email });
    expect(known).toMatchObject({ status: 202 });
    expect(await ask('POST', '/auth/password/forgotten', undefined, { email: freshEmail() })).toEqual(known);
  });

  it('SEC-47 answer secrets that nothing on the way may keep', async () => {
    const token = await signedIn(roleOf('manager'));
    const enrolled = await ask('POST', '/auth/second-factor', token, { currentPassword: PASSWORD });
    const key = await ask('POST', '/auth/api-keys', token, { name: 'report', scopes: ['members.read'] });
    for (const answer of [enrolled, key]) expect(answer).toMatchObject({ status: 201, cache: 'no-store' });
  });

  it('SEC-07 ask for the current password before there is another one', async () => {
    const token = await signedIn(roleOf('member'));
    const another = { currentPassword: 'not the one that it is', newPassword: 'two herons by the weir at noon' };
    expect(await ask('POST', '/auth/password', token, another)).toMatchObject({
      status: 401,
      body: { code: 'INVALID_CREDENTIALS' },
    });
    const right = { ...another, currentPassword: PASSWORD };
    expect(await ask('POST', '/auth/password', token, right)).toMatchObject({ status: 204 });
  });
});

describe('the captured mails', () => {
  it('are shown where there is no mail server, and only there, to those who run the platform', async () => {
    const { url, drop } = await createTestDatabase({ plain: ON_CLUSTER });
    const bare = await startPortal({ statements: { prepared: PREPARED }, subscribers: { pollMs: 50 } }, url);
    try {
      const accessToken = await root(bare);
      const email = 'root@example.com';
      await ask('POST', '/auth/password/forgotten', undefined, { email }, bare);
      const list = async () => (await ask('GET', '/captured-mails', accessToken, undefined, bare)).body as unknown;
      await until('the mail', async () => ((await list()) as unknown[]).length > 0);
      const link = expect.stringMatching(/^https:\/\/portal\.example\.com\/reset-password#[\w-]+\.[\w-]+$/);
      expect(await list()).toMatchObject([{ kind: 'password_reset', to: email, url: link }]);
    } finally {
      await bare.close();
      await drop();
    }
    expect(await ask('GET', '/captured-mails', await root(app))).toMatchObject({ status: 404 });
  });
});

/** Runs the platform, and is signed in. */
async function root(portal: INestApplication): Promise<string> {
  const login = { email: 'root@example.com', password: PASSWORD };
  const owner = await portal.get(RoleService).getRoleByName('platform-owner', RoleGuardEnum.ADMIN);
  const person = { ...login, displayName: 'Root', roleIds: [owner?.id ?? ''] };
  await portal.get(PortalUserService).createAdmin(person);
  return (await portal.get(AuthService).signIn(login)).accessToken;
}

describe('the demo of invitations, recovery and second factors', () => {
  it('holds, and notices when AppUser keeps the old email', async () => {
    capture();
    const held = await showInvited(app, database.url, setting, office);
    expect(printed).not.toContain('✗');
    expect(held).toBe(true);
    capture();
    jest.spyOn(app.get(PortalUserService), 'confirmEmailChange').mockImplementation(async (token) => {
      const { email } = await app.get(VerificationService).confirmEmailChange({ token });
      return { email } as AppUser;
    });
    expect(await showInvited(app, database.url, setting, office, 'half')).toBe(false);
    expect(printed).toContain('✗ AppUser has the new email');
  }, 60_000);

  it('notices a code that works twice', async () => {
    capture();
    const twoFactor = app.get(TwoFactorService);
    const complete = twoFactor.completeSignIn.bind(twoFactor);
    let last: Awaited<ReturnType<typeof complete>> | undefined;
    jest.spyOn(twoFactor, 'completeSignIn').mockImplementation(async (...input) => {
      try {
        return (last = await complete(...input));
      } catch (error) {
        if (last === undefined) throw error;
        return last;
      }
    });
    expect(await showInvited(app, database.url, setting, office, 'twice')).toBe(false);
    expect(printed).toMatch(/✗ {2}the same code does not work twice/);
  }, 60_000);
});

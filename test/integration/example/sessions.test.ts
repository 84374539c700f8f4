import { stdout } from 'node:process';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { AuthService, SessionService, type SessionTokens } from 'nest-auth-identity';

import { PortalModule } from '../../../examples/portal/app/portal.module.js';
import { PortalUserService } from '../../../examples/portal/app/portal-user.service.js';
import { showSessions } from '../../../examples/portal/demo/sessions.js';
import { createSetting, type Setting } from '../../../examples/portal/demo/setting.js';
import { PREPARED } from '../../support/connection-mode.js';
import { useDatabase } from '../../support/database.js';

// Before the database goes, or the subscriber would look for it in vain.
afterAll(() => app.close());

const PASSWORD = 'a long walk on a short pier';
const database = useDatabase();
let app: INestApplication;
let setting: Setting;
let serial = 0;

beforeAll(async () => {
  const module = await Test.createTestingModule({
    imports: [
      PortalModule.connectedTo(database.url, { statements: { prepared: PREPARED }, subscribers: { enabled: false } }),
    ],
  }).compile();
  app = module.createNestApplication({ logger: false });
  await app.listen(0, '127.0.0.1');
  setting = await createSetting(app);
});

afterEach(() => {
  jest.restoreAllMocks();
});

const tenantOf = (slug: string): string => setting.tenants.get(slug)?.id ?? '';

async function signIn(slug: string, role: string): Promise<SessionTokens & { email: string }> {
  serial += 1;
  const email = `somebody.${serial}@example.com`;
  const person = { email, password: PASSWORD, displayName: 'Somebody', roleIds: [setting.roleIds.get(role) ?? ''] };
  const tenantId = tenantOf(slug);
  await app.get(PortalUserService).createPortalUser({ ...person, tenantId });
  return { ...(await app.get(AuthService).signIn({ email, password: PASSWORD, tenantId })), email };
}

async function operator(): Promise<SessionTokens> {
  serial += 1;
  const email = `operator.${serial}@example.com`;
  const roleIds = [setting.roleIds.get('platform-support') ?? ''];
  await app.get(PortalUserService).createAdmin({ email, password: PASSWORD, displayName: 'Operator', roleIds });
  return app.get(AuthService).signIn({ email, password: PASSWORD });
}

async function ask(method: string, path: string, token?: string, body?: object) {
  const response = await fetch(`${await app.getUrl()}${path}`, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const read = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
  return { status: response.status, code: read['code'], body: read, cache: response.headers.get('cache-control') };
}

const NOBODY = '01900000-0000-7000-8000-000000000000';

/** Every route but those that are public, with who may use it. */
const ROUTES: [route: string, who: 'anybody' | 'manager' | 'operator' | 'owner'][] = [
  ['GET /auth/me', 'anybody'],
  ['GET /auth/sessions', 'anybody'],
  [`DELETE /auth/sessions/${NOBODY}`, 'anybody'],
  ['GET /portal/users', 'manager'],
  ['POST /portal/users', 'manager'],
  [`DELETE /portal/users/${NOBODY}`, 'manager'],
  ['POST /admin/users', 'owner'],
  ['GET /users', 'operator'],
  [`GET /users/${NOBODY}`, 'operator'],
  [`GET /users/${NOBODY}/timeline`, 'operator'],
  [`PATCH /users/${NOBODY}`, 'owner'],
  [`DELETE /users/${NOBODY}`, 'owner'],
  ['GET /mails', 'operator'],
  ['POST /portal/invitations', 'manager'],
  ['GET /portal/invitations', 'manager'],
  [`POST /portal/invitations/${NOBODY}/resend`, 'manager'],
  [`DELETE /portal/invitations/${NOBODY}`, 'manager'],
  ['POST /auth/password', 'anybody'],
  ['POST /auth/email', 'anybody'],
  ['POST /auth/email/verification', 'anybody'],
  ['POST /auth/second-factor', 'anybody'],
  ['POST /auth/second-factor/confirm', 'anybody'],
  ['GET /auth/second-factor', 'anybody'],
  ['GET /captured-mails', 'owner'],
  ['POST /auth/sign-out-everywhere', 'anybody'],
];

describe('the routes of the portal', () => {
  it.each(ROUTES)('%s is for %s', async (route, who) => {
    const [method = '', path = ''] = route.split(' ');
    const body = method === 'GET' ? undefined : {};
    expect(await ask(method, path, undefined, body)).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
    const people = {
      member: await signIn('lumen-library', 'member'),
      manager: await signIn('lumen-library', 'manager'),
      operator: await operator(),
    };
    const refused: string[] = [];
    for (const [name, { accessToken }] of Object.entries(people)) {
      const { code } = await ask(method, path, accessToken, body);
      if (code === 'PERMISSION_DENIED') refused.push(name);
    }
    const expected = {
      anybody: [],
      manager: ['member', 'operator'],
      operator: ['member', 'manager'],
      owner: ['member', 'manager', 'operator'],
    };
    expect(refused).toEqual(expected[who]);
  });

  it('SEC-60 take no tenant from a request', async () => {
    const { accessToken } = await signIn('lumen-library', 'manager');
    const school = tenantOf('alder-school');
    const naming = { tenantId: school, email: 'pupil@example.com', displayName: 'Pupil' };
    expect(await ask('POST', '/portal/users', accessToken, naming)).toMatchObject({ status: 400 });
    const { body } = await ask('GET', `/portal/users?tenantId=${school}`, accessToken);
    const here = await ask('GET', '/portal/users', accessToken);
    expect(body).toEqual(here.body);
  });

  it('SEC-61 let nobody take a member out of another tenant', async () => {
    const pupil = await signIn('alder-school', 'member');
    const { accessToken } = await signIn('lumen-library', 'manager');
    const missing = await ask('DELETE', `/portal/users/${NOBODY}`, accessToken);
    expect(await ask('DELETE', `/portal/users/${pupil.userId}`, accessToken)).toEqual(missing);
    expect(missing).toMatchObject({ status: 404, code: 'USER_NOT_FOUND' });
    const school = await signIn('alder-school', 'manager');
    expect(await ask('DELETE', `/portal/users/${pupil.userId}`, school.accessToken)).toMatchObject({ status: 204 });
    expect(await ask('GET', '/auth/me', pupil.accessToken)).toMatchObject({ status: 401 });
  });

  it('SEC-46 list and end one’s own sessions, and answer 404 for those of others', async () => {
    const mine = await signIn('lumen-library', 'member');
    const yours = await signIn('lumen-library', 'member');
    const again = await app.get(AuthService).signIn({ email: mine.email, password: PASSWORD });
    const { body } = await ask('GET', '/auth/sessions', mine.accessToken);
    const items = body['items'] as { id: string; isThis: boolean }[];
    expect(Object.fromEntries(items.map(({ id, isThis }) => [id, isThis]))).toEqual({
      [mine.sessionId]: true,
      [again.sessionId]: false,
    });
    const end = (id: string) => ask('DELETE', `/auth/sessions/${id}`, mine.accessToken);
    expect(await end(yours.sessionId)).toMatchObject({ status: 404, code: 'SESSION_NOT_FOUND' });
    expect(await ask('GET', '/auth/me', yours.accessToken)).toMatchObject({ status: 200 });
    expect(await end(again.sessionId)).toMatchObject({ status: 204 });
    expect(await ask('GET', '/auth/me', again.accessToken)).toMatchObject({ status: 401 });
  });

  it('SEC-47 answer tokens that nothing on the way may keep', async () => {
    const { email, refreshToken } = await signIn('lumen-library', 'member');
    const tenantId = tenantOf('lumen-library');
    const signedIn = await ask('POST', '/auth/sign-in', undefined, { email, password: PASSWORD });
    const refreshed = await ask('POST', '/auth/refresh', undefined, { refreshToken });
    const next = { refreshToken: refreshed.body['refreshToken'], tenantId };
    const switched = await ask('POST', '/auth/switch', undefined, next);
    for (const answer of [signedIn, refreshed, switched])
      expect(answer).toMatchObject({ status: 200, cache: 'no-store' });
    expect(JSON.stringify(signedIn.body)).not.toMatch(/password|argon2/);
    const out = { refreshToken: switched.body['refreshToken'] };
    expect(await ask('POST', '/auth/sign-out', undefined, out)).toMatchObject({ status: 204 });
    expect(await ask('POST', '/auth/refresh', undefined, out)).toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
  });
});

describe('the demo of signing in', () => {
  it('holds, and notices when signing out ends nothing', async () => {
    const printed: string[] = [];
    jest.spyOn(stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
    expect(await showSessions(app, database.url, setting)).toBe(true);
    expect(printed.join('')).not.toContain('✗');
    jest.spyOn(app.get(SessionService), 'revokeAllSessions').mockResolvedValue(2);
    expect(await showSessions(app, database.url, setting, 'mara.again@example.com')).toBe(false);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { AuthService, UserService } from 'nest-auth-identity';
import { expectAtomic } from 'nest-auth-identity/testing';
import { DataSource } from 'typeorm';

import { AppUser } from '../../../examples/portal/app/app-user.entity.js';
import { PortalModule } from '../../../examples/portal/app/portal.module.js';
import { PortalUserService } from '../../../examples/portal/app/portal-user.service.js';
import { happenedIn, holds, readInvariants } from '../../../examples/portal/demo/invariants.js';
import { createSetting, type Setting } from '../../../examples/portal/demo/setting.js';
import { untilWelcomed } from '../../../examples/portal/demo/welcome.js';
import { PREPARED } from '../../support/connection-mode.js';
import { ON_CLUSTER, useDatabase, withClient } from '../../support/database.js';

// Before the database goes, or the subscriber would look for it in vain.
afterAll(() => app.close());

const database = useDatabase({ plain: ON_CLUSTER });
let app: INestApplication;
let setting: Setting;
let serial = 0;

beforeAll(async () => {
  const module = await Test.createTestingModule({
    imports: [
      PortalModule.connectedTo(database.url, { statements: { prepared: PREPARED }, subscribers: { pollMs: 100 } }),
    ],
  }).compile();
  app = module.createNestApplication({ logger: false });
  await app.listen(0, '127.0.0.1');
  setting = await createSetting(app);
});

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** Somebody who may do everything: on the platform, or in one tenant. */
interface Administrator {
  readonly id: string;
  readonly token: string;
}

const administrators = new Map<string | null, Promise<Administrator>>();

function administratorOf(tenantId: string | null): Promise<Administrator> {
  const known = administrators.get(tenantId) ?? makeAdministrator(tenantId);
  administrators.set(tenantId, known);
  return known;
}

async function makeAdministrator(tenantId: string | null): Promise<Administrator> {
  const portal = app.get(PortalUserService);
  const login = {
    email: `administrator.${tenantId ?? 'platform'}@example.com`,
    password: 'a long walk on a short pier',
  };
  const person = {
    ...login,
    displayName: 'Admin',
    roleIds: [roleId(tenantId === null ? 'platform-owner' : 'manager')],
  };
  const { authUserId: id } = await (tenantId === null
    ? portal.createAdmin(person)
    : portal.createPortalUser({ ...person, tenantId }));
  const { accessToken: token } = await app.get(AuthService).signIn({ ...login, tenantId });
  return { id, token };
}

/** By an administrator of the platform; a member is made by whoever runs the tenant. */
async function send(method: string, path: string, input?: unknown): Promise<Answer> {
  const isMember = path === '/portal/users';
  const { tenantId = null, ...member } = (input ?? {}) as { tenantId?: string | null };
  const body = isMember ? member : input;
  const { token } = await administratorOf(isMember ? tenantId : null);
  const response = await fetch(`${await app.getUrl()}${path}`, {
    method,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) };
}

function newcomer(changes: Record<string, unknown> = {}): Record<string, unknown> & { email: string } {
  serial += 1;
  const tenantId = setting.tenants.get('kestrel-freight')?.id;
  return { tenantId, email: `newcomer.${serial}@example.com`, displayName: 'Ada', ...changes };
}

async function created(changes: Record<string, unknown> = {}): Promise<{ id: string; email: string }> {
  const input = newcomer(changes);
  const { status, body } = await send('POST', '/portal/users', input);
  expect(status).toBe(201);
  return { id: String(body['authUserId']), email: input.email };
}

const roleId = (name: string): string => setting.roleIds.get(name) ?? name;

/** Rows anywhere that belong to an email. */
async function traces(email: string): Promise<Record<string, number>> {
  const { rows } = await withClient(database.url, (client) =>
    client.query<Record<string, number>>(
      `SELECT (SELECT count(*)::int FROM nest_auth_users WHERE email_norm = $1) AS users,
         (SELECT count(*)::int FROM nest_auth_identities WHERE provider_id = $1) AS identities,
         (SELECT count(*)::int FROM app_users WHERE lower(email) = $1) AS "appUsers"`,
      [email.toLowerCase()],
    ),
  );
  return rows[0] ?? {};
}

const NO_TRACE = { users: 0, identities: 0, appUsers: 0 };
const ONE_USER = { users: 1, identities: 1, appUsers: 1 };

/** Once the subscriber has got to the end of the log. */
const mailsTo = async (email: string): Promise<number> => {
  await untilWelcomed(database.url);
  const { body } = await send('GET', '/mails');
  return (body as unknown as { recipient: string }[]).filter(({ recipient }) => recipient === email).length;
};

describe('creating a portal user', () => {
  it('makes a member of the tenant who has the permissions of the roles', async () => {
    const roleIds = [roleId('member'), roleId('kestrel-freight/dispatcher')];
    const { id } = await created({
      roleIds,
      phone: '0151 23456789',
      phoneCountryCode: 'DE',
      password: 'a long walk on a short pier',
    });
    const { body } = await send('GET', `/users/${id}`);
    expect(body).toMatchObject({ phone: '+4915123456789', displayName: 'Ada', status: 'active' });
    const permissions = ['orders.assign', 'orders.read', 'profile.read', 'profile.write'];
    expect(body['tenants']).toMatchObject([{ slug: 'kestrel-freight', permissions }]);
    expect(JSON.stringify(body)).not.toContain('argon2');
  });

  it.each([
    ['DATE_OF_BIRTH_REFUSED', { dateOfBirth: '2999-01-01' }],
    ['DATE_OF_BIRTH_REFUSED', { dateOfBirth: '1899-12-31' }],
    ['DISPLAY_NAME_REFUSED', { displayName: 'x'.repeat(81) }],
    ['DISPLAY_NAME_REFUSED', { displayName: '  ' }],
    ['LOCALE_REFUSED', { locale: 'xx' }],
  ])('leaves nothing behind after %s with %p, and the same email works at once', async (code, fault) => {
    const input = newcomer({ invite: true, roleIds: [roleId('member')] });
    const refused = await send('POST', '/portal/users', { ...input, ...fault });
    expect(refused).toMatchObject({ status: 422, body: { statusCode: 422, code } });
    expect(refused.body['details']).toEqual({ fields: Object.keys(fault) });
    expect(await traces(input.email)).toEqual(NO_TRACE);
    expect(await mailsTo(input.email)).toBe(0);
    expect(await send('POST', '/portal/users', input)).toMatchObject({ status: 201 });
    expect(await traces(input.email)).toEqual(ONE_USER);
    expect(await mailsTo(input.email)).toBe(1);
  });

  it('makes one user of 20 requests at once with one email', async () => {
    const input = newcomer();
    const answers = await Promise.all(Array.from({ length: 20 }, () => send('POST', '/portal/users', input)));
    const codes = answers.map(({ status, body }) => body['code'] ?? status);
    expect(codes.filter((code) => code === 201)).toHaveLength(1);
    expect(codes.filter((code) => code === 'EMAIL_ALREADY_EXISTS')).toHaveLength(19);
    expect(await traces(input.email)).toEqual(ONE_USER);
  });

  it.each([
    [409, 'EMAIL_ALREADY_EXISTS', async () => ({ email: (await created()).email.toUpperCase() })],
    [422, 'ROLE_SCOPE_MISMATCH', () => ({ roleIds: [roleId('lumen-library/archivist')] })],
    [422, 'ROLE_SCOPE_MISMATCH', () => ({ roleIds: [roleId('platform-owner')] })],
    [404, 'ROLE_NOT_FOUND', () => ({ roleIds: ['01900000-0000-7000-8000-000000000000'] })],
    [400, 'VALIDATION_FAILED', () => ({ email: 'nobody' })],
    [400, 'VALIDATION_FAILED', () => ({ phone: '0151 23456789' })],
    [400, 'VALIDATION_FAILED', () => ({ dateOfBirth: '2001-02-31' })],
  ])('answers %i %s and adds no AppUser', async (status, code, fault) => {
    const changes = await fault();
    const before = await app.get(DataSource).manager.count(AppUser);
    expect(await send('POST', '/portal/users', newcomer(changes))).toMatchObject({ status, body: { code } });
    expect(await app.get(DataSource).manager.count(AppUser)).toBe(before);
  });

  it('finds no tenant that there is not', async () => {
    const tenantId = '01900000-0000-7000-8000-000000000000';
    const before = await app.get(DataSource).manager.count(AppUser);
    const creating = app.get(PortalUserService).createPortalUser({ ...newcomer(), displayName: 'Ada', tenantId });
    await expect(creating).rejects.toMatchObject({ code: 'TENANT_NOT_FOUND' });
    expect(await app.get(DataSource).manager.count(AppUser)).toBe(before);
  });

  it('names every field that it cannot read', async () => {
    const { body } = await send('POST', '/admin/users', {
      tenantId: 1,
      displayName: null,
      status: 'active',
      invite: 'x',
    });
    const { issues } = body['details'] as { issues: { path: string }[] };
    expect(issues.map(({ path }) => path)).toEqual(['tenantId', 'status', 'displayName', 'invite']);
  });

  it('takes four statements, of which each may fail without leaving anything', async () => {
    const input = { ...newcomer(), tenantId: setting.tenants.get('alder-school')?.id ?? '', displayName: 'Ada' };
    await untilWelcomed(database.url);
    const create = () =>
      app.get(PortalUserService).createPortalUser({ ...input, roleIds: [roleId('member')], invite: true });
    const { statements } = await expectAtomic(app.get(DataSource), create);
    expect(statements.length).toBeLessThanOrEqual(4);
    expect(await traces(input.email)).toEqual(ONE_USER);
    expect(await mailsTo(input.email)).toBe(1);
  });

  it('takes at most twelve in single steps, of which each may fail without leaving anything', async () => {
    const input = {
      ...newcomer({ phone: '+49 1512 3456780' }),
      tenantId: setting.tenants.get('alder-school')?.id ?? '',
    };
    const roleIds = [roleId('member'), roleId('alder-school/form-teacher')];
    const person = { ...input, displayName: 'Ada', password: 'a long walk on a short pier', roleIds, invite: true };
    await untilWelcomed(database.url);
    const create = () => app.get(PortalUserService).createPortalUserStepByStep(person);
    const { statements } = await expectAtomic(app.get(DataSource), create);
    expect(statements.length).toBeLessThanOrEqual(12);
    expect(await traces(input.email)).toEqual(ONE_USER);
    expect(await mailsTo(input.email)).toBe(1);
  });
});

describe('creating an administrator', () => {
  it('gives platform permissions and no tenant', async () => {
    const { tenantId: _, ...admin } = newcomer({ roleIds: [roleId('platform-owner')] });
    const { status, body } = await send('POST', '/admin/users', admin);
    expect(status).toBe(201);
    const { body: found } = await send('GET', `/users/${String(body['authUserId'])}`);
    expect(found).toMatchObject({
      tenants: [],
      platformPermissions: ['*', 'tenants.read', 'tenants.write', 'users.read', 'users.write'],
    });
  });

  it('refuses a role of the portal', async () => {
    const { tenantId: _, ...admin } = newcomer({ roleIds: [roleId('member')] });
    expect(await send('POST', '/admin/users', admin)).toMatchObject({
      status: 422,
      body: { code: 'ROLE_SCOPE_MISMATCH' },
    });
    expect(await traces(admin.email)).toEqual(NO_TRACE);
  });
});

describe('changing a user', () => {
  it('changes auth user, identity and AppUser together', async () => {
    const { id, email } = await created();
    const changed = await send('PATCH', `/users/${id}`, { email: `Renamed.${email}`, displayName: 'Renamed' });
    expect(changed).toMatchObject({ status: 200, body: { email: `Renamed.${email}`, displayName: 'Renamed' } });
    expect(await traces(email)).toEqual(NO_TRACE);
    expect(await traces(`renamed.${email}`)).toEqual(ONE_USER);
  });

  it('changes nothing when the email is somebody else’s', async () => {
    const other = await created();
    const { id, email } = await created();
    const refused = await send('PATCH', `/users/${id}`, { email: other.email, displayName: 'Never Seen' });
    expect(refused).toMatchObject({ status: 409, body: { code: 'EMAIL_ALREADY_EXISTS' } });
    expect((await send('GET', `/users/${id}`)).body).toMatchObject({ email, displayName: 'Ada' });
  });

  it('takes a new email back when AppUser refuses the rest', async () => {
    const { id, email } = await created();
    const refused = await send('PATCH', `/users/${id}`, { email: `free.${email}`, locale: 'xx' });
    expect(refused).toMatchObject({ status: 422, body: { code: 'LOCALE_REFUSED' } });
    expect(await traces(email)).toEqual(ONE_USER);
    expect(await traces(`free.${email}`)).toEqual(NO_TRACE);
  });

  it('is undone whichever of its statements fails', async () => {
    const { id, email } = await created();
    const update = () => app.get(PortalUserService).updateUser(id, { email: `whole.${email}`, displayName: 'Whole' });
    await untilWelcomed(database.url);
    await expectAtomic(app.get(DataSource), update);
    expect(await traces(`whole.${email}`)).toEqual(ONE_USER);
  });

  it('answers 404 for nobody and 400 for no id', async () => {
    const nobody = await send('PATCH', '/users/01900000-0000-7000-8000-000000000000', { displayName: 'Nobody' });
    expect(nobody).toMatchObject({ status: 404, body: { code: 'USER_NOT_FOUND' } });
    expect(await send('PATCH', '/users/1', {})).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
  });
});

describe('deleting a user', () => {
  it('leaves no row, and the email is free at once', async () => {
    const { id, email } = await created({ roleIds: [roleId('member')] });
    expect(await send('DELETE', `/users/${id}`)).toMatchObject({ status: 204 });
    expect(await traces(email)).toEqual(NO_TRACE);
    expect(await send('GET', `/users/${id}`)).toMatchObject({ status: 404, body: { code: 'USER_NOT_FOUND' } });
    expect(await send('DELETE', `/users/${id}`)).toMatchObject({ status: 404 });
    await created({ email });
  });

  it('is undone whichever of its statements fails', async () => {
    const { id, email } = await created();
    await untilWelcomed(database.url);
    await expectAtomic(app.get(DataSource), () => app.get(PortalUserService).deleteUser(id));
    expect(await traces(email)).toEqual(NO_TRACE);
  });

  it('is refused by the database for somebody whose AppUser is still there', async () => {
    const { id, email } = await created();
    await expect(app.get(UserService).deleteUser(id)).rejects.toMatchObject({ code: 'USER_IN_USE' });
    expect(await traces(email)).toEqual(ONE_USER);
  });
});

describe('listing users', () => {
  it('shows every member of a tenant once, page by page', async () => {
    const tenantId = setting.tenants.get('orchard-co-op')?.id ?? '';
    const expected = [(await administratorOf(tenantId)).id];
    for (let made = 0; made < 25; made += 1) expected.push((await created({ tenantId })).id);
    const seen: string[] = [];
    for (let after = ''; ;) {
      const { body } = await send('GET', `/users?tenantId=${tenantId}${after}`);
      seen.push(...(body['items'] as { authUserId: string }[]).map(({ authUserId }) => authUserId));
      if (body['nextCursor'] === null) break;
      after = `&after=${body['nextCursor'] as string}`;
    }
    expect(seen).toEqual(expected);
  });
});

describe('the schema', () => {
  it('is what the entities say, made by migrations alone', async () => {
    const { upQueries } = await app.get(DataSource).driver.createSchemaBuilder().log();
    expect(upQueries.map(({ query }) => query)).toEqual([]);
    expect(await send('GET', '/health')).toEqual({ status: 200, body: { status: 'ok' } });
  });
});

describe('the timeline of a user', () => {
  it('tells every change, newest first, with the request it came by, and outlives the user', async () => {
    const { id, email } = await created({ roleIds: [roleId('member')] });
    await send('PATCH', `/users/${id}`, { email: `renamed.${email}` });
    await send('PATCH', `/users/${id}`, { email: 'nobody' });
    await send('DELETE', `/users/${id}`);
    const { status, body } = await send('GET', `/users/${id}/timeline`);
    expect({ status, nextCursor: body['nextCursor'] }).toEqual({ status: 200, nextCursor: null });
    const by = async (tenantId: string | null) => ({
      ip: '127.0.0.1',
      requestId: expect.any(String),
      actor: { type: 'user', id: (await administratorOf(tenantId)).id },
    });
    const request = await by(null);
    const creation = await by(setting.tenants.get('kestrel-freight')?.id ?? '');
    expect(body['items']).toEqual([
      expect.objectContaining({ ...request, type: 'nest_auth.user.deleted', after: null }),
      expect.objectContaining({ ...request, before: { email }, after: { email: `renamed.${email}` } }),
      expect.objectContaining({
        ...creation,
        type: 'nest_auth.user.created',
        after: { email, status: 'active', roleIds: [roleId('member')] },
      }),
    ]);
  });

  it('answers 400 for no id', async () => {
    expect(await send('GET', '/users/1/timeline')).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
  });
});

describe('the welcome messages', () => {
  it('go to the phone of whoever has no email', async () => {
    await created({ email: undefined, phone: '+49 1512 3456799', displayName: 'Grace' });
    expect(await mailsTo('+4915123456799')).toBe(1);
  });
});

describe('after all of this', () => {
  it('every statement of the report about the database is true', async () => {
    await untilWelcomed(database.url);
    const invariants = await readInvariants(database.url, happenedIn(app));
    expect(invariants.filter((invariant) => !holds(invariant))).toEqual([]);
  });
});

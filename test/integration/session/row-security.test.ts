import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { AccessStatusEnum } from '../../../src/index.js';
import { dumpTables } from '../../support/tables.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { type RlsApp, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { auth, AUTH, PASSWORD, person, sessions } from './fixture.js';

let database: RlsDatabase;
let app: RlsApp;

beforeAll(async () => {
  database = await createRlsDatabase();
  const started = await startRlsApp(database, { auth: AUTH });
  app = { ...started, ...(await seedTenants(started)) };
});
afterAll(async () => {
  await app.close();
  await database.drop();
});

const member = (tenantId: string) => app.tenant.withoutTenant('seed', () => person(app, tenantId));

describe('with row-level security', () => {
  it('one signs in, refreshes and signs out without any tenant to run in', async () => {
    const { email } = await member(app.a.id);
    const { refreshToken, accessToken } = await auth(app).signIn({ email, password: PASSWORD, tenantId: app.a.id });
    await expect(auth(app).me(accessToken)).resolves.toMatchObject({ tenantId: app.a.id });
    const next = await auth(app).refresh(refreshToken);
    expect(await auth(app).signOut(next.refreshToken)).toBe(true);
    await expect(auth(app).signIn({ email, password: 'wrong' })).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
  });

  it('a tenant sees and ends the sessions that are in it, and no others', async () => {
    const { id, email } = await member(app.a.id);
    await app.tenant.withoutTenant('seed', () => app.users.ensureUserAccess(id, app.b.id));
    const inA = await auth(app).signIn({ email, password: PASSWORD, tenantId: app.a.id });
    const inB = await auth(app).signIn({ email, password: PASSWORD, tenantId: app.b.id });
    await app.tenant.run(app.a.id, async () => {
      expect((await sessions(app).getSessions(id)).map((one) => one.id)).toEqual([inA.sessionId]);
      await expect(sessions(app).revokeSession(id, inB.sessionId)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
      expect(await sessions(app).revokeAllSessions(id)).toBe(1);
    });
    await expect(auth(app).refresh(inA.refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    await expect(auth(app).refresh(inB.refreshToken)).resolves.toBeDefined();
  });

  it('a session ends with the access, when the tenant itself takes it away', async () => {
    const { id, email } = await member(app.a.id);
    const { refreshToken } = await auth(app).signIn({ email, password: PASSWORD, tenantId: app.a.id });
    await app.tenant.run(app.a.id, () => app.access.setUserAccessStatus(id, app.a.id, AccessStatusEnum.SUSPENDED));
    await app.tenant.run(app.a.id, () => app.access.setUserAccessStatus(id, app.a.id, AccessStatusEnum.ACTIVE));
    await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
  });

  it.each([
    'select user_id from nest_auth_refresh_tokens',
    `update nest_auth_refresh_tokens set used_at = null returning user_id`,
    `insert into nest_auth_sessions (user_id, id, realm_id, tenant_id, security_stamp, idle_expires_at, expires_at)
      select user_id, user_id, realm_id, tenant_id, 1, now(), now() from nest_auth_user_accesses`,
    'delete from nest_auth_sessions returning user_id',
    'delete from nest_auth_refresh_tokens returning user_id',
  ])('a tenant gets nothing by: %s', async (sql) => {
    const { email } = await member(app.a.id);
    await auth(app).signIn({ email, password: PASSWORD, tenantId: app.a.id });
    const before = await dumpTables(database.url);
    const answer: unknown = await app.tenant
      .run(app.a.id, () => app.dataSource.query(sql))
      .catch((error: { driverError?: { code?: string } }) => error.driverError?.code);
    expect([[], [[], 0], '42501']).toContainEqual(answer);
    expect(await dumpTables(database.url)).toEqual(before);
  });
});

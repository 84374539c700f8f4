import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { freshEmail } from '../../support/nest-app.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { type RlsApp, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { dumpTables } from '../../support/tables.js';
import { auth, PASSWORD } from '../session/fixture.js';
import { AUTH, codeOf, NEW_PASSWORD, recovery, resetToken, somebody, tokenOf, verification } from './fixture.js';

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

const member = (tenantId: string) => app.tenant.withoutTenant('seed', () => somebody(app, tenantId));

describe('with row-level security', () => {
  it('one verifies, changes and resets without any tenant to run in', async () => {
    const { id, email } = await member(app.a.id);
    await verification(app).verifyEmail({ token: tokenOf(await verification(app).requestEmailVerification(id)) });
    const code = codeOf(await verification(app).requestPhoneVerification(id));
    await verification(app).verifyPhone({ userId: id, code });
    const other = freshEmail();
    const asked = await verification(app).requestEmailChange({ userId: id, email: other, currentPassword: PASSWORD });
    await verification(app).confirmEmailChange({ token: tokenOf(asked) });
    await recovery(app).resetPassword({ token: await resetToken(app, other), password: NEW_PASSWORD });
    await recovery(app).changePassword({ userId: id, currentPassword: NEW_PASSWORD, newPassword: `${NEW_PASSWORD} 2` });
    await expect(auth(app).signIn({ email: other, password: `${NEW_PASSWORD} 2` })).resolves.toBeDefined();
    await expect(auth(app).signIn({ email, password: PASSWORD })).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
    expect(await verification(app).removeExpiredTokens()).toBe(0);
  });

  it('the context of a tenant finds those whom it sees, and nobody else', async () => {
    const [mine, theirs] = [await member(app.a.id), await member(app.b.id)];
    await app.tenant.run(app.a.id, async () => {
      await expect(verification(app).requestEmailVerification(mine.id)).resolves.toBeDefined();
      await expect(verification(app).requestEmailVerification(theirs.id)).rejects.toMatchObject({
        code: 'USER_NOT_FOUND',
      });
      const input = { userId: theirs.id, email: freshEmail(), currentPassword: PASSWORD };
      await expect(verification(app).requestEmailChange(input)).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    });
  });

  it('a transaction of a tenant is none of these calls’', async () => {
    const { id, email } = await member(app.a.id);
    await app.tenant.run(app.a.id, async () => {
      const refused = { code: 'TENANT_CONTEXT_MISMATCH' };
      await app.users.runInTransaction(async () => {
        await expect(verification(app).requestEmailVerification(id)).rejects.toMatchObject(refused);
        await expect(recovery(app).requestPasswordReset({ email })).rejects.toMatchObject(refused);
      });
    });
  });

  it.each([
    'select user_id from nest_auth_one_time_tokens',
    `update nest_auth_one_time_tokens set used_at = null returning user_id`,
    'delete from nest_auth_one_time_tokens returning user_id',
    `insert into nest_auth_one_time_tokens (user_id, purpose, id, form, address, key_id, salt, token_hash, expires_at)
      select user_id, 'password_reset', user_id, 'link', 'x', 'x', 'x', 'x', now() from nest_auth_user_accesses`,
  ])('a tenant gets nothing by: %s', async (sql) => {
    const { email } = await member(app.a.id);
    await recovery(app).requestPasswordReset({ email });
    const before = await dumpTables(database.url);
    const answer: unknown = await app.tenant
      .run(app.a.id, () => app.dataSource.query(sql))
      .catch((error: { driverError?: { code?: string } }) => error.driverError?.code);
    expect([[], [[], 0], '42501']).toContainEqual(answer);
    expect(await dumpTables(database.url)).toEqual(before);
  });
});

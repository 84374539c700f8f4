import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { TenantModeEnum } from '../../../src/index.js';
import { type RlsApp, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { countRows, dumpTables } from '../../support/tables.js';
import { auth, PASSWORD, person } from '../session/fixture.js';
import { challenged, codeOf, type Enrolled, forgetSteps, MFA, twoFactor } from './fixture.js';

let database: RlsDatabase;
let shared: RlsApp;
let isolated: RlsApp;

beforeAll(async () => {
  database = await createRlsDatabase();
  const started = await startRlsApp(database, { auth: MFA });
  const seeded = await seedTenants(started);
  shared = { ...started, ...seeded };
  const apart = await startRlsApp(database, { auth: { ...MFA, tenant: { mode: TenantModeEnum.ISOLATED } } });
  isolated = { ...apart, ...seeded };
});
afterAll(async () => {
  await isolated.close();
  await shared.close();
  await database.drop();
});

/** Somebody of the tenant with an authenticator, who has enrolled it while working there. */
async function enrolledIn(app: RlsApp, tenantId: string): Promise<Enrolled> {
  const { id, email } = await app.tenant.withoutTenant('seed', () => person(app, tenantId));
  return app.tenant.run(tenantId, async () => {
    const { secret } = await twoFactor(app).enableTwoFactor(id, { currentPassword: PASSWORD });
    const code = await codeOf({ url: database.url }, secret);
    const { recoveryCodes } = await twoFactor(app).verifyTwoFactorSetup(id, code);
    await forgetSteps(database.url, id);
    return { id, email, tenantId, secret, recoveryCodes };
  });
}

describe('with row-level security', () => {
  it('one enrols, signs in and gives it up, in a tenant and outside of any', async () => {
    const user = await enrolledIn(shared, shared.a.id);
    const { token: challengeToken } = await challenged(shared, user);
    const code = await codeOf({ url: database.url }, user.secret);
    const signedIn = await twoFactor(shared).completeSignIn({ challengeToken, code });
    await expect(auth(shared).me(signedIn.accessToken)).resolves.toMatchObject({ tenantId: shared.a.id });
    const [recoveryCode, another] = user.recoveryCodes;
    const { recoveryCodes } = await shared.tenant.run(shared.b.id, () =>
      twoFactor(shared).regenerateRecoveryCodes(user.id, { recoveryCode }),
    );
    expect(recoveryCodes).not.toContain(another);
    await twoFactor(shared).disableTwoFactor(user.id, { recoveryCode: recoveryCodes[0] });
    await expect(
      auth(shared).signIn({ email: user.email, password: PASSWORD, tenantId: shared.a.id }),
    ).resolves.toMatchObject({ userId: user.id });
  });

  it('SEC-53: a tenant sees and resets the factors of its own realm, and none of a member who belongs to others', async () => {
    const own = await enrolledIn(isolated, isolated.a.id);
    const foreign = await enrolledIn(isolated, isolated.b.id);
    const member = await enrolledIn(shared, shared.a.id);
    await isolated.tenant.run(isolated.a.id, async () => {
      await expect(twoFactor(isolated).listSecondFactors(own.id)).resolves.toMatchObject({ recoveryCodesLeft: 10 });
      await expect(twoFactor(isolated).listSecondFactors(foreign.id)).resolves.toEqual({
        factors: [],
        recoveryCodesLeft: 0,
      });
      await expect(twoFactor(isolated).resetTwoFactor(foreign.id)).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
      await expect(twoFactor(isolated).resetTwoFactor(member.id)).rejects.toMatchObject({
        code: 'ROW_SECURITY_REFUSED',
      });
      expect(await twoFactor(isolated).resetTwoFactor(own.id)).toBe(true);
    });
    for (const [user, count] of [
      [own, 0],
      [foreign, 1],
      [member, 1],
    ] as const)
      expect(await countRows(database.url, 'nest_auth_second_factors', 'user_id = $1', [user.id])).toBe(count);
  });

  it.each([
    `insert into nest_auth_second_factors (user_id, kind, realm_id, enabled_at) select id, 'email', realm_id, now()
      from nest_auth_users returning user_id`,
    'update nest_auth_second_factors set enabled_at = null returning user_id',
    'update nest_auth_second_factor_states set failures = 0 returning user_id',
    'update nest_auth_second_factor_challenges set attempts = 0 returning user_id',
  ])('SEC-53: code of a tenant changes nothing: %s', async (sql) => {
    await enrolledIn(isolated, isolated.a.id);
    const before = await dumpTables(database.url);
    const trying = isolated.tenant.run(isolated.a.id, () =>
      isolated.dataSource.transaction((manager) => manager.query(sql)),
    );
    const outcome = await trying.then(
      () => 'no row',
      (error: { driverError?: { code?: string } }) => error.driverError?.code,
    );
    expect(['no row', '42501']).toContain(outcome);
    expect(await dumpTables(database.url)).toEqual(before);
  });
});

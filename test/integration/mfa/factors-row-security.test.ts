import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  RequiredEnrolmentService,
  SecretRotationService,
  type SecondFactorEnrolmentRequiredError,
  TenantModeEnum,
  TrustedDeviceService,
} from '../../../src/index.js';
import { dumpTables } from '../../support/tables.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { type RlsApp, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { auth, PASSWORD, person } from '../session/fixture.js';
import { challenged, codeOf, type Enrolled, enrolled, forgetSteps, MFA, twoFactor } from './fixture.js';

let database: RlsDatabase;
let app: RlsApp;

beforeAll(async () => {
  database = await createRlsDatabase();
  const started = await startRlsApp(database, { auth: { ...MFA, tenant: { mode: TenantModeEnum.ISOLATED } } });
  app = { ...started, ...(await seedTenants(started)) };
});
afterAll(async () => {
  await app.close();
  await database.drop();
});

const devices = (): TrustedDeviceService => app.context.get(TrustedDeviceService);
const enrolment = (): RequiredEnrolmentService => app.context.get(RequiredEnrolmentService);
const asPlatform = <T>(fn: () => Promise<T>): Promise<T> => app.tenant.withoutTenant('seed', fn);

/** The statements of the tests are the owner's; the application is bound. */
const bound = () => ({ ...app, url: database.url });

async function trusting(tenantId: string): Promise<{ user: Enrolled; deviceToken: string }> {
  const user = await asPlatform(() => enrolled(bound(), tenantId));
  const { token: challengeToken } = await challenged(app, user);
  const code = await codeOf(bound(), user.secret);
  const signed = await twoFactor(app).completeSignIn({ challengeToken, code, trustDevice: true });
  await forgetSteps(database.url, user.id);
  return { user, deviceToken: signed.trustedDevice?.token as string };
}

describe('with row-level security', () => {
  it('a device is trusted and used without any tenant to run in', async () => {
    const { user, deviceToken } = await trusting(app.a.id);
    const input = { email: user.email, password: PASSWORD, tenantId: app.a.id };
    await expect(auth(app).signIn(input, { deviceToken })).resolves.toMatchObject({ tenantId: app.a.id });
  });

  it('a tenant lists and revokes the devices of its own people, and of nobody else', async () => {
    const { user } = await trusting(app.a.id);
    await app.tenant.run(app.b.id, async () => {
      expect(await devices().listTrustedDevices(user.id)).toEqual([]);
      expect(await devices().revokeTrustedDevices(user.id)).toBe(0);
    });
    await app.tenant.run(app.a.id, async () => {
      const [device] = await devices().listTrustedDevices(user.id);
      await devices().revokeTrustedDevice(user.id, device?.id as string);
      expect(await devices().listTrustedDevices(user.id)).toEqual([]);
    });
  });

  it('SEC-53 a tenant demands, and whoever signs in there enrols without any tenant to run in', async () => {
    const { email } = await asPlatform(() => person(app, app.b.id));
    await app.tenant.run(app.b.id, () => app.tenants.updateTenant(app.b.id, { secondFactorPolicy: 'required' }));
    const other = app.tenant.run(app.a.id, () =>
      app.tenants.updateTenant(app.b.id, { secondFactorPolicy: 'optional' }),
    );
    await expect(other).rejects.toMatchObject({ code: 'TENANT_NOT_FOUND' });
    const refused = await auth(app)
      .signIn({ email, password: PASSWORD, tenantId: app.b.id })
      .catch((error: SecondFactorEnrolmentRequiredError) => error);
    if (!('challenge' in refused)) throw new Error('no enrolment was demanded');
    const { token: challengeToken } = refused.challenge;
    const { secret } = await enrolment().beginEnrolment({ challengeToken });
    const code = await codeOf(bound(), secret);
    const signed = await enrolment().completeEnrolment({ challengeToken, code });
    expect(signed.tenantId).toBe(app.b.id);
    await expect(auth(app).refresh(signed.refreshToken)).resolves.toMatchObject({ tenantId: app.b.id });
    await asPlatform(() => app.tenants.updateTenant(app.b.id, { secondFactorPolicy: 'optional' }));
  });

  it('secrets are rotated, and expired rows removed, without any tenant to run in', async () => {
    expect(await app.context.get(SecretRotationService).rotateSecrets()).toMatchObject({ isComplete: true });
    expect(await devices().removeExpired()).toMatchObject({ devices: 0 });
  });

  it.each([
    'select user_id from nest_auth_second_factor_codes',
    'delete from nest_auth_second_factor_codes returning user_id',
    `update nest_auth_trusted_devices set expires_at = now() + interval '1 year' returning user_id`,
    `insert into nest_auth_trusted_devices (user_id, token_hash, id, realm_id, security_stamp, expires_at)
      select u.id, 'x', u.id, u.realm_id, 1, now() from nest_auth_users u`,
    `delete from nest_auth_trusted_devices where realm_id <> current_setting('nest_auth.tenant_id')::uuid returning user_id`,
  ])('a tenant gets nothing by: %s', async (sql) => {
    await trusting(app.b.id);
    const before = await dumpTables(database.url);
    const answer: unknown = await app.tenant
      .run(app.a.id, () => app.dataSource.query(sql))
      .catch((error: { driverError?: { code?: string } }) => error.driverError?.code);
    expect([[], [[], 0], '42501']).toContainEqual(answer);
    expect(await dumpTables(database.url)).toEqual(before);
  });
});

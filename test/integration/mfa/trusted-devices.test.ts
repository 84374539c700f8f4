import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';

import {
  NestAuthEvents,
  NestAuthTrustedDevice,
  type SecondFactorSignIn,
  TenantModeEnum,
  TrustedDeviceService,
} from '../../../src/index.js';
import { type NestApp, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';
import { activitiesOf, auth, lifecycle, PASSWORD, person, query, sessions } from '../session/fixture.js';
import { challenged, codeOf, type Enrolled, enrolled, forgetSteps, MFA, twoFactor } from './fixture.js';

const app = useNestApp({ auth: MFA });
const isolated = useNestApp({ auth: { ...MFA, tenant: { mode: TenantModeEnum.ISOLATED } } });

const devices = ({ context }: NestApp): TrustedDeviceService => context.get(TrustedDeviceService);
const demanded = { code: 'SECOND_FACTOR_REQUIRED' };

type Stage = NestApp & { readonly url: string };

/** Somebody who has shown the second factor on a device that is trusted since. */
async function trusting(
  on: Stage,
  tenantId?: string,
): Promise<{ user: Enrolled; signed: SecondFactorSignIn; deviceToken: string }> {
  const user = await enrolled(on, tenantId);
  return { user, ...(await trust(on, user)) };
}

async function trust(on: Stage, user: Enrolled): Promise<{ signed: SecondFactorSignIn; deviceToken: string }> {
  const { token: challengeToken } = await challenged(on, user);
  const code = await codeOf(on, user.secret);
  const signed = await twoFactor(on).completeSignIn(
    { challengeToken, code, trustDevice: true },
    { ip: '2001:db8::7', userAgent: 'Safari' },
  );
  await forgetSteps(on.url, user.id);
  return { signed, deviceToken: signed.trustedDevice?.token ?? 'none' };
}

const signIn = (on: NestApp, { email, tenantId }: Pick<Enrolled, 'email' | 'tenantId'>, deviceToken?: string) =>
  auth(on).signIn({ email, password: PASSWORD, tenantId }, { deviceToken });

describe('a trusted device', () => {
  it('need not show the second factor for thirty days, and the session says so', async () => {
    const { user, signed, deviceToken } = await trusting(app);
    const [row] = await query<{ days: number }>(
      app.url,
      `select extract(epoch from expires_at - created_at)::float8 / 86400 as days from nest_auth_trusted_devices where user_id = $1`,
      [user.id],
    );
    expect(row?.days).toBe(30);
    expect(signed.trustedDevice?.expiresAt).toBeInstanceOf(Date);
    const { statements, result: again } = await recordStatements(() => signIn(app, user, deviceToken));
    expect(statements).toHaveLength(4);
    const [latest] = await sessions(app).getSessions(user.id);
    expect(latest).toMatchObject({ id: again.sessionId, secondFactor: 'trusted_device' });
    const told = await activitiesOf(app.url, user.id);
    expect(told.at(-1)).toMatchObject({
      type: NestAuthEvents.USER_LOGGED_IN,
      details: { secondFactor: 'trusted_device' },
    });
    expect(told.map(({ type }) => type)).toContain(NestAuthEvents.TRUSTED_DEVICE_ADDED);
    expect(app.events.some(({ name }) => name === NestAuthEvents.TRUSTED_DEVICE_ADDED)).toBe(true);
  });

  it('is none unless that was asked for', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    const signed = await twoFactor(app).completeSignIn({ challengeToken, code: await codeOf(app, user.secret) });
    expect(signed.trustedDevice).toBeNull();
    expect(await devices(app).listTrustedDevices(user.id)).toEqual([]);
  });

  it('SEC-40 has a token of 256 bits, of which only a hash is stored', async () => {
    const { deviceToken } = await trusting(app);
    const [, secret] = deviceToken.split('.');
    expect(Buffer.from(secret as string, 'base64url')).toHaveLength(32);
    const dump = JSON.stringify(await dumpTables(app.url));
    expect(dump).not.toContain(secret);
    const hash = createHash('sha256').update(deviceToken).digest();
    const rows = await query(app.url, 'select 1 from nest_auth_trusted_devices where token_hash = $1', [hash]);
    expect(rows).toHaveLength(1);
  });

  it('never replaces the password', async () => {
    const { user, deviceToken } = await trusting(app);
    const attempt = auth(app).signIn({ email: user.email, password: 'wrong' }, { deviceToken });
    await expect(attempt).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
    await expect(auth(app).refresh(deviceToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    const completion = twoFactor(app).completeSignIn({ challengeToken: deviceToken, code: '000000' });
    await expect(completion).rejects.toMatchObject({ code: 'SECOND_FACTOR_INVALID' });
  });

  it('is nobody else’s, and a refresh token is no device', async () => {
    const { signed, deviceToken } = await trusting(app);
    const other = await enrolled(app);
    await expect(signIn(app, other, deviceToken)).rejects.toMatchObject(demanded);
    await expect(signIn(app, other, signed.refreshToken)).rejects.toMatchObject(demanded);
    await expect(signIn(app, other, 'nonsense')).rejects.toMatchObject(demanded);
    await expect(signIn(app, other, 7 as unknown as string)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    const plain = await person(app);
    await expect(signIn(app, { ...plain, tenantId: undefined }, deviceToken)).resolves.toBeDefined();
  });

  const ENDS: readonly (readonly [what: string, end: (user: Enrolled) => Promise<unknown>])[] = [
    [
      'its time',
      ({ id }) => query(app.url, 'update nest_auth_trusted_devices set expires_at = now() where user_id = $1', [id]),
    ],
    [
      'another password',
      async ({ id }) => (await app.users.getUserById(id))?.setPassword(await app.passwords.hash(PASSWORD)),
    ],
    [
      'a time in which the user was not active',
      async ({ id }) => {
        await lifecycle(app).deactivateById(id);
        await lifecycle(app).reactivateById(id);
      },
    ],
    [
      'another authenticator',
      async (user) => {
        await twoFactor(app).disableTwoFactor(user.id, { code: await codeOf(app, user.secret) });
        const { secret } = await twoFactor(app).enableTwoFactor(user.id, { currentPassword: PASSWORD });
        await twoFactor(app).verifyTwoFactorSetup(user.id, await codeOf(app, secret));
      },
    ],
    ['its revocation', ({ id }) => devices(app).revokeTrustedDevices(id)],
  ];

  it.each(ENDS)('SEC-45 is trusted no longer after %s', async (_, end) => {
    const { user, deviceToken } = await trusting(app);
    await end(user);
    expect(await devices(app).listTrustedDevices(user.id)).toEqual([]);
    await expect(signIn(app, user, deviceToken)).rejects.toMatchObject(demanded);
  });

  it('SEC-45 is trusted no longer after a reset by an administrator', async () => {
    const { user, deviceToken } = await trusting(app);
    await twoFactor(app).resetTwoFactor(user.id);
    const { secret } = await twoFactor(app).enableTwoFactor(user.id, { currentPassword: PASSWORD });
    await twoFactor(app).verifyTwoFactorSetup(user.id, await codeOf(app, secret));
    await expect(signIn(app, user, deviceToken)).rejects.toMatchObject(demanded);
  });

  it('is trusted by a tenant that requires a second factor, and not by one that does at every sign-in', async () => {
    const { id: tenantId } = await app.tenants.createTenant({
      name: 'T',
      slug: `t-${Date.now()}`,
      secondFactorPolicy: 'required',
    });
    const { user, deviceToken } = await trusting(app, tenantId);
    await expect(signIn(app, user, deviceToken)).resolves.toMatchObject({ tenantId });
    await app.tenants.updateTenant(tenantId, { secondFactorPolicy: 'always' });
    await expect(signIn(app, user, deviceToken)).rejects.toMatchObject(demanded);
    const { signed } = await trust(app, user);
    expect(signed.trustedDevice).toBeNull();
    await expect(auth(app).refresh(signed.refreshToken)).resolves.toMatchObject({ tenantId });
  });

  it('of a user of one tenant does not open another, who has the same email there', async () => {
    const { tenantId, otherTenantId } = isolated.seed;
    const { user, deviceToken } = await trusting(isolated, tenantId);
    const twin = await enrolled(isolated, otherTenantId);
    await expect(signIn(isolated, user, deviceToken)).resolves.toMatchObject({ tenantId });
    await expect(signIn(isolated, twin, deviceToken)).rejects.toMatchObject(demanded);
  });
});

describe('the devices of a user', () => {
  it('SEC-46 are listed without their secret, and revoked one by one', async () => {
    const { user, deviceToken } = await trusting(app);
    const { deviceToken: second } = await trust(app, user);
    const list = await devices(app).listTrustedDevices(user.id);
    expect(list).toHaveLength(2);
    expect(list[0]).toBeInstanceOf(NestAuthTrustedDevice);
    expect(list[0]).toMatchObject({ ip: '2001:db8::7', userAgent: 'Safari' });
    const first = list.find(({ tokenHash }) => tokenHash.equals(createHash('sha256').update(deviceToken).digest()));
    await devices(app).revokeTrustedDevice(user.id, first?.id as string);
    const again = devices(app).revokeTrustedDevice(user.id, first?.id as string);
    await expect(again).rejects.toMatchObject({ code: 'TRUSTED_DEVICE_NOT_FOUND' });
    await expect(signIn(app, user, deviceToken)).rejects.toMatchObject(demanded);
    await expect(signIn(app, user, second)).resolves.toBeDefined();
    const told = (await activitiesOf(app.url, user.id)).filter(
      ({ type }) => type === NestAuthEvents.TRUSTED_DEVICES_REVOKED,
    );
    expect(told).toMatchObject([{ details: { deviceIds: [first?.id] } }]);
  });

  it('SEC-46 are not another user’s to revoke', async () => {
    const mine = await trusting(app);
    const theirs = await trusting(app);
    const [device] = await devices(app).listTrustedDevices(theirs.user.id);
    const attempt = devices(app).revokeTrustedDevice(mine.user.id, device?.id as string);
    await expect(attempt).rejects.toMatchObject({ code: 'TRUSTED_DEVICE_NOT_FOUND' });
    expect(await devices(app).revokeTrustedDevices(mine.user.id)).toBe(1);
    expect(await devices(app).revokeTrustedDevices(mine.user.id)).toBe(0);
    await expect(signIn(app, theirs.user, theirs.deviceToken)).resolves.toBeDefined();
  });

  it('are there again when the caller rolls back what was revoked, and go with the user', async () => {
    const { user, deviceToken } = await trusting(app);
    const undone = app.users.runInTransaction(async (manager) => {
      await devices(app).revokeTrustedDevices(user.id, manager);
      throw new Error('undo');
    });
    await expect(undone).rejects.toThrow('undo');
    await expect(signIn(app, user, deviceToken)).resolves.toBeDefined();
    await app.users.deleteUser(user.id);
    expect(await query(app.url, 'select 1 from nest_auth_trusted_devices where user_id = $1', [user.id])).toEqual([]);
  });

  it('are removed when they have expired, with sign-ins that nobody has completed', async () => {
    await devices(app).removeExpired();
    const { user } = await trusting(app);
    const { user: kept, deviceToken } = await trusting(app);
    await challenged(app, user);
    for (const table of ['nest_auth_trusted_devices', 'nest_auth_second_factor_challenges'])
      await query(app.url, `update ${table} set expires_at = now() where user_id = $1`, [user.id]);
    expect(await devices(app).removeExpired()).toEqual({ challenges: 1, devices: 1 });
    expect(await devices(app).removeExpired()).toEqual({ challenges: 0, devices: 0 });
    await expect(signIn(app, kept, deviceToken)).resolves.toBeDefined();
  });
});

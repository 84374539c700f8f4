import { describe, expect, it } from '@jest/globals';

import { ApiKeyService, NestAuthEvents } from '../../../src/index.js';
import { useNestApp } from '../../support/nest-app.js';
import { activitiesOf, auth, PASSWORD, query } from '../session/fixture.js';
import { challenged, codeOf, enrolled, forgetSteps, twoFactor } from '../mfa/fixture.js';
import { AUTH, NEW_PASSWORD, recovery, resetToken } from './fixture.js';

const app = useNestApp({ auth: { ...AUTH, apiKeys: {} } });
const keys = () => app.context.get(ApiKeyService);
const demanded = { code: 'SECOND_FACTOR_REQUIRED' };

/** Somebody with a second factor, and a device that need not show it. */
async function trusting() {
  const user = await enrolled(app);
  const { token: challengeToken } = await challenged(app, user);
  const code = await codeOf(app, user.secret);
  const { trustedDevice } = await twoFactor(app).completeSignIn({ challengeToken, code, trustDevice: true });
  await forgetSteps(app.url, user.id);
  return { ...user, deviceToken: trustedDevice?.token as string };
}

/** A key of the user that opens something. */
async function keyOf(userId: string): Promise<string> {
  await app.users.ensureUserAccess(userId, app.seed.tenantId);
  await app.users.setUserAccessRoles(userId, app.seed.tenantId, [app.seed.member]);
  const [permission] = await query<{ name: string }>(
    app.url,
    'select p.name from nest_auth_permissions p join nest_auth_role_permissions r on r.permission_id = p.id where r.role_id = $1',
    [app.seed.member],
  );
  const scopes = [permission?.name as string];
  return (await keys().createApiKey({ owner: { userId, tenantId: app.seed.tenantId }, name: 'script', scopes })).secret;
}

describe('SEC-25 the second factor', () => {
  it('is asked for after a reset as before, and devices that were trusted are strangers', async () => {
    const { id, email, secret, deviceToken } = await trusting();
    await expect(auth(app).signIn({ email, password: PASSWORD }, { deviceToken })).resolves.toBeDefined();
    await recovery(app).resetPassword({ token: await resetToken(app, email), password: NEW_PASSWORD });
    const refused = auth(app).signIn({ email, password: NEW_PASSWORD }, { deviceToken });
    await expect(refused).rejects.toMatchObject(demanded);
    const { token: challengeToken } = await refused.then(
      () => ({ token: '' }),
      (error: { challenge: { token: string } }) => error.challenge,
    );
    const code = await codeOf(app, secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ userId: id });
  });

  it('is asked for again where a device was trusted, after a change of the password', async () => {
    const { id, email, deviceToken } = await trusting();
    const input = { userId: id, currentPassword: PASSWORD, newPassword: NEW_PASSWORD };
    await recovery(app).changePassword(input);
    const refused = auth(app).signIn({ email, password: NEW_PASSWORD }, { deviceToken });
    await expect(refused).rejects.toMatchObject(demanded);
  });

  it('that was half shown when the password was reset is worth nothing', async () => {
    const { email, secret } = await trusting();
    const { token: challengeToken } = await challenged(app, { email, tenantId: undefined });
    await recovery(app).resetPassword({ token: await resetToken(app, email), password: NEW_PASSWORD });
    const code = await codeOf(app, secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject({
      name: 'NestAuthError',
    });
  });
});

describe('SEC-24 API keys of the user', () => {
  it('end with a reset, in its transaction, and with a change of the password they do not', async () => {
    const { id, email } = await enrolled(app);
    const secret = await keyOf(id);
    await recovery(app).changePassword({ userId: id, currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
    await expect(keys().authenticateApiKey(secret)).resolves.toMatchObject({ userId: id });
    const token = await resetToken(app, email);
    const undone = app.users.runInTransaction(async (manager) => {
      await recovery(app).resetPassword({ token, password: `${NEW_PASSWORD} 2` }, manager);
      throw new Error('undo');
    });
    await expect(undone).rejects.toThrow('undo');
    await expect(keys().authenticateApiKey(secret)).resolves.toBeDefined();
    await recovery(app).resetPassword({ token, password: `${NEW_PASSWORD} 2` });
    await expect(keys().authenticateApiKey(secret)).rejects.toMatchObject({ name: 'NestAuthError' });
    expect(await activitiesOf(app.url, id)).toContainEqual({
      type: NestAuthEvents.API_KEY_REVOKED,
      details: expect.objectContaining({ reason: 'password_reset' }),
    });
  });
});

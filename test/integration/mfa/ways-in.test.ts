import type { ArgumentsHost } from '@nestjs/common';
import { describe, expect, it } from '@jest/globals';

import {
  externalAccountId,
  ExternalSignInService,
  NestAuthExceptionFilter,
  PasswordRecoveryService,
  SecondFactorRequiredError,
} from '../../../src/index.js';
import { freshEmail, type NestApp, startNestApp, useNestApp } from '../../support/nest-app.js';
import { paperCallback, paperProvider, somebodyElsewhere } from '../../support/paper-provider.js';
import { countRows, untilSomebodyWaits } from '../../support/tables.js';
import { auth, PASSWORD, person, query, sessions } from '../session/fixture.js';
import { codeOf, enrolled, MFA, twoFactor } from './fixture.js';

const OPTIONS = {
  ...MFA,
  identityProviders: [paperProvider('paper', { trustsEmail: true, linkVerifiedEmail: true })],
  session: { ...MFA.session, signUp: 'open' as const },
};
const app = useNestApp({ auth: OPTIONS });
const { issuer: ISSUER } = somebodyElsewhere('anybody');
const demanded = { code: 'SECOND_FACTOR_REQUIRED' };

/** Comes by the provider as `subject`, with that email. */
async function comeBy(where: NestApp, subject: string, email: string): Promise<unknown> {
  const service = where.context.get(ExternalSignInService);
  const flow = await service.beginSignIn('paper');
  const who = somebodyElsewhere(subject, { email, emailVerified: true });
  return service.completeSignIn({ provider: 'paper', url: paperCallback(flow, who), flowToken: flow.flowToken });
}

const demandOf = (call: Promise<unknown>): Promise<SecondFactorRequiredError> =>
  call.then(
    () => Promise.reject(new Error('nothing was demanded')),
    (error: unknown) => error as SecondFactorRequiredError,
  );

describe('every way in', () => {
  it('SEC-25: a reset of the password signs nobody in, and leaves the second factor to be shown', async () => {
    const user = await enrolled(app);
    const recovery = app.context.get(PasswordRecoveryService);
    const { token } = (await recovery.requestPasswordReset({ email: user.email })).reveal() as { token: string };
    const password = 'another battery staple horse';
    await recovery.resetPassword({ token, password });
    expect(await sessions(app).getSessions(user.id)).toEqual([]);
    const error = await demandOf(auth(app).signIn({ email: user.email, password }));
    expect(error).toMatchObject(demanded);
    const code = await codeOf(app, user.secret);
    const signedIn = twoFactor(app).completeSignIn({ challengeToken: error.challenge.token, code });
    await expect(signedIn).resolves.toMatchObject({ userId: user.id });
  });

  it('SEC-25, SEC-51: an account at a provider does not stand for the second factor', async () => {
    const user = await enrolled(app);
    const known = await app.users.getUserById(user.id);
    await known?.findOrCreateIdentity('paper', externalAccountId(ISSUER, user.id));
    const error = await demandOf(comeBy(app, user.id, user.email));
    expect(error).toMatchObject(demanded);
    const code = await codeOf(app, user.secret);
    const signedIn = twoFactor(app).completeSignIn({ challengeToken: error.challenge.token, code });
    await expect(signedIn).resolves.toMatchObject({ userId: user.id });
  });

  it.each([10, 1])('SEC-53: no account is linked by the email before it is shown, with a pool of %i', async (pool) => {
    const user = await enrolled(app);
    await query(app.url, 'update nest_auth_users set email_verified_at = now() where id = $1', [user.id]);
    const other = await startNestApp(app.url, { auth: OPTIONS, pool });
    try {
      const error = await demandOf(comeBy(other, `linked-${user.id}`, user.email));
      expect(error).toMatchObject(demanded);
      expect(await countRows(app.url, 'nest_auth_identities', `user_id = $1 and provider = 'paper'`, [user.id])).toBe(
        0,
      );
      const code = await codeOf(app, user.secret);
      const signedIn = twoFactor(other).completeSignIn({ challengeToken: error.challenge.token, code });
      await expect(signedIn).resolves.toMatchObject({ userId: user.id });
    } finally {
      await other.close();
    }
  });

  it('whoever signs up has none, and comes in', async () => {
    await expect(
      auth(app).signUp({ email: freshEmail(), password: 'a horse of quite another colour' }),
    ).resolves.toMatchObject({
      status: 'active',
    });
  });

  it('SEC-51: somebody who signs in while the factor is enabled is not let in without it', async () => {
    const { id, email } = await person(app);
    const { secret } = await twoFactor(app).enableTwoFactor(id, { currentPassword: PASSWORD });
    // Of its own, so that it does not join the transaction that is running.
    const other = await startNestApp(app.url, { auth: OPTIONS });
    try {
      let late: Promise<unknown> = Promise.resolve();
      await app.users.runInTransaction(async () => {
        await twoFactor(app).verifyTwoFactorSetup(id, await codeOf(app, secret));
        late = auth(other)
          .signIn({ email, password: PASSWORD })
          .catch((error: unknown) => error);
        await untilSomebodyWaits(app.url);
      });
      expect(await late).toMatchObject({ code: 'INVALID_CREDENTIALS' });
      expect(await sessions(app).getSessions(id)).toEqual([]);
    } finally {
      await other.close();
    }
  });
});

describe('the answer over HTTP', () => {
  it('is 401 with the challenge in the body', async () => {
    const user = await enrolled(app);
    const error = await demandOf(auth(app).signIn({ email: user.email, password: PASSWORD }));
    const seen: Record<string, unknown> = {};
    const response = {
      status: (code: number) => ({
        json: (body: unknown) => Object.assign(seen, { code, body }),
        send: () => undefined,
      }),
      header: (name: string, value: string) => Object.assign(seen, { [name]: value }),
    };
    const host = { getType: () => 'http', switchToHttp: () => ({ getResponse: () => response }) };
    new NestAuthExceptionFilter().catch(error, host as unknown as ArgumentsHost);
    expect(seen).toMatchObject({
      code: 401,
      'www-authenticate': 'Bearer',
      body: {
        statusCode: 401,
        code: 'SECOND_FACTOR_REQUIRED',
        challenge: { token: error.challenge.token, methods: ['totp', 'recovery_code'] },
      },
    });
  });
});

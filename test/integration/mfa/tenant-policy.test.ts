import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import {
  NestAuthEvents,
  RequiredEnrolmentService,
  type SecondFactorChallenge,
  type SecondFactorEnrolmentRequiredError,
  type SecondFactorPolicy,
  TenantModeEnum,
} from '../../../src/index.js';
import { freshEmail, type NestApp, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { paperCallback, paperProvider, somebodyElsewhere } from '../../support/paper-provider.js';
import { external } from '../oidc/fixture.js';
import { activitiesOf, auth, keys, PASSWORD, person, query, sessions, signedIn } from '../session/fixture.js';
import { challenged, codeOf, enrolled, forgetSteps, MFA, twoFactor, wrong } from './fixture.js';

const app = useNestApp({ auth: MFA });
const isolated = useNestApp({
  auth: {
    ...MFA,
    session: { keys, signUp: 'open' },
    tenant: { mode: TenantModeEnum.ISOLATED },
    identityProviders: [paperProvider('paper', { signUp: true, trustsEmail: true })],
  },
});
const strictPlatform = useNestApp({ auth: { ...MFA, twoFactor: { platform: 'always' } } });

const enrolment = ({ context }: NestApp): RequiredEnrolmentService => context.get(RequiredEnrolmentService);
const invalid = { code: 'SECOND_FACTOR_INVALID' };

/** A tenant of its own, so that what it demands is nobody else's business. */
async function tenantWith(
  secondFactorPolicy: SecondFactorPolicy = 'optional',
  on: Pick<NestApp, 'tenants'> = app,
): Promise<string> {
  const { id } = await on.tenants.createTenant({ name: 'T', slug: `t-${randomUUID()}`, secondFactorPolicy });
  return id;
}

/** As if the session had been opened by that. */
const shownOn = (url: string, sessionId: string, what: string) =>
  query(url, 'update nest_auth_sessions set second_factor = $2 where id = $1', [sessionId, what]);
const shown = (sessionId: string, what: string) => shownOn(app.url, sessionId, what);

const demand = (tenantId: string, secondFactorPolicy: SecondFactorPolicy) =>
  app.tenants.updateTenant(tenantId, { secondFactorPolicy });

const makeOperator = (userId: string) =>
  strictPlatform.access.setPlatformAccessRoles(userId, [strictPlatform.seed.admin]);

/** The challenge of somebody who has to enrol first. */
function refusedIn(
  on: NestApp,
  { email, tenantId, platform }: { email: string; tenantId?: string | undefined; platform?: boolean },
): Promise<SecondFactorChallenge> {
  return challengeOf(auth(on).signIn({ email, password: PASSWORD, tenantId, platform }));
}

/** The challenge with which a way in is answered to somebody who has to enrol first. */
async function challengeOf(comingIn: Promise<object>): Promise<SecondFactorChallenge> {
  const refused = await comingIn.catch((error: SecondFactorEnrolmentRequiredError) => error);
  if (!('challenge' in refused) || refused.code !== 'SECOND_FACTOR_ENROLMENT_REQUIRED')
    throw new Error('No enrolment was demanded', { cause: refused });
  return refused.challenge;
}

describe('a tenant says whether a second factor is required', () => {
  it('by itself or not at all, and the activity tells', async () => {
    const id = await tenantWith();
    expect((await app.tenants.getTenantById(id))?.secondFactorPolicy).toBe('optional');
    await expect(demand(id, 'required')).resolves.toMatchObject({ secondFactorPolicy: 'required', version: 2 });
    await expect(demand(id, 'required')).resolves.toMatchObject({ version: 2 });
    const [changed] = await query(
      app.url,
      `select before, after from nest_auth_activities where subject_id = $1 and type = 'nest_auth.tenant.updated'`,
      [id],
    );
    expect(changed).toEqual({ before: { secondFactorPolicy: 'optional' }, after: { secondFactorPolicy: 'required' } });
    await expect(demand(id, 'never' as SecondFactorPolicy)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  it.each([
    ['required', null, 'ends'],
    ['required', 'totp', 'goes on'],
    ['required', 'trusted_device', 'goes on'],
    ['always', null, 'ends'],
    ['always', 'totp', 'goes on'],
    ['always', 'trusted_device', 'ends'],
  ] as const)('SEC-45 with %s a session that has shown %s %s, everywhere at once', async (policy, what, outcome) => {
    const tenantId = await tenantWith();
    const one = await signedIn(app, tenantId);
    if (what !== null) await shown(one.sessionId, what);
    await expect(auth(app).authenticate(one.accessToken)).resolves.toMatchObject({ sessionId: one.sessionId });
    await demand(tenantId, policy);
    const asked = await Promise.allSettled([
      auth(app).authenticate(one.accessToken),
      auth(app).me(one.accessToken),
      auth(app).refresh(one.refreshToken),
    ]);
    const goesOn = outcome === 'goes on';
    expect(asked.map((call) => (call.status === 'fulfilled' ? 'ok' : (call.reason as { code: string }).code))).toEqual(
      goesOn ? ['ok', 'ok', 'ok'] : ['ACCESS_TOKEN_INVALID', 'ACCESS_TOKEN_INVALID', 'REFRESH_TOKEN_INVALID'],
    );
    expect(await sessions(app).getSessions(one.userId)).toHaveLength(goesOn ? 1 : 0);
  });

  it('SEC-51 nobody switches into it without one, and the token stays unused', async () => {
    const [open, strict] = [await tenantWith(), await tenantWith('required')];
    const one = await signedIn(app, open);
    await app.users.ensureUserAccess(one.userId, strict);
    const before = await activitiesOf(app.url, one.userId);
    const attempt = auth(app).switchTenant(one.refreshToken, strict);
    await expect(attempt).rejects.toMatchObject({ code: 'SECOND_FACTOR_REQUIRED' });
    expect(await activitiesOf(app.url, one.userId)).toEqual(before);
    await shown(one.sessionId, 'totp');
    await expect(auth(app).switchTenant(one.refreshToken, strict)).resolves.toMatchObject({ tenantId: strict });
  });

  it('SEC-51 a trusted device does not open a tenant that trusts none', async () => {
    const [open, strict] = [await tenantWith(), await tenantWith('always')];
    const one = await signedIn(app, open);
    await app.users.ensureUserAccess(one.userId, strict);
    await shown(one.sessionId, 'trusted_device');
    const attempt = auth(app).switchTenant(one.refreshToken, strict);
    await expect(attempt).rejects.toMatchObject({ code: 'SECOND_FACTOR_REQUIRED' });
  });

  it('a stranger learns nothing of what a tenant demands', async () => {
    const strict = await tenantWith('required');
    const one = await signedIn(app);
    const attempt = auth(app).switchTenant(one.refreshToken, strict);
    await expect(attempt).rejects.toMatchObject({ code: 'ACCESS_NOT_FOUND' });
  });
});

describe('a sign-in into a tenant that requires a second factor', () => {
  it('SEC-51 leads somebody who has none to enrol one, and then opens the session', async () => {
    const tenantId = await tenantWith('required');
    const { id, email } = await person(app, tenantId);
    const { token: challengeToken, methods } = await refusedIn(app, { email, tenantId });
    expect(methods).toEqual(['totp']);
    expect(await sessions(app).getSessions(id)).toEqual([]);
    const { secret } = await enrolment(app).beginEnrolment({ challengeToken });
    const done = await enrolment(app).completeEnrolment({ challengeToken, code: await codeOf(app, secret) });
    expect(done).toMatchObject({ userId: id, tenantId, trustedDevice: null });
    expect(done.recoveryCodes).toHaveLength(10);
    await expect(auth(app).me(done.accessToken)).resolves.toMatchObject({ tenantId });
    await expect(auth(app).refresh(done.refreshToken)).resolves.toMatchObject({ tenantId });
    expect((await activitiesOf(app.url, id)).map(({ type }) => type).slice(-4)).toEqual([
      NestAuthEvents.SECOND_FACTOR_CHALLENGED,
      NestAuthEvents.SECOND_FACTOR_BEGUN,
      NestAuthEvents.SECOND_FACTOR_ENABLED,
      NestAuthEvents.USER_LOGGED_IN,
    ]);
    await expect(challenged(app, { email, tenantId })).resolves.toMatchObject({ methods: ['totp', 'recovery_code'] });
  });

  it('of people of its own leads there, too, and so does the platform', async () => {
    const tenantId = await tenantWith('required', isolated);
    const { email } = await person(isolated, tenantId);
    await expect(refusedIn(isolated, { email, tenantId })).resolves.toBeDefined();
    const { id, email: operator } = await person(strictPlatform);
    await expect(auth(strictPlatform).signIn({ email: operator, password: PASSWORD })).resolves.toBeDefined();
    await makeOperator(id);
    await expect(refusedIn(strictPlatform, { email: operator })).resolves.toBeDefined();
  });

  it('SEC-51 of somebody whom a provider has just signed up leads there, too, and the user stays', async () => {
    const tenantId = await tenantWith('required', isolated);
    const email = freshEmail();
    const flow = await external(isolated).beginSignIn('paper', { tenantId });
    const url = paperCallback(flow, somebodyElsewhere(email, { email, emailVerified: true }));
    const { token: challengeToken } = await challengeOf(
      external(isolated).completeSignIn({ provider: 'paper', url, flowToken: flow.flowToken }),
    );
    const { secret } = await enrolment(isolated).beginEnrolment({ challengeToken });
    const code = await codeOf(isolated, secret);
    const signed = await enrolment(isolated).completeEnrolment({ challengeToken, code });
    expect(signed.user.email).toBe(email);
    // Somebody who was signed up is no member: the session is in no tenant, but for what belongs to the realm.
    expect(signed.sessionId).toBeDefined();
  });

  it('SEC-51 of somebody who has just signed up leads there, too, and the user stays', async () => {
    const tenantId = await tenantWith('required', isolated);
    const email = freshEmail();
    const { token: challengeToken } = await challengeOf(auth(isolated).signUp({ email, password: PASSWORD, tenantId }));
    const { secret } = await enrolment(isolated).beginEnrolment({ challengeToken });
    const code = await codeOf(isolated, secret);
    await expect(enrolment(isolated).completeEnrolment({ challengeToken, code })).resolves.toMatchObject({ tenantId });
  });

  describe('by a sign-up in a transaction of the caller', () => {
    const signUp = async (email: string, tenantId: string, manager: EntityManager) =>
      auth(isolated).signUp({ email, password: PASSWORD, tenantId }, {}, manager);
    const uncommitted = { code: 'SECOND_FACTOR_ENROLMENT_REQUIRED', message: expect.stringMatching(/commit/i) };

    it('says that a second factor is demanded, and makes nobody when that is thrown on', async () => {
      const tenantId = await tenantWith('required', isolated);
      const email = freshEmail();
      const refused = await isolated.users
        .runInTransaction((manager) => signUp(email, tenantId, manager))
        .catch((error: unknown) => error);
      expect(refused).toMatchObject(uncommitted);
      // There is nobody who could enrol by one.
      expect(refused).not.toHaveProperty('challenge');
      const activities = 'select type from nest_auth_activities where tenant_id = $1 and user_id is not null';
      expect(await query(isolated.url, activities, [tenantId])).toEqual([]);
      expect(await query(isolated.url, 'select id from nest_auth_users where email = $1', [email])).toEqual([]);
      // Nothing is taken: outside of transactions the same sign-up leads on.
      await challengeOf(auth(isolated).signUp({ email, password: PASSWORD, tenantId }));
    });

    it('leaves a user who enrols at the first sign-in when the caller commits', async () => {
      const tenantId = await tenantWith('required', isolated);
      const email = freshEmail();
      await isolated.users.runInTransaction(async (manager) => {
        await expect(signUp(email, tenantId, manager)).rejects.toMatchObject(uncommitted);
      });
      const { token: challengeToken } = await refusedIn(isolated, { email, tenantId });
      await expect(enrolment(isolated).beginEnrolment({ challengeToken })).resolves.toBeDefined();
    });
  });

  it('SEC-45 whoever becomes an operator has to show one at the next refresh', async () => {
    const one = await signedIn(strictPlatform);
    const { refreshToken } = await auth(strictPlatform).refresh(one.refreshToken);
    await makeOperator(one.userId);
    await expect(auth(strictPlatform).refresh(refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    await shownOn(strictPlatform.url, one.sessionId, 'totp');
    await expect(auth(strictPlatform).refresh(refreshToken)).resolves.toBeDefined();
  });

  it('SEC-43, SEC-45 nor does an operator get another token by a refresh token that was just used', async () => {
    const one = await signedIn(strictPlatform);
    await auth(strictPlatform).refresh(one.refreshToken);
    await expect(auth(strictPlatform).refresh(one.refreshToken)).resolves.toBeDefined();
    await makeOperator(one.userId);
    const again = auth(strictPlatform).refresh(one.refreshToken);
    await expect(again).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    await shownOn(strictPlatform.url, one.sessionId, 'totp');
    await expect(auth(strictPlatform).refresh(one.refreshToken)).resolves.toBeDefined();
  });

  it('SEC-51 of an operator trusts no device where the platform trusts none', async () => {
    const user = await enrolled(strictPlatform);
    const show = async () => {
      await forgetSteps(strictPlatform.url, user.id);
      const { token: challengeToken } = await challenged(strictPlatform, user);
      const code = await codeOf(strictPlatform, user.secret);
      return twoFactor(strictPlatform).completeSignIn({ challengeToken, code, trustDevice: true });
    };
    expect((await show()).trustedDevice).not.toBeNull();
    await makeOperator(user.id);
    expect((await show()).trustedDevice).toBeNull();
  });

  it('needs no more of somebody who shows it', async () => {
    const tenantId = await tenantWith('always');
    const user = await enrolled(app, tenantId);
    const { token: challengeToken } = await challenged(app, user);
    const code = await codeOf(app, user.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ tenantId });
  });

  it('SEC-51 the challenge opens nothing but the enrolment', async () => {
    const tenantId = await tenantWith('required');
    const { id, email } = await person(app, tenantId);
    const { token } = await refusedIn(app, { email, tenantId });
    const { secret } = await enrolment(app).beginEnrolment({ challengeToken: token });
    const code = await codeOf(app, secret);
    const answers = [{ code }, { code, method: 'email' as const }, { recoveryCode: 'AAAA-AAAA-AAAA-AAAA-AAAA-AAAA' }];
    for (const answer of answers) {
      const answered = twoFactor(app).completeSignIn({ challengeToken: token, ...answer });
      await expect(answered).rejects.toMatchObject(invalid);
      // Nobody has guessed anything: what is shown is of a factor that the user does not have.
      expect((await activitiesOf(app.url, id)).at(-1)?.details).toEqual({ reason: 'wrong_second_factor' });
    }
    await expect(auth(app).refresh(token)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    await expect(auth(app).me(token)).rejects.toMatchObject({ code: 'ACCESS_TOKEN_INVALID' });
    await expect(auth(app).switchTenant(token, tenantId)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    expect(await auth(app).signOut(token)).toBe(false);
    expect(await sessions(app).getSessions(id)).toEqual([]);
  });

  it('SEC-53 the challenge of somebody who has a second factor enrols no other', async () => {
    const user = await enrolled(app);
    const { token: challengeToken } = await challenged(app, user);
    await expect(enrolment(app).beginEnrolment({ challengeToken })).rejects.toMatchObject(invalid);
    const code = await codeOf(app, user.secret);
    await expect(enrolment(app).completeEnrolment({ challengeToken, code })).rejects.toMatchObject(invalid);
  });

  it('SEC-53 the challenge is over with another password, another status, its time, and its answers', async () => {
    const tenantId = await tenantWith('required');
    const { email, id } = await person(app, tenantId);
    const begin = (challengeToken: string) => enrolment(app).beginEnrolment({ challengeToken });
    const first = await refusedIn(app, { email, tenantId });
    await (await app.users.getUserById(id))?.setPassword(await app.passwords.hash(PASSWORD));
    await expect(begin(first.token)).rejects.toMatchObject(invalid);
    const second = await refusedIn(app, { email, tenantId });
    await query(app.url, `update nest_auth_second_factor_challenges set expires_at = now() where user_id = $1`, [id]);
    await expect(begin(second.token)).rejects.toMatchObject(invalid);
    const { token: challengeToken } = await refusedIn(app, { email, tenantId });
    const { secret } = await begin(challengeToken);
    const right = await codeOf(app, secret);
    for (const code of times(5, () => wrong(right)))
      await expect(enrolment(app).completeEnrolment({ challengeToken, code })).rejects.toMatchObject(invalid);
    await expect(enrolment(app).completeEnrolment({ challengeToken, code: right })).rejects.toMatchObject(invalid);
  });

  it('SEC-53 of many who complete it at once one does', async () => {
    const tenantId = await tenantWith('required');
    const { id, email } = await person(app, tenantId);
    const [one, other] = [await refusedIn(app, { email, tenantId }), await refusedIn(app, { email, tenantId })];
    const { secret } = await enrolment(app).beginEnrolment({ challengeToken: one.token });
    const code = await codeOf(app, secret);
    const { won, codes } = await outcomesOf(
      times(8, (index) =>
        enrolment(app).completeEnrolment({ challengeToken: (index % 2 === 0 ? one : other).token, code }),
      ),
    );
    expect([won.length, codes]).toEqual([1, { SECOND_FACTOR_INVALID: 7 }]);
    expect(await sessions(app).getSessions(id)).toHaveLength(1);
  });

  it('leaves nothing behind when the caller rolls it back', async () => {
    const tenantId = await tenantWith('required');
    const { id, email } = await person(app, tenantId);
    const { token: challengeToken } = await refusedIn(app, { email, tenantId });
    const { secret } = await enrolment(app).beginEnrolment({ challengeToken });
    const code = await codeOf(app, secret);
    const undone = app.users.runInTransaction(async (manager) => {
      await enrolment(app).completeEnrolment({ challengeToken, code }, {}, manager);
      throw new Error('undo');
    });
    await expect(undone).rejects.toThrow('undo');
    expect((await twoFactor(app).listSecondFactors(id)).factors).toEqual([]);
    await expect(enrolment(app).completeEnrolment({ challengeToken, code })).resolves.toMatchObject({ userId: id });
  });

  it('is demanded whichever moment the tenant begins to require it', async () => {
    const tenantId = await tenantWith();
    const people = await Promise.all(times(6, () => person(app, tenantId)));
    const [, ...answers] = await Promise.allSettled([
      demand(tenantId, 'required'),
      ...people.map(({ email }) => auth(app).signIn({ email, password: PASSWORD, tenantId })),
    ]);
    const opened = answers.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const judged = await Promise.allSettled(opened.map(({ accessToken }) => auth(app).me(accessToken)));
    expect(judged.filter(({ status }) => status === 'fulfilled')).toEqual([]);
  });
});

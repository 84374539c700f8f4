import { afterEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';

import { IdentityContext, NestAuthEvents, PasswordRecoveryService, TenantModeEnum } from '../../../src/index.js';
import { startNestApp, useNestApp } from '../../support/nest-app.js';
import { countRows, dumpTables, untilSomebodyWaits } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';
import { activitiesOf, auth, AUTH, keys, PASSWORD, person, query, sessions, signedIn } from '../session/fixture.js';
import { challenged, codeOf, enrolled, forgetSteps, MFA, SECRETS, twoFactor, wrong } from './fixture.js';

const app = useNestApp({ auth: MFA });
const invalid = { code: 'SECOND_FACTOR_INVALID' };
const current = { currentPassword: PASSWORD };

afterEach(() => void app.events.splice(0));

describe('enrolling an authenticator', () => {
  it('answers the seed in base32, as a uri and as a QR code, and asks for nothing yet', async () => {
    const { id, email } = await person(app);
    const { secret, uri, qrCode } = await twoFactor(app).enableTwoFactor(id, current);
    expect(Buffer.from(secret)).toHaveLength(32);
    const { protocol, host, pathname, searchParams } = new URL(uri);
    expect([protocol, host, decodeURIComponent(pathname)]).toEqual([
      'otpauth:',
      'totp',
      `/nest-auth-identity:${email}`,
    ]);
    expect(Object.fromEntries(searchParams)).toEqual({ secret, issuer: 'nest-auth-identity' });
    expect(qrCode).toMatch(/^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    await expect(auth(app).signIn({ email, password: PASSWORD })).resolves.toMatchObject({ userId: id });
    expect(await twoFactor(app).listSecondFactors(id)).toEqual({ factors: [], recoveryCodesLeft: 0 });
    expect((await activitiesOf(app.url, id)).some(({ type }) => type === NestAuthEvents.SECOND_FACTOR_BEGUN)).toBe(
      true,
    );
  });

  it('SEC-49, SEC-53: needs the current password, which counts like one at a sign-in', async () => {
    const { id, email } = await person(app);
    const { sessionId } = await auth(app).signIn({ email, password: PASSWORD });
    const before = await dumpTables(app.url);
    await expect(twoFactor(app).enableTwoFactor(id)).rejects.toMatchObject({ code: 'REAUTHENTICATION_REQUIRED' });
    // A session is no password: whoever has found it open may not keep it that way.
    await expect(twoFactor(app).enableTwoFactor(id, { sessionId })).rejects.toMatchObject({
      code: 'REAUTHENTICATION_REQUIRED',
    });
    expect(await dumpTables(app.url)).toEqual(before);
    const guess = twoFactor(app).enableTwoFactor(id, { currentPassword: 'wrong' });
    await expect(guess).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
    expect(await countRows(app.url, 'nest_auth_sign_in_totals', 'subject = $1 and failures = 1', [id])).toBe(1);
    expect(await countRows(app.url, 'nest_auth_second_factors', 'user_id = $1', [id])).toBe(0);
  });

  it('SEC-53: of somebody without a password needs an own session that has just begun', async () => {
    const [one, other] = [await signedIn(app), await signedIn(app)];
    await query(app.url, 'update nest_auth_users set password_hash = null where id = any($1)', [
      [one.userId, other.userId],
    ]);
    const refused = { code: 'REAUTHENTICATION_REQUIRED' };
    for (const sessionId of [undefined, other.sessionId, randomUUID()])
      await expect(twoFactor(app).enableTwoFactor(one.userId, { sessionId })).rejects.toMatchObject(refused);
    const { sessionId } = one;
    await expect(twoFactor(app).enableTwoFactor(one.userId, { sessionId })).resolves.toMatchObject({});
    await query(app.url, `update nest_auth_sessions set created_at = now() - interval '11 minutes' where id = $1`, [
      other.sessionId,
    ]);
    const late = twoFactor(app).enableTwoFactor(other.userId, { sessionId: other.sessionId });
    await expect(late).rejects.toMatchObject(refused);
  });

  it('SEC-49: counts from a code of it, and ends every session but the one that is named', async () => {
    const { userId: id, email, refreshToken, sessionId } = await signedIn(app);
    const { refreshToken: elsewhere, accessToken } = await auth(app).signIn({ email, password: PASSWORD });
    const { secret } = await twoFactor(app).enableTwoFactor(id, current);
    const code = await codeOf(app, secret);
    await expect(twoFactor(app).verifyTwoFactorSetup(id, wrong(code))).rejects.toMatchObject(invalid);
    await expect(auth(app).authenticate(accessToken)).resolves.toMatchObject({ userId: id });
    const { statements, result } = await recordStatements(() =>
      twoFactor(app).verifyTwoFactorSetup(id, code, { keepSessionId: sessionId }),
    );
    expect(statements).toHaveLength(2);
    expect(new Set(result.recoveryCodes).size).toBe(10);
    for (const one of result.recoveryCodes) expect(one).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}$/);
    await expect(auth(app).authenticate(accessToken)).rejects.toMatchObject({ code: 'ACCESS_TOKEN_INVALID' });
    await expect(auth(app).refresh(elsewhere)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    const kept = await auth(app).refresh(refreshToken);
    expect(kept.sessionId).toBe(sessionId);
    await expect(auth(app).me(kept.accessToken)).resolves.toMatchObject({ sessionId });
    expect(await sessions(app).getSessions(id)).toMatchObject([{ id: sessionId, secondFactor: 'totp' }]);
    expect((await activitiesOf(app.url, id)).at(-1)).toEqual({
      type: NestAuthEvents.SECOND_FACTOR_ENABLED,
      details: { kind: 'totp', email },
    });
    expect(app.events.at(-1)).toMatchObject({ name: NestAuthEvents.SECOND_FACTOR_ENABLED, userId: id, kind: 'totp' });
    const listed = await twoFactor(app).listSecondFactors(id);
    expect(listed).toMatchObject({ factors: [{ kind: 'totp' }], recoveryCodesLeft: 10 });
  });

  it('can be begun anew until it counts, and not after that', async () => {
    const { id } = await person(app);
    const { secret: first } = await twoFactor(app).enableTwoFactor(id, current);
    const { secret } = await twoFactor(app).enableTwoFactor(id, current);
    const old = await codeOf(app, first);
    await expect(twoFactor(app).verifyTwoFactorSetup(id, old)).rejects.toMatchObject(invalid);
    await twoFactor(app).verifyTwoFactorSetup(id, await codeOf(app, secret));
    await expect(twoFactor(app).enableTwoFactor(id, current)).rejects.toMatchObject({
      code: 'SECOND_FACTOR_ALREADY_ENABLED',
    });
    await expect(twoFactor(app).verifyTwoFactorSetup(id, await codeOf(app, secret))).rejects.toMatchObject({
      code: 'SECOND_FACTOR_NOT_ENABLED',
    });
  });

  it('SEC-49: a seed that was begun an hour ago is none any more, until it is begun anew', async () => {
    const { id } = await person(app);
    const { secret: old } = await twoFactor(app).enableTwoFactor(id, current);
    const age = `update nest_auth_second_factors set created_at = now() - interval '1 hour' where user_id = $1`;
    await query(app.url, age, [id]);
    const late = twoFactor(app).verifyTwoFactorSetup(id, await codeOf(app, old));
    await expect(late).rejects.toMatchObject({ code: 'SECOND_FACTOR_NOT_ENABLED' });
    const { secret } = await twoFactor(app).enableTwoFactor(id, current);
    const { recoveryCodes } = await twoFactor(app).verifyTwoFactorSetup(id, await codeOf(app, secret));
    expect(recoveryCodes).toHaveLength(10);
  });

  it('SEC-24, SEC-49: a seed that was begun ends with the password, although the person stays signed in', async () => {
    const { userId: id, sessionId } = await signedIn(app);
    const { secret } = await twoFactor(app).enableTwoFactor(id, current);
    await app.context.get(PasswordRecoveryService).changePassword({
      userId: id,
      currentPassword: PASSWORD,
      newPassword: `${PASSWORD}, and another word`,
      keepSessionId: sessionId,
    });
    const late = twoFactor(app).verifyTwoFactorSetup(id, await codeOf(app, secret));
    await expect(late).rejects.toMatchObject({ code: 'SECOND_FACTOR_NOT_ENABLED' });
    expect((await twoFactor(app).listSecondFactors(id)).factors).toEqual([]);
  });

  it('SEC-53: by a password that was shown before the factor was enabled is refused', async () => {
    const { id } = await person(app);
    const { secret } = await twoFactor(app).enableTwoFactor(id, current);
    // Of its own, so that it does not join the transaction that is running.
    const other = await startNestApp(app.url, { auth: MFA });
    try {
      let late: Promise<unknown> = Promise.resolve();
      await app.users.runInTransaction(async () => {
        await twoFactor(app).verifyTwoFactorSetup(id, await codeOf(app, secret));
        late = twoFactor(other)
          .enableTwoFactor(id, current)
          .catch((error: unknown) => error);
        await untilSomebodyWaits(app.url);
      });
      expect(await late).toMatchObject({ code: 'REAUTHENTICATION_REQUIRED' });
    } finally {
      await other.close();
    }
    await forgetSteps(app.url, id);
    const code = await codeOf(app, secret);
    await expect(twoFactor(app).disableTwoFactor(id, { code })).resolves.toBeUndefined();
  });

  it('SEC-48: the code that has confirmed it is taken', async () => {
    const { id, email } = await person(app);
    const { secret } = await twoFactor(app).enableTwoFactor(id, current);
    const code = await codeOf(app, secret);
    await twoFactor(app).verifyTwoFactorSetup(id, code);
    const { token: challengeToken } = await challenged(app, { email, tenantId: undefined });
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject(invalid);
  });

  it('is undone with the transaction of the caller', async () => {
    const { id, email } = await person(app);
    const { secret } = await twoFactor(app).enableTwoFactor(id, current);
    const undo = new Error('undo');
    const failing = app.users.runInTransaction(async () => {
      await twoFactor(app).verifyTwoFactorSetup(id, await codeOf(app, secret));
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    expect(app.events.filter(({ name }) => name === NestAuthEvents.SECOND_FACTOR_ENABLED)).toEqual([]);
    await expect(auth(app).signIn({ email, password: PASSWORD })).resolves.toMatchObject({ userId: id });
  });

  it('refuses by name without keys, and then nobody comes in who has one', async () => {
    const user = await enrolled(app);
    const { id } = await person(app);
    const bare = await startNestApp(app.url, { auth: AUTH });
    try {
      await expect(twoFactor(bare).enableTwoFactor(id, current)).rejects.toMatchObject({
        code: 'INVALID_OPTIONS',
        details: { option: 'secrets.keys' },
      });
      const { token: challengeToken } = await challenged(bare, user);
      const code = await codeOf(app, user.secret);
      await expect(twoFactor(bare).completeSignIn({ challengeToken, code })).rejects.toMatchObject({
        code: 'SECRET_UNREADABLE',
      });
      expect(await sessions(app).getSessions(user.id)).toEqual([]);
    } finally {
      await bare.close();
    }
  });
});

describe('giving it up', () => {
  it('SEC-49: takes a code of it and nothing less, and tells', async () => {
    const user = await enrolled(app);
    const code = await codeOf(app, user.secret);
    await expect(twoFactor(app).disableTwoFactor(user.id, { code: wrong(code) })).rejects.toMatchObject(invalid);
    await challenged(app, user);
    await twoFactor(app).disableTwoFactor(user.id, { code });
    await expect(auth(app).signIn({ email: user.email, password: PASSWORD })).resolves.toMatchObject({
      userId: user.id,
    });
    expect((await activitiesOf(app.url, user.id)).at(-2)).toEqual({
      type: NestAuthEvents.SECOND_FACTOR_DISABLED,
      details: { kinds: ['totp'], email: user.email },
    });
    for (const table of ['second_factors', 'second_factor_states', 'second_factor_challenges'])
      expect(await countRows(app.url, `nest_auth_${table}`, 'user_id = $1', [user.id])).toBe(0);
    await expect(twoFactor(app).disableTwoFactor(user.id, { code })).rejects.toMatchObject({
      code: 'SECOND_FACTOR_NOT_ENABLED',
    });
  });

  it('SEC-48: takes no code that was taken at a sign-in', async () => {
    const user = await enrolled(app);
    const code = await codeOf(app, user.secret);
    const { token: challengeToken } = await challenged(app, user);
    await twoFactor(app).completeSignIn({ challengeToken, code });
    await expect(twoFactor(app).disableTwoFactor(user.id, { code })).rejects.toMatchObject(invalid);
    await expect(twoFactor(app).regenerateRecoveryCodes(user.id, { code })).rejects.toMatchObject(invalid);
  });

  it('SEC-50: takes a recovery code, once', async () => {
    const user = await enrolled(app);
    const [recoveryCode = ''] = user.recoveryCodes;
    const { token: challengeToken } = await challenged(app, user);
    const { sessionId, refreshToken } = await twoFactor(app).completeSignIn({ challengeToken, recoveryCode });
    const used = twoFactor(app).disableTwoFactor(user.id, { recoveryCode });
    await expect(used).rejects.toMatchObject(invalid);
    const [, next] = user.recoveryCodes;
    await twoFactor(app).disableTwoFactor(user.id, { recoveryCode: next, keepSessionId: sessionId });
    await expect(auth(app).refresh(refreshToken)).resolves.toMatchObject({ sessionId });
    expect(await sessions(app).getSessions(user.id)).toMatchObject([{ id: sessionId, secondFactor: null }]);
  });

  it('SEC-09: guesses count together with those at a sign-in', async () => {
    const user = await enrolled(app);
    const code = await codeOf(app, user.secret);
    await query(
      app.url,
      'update nest_auth_second_factor_states set failures = 19, failing_since = now() where user_id = $1',
      [user.id],
    );
    const guess = twoFactor(app).disableTwoFactor(user.id, { code: wrong(code) });
    await expect(guess).rejects.toMatchObject(invalid);
    const { token: challengeToken } = await challenged(app, user);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject(invalid);
    await expect(twoFactor(app).disableTwoFactor(user.id, { code })).rejects.toMatchObject(invalid);
  });
});

describe('new recovery codes', () => {
  it.each(['code', 'recoveryCode'] as const)('SEC-50: by a %s make the old ones worth nothing', async (by) => {
    const user = await enrolled(app);
    const proof = by === 'code' ? { code: await codeOf(app, user.secret) } : { recoveryCode: user.recoveryCodes[0] };
    const { recoveryCodes } = await twoFactor(app).regenerateRecoveryCodes(user.id, proof);
    expect(recoveryCodes.filter((code) => user.recoveryCodes.includes(code))).toEqual([]);
    const { token: challengeToken } = await challenged(app, user);
    const old = twoFactor(app).completeSignIn({ challengeToken, recoveryCode: user.recoveryCodes[1] });
    await expect(old).rejects.toMatchObject(invalid);
    const answer = twoFactor(app).completeSignIn({ challengeToken, recoveryCode: recoveryCodes[1] });
    await expect(answer).resolves.toMatchObject({ userId: user.id });
    await expect(twoFactor(app).regenerateRecoveryCodes(user.id, proof)).rejects.toMatchObject(invalid);
  });
});

describe('a reset by somebody else', () => {
  it('takes everything away, ends the sessions, and tells who did it', async () => {
    const user = await enrolled(app);
    const admin = await person(app);
    const { token: challengeToken } = await challenged(app, user);
    const code = await codeOf(app, user.secret);
    const { refreshToken } = await twoFactor(app).completeSignIn({ challengeToken, code });
    const { token: pending } = await challenged(app, user);
    const actor = { type: 'user', id: admin.id } as never;
    const reset = (): Promise<boolean> =>
      IdentityContext.run({ actor }, () => twoFactor(app).resetTwoFactor(user.id, { reason: 'phone lost' }));
    expect(await reset()).toBe(true);
    expect(await reset()).toBe(false);
    await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    await forgetSteps(app.url, user.id);
    const late = twoFactor(app).completeSignIn({ challengeToken: pending, code });
    await expect(late).rejects.toMatchObject(invalid);
    await expect(auth(app).signIn({ email: user.email, password: PASSWORD })).resolves.toMatchObject({
      userId: user.id,
    });
    const told = await query(
      app.url,
      `select actor_id, details from nest_auth_activities where user_id = $1 and type = $2`,
      [user.id, NestAuthEvents.SECOND_FACTOR_RESET],
    );
    expect(told).toEqual([
      { actor_id: admin.id, details: { kinds: ['totp'], email: user.email, reason: 'phone lost' } },
    ]);
  });

  it('of nobody is refused', async () => {
    await expect(twoFactor(app).resetTwoFactor(randomUUID())).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
  });

  it('is undone with the transaction of the caller', async () => {
    const user = await enrolled(app);
    const undo = new Error('undo');
    await expect(
      app.users.runInTransaction(async () => {
        await twoFactor(app).resetTwoFactor(user.id);
        throw undo;
      }),
    ).rejects.toBe(undo);
    await expect(challenged(app, user)).resolves.toMatchObject({ methods: ['totp', 'recovery_code'] });
  });
});

it('goes with the user', async () => {
  const user = await enrolled(app);
  await challenged(app, user);
  await app.users.deleteUser(user.id);
  const dump = await dumpTables(app.url);
  const left = Object.entries(dump).filter(([, rows]) => rows.some((row) => row.includes(user.id)));
  expect(left.map(([table]) => table).filter((table) => table.includes('second_factor'))).toEqual([]);
});

it('SEC-20, SEC-49, SEC-52: nothing in the database is a seed, a code, a recovery code or a challenge', async () => {
  const user = await enrolled(app);
  const { token } = await challenged(app, user);
  const code = await codeOf(app, user.secret);
  await expect(twoFactor(app).completeSignIn({ challengeToken: token, code: wrong(code) })).rejects.toMatchObject(
    invalid,
  );
  await twoFactor(app).completeSignIn({ challengeToken: token, code });
  const { token: waiting } = await challenged(app, user);
  const dump = Object.values(await dumpTables(app.url))
    .flat()
    .join('\n');
  const secrets = [token, waiting].map((one) => one.split('.')[1] as string);
  const forms = [
    user.secret,
    Buffer.from(user.secret).toString('hex'),
    ...secrets,
    ...secrets.map((one) => Buffer.from(one, 'base64url').toString('hex')),
    ...user.recoveryCodes,
    ...user.recoveryCodes.map((one) => one.replaceAll('-', '')),
    ...user.recoveryCodes.map((one) => Buffer.from(one.replaceAll('-', '')).toString('hex')),
  ];
  expect(dump).toContain(user.id);
  for (const form of forms) expect(dump).not.toContain(form);
  const told = JSON.stringify([await activitiesOf(app.url, user.id), app.events]);
  for (const form of [...forms, `"${code}"`]) expect(told).not.toContain(form);
  const [factor] = await twoFactor(app)
    .listSecondFactors(user.id)
    .then(({ factors }) => factors);
  expect(Object.keys(factor ?? {}).toSorted()).toEqual(['enabledAt', 'kind', 'lastUsedAt']);
});

it('SEC-49: a seed that is put beside another user does not open', async () => {
  const [one, other] = [await enrolled(app), await enrolled(app)];
  await query(
    app.url,
    `update nest_auth_second_factors f set sealed = o.sealed, key_id = o.key_id from nest_auth_second_factors o
      where f.user_id = $1 and o.user_id = $2`,
    [one.id, other.id],
  );
  const { token: challengeToken } = await challenged(app, one);
  const code = await codeOf(app, other.secret);
  await expect(twoFactor(app).completeSignIn({ challengeToken, code })).rejects.toMatchObject({
    code: 'SECRET_UNREADABLE',
  });
});

describe('with one connection', () => {
  it('everything works, and a sign-in inside of a transaction is refused and does not wait for ever', async () => {
    const small = { ...(await startNestApp(app.url, { auth: MFA, pool: 1 })), url: app.url };
    try {
      const user = await enrolled(small);
      const { token: challengeToken } = await challenged(small, user);
      const code = await codeOf(app, user.secret);
      await expect(twoFactor(small).completeSignIn({ challengeToken, code })).resolves.toMatchObject({
        userId: user.id,
      });
      const inside = small.users.runInTransaction(() => twoFactor(small).disableTwoFactor(user.id, { code }));
      await expect(inside).rejects.toMatchObject({ code: 'CONNECTION_UNAVAILABLE' });
      await forgetSteps(app.url, user.id);
      await twoFactor(small).disableTwoFactor(user.id, { code });
    } finally {
      await small.close();
    }
  });
});

describe('in ISOLATED tenancy', () => {
  it('the challenge belongs to the user of the one tenant', async () => {
    const isolated = {
      ...(await startNestApp(app.url, {
        auth: { ...MFA, session: { keys }, tenant: { mode: TenantModeEnum.ISOLATED }, secrets: SECRETS },
      })),
      url: app.url,
    };
    try {
      const { tenantId } = app.seed;
      const user = await enrolled(isolated, tenantId);
      const { token: challengeToken } = await challenged(isolated, user);
      const code = await codeOf(app, user.secret);
      await expect(twoFactor(isolated).completeSignIn({ challengeToken, code })).resolves.toMatchObject({ tenantId });
    } finally {
      await isolated.close();
    }
  });
});

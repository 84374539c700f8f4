import { describe, expect, it } from '@jest/globals';
import { decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from 'jose';

import {
  AccessStatusEnum,
  generateSessionKeys,
  NestAuthEvents,
  NIL_UUID,
  type SessionKey,
  TenantModeEnum,
} from '../../../src/index.js';
import { freshEmail, type NestApp, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { activitiesOf, auth, AUTH, CHEAP, keys, PASSWORD, person, query, sessions, signedIn } from './fixture.js';

const app = useNestApp({ auth: AUTH });
const invalid = { code: 'ACCESS_TOKEN_INVALID' };

describe('SEC-46: the sessions of a user', () => {
  it('are listed with their devices, and ended one, others or all', async () => {
    const { userId, email, sessionId: first } = await signedIn(app);
    const again = (userAgent: string) =>
      auth(app).signIn({ email, password: PASSWORD }, { ip: '2001:db8::1', userAgent });
    const [second, third] = [await again('Safari'), await again('curl')];
    const list = await sessions(app).getSessions(userId);
    expect(list.map(({ id }) => id).toSorted()).toEqual([first, second.sessionId, third.sessionId].toSorted());
    expect(list.find(({ id }) => id === third.sessionId)).toMatchObject({ ip: '2001:db8::1', userAgent: 'curl' });
    await sessions(app).revokeSession(userId, first);
    await expect(sessions(app).revokeSession(userId, first)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(await sessions(app).revokeOtherSessions(userId, third.sessionId)).toBe(1);
    expect((await sessions(app).getSessions(userId)).map(({ id }) => id)).toEqual([third.sessionId]);
    await expect(auth(app).refresh(second.refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    expect(await sessions(app).revokeAllSessions(userId)).toBe(1);
    expect(await sessions(app).revokeAllSessions(userId)).toBe(0);
    const ended = (await activitiesOf(app.url, userId)).filter(({ type }) => type === NestAuthEvents.SESSIONS_REVOKED);
    expect(ended).toHaveLength(3);
  });

  it('are not another user’s to end, nor to see', async () => {
    const mine = await signedIn(app);
    const theirs = await signedIn(app);
    const attempt = sessions(app).revokeSession(mine.userId, theirs.sessionId);
    await expect(attempt).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(await auth(app).signOut({ userId: mine.userId, sessionId: theirs.sessionId })).toBe(false);
    expect(await sessions(app).revokeOtherSessions(mine.userId, mine.sessionId)).toBe(0);
    await expect(auth(app).refresh(theirs.refreshToken)).resolves.toBeDefined();
  });

  it('end by signing out, with the refresh token or by the claims', async () => {
    const one = await signedIn(app);
    const { refreshToken } = await auth(app).refresh(one.refreshToken);
    expect(await auth(app).signOut(refreshToken)).toBe(true);
    expect(await auth(app).signOut(refreshToken)).toBe(false);
    expect(await auth(app).signOut('nothing')).toBe(false);
    await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    expect((await activitiesOf(app.url, one.userId)).at(-1)?.type).toBe(NestAuthEvents.USER_LOGGED_OUT);
    const two = await signedIn(app);
    expect(await auth(app).signOut(await auth(app).verifyAccessToken(two.accessToken))).toBe(true);
    await expect(auth(app).me(two.accessToken)).rejects.toMatchObject(invalid);
  });
});

describe('an access token', () => {
  it('is verified without the database, and by one statement when it is to be fresh', async () => {
    const { accessToken } = await signedIn(app);
    expect((await recordStatements(() => auth(app).verifyAccessToken(accessToken))).statements).toHaveLength(0);
    const fresh = await recordStatements(() => auth(app).verifyAccessToken(accessToken, { fresh: true }));
    expect(fresh.statements).toHaveLength(1);
    expect((await recordStatements(() => auth(app).me(accessToken))).statements).toHaveLength(1);
  });

  it('lives five minutes unless the application says otherwise', async () => {
    const { issuedAt, expiresAt } = await auth(app).verifyAccessToken((await signedIn(app)).accessToken);
    expect(expiresAt.getTime() - issuedAt.getTime()).toBe(300_000);
  });

  it('is refused after its time, with another key, type, audience, issuer or algorithm, and when it is changed', async () => {
    const { accessToken, userId, sessionId } = await signedIn(app);
    const [own] = keys as [SessionKey];
    const claims = { sid: sessionId, tid: null, stamp: 1 };
    const make = (
      over: { typ?: string; iss?: string; aud?: string; exp?: string; payload?: object; kid?: string } = {},
    ) =>
      new SignJWT({ ...claims, ...over.payload })
        .setProtectedHeader({ alg: 'EdDSA', kid: over.kid ?? own.kid, typ: over.typ ?? 'at+jwt' })
        .setSubject(userId)
        .setIssuer(over.iss ?? 'nest-auth-identity')
        .setAudience(over.aud ?? 'nest-auth-identity')
        .setIssuedAt()
        .setExpirationTime(over.exp ?? '1 minute');
    const sign = (over?: Parameters<typeof make>[0], key: SessionKey = own) =>
      make(over).sign({ ...key, alg: 'EdDSA' });
    await expect(auth(app).verifyAccessToken(await sign())).resolves.toMatchObject({ userId });
    const [stranger] = generateSessionKeys() as [SessionKey];
    const secret = new TextEncoder().encode(own.x);
    const symmetric = new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: own.kid, typ: 'at+jwt' });
    const [head, body, signature] = accessToken.split('.') as [string, string, string];
    const none = Buffer.from(JSON.stringify({ alg: 'none', kid: own.kid, typ: 'at+jwt' })).toString('base64url');
    const bad: unknown[] = [
      await sign({ exp: '-1 second' }),
      await sign({ typ: 'JWT' }),
      await sign({ iss: 'somebody' }),
      await sign({ aud: 'somebody' }),
      await sign({ payload: { sid: 'x' } }),
      await sign({ payload: { tid: 'x' } }),
      await sign({ payload: { stamp: undefined } }),
      await sign({}, stranger),
      await sign({ kid: stranger.kid }, stranger),
      await symmetric.setSubject(userId).setExpirationTime('1 minute').sign(secret),
      `${none}.${body}.`,
      `${head}.${body}.${signature.slice(0, -4)}AAAA`,
      `${accessToken}${'x'.repeat(5_000)}`,
      undefined,
      (await signedIn(app)).refreshToken,
    ];
    for (const token of bad) await expect(auth(app).verifyAccessToken(token as string)).rejects.toMatchObject(invalid);
  });

  it('of a key that has been replaced is good until that is taken away, and each names its own', async () => {
    const before = await signedIn(app);
    const newer = [...generateSessionKeys(), ...keys];
    const rotated = await startNestApp(app.url, { auth: { ...AUTH, session: { keys: newer } } });
    const replaced = await startNestApp(app.url, { auth: { ...AUTH, session: { keys: newer.slice(0, 1) } } });
    try {
      await expect(auth(rotated).verifyAccessToken(before.accessToken)).resolves.toBeDefined();
      await expect(auth(replaced).verifyAccessToken(before.accessToken)).rejects.toMatchObject(invalid);
      const after = await auth(rotated).refresh(before.refreshToken);
      expect(decodeProtectedHeader(after.accessToken).kid).toBe(newer[0]?.kid);
      expect(
        auth(rotated)
          .jwks()
          .keys.map(({ kid }) => kid),
      ).toEqual(newer.map(({ kid }) => kid));
      expect(JSON.stringify(auth(rotated).jwks())).not.toContain('"d"');
      // In the reuse window the successor is the one that was answered, also where another key signs by now.
      expect((await auth(rotated).refresh(before.refreshToken)).refreshToken).toBe(after.refreshToken);
    } finally {
      await rotated.close();
      await replaced.close();
    }
  });

  it('is good in every process while the keys are replaced under load, one process after another (F38)', async () => {
    const [old, fresh] = [generateSessionKeys(), generateSessionKeys()];
    const start = (list: typeof keys) => startNestApp(app.url, { auth: { ...AUTH, session: { keys: list } } });
    // Known everywhere before it signs anywhere, and known until its last token is over.
    const steps = [await start(old), await start([...old, ...fresh]), await start([...fresh, ...old])] as const;
    const [before, , after] = steps;
    const signed = new Set<string | undefined>();
    const live = async (index: number): Promise<void> => {
      const { email } = await person(app);
      let tokens = await auth(before).signIn({ email, password: PASSWORD });
      for (let round = 0; round < 9; round += 1) {
        // Two neighbouring steps are in use at once; nobody is at the same one.
        const step = Math.floor(round / 3);
        const [one, two] = [steps[Math.min(step, 2)], steps[Math.min(step + ((index + round) % 2), 2)]];
        tokens = { ...tokens, ...(await auth(two as NestApp).refresh(tokens.refreshToken)) };
        signed.add(decodeProtectedHeader(tokens.accessToken).kid);
        const claims = await auth(one as NestApp).verifyAccessToken(tokens.accessToken, { fresh: true });
        expect(claims.sessionId).toBe(tokens.sessionId);
      }
    };
    try {
      await Promise.all(times(8, (index) => live(index)));
      expect(signed).toEqual(new Set([old[0]?.kid, fresh[0]?.kid]));
      expect(auth(after).jwks().keys).toHaveLength(2);
    } finally {
      for (const one of steps) await one.close();
    }
  });

  it('can be signed with P-256', async () => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const key = { ...(await exportJWK(privateKey)), kid: 'p256' } as SessionKey;
    const other = await startNestApp(app.url, { auth: { ...AUTH, session: { keys: [key] } } });
    try {
      const { accessToken } = await signedIn(other);
      expect(decodeProtectedHeader(accessToken)).toEqual({ alg: 'ES256', kid: 'p256', typ: 'at+jwt' });
      await expect(auth(other).me(accessToken)).resolves.toBeDefined();
    } finally {
      await other.close();
    }
  });
});

describe('a session in SHARED tenancy', () => {
  it('lands in the tenant that is named, else in the default one', async () => {
    const { userId, email } = await signedIn(app, app.seed.tenantId);
    await app.users.ensureUserAccess(userId, app.seed.otherTenantId);
    const by = (tenantId?: string) => auth(app).signIn({ email, password: PASSWORD, tenantId });
    expect((await by()).tenantId).toBe(app.seed.tenantId);
    expect((await by(app.seed.otherTenantId)).tenantId).toBe(app.seed.otherTenantId);
    await app.access.setUserAccessStatus(userId, app.seed.tenantId, AccessStatusEnum.SUSPENDED);
    expect((await by()).tenantId).toBeNull();
    await expect(by(app.seed.tenantId)).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
  });

  it('SEC-40: goes to another tenant with new tokens, and the access token of before is refused where asked', async () => {
    const one = await signedIn(app, app.seed.tenantId);
    await app.users.ensureUserAccess(one.userId, app.seed.otherTenantId);
    const switched = await auth(app).switchTenant(one.refreshToken, app.seed.otherTenantId);
    expect(switched).toMatchObject({ sessionId: one.sessionId, tenantId: app.seed.otherTenantId });
    expect(switched.refreshToken).not.toBe(one.refreshToken);
    await expect(auth(app).me(one.accessToken)).rejects.toMatchObject(invalid);
    await expect(auth(app).me(switched.accessToken)).resolves.toMatchObject({ tenantId: app.seed.otherTenantId });
    expect((await activitiesOf(app.url, one.userId)).at(-1)?.type).toBe(NestAuthEvents.SESSION_TENANT_SWITCHED);
    expect((await auth(app).refresh(switched.refreshToken)).tenantId).toBe(app.seed.otherTenantId);
  });

  it('goes there also when the token was just used by a refresh', async () => {
    const one = await signedIn(app, app.seed.tenantId);
    await app.users.ensureUserAccess(one.userId, app.seed.otherTenantId);
    const refreshed = await auth(app).refresh(one.refreshToken);
    const switched = await auth(app).switchTenant(one.refreshToken, app.seed.otherTenantId);
    expect(switched).toMatchObject({ sessionId: one.sessionId, tenantId: app.seed.otherTenantId });
    // Whoever has refreshed goes on as well: within the window the used token answers the one that came of it.
    expect(await auth(app).refresh(refreshed.refreshToken)).toMatchObject({
      refreshToken: switched.refreshToken,
      tenantId: app.seed.otherTenantId,
    });
  });

  it('stays where it is, with its token, when the user is no active member of the other tenant', async () => {
    const one = await signedIn(app, app.seed.tenantId);
    const attempt = (tenantId: string) => auth(app).switchTenant(one.refreshToken, tenantId);
    await expect(attempt(app.seed.otherTenantId)).rejects.toMatchObject({ code: 'ACCESS_NOT_FOUND' });
    await app.users.ensureUserAccess(one.userId, app.seed.otherTenantId);
    await app.access.setUserAccessStatus(one.userId, app.seed.otherTenantId, AccessStatusEnum.SUSPENDED);
    await expect(attempt(app.seed.otherTenantId)).rejects.toMatchObject({ code: 'ACCESS_NOT_FOUND' });
    await expect(attempt(NIL_UUID)).rejects.toMatchObject({ code: 'TENANT_NOT_FOUND' });
    expect((await auth(app).refresh(one.refreshToken)).tenantId).toBe(app.seed.tenantId);
  });

  it('SEC-63: is refused in a tenant that is inactive, and ends with it', async () => {
    const { id } = await app.tenants.createTenant({ name: 'Closing', slug: 'closing' });
    const { email, refreshToken } = await signedIn(app, id);
    await app.tenants.updateTenant(id, { isActive: false });
    await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    await expect(auth(app).signIn({ email, password: PASSWORD, tenantId: id })).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
  });
});

describe('a session in ISOLATED tenancy', () => {
  const isolated = useNestApp({ auth: { ...AUTH, tenant: { mode: TenantModeEnum.ISOLATED } } });

  it('is of the tenant: the same email is another person elsewhere, and nobody without a tenant', async () => {
    const email = freshEmail();
    const { tenantId: a, otherTenantId: b } = isolated.seed;
    const inA = await isolated.users.createUser({ email, password: await isolated.passwords.hash(PASSWORD) }, a);
    const inB = await isolated.users.createUser(
      { email, password: await isolated.passwords.hash('of b, not of a') },
      b,
    );
    const by = (password: string, tenantId?: string) => auth(isolated).signIn({ email, password, tenantId });
    expect(await by(PASSWORD, a)).toMatchObject({ userId: inA.id, tenantId: a });
    expect(await by('of b, not of a', b)).toMatchObject({ userId: inB.id, tenantId: b });
    await expect(by(PASSWORD, b)).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
    await expect(by(PASSWORD)).rejects.toMatchObject({ code: 'TENANT_REQUIRED' });
    const { refreshToken } = await by(PASSWORD, a);
    await expect(auth(isolated).switchTenant(refreshToken, b)).rejects.toMatchObject({ code: 'ACCESS_NOT_FOUND' });
  });
});

describe('a session of the platform in ISOLATED tenancy', () => {
  const isolated = useNestApp({ auth: { ...AUTH, tenant: { mode: TenantModeEnum.ISOLATED } } });

  it('is of the user of the platform, and of nobody in a tenant who has the same email', async () => {
    const { tenantId, admin } = isolated.seed;
    const email = freshEmail();
    const inTenant = await isolated.users.createUser(
      { email, password: await isolated.passwords.hash('of the tenant') },
      tenantId,
    );
    const onPlatform = await isolated.users.createPlatformUser({
      email,
      password: await isolated.passwords.hash(PASSWORD),
      platformRoleIds: [admin],
    });
    const session = await auth(isolated).signIn({ email, password: PASSWORD, platform: true });
    expect([session.userId, session.tenantId]).toEqual([onPlatform.id, null]);
    expect((await auth(isolated).refresh(session.refreshToken)).userId).toBe(onPlatform.id);
    for (const [password, where] of [
      ['of the tenant', { platform: true }],
      [PASSWORD, { tenantId }],
    ] as const) {
      await expect(auth(isolated).signIn({ email, password, ...where })).rejects.toMatchObject({
        code: 'INVALID_CREDENTIALS',
      });
    }
    const inside = await auth(isolated).signIn({ email, password: 'of the tenant', tenantId });
    expect(inside.userId).toBe(inTenant.id);
    await expect(auth(isolated).signIn({ email, password: PASSWORD })).rejects.toMatchObject({
      code: 'TENANT_REQUIRED',
    });
    for (const wrong of [
      { platform: true, tenantId },
      { platform: 'yes' as never, tenantId },
    ]) {
      await expect(auth(isolated).signIn({ email, password: PASSWORD, ...wrong })).rejects.toMatchObject({
        code: 'VALIDATION_FAILED',
      });
    }
  });
});

describe('a session in DISABLED tenancy', () => {
  it('is in the built-in tenant', async () => {
    const disabled = await startNestApp(app.url, { auth: { ...AUTH, tenant: { mode: TenantModeEnum.DISABLED } } });
    try {
      const email = freshEmail();
      await disabled.users.createUser({ email, password: await disabled.passwords.hash(PASSWORD) });
      expect(await auth(disabled).signIn({ email, password: PASSWORD })).toMatchObject({ tenantId: NIL_UUID });
    } finally {
      await disabled.close();
    }
  });
});

describe('the rows of sessions', () => {
  it('go with their user', async () => {
    const { userId } = await signedIn(app);
    await app.users.deleteUser(userId);
    const left = await query(
      app.url,
      `select user_id from nest_auth_sessions where user_id = $1 union all select user_id from nest_auth_refresh_tokens where user_id = $1`,
      [userId],
    );
    expect(left).toEqual([]);
  });
});

it.each<[string, object]>([
  ['session.key', { key: [] }],
  ['session.keys', { keys: 'secret' }],
  ['session.keys[0]', { keys: [{ kid: 'a b' }] }],
  ['session.keys[0]', { keys: [{ ...keys[0], crv: 'secp256k1' }] }],
  ['session.keys[0]', { keys: [{ ...keys[0], x: 'AAAA' }] }],
  ['session.keys[0]', { keys: [{ ...keys[0], d: undefined }] }],
  ['session.keys', { keys: [keys[0], keys[0]] }],
  ['session.issuer', { issuer: '' }],
  ['session.accessTokenSeconds', { accessTokenSeconds: 5 }],
  ['session.reuseWindowSeconds', { reuseWindowSeconds: 301 }],
  ['session.idleMinutes', { idleMinutes: 0 }],
  ['session.maxMinutes', { maxMinutes: 1.5 }],
])('the option %s is refused when it is wrong', async (option, session) => {
  const starting = startNestApp(app.url, { auth: { password: CHEAP, session } });
  await expect(starting).rejects.toMatchObject({ code: 'INVALID_OPTIONS', details: { option } });
});

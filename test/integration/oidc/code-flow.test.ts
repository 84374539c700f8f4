import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  AuthService,
  type ExternalSignInResult,
  externalAccountId,
  type IdentityProvider,
  type NestAuthModuleOptions,
} from '../../../src/index.js';
import { openIdConnect, type OpenIdConnectOptions } from '../../../src/oidc/index.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { freshEmail, type NestApp, startNestApp } from '../../support/nest-app.js';
import { person, query, sessions, signedIn } from '../session/fixture.js';
import { byProviders, external } from './fixture.js';
import { CALLBACK, CLIENT, type OidcServer, signInAt, startOidcServer } from './oidc-server.js';

const OPTIONS = {
  name: 'corp',
  clientId: CLIENT.id,
  clientSecret: CLIENT.secret as string | undefined,
  redirectUri: CALLBACK,
  signUp: true,
  trustsEmail: true,
  linkVerifiedEmail: true,
  allowInsecureRequests: true,
};

let server: OidcServer;
let database: TestDatabase;
let app: NestApp;

beforeAll(async () => {
  server = await startOidcServer();
  database = await createTestDatabase();
  app = await startWith({ ...OPTIONS, issuer: server.issuer });
});
afterAll(async () => {
  await app.close();
  await database.drop();
  await server.close();
});

const startWith = (options: OpenIdConnectOptions, others: NestAuthModuleOptions = {}): Promise<NestApp> =>
  startNestApp(database.url, { auth: byProviders([openIdConnect(options)], others) });

/** From the sign-in page of the application, by that of the provider, and back. */
async function signIn(sub: string, where = app): Promise<ExternalSignInResult> {
  const { url, flowToken } = await external(where).beginSignIn('corp');
  return external(where).completeSignIn({ provider: 'corp', url: await signInAt(url, sub), flowToken });
}

describe('a sign-in at a real provider', () => {
  it('makes a user with a verified email, and signs in the same one the next time', async () => {
    const email = freshEmail();
    server.accounts.set('anna', { email, email_verified: true, name: 'Anna' });
    const first = await signIn('anna');
    expect(first).toMatchObject({
      account: 'created',
      user: { email, emailVerifiedAt: expect.any(Date) },
      external: { subject: 'anna', issuer: server.issuer, name: 'Anna', emailVerified: true },
    });
    expect(await external(app).getLinkedIdentities(first.userId)).toMatchObject([
      { provider: 'corp', providerId: externalAccountId(server.issuer, 'anna') },
    ]);
    const second = await signIn('anna');
    expect(second).toMatchObject({ account: 'known', userId: first.userId });
    await expect(app.context.get(AuthService).me(second.accessToken)).resolves.toMatchObject({
      user: { id: first.userId },
    });
  });

  it('SEC-40 opens a session of its own, with tokens that are refreshed as others are', async () => {
    const [first, second] = [await signIn('bob'), await signIn('bob')];
    expect(first.sessionId).not.toBe(second.sessionId);
    expect(first.refreshToken).not.toBe(second.refreshToken);
    const { refreshToken } = await app.context.get(AuthService).refresh(first.refreshToken);
    expect(refreshToken).not.toBe(first.refreshToken);
    expect(await sessions(app).getSessions(first.userId)).toHaveLength(2);
    await app.context.get(AuthService).signOut(refreshToken);
    expect(await sessions(app).getSessions(first.userId)).toMatchObject([{ id: second.sessionId }]);
  });

  it('asks for a code with PKCE, a nonce and a state, and sends nothing of it twice', async () => {
    const seen = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      const { searchParams } = new URL((await external(app).beginSignIn('corp')).url);
      expect(Object.fromEntries(searchParams)).toMatchObject({
        response_type: 'code',
        code_challenge_method: 'S256',
        scope: 'openid email profile',
        redirect_uri: CALLBACK,
        client_id: CLIENT.id,
      });
      for (const name of ['state', 'nonce', 'code_challenge']) seen.add(searchParams.get(name) ?? '');
    }
    expect(seen.size).toBe(9);
  });

  it('is declined by the person, who is told apart from a failure', async () => {
    const { url, flowToken } = await external(app).beginSignIn('corp');
    const back = await signInAt(url, 'anna', 'cancel');
    await expect(external(app).completeSignIn({ provider: 'corp', url: back, flowToken })).rejects.toMatchObject({
      code: 'EXTERNAL_SIGN_IN_DENIED',
    });
  });

  it('is not completed with the code of another one, in whichever browser', async () => {
    const [mine, theirs] = [await external(app).beginSignIn('corp'), await external(app).beginSignIn('corp')];
    const back = new URL(await signInAt(theirs.url, 'anna'));
    // Whoever got hold of the code puts it into a sign-in of their own, with the right state.
    back.searchParams.set('state', new URL(mine.url).searchParams.get('state') ?? '');
    const injected = { provider: 'corp', url: back.href, flowToken: mine.flowToken };
    await expect(external(app).completeSignIn(injected)).rejects.toMatchObject({ code: 'EXTERNAL_SIGN_IN_INVALID' });
  });

  it('links the account to whoever is signed in', async () => {
    const session = await signedIn(app);
    const { url, flowToken } = await external(app).beginLink('corp', session);
    const back = await signInAt(url, 'carol');
    await external(app).completeLink({ provider: 'corp', url: back, flowToken }, session);
    await expect(signIn('carol')).resolves.toMatchObject({ account: 'known', userId: session.userId });
  });

  it('SEC-28 brings the owner of an email not into an account that somebody else has set up with it', async () => {
    const { id, email } = await person(app);
    server.accounts.set('victim', { email, email_verified: true });
    await expect(signIn('victim')).rejects.toMatchObject({ code: 'LINK_REQUIRED' });
    expect(await external(app).getLinkedIdentities(id)).toEqual([]);
    await app.users.verifyUser(id);
    await expect(signIn('victim')).resolves.toMatchObject({ account: 'linked', userId: id });
  });

  it('leaves neither code nor token in any table', async () => {
    const { url, flowToken } = await external(app).beginSignIn('corp');
    const back = await signInAt(url, 'dora');
    await external(app).completeSignIn({ provider: 'corp', url: back, flowToken });
    const rows = await query<{ all: string }>(
      database.url,
      `select string_agg(a::text, ' ') as all from nest_auth_activities a
       union all select string_agg(i::text, ' ') from nest_auth_identities i
       union all select string_agg(s::text, ' ') from nest_auth_sessions s
       union all select string_agg(u::text, ' ') from nest_auth_users u`,
    );
    const all = rows.map((row) => row.all).join(' ');
    expect(all).toContain('dora');
    for (const secret of [flowToken, new URL(back).searchParams.get('code') ?? '', CLIENT.secret])
      expect(all).not.toContain(secret);
    expect(all).not.toMatch(/eyJ[\w-]{10}/);
  });
});

describe('an application shows who it is', () => {
  it('by a secret in the body, where the provider wants that', async () => {
    const other = await startOidcServer({
      client_secret: CLIENT.secret,
      token_endpoint_auth_method: 'client_secret_post',
    });
    const options: OpenIdConnectOptions = {
      ...OPTIONS,
      issuer: other.issuer,
      clientAuthentication: 'client_secret_post',
    };
    try {
      await withApp(options, async (posting) => {
        await expect(signIn('eve', posting)).resolves.toMatchObject({ account: 'created' });
      });
    } finally {
      await other.close();
    }
  });

  it('and is not mistaken for a failure of the person when the secret is wrong', async () => {
    await withApp({ ...OPTIONS, issuer: server.issuer, clientSecret: 'an old one' }, async (wrong) => {
      await expect(signIn('anna', wrong)).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    });
  });
});

async function withApp(options: OpenIdConnectOptions, fn: (app: NestApp) => Promise<void>): Promise<void> {
  const started = await startWith(options);
  try {
    await fn(started);
  } finally {
    await started.close();
  }
}

describe('a provider of the application’s own', () => {
  it.each<[string, Partial<IdentityProvider>, string]>([
    ['throws', { complete: () => Promise.reject(new Error('the token was eyJhbGciOi')) }, 'PROVIDER_UNAVAILABLE'],
    ['does not answer', { complete: () => new Promise(() => undefined) }, 'PROVIDER_UNAVAILABLE'],
    ['answers nothing', { complete: () => Promise.resolve(undefined as never) }, 'EXTERNAL_SIGN_IN_INVALID'],
  ])('SEC-66 lets nobody in when it %s', async (_, behaviour, code) => {
    const own = {
      name: 'own',
      signUp: true,
      begin: async ({ state }: { state: string }) => ({ url: `https://own.example/?state=${state}`, private: {} }),
      ...behaviour,
    } as IdentityProvider;
    const started = await startNestApp(database.url, {
      auth: byProviders([own], { externalSignIn: { providerTimeoutMs: 200 } }),
    });
    try {
      const { url, flowToken } = await external(started).beginSignIn('own');
      const answer = { provider: 'own', url: url.replace('https://own.example', ''), flowToken };
      const error: unknown = await external(started)
        .completeSignIn(answer)
        .catch((caught: unknown) => caught);
      expect(error).toMatchObject({ code });
      expect(JSON.stringify([String(error), (error as Error).cause])).not.toContain('eyJ');
    } finally {
      await started.close();
    }
  });
});

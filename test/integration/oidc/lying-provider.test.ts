import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { exportPKCS8, generateKeyPair, jwtVerify, SignJWT } from 'jose';

import type { NestAuthError } from '../../../src/index.js';
import { openIdConnect } from '../../../src/oidc/index.js';
import { outcomesOf, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';
import { until } from '../../support/until.js';
import { recordStatements } from '../../support/wire.js';
import { query } from '../session/fixture.js';
import { FAKE_CLIENT, type FakeProvider, type Misbehaviour, startFakeProvider } from './fake-provider.js';
import { byProviders, external } from './fixture.js';
import { CALLBACK } from './oidc-server.js';

jest.setTimeout(120_000);

const TIMEOUT_MS = 400;

let fake: FakeProvider;
const identityProviders: ReturnType<typeof openIdConnect>[] = [];
// The providers are made when the port of the server is known; each test has one that nobody has asked anything yet.
const lazy = {
  name: 'fake',
  signUp: true,
  trustsEmail: true,
  begin: (...given: Parameters<(typeof identityProviders)[0]['begin']>) => latest().begin(...given),
  complete: (...given: Parameters<(typeof identityProviders)[0]['complete']>) => latest().complete(...given),
};
const latest = () => identityProviders.at(-1) as (typeof identityProviders)[0];
const app = useNestApp({ auth: byProviders([lazy]), pool: 1 });

beforeAll(async () => {
  fake = await startFakeProvider();
});
afterAll(() => fake.close());
beforeEach(useFreshProvider);
afterEach(() => fake.misbehave({}));

/** One that knows nothing of the server yet. */
function useFreshProvider(): void {
  identityProviders.push(
    openIdConnect({
      name: 'fake',
      issuer: fake.issuer,
      clientId: FAKE_CLIENT.id,
      clientSecret: FAKE_CLIENT.secret,
      redirectUri: CALLBACK,
      timeoutMs: TIMEOUT_MS,
      allowInsecureRequests: true,
    }),
  );
}

/** A whole sign-in, as the browser sees it; `change` is what comes back instead of what should. */
async function attempt(change: (params: URLSearchParams) => void = () => undefined): Promise<Outcome> {
  const { url, flowToken } = await external(app).beginSignIn('fake');
  const state = new URL(url).searchParams.get('state') ?? '';
  const params = new URLSearchParams({ code: fake.codeFor(url), state });
  change(params);
  const answer = { provider: 'fake', url: `/callback?${params.toString()}`, flowToken };
  const { account, user } = await external(app).completeSignIn(answer);
  return { account, email: user.email };
}

interface Outcome {
  readonly account: string;
  readonly email: string | null;
}

const header = (alg: object): string => Buffer.from(JSON.stringify(alg)).toString('base64url');
const MANY = { id_token_signing_alg_values_supported: ['ES256', 'none', 'HS256'] };

const LIES: Record<string, Misbehaviour> = {
  'an ID token for another application': { claims: () => ({ aud: 'another' }) },
  'an ID token for several, without saying who asked for it': { claims: () => ({ aud: [FAKE_CLIENT.id, 'another'] }) },
  'an ID token of another issuer': { claims: () => ({ iss: 'https://accounts.example.com' }) },
  'an ID token that has expired': { claims: () => ({ exp: Math.floor(Date.now() / 1_000) - 30 }) },
  'an ID token for another nonce': { claims: () => ({ nonce: 'of another browser' }) },
  'an ID token without a nonce': { claims: () => ({ nonce: undefined }) },
  'an ID token without a subject': { claims: () => ({ sub: undefined }) },
  'an ID token that nobody has signed': {
    sign: (claims) => `${header({ alg: 'none' })}.${header(claims)}.`,
    metadata: () => MANY,
  },
  'an ID token that is signed with the secret of the application': {
    sign: (claims) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(FAKE_CLIENT.secret.padEnd(32))),
    metadata: () => MANY,
  },
  'an ID token that is signed with a key that is not published': {
    sign: async (claims) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'one' })
        .sign((await generateKeyPair('ES256')).privateKey),
  },
  'another person at the endpoint for claims': { userInfo: { sub: 'somebody else', email: 'a@example.com' } },
};

describe('a provider that lies', () => {
  it.each(Object.entries(LIES))('is not believed: %s', async (_, how) => {
    fake.misbehave(how);
    const users = await query(app.url, 'select id from nest_auth_users');
    await expect(attempt()).rejects.toMatchObject({ code: 'EXTERNAL_SIGN_IN_INVALID', details: {} });
    expect(await query(app.url, 'select id from nest_auth_users')).toEqual(users);
  });

  it('is believed when it does not lie: what is refused above is refused for its lie', async () => {
    fake.misbehave({ claims: () => ({ email: 'mallory@example.com', email_verified: true }) });
    await expect(attempt()).resolves.toEqual({ account: 'created', email: 'mallory@example.com' });
    expect([...fake.tokenRequest().keys()].toSorted()).toEqual(['code', 'code_verifier', 'grant_type', 'redirect_uri']);
    expect(fake.tokenRequest().get('redirect_uri')).toBe(CALLBACK);
  });

  it.each<[string, (params: URLSearchParams) => void]>([
    ['names another issuer in the callback', (params) => params.set('iss', 'https://accounts.example.com')],
    ['has another state', (params) => params.set('state', 'A'.repeat(43))],
    ['has two states', (params) => params.append('state', 'A'.repeat(43))],
    ['has two codes', (params) => params.append('code', 'another')],
    ['has no code', (params) => params.delete('code')],
  ])('a callback is refused that %s', async (_, change) => {
    await expect(attempt(change)).rejects.toMatchObject({ code: 'EXTERNAL_SIGN_IN_INVALID' });
  });

  it('a callback is refused that names no issuer where the provider says it would (RFC 9207)', async () => {
    fake.misbehave({ metadata: () => ({ authorization_response_iss_parameter_supported: true }) });
    await expect(attempt()).rejects.toMatchObject({ code: 'EXTERNAL_SIGN_IN_INVALID' });
    await expect(attempt((params) => params.set('iss', fake.issuer))).resolves.toBeDefined();
  });

  it.each<[string, Misbehaviour]>([
    ['has another issuer in its metadata', { metadata: () => ({ issuer: 'https://accounts.example.com' }) }],
    ['has no token endpoint', { metadata: () => ({ token_endpoint: undefined }) }],
    ['wants secrets to be sent in the clear elsewhere', { metadata: () => ({ token_endpoint: 'ftp://127.0.0.1/' }) }],
  ])('cannot be used when it %s', async (_, how) => {
    fake.misbehave(how);
    await expect(attempt()).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
  });
});

describe('what a provider says of an email', () => {
  it.each<[string, Misbehaviour]>([
    ['it has not verified', { claims: () => ({ email: 'victim@example.com', email_verified: false }) }],
    ['it says nothing about', { claims: () => ({ email: 'victim@example.com' }) }],
    ['it calls verified in words', { claims: () => ({ email: 'victim@example.com', email_verified: 'true' }) }],
    [
      'it has verified another one',
      { claims: () => ({ email_verified: true }), userInfo: { email: 'victim@example.com', email_verified: false } },
    ],
  ])('SEC-28 is nothing when %s', async (_, how) => {
    const sub = `sub-${Math.random()}`;
    fake.misbehave({
      ...how,
      claims: (issuer) => ({ ...how.claims?.(issuer), sub }),
      ...(how.userInfo === undefined ? {} : { userInfo: { ...how.userInfo, sub } }),
    });
    await expect(attempt()).resolves.toEqual({ account: 'created', email: null });
  });
});

describe('a provider that is down', () => {
  it.each<[string, Misbehaviour]>([
    ['does not answer', { fails: { '/.well-known/openid-configuration': 'silence' } }],
    ['fails', { fails: { '/.well-known/openid-configuration': 503 } }],
  ])(
    'keeps a sign-in from beginning when it %s, leaves nothing, and is asked again by the next one',
    async (_, how) => {
      fake.misbehave(how);
      const before = await dumpTables(app.url);
      await expect(timed(() => external(app).beginSignIn('fake'))).resolves.toBe('PROVIDER_UNAVAILABLE');
      expect(await dumpTables(app.url)).toEqual(before);
      fake.misbehave({});
      await expect(external(app).beginSignIn('fake')).resolves.toBeDefined();
    },
  );

  it.each<[string, Misbehaviour]>([
    ['does not answer', { fails: { '/token': 'silence' } }],
    ['fails', { fails: { '/token': 503 } }],
    ['has no keys', { fails: { '/jwks': 500 } }],
    ['keeps its keys to itself', { fails: { '/jwks': 'silence' } }],
    ['does not tell what was asked for', { userInfo: {}, fails: { '/me': 'silence' } }],
  ])('ends a sign-in in time when it %s', async (_, how) => {
    fake.misbehave(how);
    await expect(timed(() => attempt())).resolves.toBe('PROVIDER_UNAVAILABLE');
  });

  it('holds no connection meanwhile, on a pool of one', async () => {
    fake.misbehave({ fails: { '/token': 'silence' } });
    const { flowToken, url } = await external(app).beginSignIn('fake');
    const state = new URL(url).searchParams.get('state') ?? '';
    const before = fake.asked.length;
    const trying = external(app).completeSignIn({ provider: 'fake', url: `/cb?code=x&state=${state}`, flowToken });
    const refused = outcomesOf([trying]);
    await until('the request to the provider', () => fake.asked.length > before);
    // The only connection is free, and nothing is open on the server.
    const { statements } = await recordStatements(() => app.dataSource.query('select 1'));
    expect(statements).toHaveLength(1);
    expect(await query(app.url, `select 1 from pg_stat_activity where state like 'idle in transaction%'`)).toEqual([]);
    expect(await refused).toMatchObject({ codes: { PROVIDER_UNAVAILABLE: 1 } });
  });

  it('is asked for its endpoints once, however many begin', async () => {
    const before = fake.asked.length;
    await Promise.all(Array.from({ length: 20 }, () => external(app).beginSignIn('fake')));
    expect(fake.asked.slice(before)).toEqual(['/.well-known/openid-configuration']);
  });

  it('is not waited for by an application that starts', async () => {
    fake.misbehave({ fails: { '/.well-known/openid-configuration': 'silence' } });
    const before = fake.asked.length;
    openIdConnect({
      name: 'x',
      issuer: fake.issuer,
      clientId: 'x',
      clientSecret: 'x',
      redirectUri: CALLBACK,
      allowInsecureRequests: true,
    });
    expect(fake.asked).toHaveLength(before);
  });
});

/** The code with which a call fails within the time that a provider has. */
async function timed(call: () => Promise<unknown>): Promise<unknown> {
  const begun = performance.now();
  const code = await call().then(
    () => 'success',
    (error: NestAuthError) => error.code,
  );
  // Twice the time of one request: the machine has others to serve, too.
  expect(performance.now() - begun).toBeLessThan(TIMEOUT_MS * 4);
  return code;
}

describe('an application that shows who it is by a private key', () => {
  it.each(['ES256', 'EdDSA', 'RS256'])('signs for this provider and for one use, with %s', async (algorithm) => {
    const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
    const options = {
      name: 'fake',
      issuer: fake.issuer,
      clientId: FAKE_CLIENT.id,
      privateKey: await exportPKCS8(privateKey),
      privateKeyId: 'key-of-today',
      redirectUri: CALLBACK,
      allowInsecureRequests: true,
    };
    identityProviders.push(openIdConnect(options));
    await expect(attempt()).resolves.toMatchObject({ account: expect.any(String) });
    const request = fake.tokenRequest();
    expect(request.get('client_assertion_type')).toBe('urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
    const { payload, protectedHeader } = await jwtVerify(request.get('client_assertion') ?? '', publicKey, {
      issuer: FAKE_CLIENT.id,
      subject: FAKE_CLIENT.id,
      audience: fake.issuer,
    });
    expect(protectedHeader.kid).toBe('key-of-today');
    expect(payload.jti).toEqual(expect.any(String));
  });
});

describe('secrets of a sign-in', () => {
  it('stand in no error, not even in what it was caused by', async () => {
    const seen: string[] = [];
    for (const how of [...Object.values(LIES), { fails: { '/token': 503 } }, { fails: { '/me': 401 }, userInfo: {} }]) {
      useFreshProvider();
      fake.misbehave(how);
      const error = await attempt().catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(Error);
      seen.push(inspect(error, { depth: 20, showHidden: true }));
    }
    const all = seen.join('\n');
    expect(all).not.toMatch(/eyJ[\w-]{10}/);
    // Nor what the provider has said of anybody: the errors of the library hold that in their causes.
    expect(all).not.toContain('mallory');
    expect(all).not.toContain(FAKE_CLIENT.secret);
    expect(all).not.toContain('the access token of a fake');
    expect(all).not.toContain(fake.tokenRequest().get('code_verifier') ?? 'none');
    expect(inspect(latest(), { depth: 20, showHidden: true })).not.toContain(FAKE_CLIENT.secret);
    expect(JSON.stringify(latest())).not.toContain(FAKE_CLIENT.secret);
  });
});

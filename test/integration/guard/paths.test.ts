import { readdirSync, readFileSync } from 'node:fs';
import { All, Body, Controller, Get, Header, Headers, Param, Post, Query } from '@nestjs/common';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { AuthService, CurrentTenant, Permissions, PlatformOnly, Public } from '../../../src/index.js';
import { type Guarded, send, signInAs, startGuarded } from './fixture.js';

let entered = 0;

@Controller()
class Vault {
  @Permissions('invoices.pay')
  @Get('vault/:id')
  read(@Param('id') id: string) {
    entered += 1;
    return { id };
  }

  @PlatformOnly()
  @Post('vault')
  write() {
    entered += 1;
    return {};
  }

  @Permissions('invoices.pay')
  @All('vault/any/*path')
  anything() {
    entered += 1;
    return {};
  }

  @Get('tenant')
  tenant(@CurrentTenant() tenantId: string, @Headers() _headers: unknown, @Query() _query: unknown) {
    return { tenantId };
  }

  @Post('tenant')
  postTenant(@CurrentTenant() tenantId: string, @Body() _body: unknown) {
    return { tenantId };
  }
}

@Public()
@Controller('tokens')
class Tokens {
  constructor(private readonly auth: AuthService) {}

  @Header('cache-control', 'no-store')
  @Post()
  signIn(@Body() body: { email: string; password: string }) {
    return this.auth.signIn(body);
  }
}

let guarded: Guarded;
beforeAll(async () => {
  guarded = await startGuarded({ guardAllRoutes: true, controllers: [Vault, Tokens] });
});
afterAll(() => guarded.close());

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'];

/** Ways to write the same path, or one that something on the way might take for it. */
const mutations: fc.Arbitrary<(path: string) => string> = fc.oneof(
  fc.constantFrom<((path: string) => string)[]>(
    (path) => path,
    (path) => path.toUpperCase(),
    (path) => `${path}/`,
    (path) => `/${path}`,
    (path) => `/.${path}`,
    (path) => `/x/..${path}`,
    (path) => `${path}?x=1#y`,
    (path) => `${path};jsessionid=1`,
    (path) => `${path}%20`,
    (path) => `${path}%00`,
    (path) => `${path}%0a`,
    (path) => `${path}.json`,
    (path) => path.replaceAll('/', '%2f').replace('%2f', '/'),
    (path) => path.replaceAll('/', '\\').replace('\\', '/'),
    (path) => path.replace('vault', '%76ault'),
    (path) => path.replace('vault', 'va%75lt'),
    (path) => path.replace('vault', 'vault/./'),
    (path) => path.replaceAll('a', 'ａ').replace(/[^\x20-\x7e]/g, (c) => encodeURIComponent(c)),
    (path) => `http://other.example.com${path}`,
  ),
  fc.tuple(fc.nat(12), fc.constantFrom('%2e', '%2F', '..', '//', ';', '%', '%252e', '*', '+')).map(
    ([at, text]) =>
      (path: string) =>
        `${path.slice(0, 1 + at)}${text}${path.slice(1 + at)}`,
  ),
);

describe('SEC-65 a crafted request', () => {
  it('reaches no handler without a token, nor with one that has no right', async () => {
    const { accessToken } = await signInAs(guarded, [guarded.names.clerk]);
    const request = fc.record({
      path: fc.constantFrom('/vault/1', '/vault', '/vault/any/thing'),
      mutate: fc.array(mutations, { minLength: 1, maxLength: 3 }),
      method: fc.constantFrom(...METHODS),
      headers: fc.constantFrom<Record<string, string>[]>(
        {},
        { 'x-http-method-override': 'GET' },
        { 'x-original-url': '/tokens' },
        { 'x-rewrite-url': '/tokens' },
        { 'x-middleware-subrequest': 'src/middleware' },
        { 'x-forwarded-for': '127.0.0.1' },
        { upgrade: 'h2c' },
      ),
      signedIn: fc.boolean(),
    });
    entered = 0;
    await fc.assert(
      fc.asyncProperty(request, async ({ path, mutate, method, headers, signedIn }) => {
        const mutated = mutate.reduce((made: string, change) => change(made), path);
        const token = signedIn ? { token: accessToken } : {};
        // What the client itself or Node's parser refuses, has reached nothing either.
        const { status } = await send(guarded, mutated, { method, headers, ...token }).catch(() => ({ status: 0 }));
        expect(entered).toBe(0);
        expect([0, 400, 401, 403, 404, 405, 501, ...(method === 'OPTIONS' ? [200, 204] : [])]).toContain(status);
      }),
      { numRuns: 400 },
    );
  });

  it('is what the mutations are: with the right they do reach handlers', async () => {
    const { accessToken: token } = await signInAs(guarded, [guarded.names.manager]);
    entered = 0;
    for (const path of ['/vault/1', '/VAULT/1', '/vault/1/', '/vault/%31', '/vault/any/thing']) {
      expect((await send(guarded, path, { token })).status).toBe(200);
      expect((await send(guarded, path, { token, method: 'HEAD' })).status).toBe(200);
    }
    expect(entered).toBe(10);
  });
});

describe('SEC-60 what a request says of a tenant', () => {
  const NAMES = ['x-tenant-id', 'x-tenant', 'tenant', 'tenant-id', 'x-organization-id', 'x-realm', 'x-forwarded-host'];

  it('changes nothing, wherever it says it', async () => {
    const { tenantId, otherTenantId } = guarded.names;
    const { accessToken: token } = await signInAs(guarded, [guarded.names.clerk]);
    const headers = Object.fromEntries(NAMES.map((name) => [name, otherTenantId]));
    const body = { tenantId: otherTenantId, tenant: otherTenantId, tid: otherTenantId };
    const cookie = `tenantId=${otherTenantId}`;
    const path = `/tenant?tenantId=${otherTenantId}&tid=${otherTenantId}`;
    expect((await send(guarded, path, { token, headers: { ...headers, cookie } })).body).toEqual({ tenantId });
    expect((await send(guarded, path, { method: 'POST', token, headers, body })).body).toEqual({ tenantId });
  });
});

describe('SEC-33 the name of the host', () => {
  it('is read by nothing of this package', () => {
    const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    expect(files.length).toBeGreaterThan(150);
    const readers = files.filter((file) =>
      /headers\??\.?\[?\.?['"]?host\b|x-forwarded-(host|proto)|\.hostname\b.*req|\breq(uest)?\.(host|hostname|protocol)\b/i.test(
        readFileSync(`src/${file}`, 'utf8'),
      ),
    );
    expect(readers).toEqual([]);
  });

  it('does not change whether a token is good', async () => {
    const { accessToken: token } = await signInAs(guarded, [guarded.names.clerk]);
    const headers = { host: 'evil.example.com', 'x-forwarded-host': 'evil.example.com', 'x-forwarded-proto': 'http' };
    expect((await send(guarded, '/tenant', { token, headers })).status).toBe(200);
  });
});

describe('SEC-47 an answer with tokens', () => {
  it('is kept by no cache and sets no cookie, and no id from before the sign-in is taken over', async () => {
    const { email, sessionId } = await signInAs(guarded, []);
    const { status, headers, body } = await send(guarded, '/tokens', {
      method: 'POST',
      headers: { cookie: `session=${sessionId}; sid=${sessionId}` },
      body: { email, password: 'correct horse battery staple' },
    });
    expect({ status, cache: headers['cache-control'], cookies: headers['set-cookie'] }).toEqual({
      status: 201,
      cache: 'no-store',
      cookies: undefined,
    });
    expect((body as { sessionId: string }).sessionId).not.toBe(sessionId);
  });
});

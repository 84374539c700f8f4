import { Body, Controller, Delete, Get, Injectable, Post, Query } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  type AccessGrants,
  AccessService,
  AccessStatusEnum,
  AuthService,
  type AuthPrincipal,
  CurrentAccess,
  CurrentTenant,
  CurrentUser,
  IdentityContext,
  Permissions,
  PlatformOnly,
  Public,
  RoleGuardEnum,
  Roles,
  RoleService,
  SessionService,
  TenantService,
  UserLifecycleService,
  UserService,
} from '../../../src/index.js';
import {
  type Guarded,
  type Person,
  type Sent,
  send,
  signInAs,
  signInOnPlatform,
  startGuarded,
  unique,
} from './fixture.js';
import { query } from '../session/fixture.js';

/** How often any handler has run: a refusal is one that nothing happened behind. */
let entered = 0;
const ran = (what: string): { ran: string } => {
  entered += 1;
  return { ran: what };
};

@Injectable()
class Renaming {
  constructor(private readonly users: UserService) {}

  async rename(id: string): Promise<void> {
    await this.users.updateUserMetadata(id, { renamed: unique() });
  }
}

@Controller('invoices')
class InvoiceController {
  constructor(private readonly renaming: Renaming) {}

  @Get()
  list() {
    return ran('list');
  }

  @Public()
  @Get('prices')
  prices(@CurrentUser({ optional: true }) user: AuthPrincipal | null) {
    return { ...ran('prices'), user };
  }

  @Permissions('invoices.read')
  @Get('one')
  read() {
    return ran('read');
  }

  @Permissions('invoices.read', 'invoices.pay')
  @Post('pay')
  pay() {
    return ran('pay');
  }

  @Permissions({ any: ['invoices.pay', 'reports.read'] })
  @Get('any')
  any() {
    return ran('any');
  }

  @Roles('manager', 'accountant')
  @Delete('all')
  deleteAll() {
    return ran('deleteAll');
  }

  @Roles('manager')
  @Permissions('invoices.read')
  @Get('both')
  both() {
    return ran('both');
  }

  @Get('me')
  async me(
    @CurrentUser() user: AuthPrincipal,
    @CurrentTenant({ optional: true }) tenantId: string | null,
    @CurrentAccess() access: AccessGrants,
    @Query('wait') wait = '0',
  ) {
    await new Promise((resolve) => setTimeout(resolve, Number(wait)));
    const { actor, sessionId, tenantId: context } = IdentityContext.current;
    return {
      userId: user.userId,
      sessionId: user.sessionId,
      tenantId,
      roles: access.roles,
      can: access.can('invoices.pay'),
      context: { actor: actor?.id, sessionId, tenantId: context },
    };
  }

  @Get('tenant')
  tenant(@CurrentTenant() tenantId: string) {
    return { tenantId };
  }

  @Post('rename')
  async rename(@CurrentUser() user: AuthPrincipal, @Body() _body: unknown) {
    await this.renaming.rename(user.userId);
    return ran('rename');
  }
}

@PlatformOnly()
@Controller('platform')
class PlatformController {
  @Get()
  look(@CurrentTenant({ optional: true }) tenantId: string | null, @CurrentAccess() { roles }: AccessGrants) {
    return { ...ran('platform'), tenantId, roles, context: IdentityContext.current.tenantId };
  }

  @Permissions('tenants.read')
  @Get('tenants')
  tenants() {
    return ran('tenants');
  }

  @Permissions('tenants.write')
  @Post('tenants')
  create() {
    return ran('create');
  }
}

let guarded: Guarded;
beforeAll(async () => {
  guarded = await startGuarded({
    guardAllRoutes: true,
    controllers: [InvoiceController, PlatformController],
    providers: [Renaming],
  });
});
afterAll(() => guarded.close());
afterEach(() => {
  entered = 0;
});

const ask = async (path: string, sent: Sent = {}): Promise<[status: number, code: unknown]> => {
  const { status, code } = await send(guarded, path, sent);
  return [status, code];
};
const as = (...roles: ('clerk' | 'manager' | 'wildcard')[]) =>
  signInAs(
    guarded,
    roles.map((role) => guarded.names[role]),
  );

describe('a route of an application that is guarded as a whole', () => {
  it('is for those who are signed in, unless it is public', async () => {
    expect(await ask('/invoices')).toEqual([401, 'UNAUTHENTICATED']);
    expect(await ask('/nowhere')).toEqual([404, undefined]);
    expect(await ask('/invoices/prices')).toEqual([200, undefined]);
    expect(entered).toBe(1);
    const { accessToken: token } = await as();
    expect(await ask('/invoices', { token })).toEqual([200, undefined]);
  });

  it('tells nothing of who calls a public one, and does not look at the token', async () => {
    const { accessToken } = await as('clerk');
    for (const token of [accessToken, 'rubbish']) {
      expect((await send(guarded, '/invoices/prices', { token })).body).toEqual({ ran: 'prices', user: null });
    }
  });

  it.each([
    ['no scheme', (token: string) => ({ authorization: token })],
    ['another scheme', (token: string) => ({ authorization: `Basic ${token}` })],
    ['a scheme and more', (token: string) => ({ authorization: `Bearer ${token} more` })],
    ['nothing after the scheme', () => ({ authorization: 'Bearer ' })],
    ['another header', (token: string) => ({ 'x-access-token': token })],
    ['a cookie', (token: string) => ({ cookie: `access_token=${token}; Authorization=Bearer ${token}` })],
    ['a name of the proxy', (token: string) => ({ 'x-forwarded-authorization': `Bearer ${token}` })],
  ])('takes a token with %s for none', async (_, headers) => {
    const { accessToken } = await as('clerk');
    expect(await ask('/invoices', { headers: headers(accessToken) })).toEqual([401, 'UNAUTHENTICATED']);
    expect(await ask(`/invoices?access_token=${accessToken}`)).toEqual([401, 'UNAUTHENTICATED']);
    expect(entered).toBe(0);
  });

  it.each([
    ['one of nobody', () => 'a.b.c'],
    ['one that was changed', (token: string) => `${token.slice(0, -4)}AAAA`],
    [
      'one with another payload',
      (token: string) => token.replace(/\.[^.]+\./, `.${Buffer.from('{"sub":"x"}').toString('base64url')}.`),
    ],
    ['a refresh token', (_: string, refreshToken: string) => refreshToken],
  ])('refuses %s', async (_, forge) => {
    const { accessToken, refreshToken } = await as('clerk');
    expect(await ask('/invoices', { token: forge(accessToken, refreshToken) })).toEqual([401, 'ACCESS_TOKEN_INVALID']);
    expect(entered).toBe(0);
  });

  it('says by which scheme one is let in, and why not', async () => {
    const none = await send(guarded, '/invoices');
    expect(none.headers['www-authenticate']).toBe('Bearer');
    const bad = await send(guarded, '/invoices', { token: 'a.b.c' });
    expect(bad.headers['www-authenticate']).toBe('Bearer error="invalid_token"');
  });

  it('takes the scheme in any case', async () => {
    const { accessToken } = await as();
    expect(await ask('/invoices', { headers: { authorization: `bEARER  ${accessToken}` } })).toEqual([200, undefined]);
  });
});

describe('SEC-64 what decorators ask for', () => {
  const REFUSED = [403, 'PERMISSION_DENIED'] as const;
  const routes = ['GET one', 'POST pay', 'GET any', 'DELETE all', 'GET both'] as const;

  it.each([
    [[], []],
    [['clerk'], ['GET one']],
    [['manager'], ['GET one', 'POST pay', 'GET any', 'DELETE all', 'GET both']],
    [['wildcard'], ['GET one', 'POST pay', 'GET any', 'DELETE all']],
    [
      ['clerk', 'wildcard'],
      ['GET one', 'POST pay', 'GET any', 'DELETE all'],
    ],
  ] as const)('lets %j in at %j and nowhere else', async (roles, allowed: readonly string[]) => {
    const { accessToken: token } = await as(...roles);
    const answers = [];
    for (const route of routes) {
      const [method = '', path = ''] = route.split(' ');
      const [status, code] = await ask(`/invoices/${path}`, { method, token });
      answers.push(status < 300 ? `${route} is let in` : `${route} ${status} ${String(code)}`);
    }
    const expected = (route: string) =>
      allowed.includes(route) ? `${route} is let in` : `${route} ${REFUSED.join(' ')}`;
    expect(answers).toEqual(routes.map(expected));
    expect(entered).toBe(allowed.length);
  });

  it('answers alike whatever is missing, and names none of it', async () => {
    const { accessToken: token } = await as();
    const paths = ['/invoices/one', '/invoices/any', '/invoices/both', '/platform', '/platform/tenants'];
    const answers = new Set<string>();
    for (const path of paths) answers.add(JSON.stringify((await send(guarded, path, { token })).body));
    expect(answers.size).toBe(1);
    expect([...answers][0]).not.toMatch(/invoices|manager|tenants/);
  });

  it('takes a right away with the next request', async () => {
    const { accessToken: token, userId } = await as('manager');
    expect(await ask('/invoices/both', { token })).toEqual([200, undefined]);
    const { tenantId, manager } = guarded.names;
    await guarded.app.get(AccessService).removeUserAccessRoles(userId, tenantId, [manager]);
    expect(await ask('/invoices/both', { token })).toEqual(REFUSED);
  });

  it('does not take a role of a tenant’s own for the role of the system that has its name', async () => {
    const { tenantId } = guarded.names;
    const { id } = await guarded.app
      .get(RoleService)
      .createRole({ name: 'manager', guard: RoleGuardEnum.PORTAL, tenantId });
    const { accessToken: token } = await signInAs(guarded, [id]);
    expect(await ask('/invoices/all', { method: 'DELETE', token })).toEqual(REFUSED);
  });
});

describe('SEC-60 the tenant', () => {
  it('is that of the session, whatever the request says', async () => {
    const { tenantId, otherTenantId } = guarded.names;
    const { accessToken: token, userId, sessionId } = await as('clerk');
    const { body } = await send(guarded, `/invoices/me?tenantId=${otherTenantId}`, {
      token,
      headers: { 'x-tenant-id': otherTenantId, 'x-tenant': 'other', host: 'other.example.com' },
      body: { tenantId: otherTenantId },
    });
    const context = { actor: userId, sessionId, tenantId };
    expect(body).toEqual({ userId, sessionId, tenantId, roles: ['clerk'], can: false, context });
  });

  it('gives nothing in another one, and follows a switch', async () => {
    const { tenantId, otherTenantId, manager } = guarded.names;
    const { accessToken, refreshToken, userId } = await as('manager');
    await guarded.app.get(UserService).ensureUserAccess(userId, otherTenantId);
    const inOther = await guarded.app.get(AuthService).switchTenant(refreshToken, otherTenantId);
    expect(await ask('/invoices/one', { token: inOther.accessToken })).toEqual([403, 'PERMISSION_DENIED']);
    expect((await send(guarded, '/invoices/tenant', { token: inOther.accessToken })).body).toEqual({
      tenantId: otherTenantId,
    });
    // The session has left the tenant that this one was issued for.
    expect(await ask('/invoices', { token: accessToken })).toEqual([401, 'ACCESS_TOKEN_INVALID']);
    expect(manager).not.toBe(tenantId);
  });

  it('is missing in a session without one, which has no right anywhere', async () => {
    const { accessToken: token, tenantId } = await signInOnPlatform(guarded, []);
    expect(tenantId).toBeNull();
    expect((await send(guarded, '/invoices/me', { token })).body).toMatchObject({
      tenantId: null,
      roles: [],
      can: false,
    });
    expect(await ask('/invoices/tenant', { token })).toEqual([400, 'TENANT_REQUIRED']);
    expect(await ask('/invoices/one', { token })).toEqual([403, 'PERMISSION_DENIED']);
  });
});

describe('SEC-63 what has ended is refused at once', () => {
  const endings: [what: string, end: (userId: string, sessionId: string) => Promise<unknown>][] = [
    ['a suspended access', (userId) => setStatus(userId, AccessStatusEnum.SUSPENDED)],
    ['a removed access', (userId) => guarded.app.get(UserService).deleteUserAccess(userId, guarded.names.tenantId)],
    ['a disabled user', (userId) => guarded.app.get(UserLifecycleService).disableById(userId)],
    ['a deleted user', (userId) => guarded.app.get(UserService).deleteUser(userId)],
    ['a revoked session', (userId, id) => guarded.app.get(SessionService).revokeSession(userId, id)],
    ['a sign-out', (userId, sessionId) => guarded.app.get(AuthService).signOut({ userId, sessionId })],
    ['a sign-out everywhere', (userId) => guarded.app.get(SessionService).revokeAllSessions(userId)],
  ];
  const setStatus = (userId: string, status: AccessStatusEnum) =>
    guarded.app.get(AccessService).setUserAccessStatus(userId, guarded.names.tenantId, status);

  it.each(endings)('%s', async (_, end) => {
    const { accessToken: token, userId, sessionId } = await as('manager');
    expect(await ask('/invoices/both', { token })).toEqual([200, undefined]);
    await end(userId, sessionId);
    for (const path of ['/invoices', '/invoices/both', '/platform']) {
      expect(await ask(path, { token })).toEqual([401, 'ACCESS_TOKEN_INVALID']);
    }
    expect(entered).toBe(1);
  });

  it('a tenant that is not active', async () => {
    const tenants = guarded.app.get(TenantService);
    const { id } = await tenants.createTenant({ name: 'Closing', slug: `closing-${unique()}` });
    const { accessToken: token } = await signInAs(guarded, [guarded.names.clerk], id);
    expect(await ask('/invoices/one', { token })).toEqual([200, undefined]);
    await tenants.updateTenant(id, { isActive: false });
    expect(await ask('/invoices/one', { token })).toEqual([401, 'ACCESS_TOKEN_INVALID']);
  });
});

describe('SEC-67 the platform', () => {
  it('is reached by its own roles, whose permissions are those that count there', async () => {
    const { accessToken: token } = await signInOnPlatform(guarded, [guarded.names.operator]);
    const { body } = await send(guarded, '/platform', { token });
    expect(body).toEqual({ ran: 'platform', tenantId: null, roles: ['operator'] });
    expect(await ask('/platform/tenants', { token })).toEqual([200, undefined]);
    expect(await ask('/platform/tenants', { method: 'POST', token })).toEqual([403, 'PERMISSION_DENIED']);
  });

  it('is never reached by a tenant, not even with every permission there is', async () => {
    const roles = guarded.app.get(RoleService);
    const everything = ['invoices.read', 'invoices.pay', 'reports.read'];
    const { tenantId } = guarded.names;
    const owner = await roles.createRole({
      name: 'operator',
      guard: RoleGuardEnum.PORTAL,
      tenantId,
      permissions: everything,
    });
    const { accessToken: token } = await signInAs(guarded, [owner.id, guarded.names.wildcard]);
    for (const path of ['/platform', '/platform/tenants']) {
      expect(await ask(path, { token })).toEqual([403, 'PERMISSION_DENIED']);
    }
    expect(entered).toBe(0);
  });

  it('gives nothing in a tenant, and works for none even in a session that is in one', async () => {
    const { accessToken, userId, refreshToken } = await signInOnPlatform(guarded, [guarded.names.operator]);
    expect(await ask('/invoices/one', { token: accessToken })).toEqual([403, 'PERMISSION_DENIED']);
    await guarded.app.get(UserService).ensureUserAccess(userId, guarded.names.tenantId);
    const inTenant = await guarded.app.get(AuthService).switchTenant(refreshToken, guarded.names.tenantId);
    const { body } = await send(guarded, '/platform', { token: inTenant.accessToken });
    expect(body).toEqual({ ran: 'platform', tenantId: null, roles: ['operator'] });
  });

  it('is left with its last role', async () => {
    const { accessToken: token, userId } = await signInOnPlatform(guarded, [guarded.names.operator]);
    await guarded.app.get(AccessService).setPlatformAccessRoles(userId, []);
    expect(await ask('/platform', { token })).toEqual([403, 'PERMISSION_DENIED']);
  });
});

describe('what a handler does', () => {
  it('is in the activity log as done by the user, in the tenant, by the session', async () => {
    const { accessToken: token, userId, sessionId } = await as('clerk');
    expect(await ask('/invoices/rename', { method: 'POST', token, body: {} })).toEqual([201, undefined]);
    const activities = await query(
      guarded.url,
      `select actor_type, actor_id, tenant_id, details from nest_auth_activities
         where user_id = $1 and type = 'nest_auth.user.updated'`,
      [userId],
    );
    const { tenantId } = guarded.names;
    const details = { actorSessionId: sessionId, version: 2 };
    expect(activities).toEqual([{ actor_type: 'user', actor_id: userId, tenant_id: tenantId, details }]);
  });

  it('SEC-68 keeps 200 requests of 20 tenants apart', async () => {
    const { app } = guarded;
    const people: Person[] = [];
    for (let index = 0; index < 20; index += 1) {
      const { id } = await app.get(TenantService).createTenant({ name: 'T', slug: `mix-${index}-${unique()}` });
      people.push(await signInAs(guarded, index % 2 === 0 ? [guarded.names.manager] : [], id));
    }
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const person = people[index % 20] as Person;
        const { body } = await send(guarded, `/invoices/me?wait=${(index * 7) % 23}`, { token: person.accessToken });
        return { person, isManager: index % 2 === 0, body };
      }),
    );
    for (const { person, isManager, body } of answers) {
      const { userId, sessionId, tenantId } = person;
      const context = { actor: userId, sessionId, tenantId };
      expect(body).toEqual({
        userId,
        sessionId,
        tenantId,
        roles: isManager ? ['manager'] : [],
        can: isManager,
        context,
      });
    }
    expect(IdentityContext.current).toEqual({});
  });
});

import { Controller, Delete, Get, Post } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import {
  type AccessGrants,
  AccessGate,
  AccessService,
  AllowApiKeys,
  type ApiKeyPrincipal,
  ApiKeyService,
  CurrentAccess,
  CurrentApiKey,
  CurrentTenant,
  CurrentUser,
  generateServiceToken,
  IdentityContext,
  type IssuedApiKey,
  Permissions,
  PlatformOnly,
  Roles,
  ServiceAccountService,
  ServiceOnly,
  SessionOnly,
  UserService,
} from '../../../src/index.js';
import { query } from '../session/fixture.js';
import { appOn, type Guarded, type Sent, send, signInAs, signInOnPlatform, startGuarded, unique } from './fixture.js';

/** How often any handler has run: a refusal is one that nothing happened behind. */
let entered = 0;
const ran = (what: string): { ran: string } => {
  entered += 1;
  return { ran: what };
};

@Controller('invoices')
class InvoiceController {
  constructor(private readonly users: UserService) {}

  @Get()
  list() {
    return ran('list');
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

  @Roles('manager')
  @Delete('all')
  deleteAll() {
    return ran('deleteAll');
  }

  @SessionOnly()
  @Permissions('invoices.read')
  @Post('password')
  password() {
    return ran('password');
  }

  @AllowApiKeys()
  @Get('me')
  async me(
    @CurrentApiKey({ optional: true }) key: ApiKeyPrincipal | null,
    @CurrentUser({ optional: true }) user: { userId: string; sessionId?: string } | null,
    @CurrentTenant({ optional: true }) tenantId: string | null,
    @CurrentAccess() access: AccessGrants,
  ) {
    const { actor, sessionId, apiKey, tenantId: place } = IdentityContext.current;
    return {
      ...ran('me'),
      keyId: key?.keyId ?? null,
      userId: user?.userId ?? null,
      tenantId,
      can: ['invoices.read', 'invoices.pay', 'reports.read'].filter((name) => access.can(name)),
      roles: access.roles,
      context: { actor, sessionId, apiKey, tenantId: place },
    };
  }

  @Permissions('invoices.read')
  @Post('rename')
  async rename(@CurrentUser() { userId }: { userId: string }) {
    await this.users.updateUserMetadata(userId, { renamed: unique() });
    return ran('rename');
  }
}

@Controller('platform')
class PlatformController {
  @PlatformOnly()
  @Get()
  any() {
    return ran('platform');
  }

  @PlatformOnly()
  @Permissions('tenants.read')
  @Get('tenants')
  tenants() {
    return ran('tenants');
  }
}

@Controller('machines')
class MachineController {
  @ServiceOnly()
  @Get()
  any() {
    return ran('machines');
  }
}

const service = generateServiceToken('billing');
const CONTROLLERS = [InvoiceController, PlatformController, MachineController];
const AUTH = { guard: { apiKeys: true, services: [{ name: 'billing', secretHashes: [service.hash] }] } };

let guarded: Guarded;
beforeAll(async () => {
  guarded = await startGuarded({ guardAllRoutes: true, controllers: CONTROLLERS, auth: AUTH });
});
afterAll(() => guarded.close());

const keys = (): ApiKeyService => guarded.app.get(ApiKeyService);

/** The status and the code; a refusal has run nothing. */
async function ask(path: string, sent: Sent): Promise<[number, unknown]> {
  const before = entered;
  const { status, code } = await send(guarded, path, sent);
  expect(entered - before).toBe(status < 400 ? 1 : 0);
  return [status, code];
}

const OK = [200, undefined];
const DENIED = [403, 'PERMISSION_DENIED'];
const INVALID = [401, 'API_KEY_INVALID'];

async function userKey(roleIds: string[], scopes: string[], tenantId = guarded.names.tenantId) {
  const person = await signInAs(guarded, roleIds, tenantId);
  const owner = { userId: person.userId, tenantId };
  return { ...(await keys().createApiKey({ owner, name: 'a key', scopes })), owner, person };
}

async function accountKey(scopes: string[], tenantId = guarded.names.tenantId) {
  const { id: serviceAccountId } = await guarded.app.get(ServiceAccountService).create({ tenantId, name: unique() });
  const owner = { serviceAccountId, tenantId };
  return { ...(await keys().createApiKey({ owner, name: 'ci', scopes })), owner };
}

async function platformKey(scopes: string[]): Promise<IssuedApiKey> {
  const { userId } = await signInOnPlatform(guarded, [guarded.names.operator]);
  return keys().createApiKey({ owner: { userId }, name: 'platform', scopes });
}

describe("a user's key", () => {
  it('opens what its scopes name and the user holds, and nothing else', async () => {
    const { secret: token } = await userKey([guarded.names.manager], ['invoices.read']);
    expect(await ask('/invoices/one', { token })).toEqual(OK);
    expect(await ask('/invoices/pay', { method: 'POST', token })).toEqual(DENIED);
    expect(await ask('/invoices/any', { token })).toEqual(DENIED);
    const { secret: wide } = await userKey([guarded.names.manager], ['invoices.read', 'invoices.pay']);
    expect(await ask('/invoices/pay', { method: 'POST', token: wide })).toEqual([201, undefined]);
    expect(await ask('/invoices/any', { token: wide })).toEqual(OK);
  });

  it('SEC-45 has at once no more than its user has, and has it again with the user', async () => {
    const { app, names } = guarded;
    const { secret: token, owner } = await userKey([names.wildcard], ['invoices.*']);
    expect(await ask('/invoices/pay', { method: 'POST', token })).toEqual([201, undefined]);
    await app.get(UserService).setUserAccessRoles(owner.userId, owner.tenantId, [names.clerk]);
    expect(await ask('/invoices/pay', { method: 'POST', token })).toEqual(DENIED);
    expect(await ask('/invoices/one', { token })).toEqual(OK);
    await app.get(AccessService).denyPermission(owner.userId, owner.tenantId, 'invoices.read');
    expect(await ask('/invoices/one', { token })).toEqual(DENIED);
    await app.get(AccessService).revokePermission(owner.userId, owner.tenantId, 'invoices.read');
    expect(await ask('/invoices/one', { token })).toEqual(OK);
  });

  it('has no roles, and opens nothing that asks for no permission, unless it is marked', async () => {
    const { secret: token, person } = await userKey([guarded.names.manager], ['invoices.read']);
    expect(await ask('/invoices', { token })).toEqual(DENIED);
    expect(await ask('/invoices/all', { method: 'DELETE', token })).toEqual(DENIED);
    expect(await ask('/invoices/me', { token })).toEqual(OK);
    for (const path of ['/invoices', '/invoices/me']) {
      expect(await ask(path, { token: person.accessToken })).toEqual(OK);
    }
    expect(await ask('/invoices/all', { method: 'DELETE', token: person.accessToken })).toEqual(OK);
  });

  it('is nothing where a session is demanded, whatever it may do', async () => {
    const { secret: token, person } = await userKey([guarded.names.clerk], ['invoices.read']);
    expect(await ask('/invoices/password', { method: 'POST', token })).toEqual(DENIED);
    expect(await ask('/invoices/password', { method: 'POST', token: person.accessToken })).toEqual([201, undefined]);
  });

  it('is known to the handler, and to the activity log', async () => {
    const { apiKey, secret: token, owner } = await userKey([guarded.names.manager], ['invoices.read']);
    const { body } = await send(guarded, '/invoices/me', { token });
    const { userId, tenantId } = owner;
    expect(body).toEqual({
      ran: 'me',
      keyId: apiKey.id,
      userId,
      tenantId,
      can: ['invoices.read'],
      roles: [],
      context: {
        actor: { type: 'user', id: userId },
        apiKey: { id: apiKey.id, tenantId, scopes: ['invoices.read'] },
        tenantId,
      },
    });
    expect(await ask('/invoices/rename', { method: 'POST', token })).toEqual([201, undefined]);
    const told = await query(
      guarded.url,
      `select actor_type, actor_id, tenant_id, details from nest_auth_activities
         where user_id = $1 and type = 'nest_auth.user.updated'`,
      [userId],
    );
    const details = { actorApiKeyId: apiKey.id, version: 2 };
    expect(told).toEqual([{ actor_type: 'user', actor_id: userId, tenant_id: tenantId, details }]);
  });
});

describe("a service account's key", () => {
  it('opens what its scopes name, and is no user', async () => {
    const { apiKey, secret: token, owner } = await accountKey(['invoices.*']);
    expect(await ask('/invoices/one', { token })).toEqual(OK);
    expect(await ask('/invoices/pay', { method: 'POST', token })).toEqual([201, undefined]);
    expect(await ask('/invoices', { token })).toEqual(DENIED);
    expect(await ask('/invoices/all', { method: 'DELETE', token })).toEqual(DENIED);
    expect(await ask('/invoices/password', { method: 'POST', token })).toEqual(DENIED);
    const { body } = await send(guarded, '/invoices/me', { token });
    const { serviceAccountId, tenantId } = owner;
    expect(body).toEqual({
      ran: 'me',
      keyId: apiKey.id,
      userId: null,
      tenantId,
      can: ['invoices.read', 'invoices.pay'],
      roles: [],
      context: {
        actor: { type: 'service', id: serviceAccountId },
        apiKey: { id: apiKey.id, tenantId, scopes: ['invoices.*'] },
        tenantId,
      },
    });
    // The handler wants a user, and there is none.
    const before = entered;
    expect(await send(guarded, '/invoices/rename', { method: 'POST', token })).toMatchObject({
      status: 401,
      code: 'UNAUTHENTICATED',
    });
    expect(entered).toBe(before);
  });

  it('is nothing to a handler for services, and their token is nothing to others', async () => {
    const { secret: token } = await accountKey(['*']);
    expect(await ask('/machines', { token })).toEqual([401, 'ACCESS_TOKEN_INVALID']);
    expect(await ask('/machines', { headers: { 'x-api-key': token } })).toEqual([401, 'UNAUTHENTICATED']);
    expect(await ask('/machines', { token: service.token })).toEqual(OK);
    expect(await ask('/invoices/one', { token: service.token })).toEqual([401, 'ACCESS_TOKEN_INVALID']);
  });
});

describe('SEC-67 the platform', () => {
  it('is never reached by a key in a tenant, whatever it names and whoever owns it', async () => {
    const { names, app } = guarded;
    const { secret: robot } = await accountKey(['*', 'tenants.read']);
    const person = await signInOnPlatform(guarded, [names.operator]);
    await app.get(AccessService).addUserAccessRoles(person.userId, names.tenantId, [names.clerk]);
    await app.get(AccessService).grantPermission(person.userId, names.tenantId, '*');
    const owner = { userId: person.userId, tenantId: names.tenantId };
    const { secret: staff } = await keys().createApiKey({ owner, name: 'both', scopes: ['*', 'tenants.read'] });
    for (const token of [robot, staff]) {
      expect(await ask('/platform', { token })).toEqual(DENIED);
      expect(await ask('/platform/tenants', { token })).toEqual(DENIED);
      expect(await ask('/invoices/one', { token })).toEqual(OK);
    }
    expect(await ask('/platform/tenants', { token: person.accessToken })).toEqual(OK);
  });

  it('is reached by a key to the platform as far as its scopes go, and no tenant is', async () => {
    const { secret: token } = await platformKey(['tenants.read']);
    expect(await ask('/platform/tenants', { token })).toEqual(OK);
    // It asks for somebody with a role there, which no key has.
    expect(await ask('/platform', { token })).toEqual(DENIED);
    expect(await ask('/invoices/one', { token })).toEqual(DENIED);
  });
});

describe('how a key is sent', () => {
  it('as a Bearer token or as X-API-Key, and nowhere else', async () => {
    const { secret } = await userKey([guarded.names.clerk], ['invoices.read']);
    expect(await ask('/invoices/one', { token: secret })).toEqual(OK);
    expect(await ask('/invoices/one', { headers: { 'x-api-key': secret } })).toEqual(OK);
    expect(await ask('/invoices/one', { headers: { 'X-API-KEY': secret } })).toEqual(OK);
    expect(await ask(`/invoices/one?apiKey=${secret}&access_token=${secret}`, {})).toEqual([401, 'UNAUTHENTICATED']);
    expect(await ask('/invoices/one', { headers: { cookie: `x-api-key=${secret}` } })).toEqual([
      401,
      'UNAUTHENTICATED',
    ]);
    expect(await ask('/invoices/one', { headers: { authorization: `Basic ${secret}` } })).toEqual([
      401,
      'UNAUTHENTICATED',
    ]);
  });

  it('of two that could say who calls, the token does', async () => {
    const { secret, person } = await userKey([guarded.names.clerk], ['invoices.read']);
    const other = await userKey([guarded.names.manager], ['invoices.read', 'invoices.pay']);
    const headers = { 'x-api-key': other.secret };
    expect(await ask('/invoices/pay', { method: 'POST', token: secret, headers })).toEqual(DENIED);
    expect(await ask('/invoices/pay', { method: 'POST', token: person.accessToken, headers })).toEqual(DENIED);
    expect(await ask('/invoices/one', { token: 'a.b.c', headers })).toEqual([401, 'ACCESS_TOKEN_INVALID']);
    expect(await ask('/invoices/one', { token: `${secret}x`, headers })).toEqual(INVALID);
    expect(await ask('/invoices/pay', { method: 'POST', headers })).toEqual([201, undefined]);
  });

  it('and what is no key is refused, also a session’s token in the header for keys', async () => {
    const { person } = await userKey([guarded.names.clerk], ['invoices.read']);
    for (const value of [person.accessToken, 'nak_x', '', '   ', 'x'.repeat(9_000)]) {
      const [status] = await ask('/invoices/one', { headers: { 'x-api-key': value } });
      expect([value.length, status]).toEqual([value.length, 401]);
    }
  });

  it('SEC-60 says the tenant itself: nothing else of the request does', async () => {
    const { otherTenantId, tenantId } = guarded.names;
    const { secret: token } = await accountKey(['invoices.read']);
    const headers = { 'x-tenant-id': otherTenantId };
    const { body } = await send(guarded, `/invoices/me?tenantId=${otherTenantId}`, { token, headers });
    expect(body).toMatchObject({ tenantId });
  });
});

describe('SEC-45 a key that is over', () => {
  it('is refused by the next request, also of another application on the database', async () => {
    const other = await appOn(guarded.url, { guardAllRoutes: true, controllers: CONTROLLERS, auth: AUTH }).compile();
    const app = other.createNestApplication<Guarded['app']>({ logger: false });
    await app.listen(0, '127.0.0.1');
    const there = async (token: string): Promise<unknown[]> => {
      const { status, code } = await send({ app }, '/invoices/one', { token });
      return [status, code];
    };
    const { apiKey, secret, owner } = await userKey([guarded.names.clerk], ['invoices.read']);
    const robot = await accountKey(['invoices.read']);
    for (const token of [secret, robot.secret]) expect(await there(token)).toEqual(OK);
    await keys().revokeApiKey(owner, apiKey.id);
    await guarded.app.get(ServiceAccountService).disable(robot.owner.serviceAccountId, robot.owner.tenantId);
    for (const token of [secret, robot.secret]) {
      expect(await there(token)).toEqual(INVALID);
      expect(await ask('/invoices/one', { token })).toEqual(INVALID);
    }
    await app.close();
  });
});

describe('the gate', () => {
  it('judges a key for code that no guard runs for, and runs as it', async () => {
    const gate = guarded.app.get(AccessGate);
    const { secret, owner, apiKey } = await userKey([guarded.names.manager], ['invoices.read']);
    const principal = await gate.authenticateApiKey(secret);
    await gate.assert(principal, { permissions: ['invoices.read'] });
    const denied = { code: 'PERMISSION_DENIED' };
    await expect(gate.assert(principal, { permissions: ['invoices.pay'] })).rejects.toMatchObject(denied);
    await expect(gate.assert(principal, { roles: ['manager'] })).rejects.toMatchObject(denied);
    await expect(gate.assert(principal, { platform: true })).rejects.toMatchObject(denied);
    const seen = await gate.runAs(principal, () => IdentityContext.current);
    expect(seen).toMatchObject({ actor: { type: 'user', id: owner.userId }, apiKey: { id: apiKey.id } });
    await expect(gate.authenticateApiKey(`${secret}x`)).rejects.toMatchObject({ code: 'API_KEY_INVALID', status: 401 });
  });
});

describe('SEC-31 by a key', () => {
  it('nobody makes one for more', async () => {
    const gate = guarded.app.get(AccessGate);
    const { secret, owner } = await userKey([guarded.names.manager], ['invoices.read']);
    const principal = await gate.authenticateApiKey(secret);
    const make = (scopes: string[]) =>
      gate.runAs(principal, () => keys().createApiKey({ owner, name: 'another', scopes }));
    await expect(make(['invoices.pay'])).rejects.toMatchObject({ code: 'GRANT_NOT_HELD' });
    await expect(make(['invoices.read'])).resolves.toMatchObject({ apiKey: { createdBy: owner.userId } });
  });
});

describe('SEC-66 without the option', () => {
  it('no key opens anything', async () => {
    const other = await appOn(guarded.url, {
      guardAllRoutes: true,
      controllers: [InvoiceController],
      auth: { apiKeys: {} },
    }).compile();
    const app = other.createNestApplication<Guarded['app']>({ logger: false });
    await app.listen(0, '127.0.0.1');
    const { secret } = await userKey([guarded.names.manager], ['invoices.read']);
    expect(await send({ app }, '/invoices/one', { token: secret })).toMatchObject({
      status: 401,
      code: 'ACCESS_TOKEN_INVALID',
    });
    expect(await send({ app }, '/invoices/one', { headers: { 'x-api-key': secret } })).toMatchObject({
      status: 401,
      code: 'UNAUTHENTICATED',
    });
    await app.close();
  });

  it('nor is one made where nothing would end it with its owner', async () => {
    const module = await appOn(guarded.url, {}).compile();
    await module.init();
    const without = module.get(ApiKeyService);
    const calls = [
      () => without.createApiKey({ owner: { userId: uuidv7() }, name: 'x', scopes: ['x'] }),
      () => without.listApiKeys({ userId: uuidv7() }),
      () => without.revokeApiKey({ userId: uuidv7() }, uuidv7()),
      () => without.revokeAllApiKeys({ userId: uuidv7() }),
      () => without.rotateApiKey({ userId: uuidv7() }, uuidv7()),
      () => without.authenticateApiKey('nak_x'),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
    await module.close();
  });

  it('an application does not start whose decorators contradict each other', async () => {
    @Controller('both')
    class Both {
      @SessionOnly()
      @AllowApiKeys()
      @Get()
      any() {
        return {};
      }
    }
    @Controller('service')
    class ForServices {
      @SessionOnly()
      @ServiceOnly('billing')
      @Get()
      any() {
        return {};
      }
    }
    for (const controller of [Both, ForServices]) {
      const module = await appOn(guarded.url, {
        guardAllRoutes: true,
        controllers: [controller],
        auth: AUTH,
      }).compile();
      await expect(module.init()).rejects.toMatchObject({ code: 'GUARD_MISCONFIGURED' });
    }
  });
});

import { Controller, Get, Injectable, type Type, UseGuards } from '@nestjs/common';
import type { ExecutionContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';

import {
  AccessGate,
  AuthGuard,
  AuthService,
  CurrentAccess,
  CurrentService,
  CurrentTenant,
  CurrentUser,
  generateServiceToken,
  IdentityContext,
  Permissions,
  PermissionsGuard,
  PlatformGuard,
  Public,
  Roles,
  RolesGuard,
  ServiceGuard,
  ServiceOnly,
  type ServicePrincipal,
  UserService,
} from '../../../src/index.js';
import { freshEmail } from '../../support/nest-app.js';
import { query } from '../session/fixture.js';
import { appOn, type Guarded, send, signInAs, signInOnPlatform, startGuarded } from './fixture.js';

const current = generateServiceToken('billing');
const next = generateServiceToken('billing');
const shipping = generateServiceToken('shipping');

/** A controller of its own for each guard, in an application without a global one; it asks for this role and permission. */
function guardedBy(
  path: string,
  guard: Type,
  [role, permission]: readonly [string, string] = ['manager', 'invoices.pay'],
): Type {
  @UseGuards(guard)
  @Controller(path)
  class Guarding {
    @Public()
    @Get('public')
    open() {
      return {};
    }

    @Roles(role)
    @Permissions({ any: [permission] })
    @Get('asking')
    asking() {
      return { actor: IdentityContext.current.actor };
    }
  }
  return Guarding;
}

@Controller('services')
class ServiceController {
  constructor(private readonly users: UserService) {}

  @UseGuards(ServiceGuard)
  @Get('any')
  any(@CurrentService() service: ServicePrincipal) {
    return { name: service.name, actor: IdentityContext.current.actor };
  }

  @UseGuards(ServiceGuard)
  @ServiceOnly('shipping')
  @Get('shipping')
  shipping() {
    return {};
  }

  @UseGuards(AuthGuard)
  @ServiceOnly()
  @Permissions('invoices.pay')
  @Get('pay')
  async pay() {
    const { id } = await this.users.createUser({ email: freshEmail() });
    return { id };
  }

  @UseGuards(ServiceGuard)
  @Get('user')
  user(@CurrentUser() _user: unknown) {
    return {};
  }

  @UseGuards(ServiceGuard)
  @Get('access')
  access(@CurrentAccess() _access: unknown) {
    return {};
  }

  @UseGuards(ServiceGuard)
  @Get('nobody')
  nobody(@CurrentUser({ optional: true }) user: unknown, @CurrentTenant({ optional: true }) tenantId: unknown) {
    return { user, tenantId };
  }

  @UseGuards(AuthGuard)
  @Get('people')
  people(@CurrentUser() user: unknown) {
    return { user };
  }

  @UseGuards(AuthGuard)
  @Get('not-a-service')
  notAService(@CurrentService() _service: unknown) {
    return {};
  }

  @Get('unguarded')
  unguarded(@CurrentUser({ optional: true }) user: unknown) {
    return { user };
  }

  @Get('unguarded-user')
  unguardedUser(@CurrentUser() user: unknown) {
    return { user };
  }
}

let guarded: Guarded;
beforeAll(async () => {
  guarded = await startGuarded({
    auth: {
      guard: {
        services: [
          { name: 'billing', secretHashes: [next.hash, current.hash], permissions: ['invoices.*'] },
          { name: 'shipping', secretHashes: [shipping.hash] },
        ],
      },
    },
    controllers: [
      guardedBy('auth', AuthGuard),
      guardedBy('roles', RolesGuard),
      guardedBy('permissions', PermissionsGuard),
      guardedBy('platform', PlatformGuard, ['operator', 'tenants.read']),
      ServiceController,
    ],
  });
});
afterAll(() => guarded.close());

describe('a guard by itself', () => {
  it.each([
    ['auth', 200, 403],
    ['roles', 200, 403],
    ['permissions', 200, 403],
    ['platform', 403, 200],
  ])('%s enforces every decorator', async (path, inTenant, onPlatform) => {
    const manager = await signInAs(guarded, [guarded.names.manager]);
    const accountant = await signInAs(guarded, [guarded.names.wildcard]);
    const operator = await signInOnPlatform(guarded, [guarded.names.operator]);
    const ask = async (token?: string) =>
      (await send(guarded, `/${path}/asking`, token === undefined ? {} : { token })).status;
    expect(await ask()).toBe(401);
    expect(await ask(manager.accessToken)).toBe(inTenant);
    expect(await ask(operator.accessToken)).toBe(onPlatform);
    // Has the permission and not the role.
    expect(await ask(accountant.accessToken)).toBe(403);
    expect((await send(guarded, `/${path}/public`)).status).toBe(200);
  });

  it('lets the handler run as the user without a further interceptor', async () => {
    const { accessToken: token, userId } = await signInAs(guarded, [guarded.names.manager]);
    expect((await send(guarded, '/roles/asking', { token })).body).toEqual({ actor: { type: 'user', id: userId } });
  });

  it('knows nobody where none stands', async () => {
    const { accessToken: token } = await signInAs(guarded, []);
    expect((await send(guarded, '/services/unguarded', { token })).body).toEqual({ user: null });
    expect(await send(guarded, '/services/unguarded-user', { token })).toMatchObject({
      status: 401,
      code: 'UNAUTHENTICATED',
    });
  });

  it('lets nobody in on a route on which it has nothing to go by, even when the check at the start was not run', async () => {
    const gate = guarded.app.get(AccessGate);
    const { accessToken } = await signInAs(guarded, [guarded.names.manager]);
    class Forgotten {
      @UseGuards(RolesGuard)
      pay(): void {}
      @Roles(...([] as unknown as [string]))
      nobody(): void {}
      @Public()
      @Roles('manager')
      both(): void {}
    }
    const module = await Test.createTestingModule({ providers: [] }).compile();
    for (const [Guard, handler] of [
      [RolesGuard, Forgotten.prototype.pay],
      [AuthGuard, Forgotten.prototype.nobody],
      [AuthGuard, Forgotten.prototype.both],
    ] as const) {
      const guard = new Guard(gate, { keep: jest.fn() } as never, { refused: jest.fn() } as never);
      const headers = { authorization: `Bearer ${accessToken}` };
      const context = {
        getType: () => 'http',
        getClass: () => Forgotten,
        getHandler: () => handler,
        switchToHttp: () => ({ getRequest: () => ({ headers }) }),
      } as unknown as ExecutionContext;
      await expect(guard.canActivate(context)).rejects.toMatchObject({ code: 'GUARD_MISCONFIGURED' });
    }
    await module.close();
  });
});

describe('ServiceGuard', () => {
  const ask = async (path: string, token: string) => {
    const { status, code, body } = await send(guarded, `/services/${path}`, { token });
    return status === 200 ? body : [status, code];
  };

  it('lets in by either of the two tokens while one is being changed, and names the service', async () => {
    for (const { token } of [current, next]) {
      const billing = { name: 'billing', actor: { type: 'service', id: 'billing' } };
      expect(await ask('any', token)).toEqual(billing);
    }
  });

  it.each([
    ['no token of it', () => generateServiceToken('billing').token],
    ['one of an unknown service', () => generateServiceToken('unknown').token],
    ['one under another name', () => current.token.replace('billing', 'shipping')],
    ['its hash', () => current.hash],
    ['a hash in the form of a token', () => `nasvc_billing.${current.hash.slice(0, 43)}`],
    ['nothing but the prefix', () => 'nasvc_billing.'],
    ['a name of the prototype', () => generateServiceToken('constructor').token],
  ])('refuses %s', async (_, token) => {
    expect(await ask('any', token())).toEqual([401, 'ACCESS_TOKEN_INVALID']);
  });

  it('refuses people, and AuthGuard refuses services', async () => {
    const { accessToken } = await signInAs(guarded, [guarded.names.manager]);
    expect(await ask('any', accessToken)).toEqual([401, 'ACCESS_TOKEN_INVALID']);
    expect(await ask('people', current.token)).toEqual([401, 'ACCESS_TOKEN_INVALID']);
    expect((await send(guarded, '/services/any')).code).toBe('UNAUTHENTICATED');
  });

  it('lets in only the services that are named, and those that have the permission', async () => {
    expect(await ask('shipping', shipping.token)).toEqual({});
    expect(await ask('shipping', current.token)).toEqual([403, 'PERMISSION_DENIED']);
    expect(await ask('pay', current.token)).toEqual({ id: expect.any(String) });
    expect(await ask('pay', shipping.token)).toEqual([403, 'PERMISSION_DENIED']);
  });

  it('makes the service the doer of what is done', async () => {
    const { id } = (await ask('pay', current.token)) as { id: string };
    const activities = await query(
      guarded.url,
      'select distinct actor_type, actor_id from nest_auth_activities where user_id = $1',
      [id],
    );
    expect(activities).toEqual([{ actor_type: 'service', actor_id: 'billing' }]);
  });

  it('has no user, no tenant and no access, and a user is no service', async () => {
    expect(await ask('user', current.token)).toEqual([401, 'UNAUTHENTICATED']);
    expect(await ask('access', current.token)).toEqual([401, 'UNAUTHENTICATED']);
    expect(await ask('nobody', current.token)).toEqual({ user: null, tenantId: null });
    const { accessToken } = await signInAs(guarded, []);
    expect(await ask('not-a-service', accessToken)).toEqual([401, 'UNAUTHENTICATED']);
  });
});

describe('SEC-66 when something fails', () => {
  it.each(['authenticate', 'getGrants'] as const)('%s of the gate: nobody is let in', async (method) => {
    const { accessToken: token } = await signInAs(guarded, [guarded.names.manager]);
    const fails = jest.spyOn(guarded.app.get(AccessGate), method).mockRejectedValue(new Error('provider down'));
    try {
      expect((await send(guarded, '/roles/asking', { token })).status).toBe(500);
    } finally {
      fails.mockRestore();
    }
    expect((await send(guarded, '/roles/asking', { token })).status).toBe(200);
  });

  it('what is below it: nobody is let in', async () => {
    const { accessToken: token } = await signInAs(guarded, [guarded.names.manager]);
    const fails = jest.spyOn(guarded.app.get(AuthService), 'authenticate').mockRejectedValue(undefined);
    try {
      expect((await send(guarded, '/auth/asking', { token })).status).toBe(500);
    } finally {
      fails.mockRestore();
    }
  });

  it('answers 401 and 403 also without the filter of the package', async () => {
    @Injectable()
    class Nothing {}
    @UseGuards(AuthGuard)
    @Controller()
    class Asking {
      @Roles('manager')
      @Get('managers')
      managers() {
        return {};
      }
    }
    const module = await appOn(guarded.url, { controllers: [Asking], providers: [Nothing], filter: false }).compile();
    const app = module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
    const plain = { app: app as unknown as Guarded['app'] };
    const { accessToken: token } = await signInAs(guarded, []);
    expect((await send(plain, '/managers')).status).toBe(401);
    expect((await send(plain, '/managers', { token: 'a.b.c' })).status).toBe(401);
    expect((await send(plain, '/managers', { token })).status).toBe(403);
    await app.close();
  });
});

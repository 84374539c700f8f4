import { Controller, Get, Injectable, type Type, UseGuards } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { Query, Resolver } from '@nestjs/graphql';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  AuthGuard,
  generateServiceToken,
  isNestAuthError,
  type NestAuthErrorDetails,
  type NestAuthModuleOptions,
  Permissions,
  PermissionsGuard,
  PlatformGuard,
  PlatformOnly,
  Public,
  Roles,
  RolesGuard,
  ServiceGuard,
  ServiceOnly,
} from '../../../src/index.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { appOn, type GuardedOptions, makeNames } from './fixture.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await makeNames(database.url);
});
afterAll(() => database.drop());

/** Why the application refuses to start; null when it starts. */
async function refusal(options: GuardedOptions): Promise<NestAuthErrorDetails['issues'] | null> {
  const module = await appOn(database.url, options).compile();
  module.useLogger(false);
  try {
    await module.init();
    return null;
  } catch (error) {
    if (isNestAuthError(error, 'GUARD_MISCONFIGURED')) return error.details.issues ?? [];
    throw error;
  } finally {
    await module.close();
  }
}

type Mark = ClassDecorator & MethodDecorator;

/** A controller with one route, under these decorators. */
function controllerWith(onMethod: readonly Mark[], onClass: readonly Mark[] = []): Type {
  @Controller()
  class InvoiceController {
    @Get()
    pay(): string {
      return 'paid';
    }
  }
  const descriptor = Object.getOwnPropertyDescriptor(InvoiceController.prototype, 'pay') as PropertyDescriptor;
  for (const mark of onMethod) mark(InvoiceController.prototype, 'pay', descriptor);
  for (const mark of onClass) mark(InvoiceController);
  return InvoiceController;
}

const SERVICES: NestAuthModuleOptions = {
  guard: { services: [{ name: 'billing', secretHashes: [generateServiceToken('billing').hash] }] },
};
const none = [] as unknown as [string];

describe('SEC-66 an application whose decorators do not hold', () => {
  it('starts when they do', async () => {
    const controllers = [
      controllerWith([Permissions('invoices.pay'), Roles('clerk', 'manager')]),
      controllerWith([PlatformOnly(), Permissions('tenants.read'), Roles('operator')]),
      controllerWith([], [PlatformOnly()]),
      controllerWith([Public()]),
      controllerWith([Public()], [Public()]),
      controllerWith([]),
      controllerWith([ServiceOnly('billing'), Permissions('invoices.pay')]),
    ];
    expect(await refusal({ guardAllRoutes: true, controllers, auth: SERVICES })).toBeNull();
  });

  it.each<[what: string, onMethod: Mark[], onClass: Mark[]]>([
    ['@Public with @Permissions', [Public(), Permissions('invoices.pay')], []],
    ['@Public with @Roles', [Public(), Roles('clerk')], []],
    ['@Public with @PlatformOnly', [Public(), PlatformOnly()], []],
    ['@Public with @ServiceOnly', [Public(), ServiceOnly()], []],
    ['@Public in a class with @Permissions', [Public()], [Permissions('invoices.pay')]],
    ['@Permissions in a class with @Public', [Permissions('invoices.pay')], [Public()]],
    ['@ServiceOnly with @Roles', [ServiceOnly(), Roles('clerk')], []],
    ['@ServiceOnly with @PlatformOnly', [ServiceOnly()], [PlatformOnly()]],
    ['no role', [Roles(...none)], []],
    ['no permission', [Permissions(...none)], []],
    ['none of several permissions', [Permissions({ any: none })], []],
    ['a name that is missing', [Permissions(undefined as unknown as string)], []],
    ['an empty name', [Roles(' ')], []],
  ])('does not start with %s', async (_, onMethod, onClass) => {
    const issues = await refusal({
      guardAllRoutes: true,
      controllers: [controllerWith(onMethod, onClass)],
      auth: SERVICES,
    });
    expect(issues?.map(({ path }) => path)).toEqual(['InvoiceController.pay']);
  });

  /** `is it …?`, or nothing. */
  const suggestionOf = (message = ''): string | null => /is it ([\w.-]+)\?/.exec(message)?.[1] ?? null;

  it.each<[wrong: string, nearest: string | null, onMethod: Mark[]]>([
    ['reports.raed', 'reports.read', [Permissions('invoices.read', 'reports.raed')]],
    ['report.read', 'reports.read', [Permissions({ any: ['report.read', 'invoices.read'] })]],
    ['mangaer', 'manager', [Roles('clerk', 'mangaer')]],
    ['something-else-entirely', null, [Roles('something-else-entirely')]],
    // Of the other side: on the platform the roles and permissions are others.
    ['tenants.write', null, [Permissions('tenants.write')]],
    ['operator', null, [Roles('operator')]],
    ['clerk', null, [PlatformOnly(), Roles('clerk')]],
    ['dispatcher', null, [Roles('dispatcher')]],
    ['tenant.read', 'tenants.read', [PlatformOnly(), Permissions('tenant.read')]],
  ])('does not start with %s, and tells %s', async (wrong, nearest, onMethod) => {
    const [issue, ...others] = (await refusal({ guardAllRoutes: true, controllers: [controllerWith(onMethod)] })) ?? [];
    expect(others).toEqual([]);
    expect(issue?.path).toBe('InvoiceController.pay');
    expect(issue?.message).toContain(wrong);
    expect(suggestionOf(issue?.message)).toBe(nearest);
  });

  it('takes a permission that a wildcard covers, if that is not the one of everything', async () => {
    const controllers = [controllerWith([Permissions('invoices.approve', 'invoices.*')])];
    expect(await refusal({ guardAllRoutes: true, controllers })).toBeNull();
    const others = [controllerWith([Permissions('shipments.send')])];
    expect(await refusal({ guardAllRoutes: true, controllers: others })).toHaveLength(1);
  });

  it('tells all that is wrong at once, and can be told to start with names that are to come', async () => {
    const controllers = [controllerWith([Roles('nobody')]), controllerWith([Permissions('nothing')])];
    expect(await refusal({ guardAllRoutes: true, controllers })).toHaveLength(2);
    const auth: NestAuthModuleOptions = { guard: { unknownNames: 'warn' } };
    expect(await refusal({ guardAllRoutes: true, controllers, auth })).toBeNull();
    const wrong = [controllerWith([Public(), Roles('nobody')])];
    expect(await refusal({ guardAllRoutes: true, controllers: wrong, auth })).toHaveLength(1);
  });

  it.each<[what: string, marks: Mark[]]>([
    ['@Permissions', [Permissions('invoices.pay')]],
    ['@Roles', [Roles('clerk')]],
    ['@PlatformOnly', [PlatformOnly()]],
    ['@ServiceOnly', [ServiceOnly()]],
  ])('does not start with %s and no guard', async (_, marks) => {
    for (const controller of [controllerWith(marks), controllerWith([], marks)]) {
      const issues = await refusal({ controllers: [controller], auth: SERVICES });
      expect(issues?.map(({ path }) => path)).toEqual(['InvoiceController.pay']);
    }
  });

  it('takes any of the guards for one, wherever it stands, and no other', async () => {
    class HostsOwn extends AuthGuard {}
    @Injectable()
    class Other {
      canActivate(): boolean {
        return true;
      }
    }
    const marks = [Permissions('invoices.pay')];
    for (const guard of [AuthGuard, PermissionsGuard, HostsOwn]) {
      expect(await refusal({ controllers: [controllerWith([...marks, UseGuards(guard)])] })).toBeNull();
      expect(await refusal({ controllers: [controllerWith(marks, [UseGuards(guard)])] })).toBeNull();
      const providers = [{ provide: APP_GUARD, useClass: guard }];
      expect(await refusal({ controllers: [controllerWith(marks)], providers })).toBeNull();
    }
    expect(await refusal({ controllers: [controllerWith([...marks, UseGuards(Other)])] })).toHaveLength(1);
    const providers = [{ provide: APP_GUARD, useClass: Other }];
    expect(await refusal({ controllers: [controllerWith(marks)], providers })).toHaveLength(1);
  });

  it.each<[what: string, guard: Type, marks: Mark[], starts: boolean]>([
    ['RolesGuard without @Roles', RolesGuard, [], false],
    ['RolesGuard with @Roles', RolesGuard, [Roles('clerk')], true],
    ['RolesGuard on what is public', RolesGuard, [Public()], true],
    ['PermissionsGuard without @Permissions', PermissionsGuard, [Roles('clerk')], false],
    ['PlatformGuard with a role of a tenant', PlatformGuard, [Roles('clerk')], false],
    ['PlatformGuard with a role of the platform', PlatformGuard, [Roles('operator')], true],
    ['ServiceGuard with @Roles', ServiceGuard, [Roles('clerk')], false],
    ['ServiceGuard', ServiceGuard, [], true],
  ])('%s: starts or not', async (_, guard, marks, starts) => {
    const issues = await refusal({ controllers: [controllerWith([...marks, UseGuards(guard)])], auth: SERVICES });
    expect(issues === null).toBe(starts);
  });

  it('does not start when nobody could ever be let in', async () => {
    const controllers = [controllerWith([])];
    expect(await refusal({ guardAllRoutes: true, controllers, auth: { session: {} } })).toHaveLength(1);
    expect(await refusal({ controllers, auth: { session: {} } })).toBeNull();
    const forServices = [controllerWith([ServiceOnly()])];
    expect(await refusal({ guardAllRoutes: true, controllers: forServices })).toHaveLength(1);
    const forAnother = [controllerWith([ServiceOnly('shipping')])];
    expect(await refusal({ guardAllRoutes: true, controllers: forAnother, auth: SERVICES })).toHaveLength(1);
  });

  it('does not start with a permission of a service that there is not', async () => {
    const { hash } = generateServiceToken('billing');
    const services = [{ name: 'billing', secretHashes: [hash], permissions: ['invoices.pay', 'invoice.pay', 'x.*'] }];
    const issues = await refusal({ auth: { guard: { services } } });
    expect(issues?.map(({ path }) => path)).toEqual(['guard.services.billing']);
  });

  it('looks at what is no controller, too', async () => {
    @Resolver()
    class InvoiceResolver {
      @Roles('clerk')
      @Query(() => String)
      invoice(): string {
        return 'one';
      }
    }
    @Injectable()
    class Worker {
      @Permissions('invoices.pay')
      work(): void {}
    }
    @Roles('clerk')
    @Injectable()
    class Helper {
      help(): void {}
    }
    expect((await refusal({ providers: [InvoiceResolver] }))?.map(({ path }) => path)).toEqual([
      'InvoiceResolver.invoice',
    ]);
    expect(await refusal({ guardAllRoutes: true, providers: [InvoiceResolver] })).toBeNull();
    const issues = await refusal({ guardAllRoutes: true, providers: [Worker, Helper] });
    expect(issues?.map(({ path }) => path).toSorted()).toEqual(['Helper', 'Worker.work']);
  });

  it('finds what a method inherits, and what stands under another decorator', async () => {
    const replaced: MethodDecorator = (_target, _key, descriptor) => {
      const inner = descriptor.value as unknown as (...args: unknown[]) => unknown;
      descriptor.value = function traced(this: unknown, ...args: unknown[]): unknown {
        return inner.apply(this, args);
      } as never;
    };
    class Base {
      @Permissions('nothing')
      pay(): string {
        return 'paid';
      }
    }
    @Controller()
    class Overriding extends Base {
      @Get()
      override pay(): string {
        return 'more';
      }
    }
    @Controller()
    class Wrapped {
      @Get()
      @replaced
      @Permissions('nothing')
      pay(): string {
        return 'paid';
      }
    }
    const issues = await refusal({ guardAllRoutes: true, controllers: [Overriding, Wrapped] });
    expect(issues?.map(({ path }) => path)).toEqual(['Overriding.pay', 'Wrapped.pay']);
  });
});

describe('the options of guards', () => {
  const { hash } = generateServiceToken('billing');
  const [second, third] = [generateServiceToken('billing').hash, generateServiceToken('billing').hash];
  it.each<[option: string, guard: unknown]>([
    ['guard.service', { service: [] }],
    ['guard.unknownNames', { unknownNames: 'off' }],
    ['guard.services', { services: {} }],
    ['guard.services[0].name', { services: [{ name: 'Billing', secretHashes: [hash] }] }],
    ['guard.services[0].name', { services: [{ secretHashes: [hash] }] }],
    ['guard.services[0].secret', { services: [{ name: 'billing', secret: 'x', secretHashes: [hash] }] }],
    ['guard.services[0].secretHashes', { services: [{ name: 'billing' }] }],
    ['guard.services[0].secretHashes', { services: [{ name: 'billing', secretHashes: [] }] }],
    ['guard.services[0].secretHashes', { services: [{ name: 'billing', secretHashes: ['secret'] }] }],
    ['guard.services[0].secretHashes', { services: [{ name: 'billing', secretHashes: [hash, second, third] }] }],
    ['guard.services[0].permissions', { services: [{ name: 'billing', secretHashes: [hash], permissions: 'x' }] }],
    ['guard.services', { services: [1, 2].map((_, at) => ({ name: 'billing', secretHashes: [[hash, second][at]] })) }],
    ['guard.services', { services: ['a', 'b'].map((name) => ({ name, secretHashes: [hash] })) }],
  ])('refuse what is wrong with %s', (option, guard) => {
    const auth = { guard } as NestAuthModuleOptions;
    expect(() => appOn(database.url, { auth })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option } }),
    );
  });
});

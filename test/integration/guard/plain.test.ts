import { type ExecutionContext, Injectable, UseGuards } from '@nestjs/common';
import { ExternalContextCreator } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  AccessGate,
  type AccessRequirement,
  AuthGuard,
  generateServiceToken,
  IdentityContext,
  Permissions,
  Public,
  SessionService,
  UserService,
} from '../../../src/index.js';
import { type Guarded, signInAs, signInOnPlatform, startGuarded } from './fixture.js';

const billing = generateServiceToken('billing');

interface Message {
  readonly token?: string;
}

/** How a host guards a transport whose messages have no headers. */
@Injectable()
class MessageGuard extends AuthGuard {
  protected override readToken(context: ExecutionContext): string | null {
    return context.switchToRpc().getData<Message>().token ?? null;
  }
}

@Injectable()
class Consumer {
  @UseGuards(MessageGuard)
  @Permissions('invoices.pay')
  pay(_message: Message): object {
    return { actor: IdentityContext.current.actor?.id };
  }

  @UseGuards(AuthGuard)
  whoever(_message: Message): string {
    return 'reached';
  }

  @UseGuards(MessageGuard)
  @Public()
  open(_message: Message): string {
    return 'open';
  }
}

let guarded: Guarded;
let gate: AccessGate;
beforeAll(async () => {
  guarded = await startGuarded({
    providers: [Consumer, MessageGuard],
    // Its answer for messages hides the code in the body of an HttpException.
    filter: false,
    auth: { guard: { services: [{ name: 'billing', secretHashes: [billing.hash], permissions: ['invoices.*'] }] } },
  });
  gate = guarded.app.get(AccessGate);
});
afterAll(() => guarded.close());

const denied = { code: 'PERMISSION_DENIED' };
const codeOf = ({ code }: { code?: unknown }): unknown => code;

describe('AccessGate', () => {
  it('tells whose a token is, in the tenant of the session', async () => {
    const { accessToken, userId, sessionId, tenantId } = await signInAs(guarded, []);
    const principal = await gate.authenticate(accessToken);
    expect(principal).toEqual({ type: 'user', userId, sessionId, tenantId, expiresAt: expect.any(Date) });
    await guarded.app.get(SessionService).revokeAllSessions(userId);
    await expect(gate.authenticate(accessToken)).rejects.toMatchObject({ code: 'ACCESS_TOKEN_INVALID' });
  });

  it.each<[requirement: AccessRequirement, clerk: boolean, manager: boolean, operator: boolean]>([
    [{ permissions: ['invoices.read'] }, true, true, false],
    [{ permissions: ['invoices.read', 'invoices.pay'] }, false, true, false],
    [{ anyPermission: ['invoices.read', 'invoices.pay'] }, true, true, false],
    [{ roles: ['clerk', 'manager'] }, true, true, false],
    [{ roles: ['manager'], permissions: ['invoices.read'] }, false, true, false],
    [{ roles: ['clerk'], permissions: ['invoices.pay'] }, false, false, false],
    [{ permissions: ['no-such-thing'] }, false, false, false],
    [{ roles: ['no-such-role'] }, false, false, false],
    [{ platform: true }, false, false, true],
    [{ platform: true, permissions: ['tenants.read'] }, false, false, true],
    [{ platform: true, permissions: ['tenants.write'] }, false, false, false],
    [{ platform: true, roles: ['operator'] }, false, false, true],
    [{ platform: true, permissions: ['invoices.read'] }, false, false, false],
  ])('SEC-64 asserts %j', async (requirement, clerk, manager, operator) => {
    const { names } = guarded;
    const people = [
      await signInAs(guarded, [names.clerk]),
      await signInAs(guarded, [names.manager]),
      await signInOnPlatform(guarded, [names.operator]),
    ];
    const codes = [];
    for (const { accessToken } of people) {
      const asserted = gate.assert(await gate.authenticate(accessToken), requirement);
      codes.push(await asserted.then(() => null, codeOf));
    }
    expect(codes).toEqual([clerk, manager, operator].map((isLetIn) => (isLetIn ? null : denied.code)));
  });

  it.each<[what: string, requirement: unknown]>([
    ['nothing', {}],
    ['nothing at all', null],
    ['what it does not know', { permission: 'invoices.read' }],
    ['no permission', { permissions: [] }],
    ['no role', { roles: [] }],
    ['a name that is none', { permissions: [undefined] }],
    ['one name and not a list', { permissions: 'invoices.read' }],
    ['no platform', { platform: false }],
    ['a platform that is no boolean', { platform: 'yes' }],
  ])('SEC-66 refuses to assert %s', async (_, requirement) => {
    const { accessToken } = await signInAs(guarded, [guarded.names.manager]);
    const asserted = gate.assert(await gate.authenticate(accessToken), requirement as AccessRequirement);
    await expect(asserted).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  it('judges a service by what the options give it', async () => {
    const service = await gate.authenticateService(billing.token);
    await gate.assert(service, { permissions: ['invoices.pay', 'invoices.anything'] });
    for (const requirement of [
      { permissions: ['reports.read'] },
      { roles: ['manager'] },
      { platform: true },
      { platform: true, permissions: ['invoices.pay'] },
    ] as const) {
      await expect(gate.assert(service, requirement)).rejects.toMatchObject(denied);
    }
  });

  it('runs code as the caller, and leaves nothing of it behind', async () => {
    const { accessToken, userId, sessionId, tenantId } = await signInAs(guarded, []);
    const principal = await gate.authenticate(accessToken);
    const facts = await gate.runAs(principal, async () => {
      await guarded.app.get(UserService).updateUserMetadata(userId, { a: 1 });
      return IdentityContext.current;
    });
    expect(facts).toEqual({ actor: { type: 'user', id: userId }, sessionId, tenantId });
    expect(IdentityContext.current).toEqual({});
  });

  it('asks in the transaction that it is given', async () => {
    const users = guarded.app.get(UserService);
    const { accessToken, userId } = await signInAs(guarded, []);
    const principal = await gate.authenticate(accessToken);
    const asserted = users.runInTransaction(async (manager) => {
      await users.setUserAccessRoles(userId, guarded.names.tenantId, [guarded.names.manager], manager);
      await gate.assert(principal, { roles: ['manager'] }, manager);
    });
    await expect(asserted).resolves.toBeUndefined();
  });
});

describe('a guard for messages', () => {
  /** As the transports of Nest make what calls a handler. */
  const call = (method: 'pay' | 'whoever' | 'open', message: Message): Promise<unknown> => {
    const consumer = guarded.app.get(Consumer);
    const creator = guarded.app.get(ExternalContextCreator, { strict: false });
    const handler = creator.create(
      consumer,
      consumer[method] as (...args: unknown[]) => unknown,
      method,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      'rpc' as never,
    );
    return handler(message) as Promise<unknown>;
  };

  it('takes the token from where the host says', async () => {
    const { accessToken, userId } = await signInAs(guarded, [guarded.names.manager]);
    expect(await call('pay', { token: accessToken })).toEqual({ actor: userId });
    await expect(call('pay', {})).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    const clerk = await signInAs(guarded, [guarded.names.clerk]);
    await expect(call('pay', { token: clerk.accessToken })).rejects.toMatchObject(denied);
    expect(await call('open', {})).toBe('open');
  });

  it('that was told of no place finds none', async () => {
    const { accessToken } = await signInAs(guarded, [guarded.names.manager]);
    await expect(call('whoever', { token: accessToken })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });
});

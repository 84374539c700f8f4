import { describe, expect, it } from '@jest/globals';

import { readSettings } from '../../../src/nest-auth.settings.js';
import { NestAuthModule } from '../../../src/nest-auth.module.js';

describe('the options of the module', () => {
  it('all have defaults', () => {
    expect(readSettings()).toMatchObject({
      tenantMode: 'shared',
      defaultTenantId: null,
      guards: ['admin', 'portal'],
      retries: 2,
      onEscape: 'throw',
      operationTimeoutMs: 30_000,
      prepared: true,
      password: { memoryKiB: 19_456, iterations: 2, parallelism: 1, maxQueued: 1_000 },
    });
  });

  const wrong: [string, unknown][] = [
    ['log.failedTransactions', { log: { failedTransactions: 'no' } }],
    ['log.refusals', { log: { refusals: 'info' } }],
    ['log.level', { log: { level: 'warn' } }],
    ['telemetry', { telemetry: true }],
    ['telemetry.call', { telemetry: { call: 1 } }],
    ['telemetry.trace', { telemetry: { trace: () => undefined } }],
    ['lockout.freeAttempts', { lockout: { freeAttempts: 0 } }],
    ['lockout.freeAttempts', { lockout: { freeAttempts: 6, maxFailures: 5 } }],
    ['lockout.delaySeconds', { lockout: { delaySeconds: 901 } }],
    // NIST SP 800-63B
    ['lockout.maxFailures', { lockout: { maxFailures: 101 } }],
    ['lockout.windowMinutes', { lockout: { windowMinutes: 0.5 } }],
    ['lockout.enabled', { lockout: { enabled: false } }],
    ['rateLimits.enabled', { rateLimits: { enabled: 'no' } }],
    ['rateLimits.store', { rateLimits: { store: 'redis' } }],
    ['rateLimits.store', { rateLimits: { store: { redis: undefined } } }],
    ['rateLimits.onStoreFailure', { rateLimits: { onStoreFailure: 'ignore' } }],
    ['rateLimits.actions', { rateLimits: { actions: { 'sign in': {} } } }],
    ['rateLimits.actions.signIn', { rateLimits: { actions: { signIn: true } } }],
    ['rateLimits.actions.signIn.perDay', { rateLimits: { actions: { signIn: { perDay: 5 } } } }],
    ['rateLimits.actions.signIn.perIp.points', { rateLimits: { actions: { signIn: { perIp: { seconds: 60 } } } } }],
    [
      'rateLimits.actions.signIn.perIp.seconds',
      { rateLimits: { actions: { signIn: { perIp: { points: 1, seconds: 0 } } } } },
    ],
    ['session.signUp', { session: { signUp: 'everybody' } }],
    ['session.keepEndedDays', { session: { keepEndedDays: -1 } }],
    ['tenants', { tenants: {} }],
    ['tenant', { tenant: 'isolated' }],
    ['tenant', { tenant: null }],
    ['tenant.mod', { tenant: { mod: 'isolated' } }],
    ['tenant.mode', { tenant: { mode: 'many' } }],
    ['tenant.mode', { tenant: { mode: 1 } }],
    ['tenant.defaultTenantId', { tenant: { defaultTenantId: 'acme' } }],
    [
      'tenant.defaultTenantId',
      { tenant: { mode: 'isolated', defaultTenantId: '01a1fb24-0fde-73a3-a684-6db91d4ba5d7' } },
    ],
    [
      'tenant.defaultTenantId',
      { tenant: { mode: 'disabled', defaultTenantId: '01a1fb24-0fde-73a3-a684-6db91d4ba5d7' } },
    ],
    ['tenant.defaultTenantId', { tenant: { defaultTenantId: '00000000-0000-0000-0000-000000000000' } }],
    ['phone.defaultRegion', { phone: { defaultRegion: 'de' } }],
    ['phone.defaultRegion', { phone: { defaultRegion: '+49' } }],
    ['phone.defaultRegion', { phone: { defaultRegion: 49 } }],
    ['password.rounds', { password: { rounds: 10 } }],
    ['password.memoryKiB', { password: { memoryKiB: 1_024 } }],
    ['password.memoryKiB', { password: { iterations: 1 } }],
    ['password.iterations', { password: { iterations: 0 } }],
    ['password.parallelism', { password: { parallelism: 0 } }],
    ['password.maxConcurrent', { password: { maxConcurrent: 0 } }],
    ['password.maxQueued', { password: { maxQueued: -1 } }],
    ['access.guards', { access: { guards: 'api' } }],
    ['access.guards', { access: { guards: ['API'] } }],
    ['access.guards', { access: { guards: [''] } }],
    ['transaction.retries', { transaction: { retries: -1 } }],
    ['transaction.retries', { transaction: { retries: 101 } }],
    ['transaction.retries', { transaction: { retries: '2' } }],
    ['transaction.onEscape', { transaction: { onEscape: 'ignore' } }],
    ['transaction.operationTimeoutMs', { transaction: { operationTimeoutMs: 0 } }],
    ['statements.prepared', { statements: { prepared: 'yes' } }],
    ['user.beforeCreate', { user: { beforeCreate: 'log' } }],
    ['user.onCreate', { user: { onCreate: () => undefined } }],
  ];

  it.each(wrong)('keep the application from starting by the name %s: %j', (option, options) => {
    expect(() => NestAuthModule.forRoot(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option } }),
    );
  });

  it('keep the application from starting when forRootAsync has no way or two ways to make them', () => {
    class Factory {
      createNestAuthOptions = () => ({});
    }
    for (const options of [{}, { useFactory: () => ({}), useClass: Factory }]) {
      expect(() => NestAuthModule.forRootAsync(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
    }
  });
});

import { describe, expect, it } from '@jest/globals';

import { PasswordPolicySettings } from '../../../src/account/password-policy.settings.js';
import { readSettings } from '../../../src/nest-auth.settings.js';

const source = 'https://range.example.com/';

describe('the options of the password policy', () => {
  it('SEC-04: ask for fifteen characters, and for nobody else, when nothing is configured', () => {
    expect(readSettings({}).passwordPolicy).toEqual({ minLength: 15, contextWords: [], breachCheck: null, history: 0 });
    expect(new PasswordPolicySettings({ breachCheck: { source } }).breachCheck).toEqual({
      source,
      timeoutMs: 2_000,
      onFailure: 'allow',
    });
    const loopback = { source: 'http://127.0.0.1:8080/range' };
    expect(new PasswordPolicySettings({ breachCheck: loopback }).breachCheck).toMatchObject(loopback);
  });

  it.each([0, 1, 24])('remember as many passwords as asked for: %i', (history) => {
    expect(readSettings({ password: { history } }).passwordPolicy.history).toBe(history);
  });

  it.each([
    ['password.minLength', { minLength: 7 }],
    ['password.minLength', { minLength: 65 }],
    ['password.minLength', { minLength: 8.5 }],
    ['password.minLength', { minLength: '15' }],
    ['password.history', { history: -1 }],
    ['password.history', { history: 25 }],
    ['password.history', { history: 1.5 }],
    ['password.history', { history: '3' }],
    ['password.history', { history: null }],
    ['password.contextWords', { contextWords: 'acme' }],
    ['password.contextWords', { contextWords: ['acme', ' '] }],
    ['password.breachCheck', { breachCheck: null }],
    ['password.breachCheck.source', { breachCheck: {} }],
    ['password.breachCheck.source', { breachCheck: { source: 'range' } }],
    ['password.breachCheck.source', { breachCheck: { source: 'http://range.example.com/' } }],
    ['password.breachCheck.timeoutMs', { breachCheck: { source, timeoutMs: 99 } }],
    ['password.breachCheck.onFailure', { breachCheck: { source, onFailure: 'ignore' } }],
    ['password.breachCheck.retries', { breachCheck: { source, retries: 3 } }],
  ])('are refused by name: %s in %j', (option, password) => {
    expect(() => readSettings({ password: password as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option } }),
    );
  });
});

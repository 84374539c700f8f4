import { describe, expect, it } from '@jest/globals';

import { RecoverySettings } from '../../../src/recovery/recovery.settings.js';

describe('the option recovery', () => {
  it('has a time for each purpose, and ten minutes for every code', () => {
    const settings = new RecoverySettings();
    expect(settings.secondsOf('email_verification', 'link')).toBe(86_400);
    expect(settings.secondsOf('email_change', 'link')).toBe(3_600);
    expect(settings.secondsOf('password_reset', 'link')).toBe(1_800);
    for (const purpose of ['email_verification', 'phone_verification', 'phone_change'] as const)
      expect(settings.secondsOf(purpose, 'code')).toBe(600);
    expect(settings).toMatchObject({ codeAttempts: 5, recentSignInSeconds: 600 });
  });

  it.each([
    ['verificationMinutes', 0, 43_201],
    ['emailChangeMinutes', 0, 1_441],
    ['passwordResetMinutes', 0, 1_441],
    ['codeMinutes', 0, 11],
    ['codeAttempts', 0, 11],
    ['recentSignInMinutes', 0, 61],
  ] as const)('refuses %s below and above what makes sense, by name', (name, below, above) => {
    for (const value of [below, above, 1.5, Number.NaN, '5' as never, null as never]) {
      expect(() => new RecoverySettings({ [name]: value })).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option: `recovery.${name}` } }),
      );
    }
    expect(() => new RecoverySettings({ [name]: above - 1 })).not.toThrow();
  });
});

import { describe, expect, it } from '@jest/globals';

import { UndeliverableError } from '../../../src/index.js';
import type { Notification } from '../../../src/delivery/notification.types.js';
import { sendFailure } from '../../../src/delivery/send-failure.policy.js';

const holder = 'AZwcUq0acAOLx1pZc2Xg0w';
const secret = 'q3Yb7mXw0kP5tUeRjH2sLdVnA9cZgF8iO4yB6xTf1Eo';
const token = `${holder}.${secret}`;
const to = { channel: 'email', to: 'ann@example.com', userId: null, tenantId: null } as const;
const reset: Notification = {
  ...to,
  id: '1',
  kind: 'password_reset',
  token,
  url: `https://app.example.com/reset#${token}`,
  expiresAt: new Date(0),
};
const code: Notification = { ...to, id: '2', kind: 'second_factor_code', code: '049213', expiresAt: new Date(0) };

/** Everything that a log or a dead letter can take from an error. */
const everythingOf = (error: Error): string =>
  JSON.stringify([error.message, error.stack, error.cause, Object.entries(error), String(error)]);

describe('SEC-92, SEC-52: what a sender has thrown', () => {
  it.each([
    ['the link', `554 blocked: https://app.example.com/reset#${token} for ann@example.com`],
    ['the token', `{"body":"${token}"}`],
    ['the token, wrapped as mails are', `${token.slice(0, 30)}=\r\n${token.slice(30, 60)}\n ${token.slice(60)}`],
    ['a token that was cut off', `could not post ${token.slice(0, 50)}`],
  ])('says nothing of a secret: %s', (_what, message) => {
    const text = everythingOf(sendFailure(reset, new Error(message)));
    for (let start = 0; start + 8 <= secret.length; start += 1) {
      expect(text.replaceAll(/[\s=]/g, '')).not.toContain(secret.slice(start, start + 8));
    }
    expect(text).toContain('password_reset');
  });

  it('says nothing of a code, nor of what the error carries with it', () => {
    const error = Object.assign(new Error('refused "Your code: 049213"', { cause: new Error('049213') }), {
      config: { data: 'code=049213' },
    });
    const text = everythingOf(sendFailure(code, error));
    expect(text).not.toContain('049213');
    expect(text).toContain('refused');
    expect(text).toContain('send-failure.test');
  });

  it('takes what is no error, and keeps what cannot be delivered as that', () => {
    expect(everythingOf(sendFailure(code, `no: 049213`))).not.toContain('049213');
    expect(sendFailure(code, undefined)).toBeInstanceOf(Error);
    expect(sendFailure(code, new UndeliverableError('no such box'))).toBeInstanceOf(UndeliverableError);
    expect(sendFailure(code, new Error('busy'))).not.toBeInstanceOf(UndeliverableError);
    expect(sendFailure(code, new Error('x'.repeat(10_000))).message.length).toBeLessThan(1_000);
  });
});

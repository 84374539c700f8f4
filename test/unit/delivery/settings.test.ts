import { describe, expect, it } from '@jest/globals';

import { combineSenders, type DeliveryOptions, NestAuthModule, type NotificationSender } from '../../../src/index.js';
import { DeliverySettings } from '../../../src/delivery/delivery.settings.js';
import { linkIssue, linkTo } from '../../../src/delivery/link.policy.js';

const sender: NotificationSender = { send: async () => undefined };
const links = {
  invitation: 'https://app.example.com/join#{token}',
  emailVerification: 'https://app.example.com/verify#{token}',
  emailChange: false,
  passwordReset: 'https://app.example.com/reset?token={token}',
} as const;
const secrets = { keys: [{ id: 'k1', secret: 'a'.repeat(32) }] };

function refused(delivery: unknown): unknown {
  try {
    NestAuthModule.forRoot({ secrets, delivery: delivery as DeliveryOptions });
  } catch (error) {
    const { code, details } = error as { code: string; details: { option?: string } };
    return code === 'INVALID_OPTIONS' ? details.option : error;
  }
  return undefined;
}

describe('the options of delivery', () => {
  it.each([
    ['delivery.sender', { sender: {}, links }],
    ['delivery.sender', { sender: null, links }],
    ['delivery.timeoutMs', { sender, links, timeoutMs: 99 }],
    ['delivery.maxAttempts', { sender, links, maxAttempts: 0 }],
    ['delivery.backoffMs', { sender, links, backoffMs: 1.5 }],
    ['delivery.startFrom', { sender, links, startFrom: 'yesterday' }],
    ['delivery.enabled', { sender, links, enabled: 'no' }],
    ['delivery.link', { sender, link: links }],
    ['delivery.links', { sender, links: null }],
    ['delivery.links.reset', { sender, links: { ...links, reset: 'https://example.com/#{token}' } }],
    ['delivery.links.passwordReset', { sender, links: { ...links, passwordReset: undefined } }],
    ['delivery.links.invitation', { sender }],
    ['delivery.links.invitation', { links: { invitation: 'app/join#{token}' } }],
  ])('refuse by name: %s', (option, given) => {
    expect(refused(given)).toBe(option);
  });

  it('ask for no link where nobody sends, or nobody can ask for a token', () => {
    expect(refused({})).toBeUndefined();
    expect(refused({ sender, links })).toBeUndefined();
    expect(() => NestAuthModule.forRoot({ delivery: { sender } })).not.toThrow();
  });

  it('say that there is no page for what is false', () => {
    const settings = new DeliverySettings({ sender, links }, true);
    expect(settings.linkOf('email_change')).toBeUndefined();
    expect(settings.linkOf('invitation')).toBe(links.invitation);
  });
});

describe('SEC-33: a template of a link', () => {
  it.each([
    'https://app.example.com/reset#{token}',
    'https://app.example.com/reset?t={token}&from=mail',
    'https://app.example.com/{token}/reset',
    'http://localhost:4200/reset#{token}',
    'http://127.0.0.1/reset#{token}',
    'http://[::1]:3000/reset#{token}',
  ])('is good: %s', (template) => {
    expect(linkIssue(template)).toBeNull();
  });

  it.each([
    ['without a place', 'https://app.example.com/reset'],
    ['with two', 'https://app.example.com/{token}#{token}'],
    ['relative', '/reset#{token}'],
    ['without a scheme', '//app.example.com/reset#{token}'],
    ['plain http', 'http://app.example.com/reset#{token}'],
    ['http to a name that begins like this machine', 'http://localhost.example.com/#{token}'],
    ['of another scheme', 'javascript:alert("{token}")'],
    ['with the token as the host', 'https://{token}.example.com/reset'],
    ['with the token as the port or password', 'https://a:{token}@example.com/reset'],
    ['no text', 5],
  ])('is refused: %s', (_why, template) => {
    expect(linkIssue(template)).not.toBeNull();
  });

  it('takes the token as it is, whatever it looks like', () => {
    expect(linkTo('https://example.com/#{token}', 'a$&$\'b/../?&<"')).toBe(
      "https://example.com/#a%24%26%24'b%2F..%2F%3F%26%3C%22",
    );
  });
});

describe('combineSenders', () => {
  it('sends each message its way, and closes both', async () => {
    const seen: string[] = [];
    const named = (name: string): NotificationSender => ({
      send: async ({ channel }) => void seen.push(`${name} ${channel}`),
      close: () => void seen.push(`${name} closed`),
    });
    const both = combineSenders({ email: named('mail'), sms: named('phone') });
    const { signal } = new AbortController();
    const notice = { kind: 'phone_changed', id: '1', userId: null, tenantId: null, occurredAt: new Date(0) } as const;
    await both.send({ ...notice, channel: 'email', to: 'a@example.com' }, { signal });
    await both.send({ ...notice, channel: 'sms', to: '+491511234567' }, { signal });
    await both.close?.();
    expect(seen).toEqual(['mail email', 'phone sms', 'mail closed', 'phone closed']);
    await expect(
      combineSenders({ email: named('mail') }).send({ ...notice, channel: 'sms', to: '+49' }, { signal }),
    ).rejects.toMatchObject({ name: 'UndeliverableError' });
  });

  it('refuses what is no sender', () => {
    expect(() => combineSenders({ email: {} as NotificationSender })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option: 'combineSenders.email' } }),
    );
  });
});

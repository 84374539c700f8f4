import { describe, expect, it } from '@jest/globals';

import type { Notification } from '../../../src/index.js';
import { CapturingSender } from '../../../src/testing/index.js';

const token = 'AZwcUq0acAOLx1pZc2Xg0w.q3Yb7mXw0kP5tUeRjH2sLdVnA9cZgF8iO4yB6xTf1Eo';

const reset = (id: string, to: string): Notification => ({
  id,
  to,
  kind: 'password_reset',
  channel: 'email',
  userId: null,
  tenantId: null,
  token,
  url: `https://app.example.com/#${token}`,
  expiresAt: new Date(0),
});

describe('CapturingSender', () => {
  it('gives each message once, the oldest first, of the kind and the address that are asked for', async () => {
    const sender = new CapturingSender();
    for (const [id, to] of [
      ['1', 'a@example.com'],
      ['2', 'b@example.com'],
      ['3', 'a@example.com'],
    ] as const) {
      await sender.send(reset(id, to));
    }
    expect((await sender.waitFor('password_reset', { to: 'b@example.com' })).id).toBe('2');
    expect((await sender.waitFor('password_reset')).id).toBe('1');
    expect((await sender.waitFor('password_reset')).id).toBe('3');
    expect(sender.sent).toHaveLength(3);
  });

  it('waits for what is not there yet, each call for another message', async () => {
    const sender = new CapturingSender();
    const both = [sender.waitFor('password_reset'), sender.waitFor('password_reset')];
    await sender.send(reset('1', 'a@example.com'));
    // A delivery that is repeated is one message.
    await sender.send(reset('1', 'a@example.com'));
    await sender.send(reset('2', 'b@example.com'));
    expect((await Promise.all(both)).map(({ id }) => id)).toEqual(['1', '2']);
    sender.clear();
    expect(sender.sent).toEqual([]);
  });

  it('SEC-52 gives up after a while, and says what came without what is in it', async () => {
    const sender = new CapturingSender();
    await sender.send(reset('1', 'a@example.com'));
    const missing = await sender.waitFor('invitation', { timeoutMs: 10 }).catch((error: unknown) => error);
    expect(missing).toBeInstanceOf(Error);
    expect(String(missing)).toContain('password_reset to a@example.com');
    expect(String(missing)).not.toContain(token);
  });
});

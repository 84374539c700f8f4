import { describe, expect, it } from '@jest/globals';

import { NestAuthModule } from '../../../src/index.js';
import { InvitationSettings } from '../../../src/invitation/invitation.settings.js';

describe('the options of invitations', () => {
  it('have defaults', () => {
    expect(new InvitationSettings()).toMatchObject({ expiresInSeconds: 604_800, keepExpiredDays: 30 });
  });

  it.each([
    ['expiresInSeconds', 59],
    ['expiresInSeconds', 90 * 86_400 + 1],
    ['expiresInSeconds', Number.NaN],
    ['expiresInSeconds', '3600'],
    ['keepExpiredDays', -1],
    ['keepExpiredDays', 0.5],
    ['lifetime', 60],
  ])('refuse %s: %s by name', (name, value) => {
    const refused = expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option: `invitations.${name}` } });
    expect(() => NestAuthModule.forRoot({ invitations: { [name]: value } })).toThrow(refused);
  });
});

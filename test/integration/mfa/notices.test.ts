import { expect, it } from '@jest/globals';

import { IdentityFeedService } from '../../../src/index.js';
import { SecondFactorNotifications } from '../../../src/mfa/mfa.notifications.js';
import { useNestApp } from '../../support/nest-app.js';
import { query } from '../session/fixture.js';
import { challenged, codeOf, enrolled, MFA, twoFactor } from './fixture.js';

const app = useNestApp({ auth: MFA });
const notices = new SecondFactorNotifications();

it('SEC-49: every change of the second factor is told, to the address that the user had then', async () => {
  const user = await enrolled(app);
  const [used = '', spent = ''] = user.recoveryCodes;
  const { token: challengeToken } = await challenged(app, user);
  await twoFactor(app).completeSignIn({ challengeToken, recoveryCode: used });
  await twoFactor(app).regenerateRecoveryCodes(user.id, { recoveryCode: spent });
  await twoFactor(app).disableTwoFactor(user.id, { code: await codeOf(app, user.secret) });
  const again = await enrolled(app);
  await twoFactor(app).resetTwoFactor(again.id);
  await query(app.url, `update nest_auth_users set email = 'other@example.com' where id = any($1)`, [
    [user.id, again.id],
  ]);
  const { events } = await app.context.get(IdentityFeedService).readEvents({ limit: 100 });
  const drafts = await Promise.all(
    events
      .filter(({ type }) => notices.types.some((known) => known === type))
      .map((event) => notices.draft(app.manager, event)),
  );
  const about = ({ id, email }: { id: string; email: string }) => ({ userId: id, channel: 'email', to: email });
  expect(drafts).toMatchObject([
    { kind: 'second_factor_enabled', ...about(user) },
    { kind: 'recovery_code_used', ...about(user) },
    { kind: 'recovery_codes_replaced', ...about(user) },
    { kind: 'second_factor_disabled', ...about(user) },
    { kind: 'second_factor_enabled', ...about(again) },
    { kind: 'second_factor_disabled', ...about(again) },
  ]);
});

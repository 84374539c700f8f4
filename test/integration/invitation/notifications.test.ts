import { describe, expect, it } from '@jest/globals';

import type { IdentityEvent } from '../../../src/index.js';
import { InvitationNotifications } from '../../../src/invitation/invitation.notifications.js';
import { SecretSettings } from '../../../src/secret/secret.settings.js';
import { useNestApp } from '../../support/nest-app.js';
import { accept, expire, invitations, invite, INVITING, query, SECRET_KEYS } from './fixture.js';

const app = useNestApp({ auth: INVITING });
const source = new InvitationNotifications(new SecretSettings({ keys: SECRET_KEYS }));

type Told = Pick<IdentityEvent, 'subject' | 'details'>;

/** The events of an invitation, as durable subscribers get them once everything older has ended. */
async function eventsOf(id: string): Promise<Told[]> {
  const rows = await query<Pick<IdentityEvent, 'details'>>(
    app.url,
    'select details from nest_auth_activities where subject_id = $1 and type = any($2) order by xid, id',
    [id, source.types],
  );
  return rows.map(({ details }) => ({ subject: { type: 'invitation', id }, details }));
}

const draft = (event: Told | undefined, from = source) => from.draft(app.dataSource.manager, event as IdentityEvent);

describe('the message of an invitation', () => {
  it('goes to the address that was invited, with a token that works, as often as it is made', async () => {
    const { id, email, token } = await invite(app, { email: 'Ada@Example.com' });
    const [sent] = await eventsOf(id);
    const message = await draft(sent);
    expect(message).toEqual({
      kind: 'invitation',
      channel: 'email',
      to: email,
      userId: null,
      tenantId: app.seed.tenantId,
      tenantName: 'Acme',
      token,
      expiresAt: expect.any(Date),
    });
    expect(await draft(sent)).toEqual(message);
    await accept(app, token);
    expect(await draft(sent)).toBeNull();
  });

  it('is that of the last issue; there is none for what is over, or made by a key that is gone', async () => {
    const { tenantId } = app.seed;
    const { id, token } = await invite(app);
    const again = await invitations(app).resendInvitation(id, tenantId);
    const [first, second] = await eventsOf(id);
    expect(await draft(first)).toBeNull();
    expect(await draft(second)).toMatchObject({ token: again.reveal().token });
    expect(again.reveal().token).not.toBe(token);
    const rotated = new SecretSettings({
      keys: [{ id: 'k2', secret: 'another key of more than 32 characters' }, ...SECRET_KEYS],
    });
    expect(await draft(second, new InvitationNotifications(rotated))).toMatchObject({ token: again.reveal().token });
    const lost = new SecretSettings({ keys: [{ id: 'k2', secret: 'another key of more than 32 characters' }] });
    expect(await draft(second, new InvitationNotifications(lost))).toBeNull();
    await expire(app.url, id);
    expect(await draft(second)).toBeNull();
    const revoked = await invite(app);
    await invitations(app).revokeInvitation(revoked.id, tenantId);
    expect(await draft((await eventsOf(revoked.id))[0])).toBeNull();
  });
});

import { describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { InvitationStatusEnum } from '../../../src/index.js';
import { freshEmail, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';
import { accept, expire, invitations, invite, INVITING, query, statusOf } from './fixture.js';

const app = useNestApp({ auth: INVITING });
const service = () => invitations(app);
const eventsOf = (id: string) =>
  app.events
    .filter((event) => 'invitation' in event && (event.invitation as { id: string }).id === id)
    .map(({ name }) => name);
const activitiesAbout = (id: string) =>
  query<{ type: string; tenant_id: string; user_id: string | null; details: object }>(
    app.url,
    'select type, tenant_id, user_id, before, after, details from nest_auth_activities where subject_id = $1 order by xid, id',
    [id],
  );

describe('sendInvitation', () => {
  it('invites an address for seven days, and tells it with the tenant and the inviter', async () => {
    const { tenantId, member } = app.seed;
    const sent = await service().sendInvitation({
      email: ' Ada@Example.COM ',
      tenantId,
      roleIds: [member, member.toUpperCase()],
      metadata: { team: 'blue', apiKey: 'x' },
    });
    const { invitation } = sent;
    expect(invitation).toMatchObject({
      tenantId,
      email: 'Ada@Example.COM',
      roleIds: [member],
      status: 'pending',
      invitedBy: null,
      acceptedBy: null,
      metadata: { team: 'blue', apiKey: 'x' },
      issue: 1,
      endedAt: null,
    });
    expect(invitation.expiresAt.getTime() - invitation.sentAt.getTime()).toBe(7 * 86_400_000);
    expect(eventsOf(invitation.id)).toEqual(['nest_auth.invitation.sent']);
    expect(await activitiesAbout(invitation.id)).toEqual([
      {
        type: 'nest_auth.invitation.sent',
        tenant_id: tenantId,
        user_id: null,
        before: null,
        after: {
          email: 'Ada@Example.COM',
          roleIds: [member],
          expiresAt: invitation.expiresAt.toISOString(),
          metadata: { team: 'blue', apiKey: '[redacted]' },
        },
        details: { invitedBy: null, issue: 1 },
      },
    ]);
  });

  it('refuses a second one for the address in any spelling while the first waits, and names it', async () => {
    const { id, email } = await invite(app);
    const again = invite(app, { email: email.toUpperCase() });
    await expect(again).rejects.toMatchObject({ code: 'INVITATION_ALREADY_PENDING', details: { ids: [id] } });
    await expect(invite(app, { email, tenantId: app.seed.otherTenantId })).resolves.toBeDefined();
  });

  it('makes one of twenty at once', async () => {
    const email = freshEmail();
    const { won, codes } = await outcomesOf(times(20, () => invite(app, { email })));
    expect(won).toHaveLength(1);
    expect(codes).toEqual({ INVITATION_ALREADY_PENDING: 19 });
  });

  it('is not kept from it by one that has expired, which stays in the list as that', async () => {
    const { id, email } = await invite(app);
    await expire(app.url, id);
    const next = await invite(app, { email });
    expect(next.id).not.toBe(id);
    expect(await statusOf(app.url, id)).toBe('expired');
    const { items } = await service().listInvitations({ tenantId: app.seed.tenantId, email });
    expect(items.map((one) => [one.id, one.status])).toEqual([
      [id, InvitationStatusEnum.EXPIRED],
      [next.id, InvitationStatusEnum.PENDING],
    ]);
    const { won, codes } = await outcomesOf(times(10, () => invite(app, { email })));
    expect([won, codes]).toEqual([[], { INVITATION_ALREADY_PENDING: 10 }]);
  });

  it('SEC-31 SEC-63 refuses roles and tenants that cannot be invited to, and sends nothing', async () => {
    const { tenantId, foreign, admin, member } = app.seed;
    const closed = await app.tenants.createTenant({ name: 'Closed', slug: `closed-${uuidv7()}`, isActive: false });
    const before = await dumpTables(app.url);
    const refused = (more: object) =>
      invite(app, more).then(
        ({ id }) => id,
        ({ code }: { code: string }) => code,
      );
    expect(await refused({ roleIds: [foreign] })).toBe('ROLE_SCOPE_MISMATCH');
    expect(await refused({ roleIds: [admin] })).toBe('ROLE_SCOPE_MISMATCH');
    expect(await refused({ roleIds: [member, uuidv7()] })).toBe('ROLE_NOT_FOUND');
    expect(await refused({ tenantId: uuidv7() })).toBe('TENANT_NOT_FOUND');
    expect(await refused({ tenantId: closed.id })).toBe('TENANT_NOT_FOUND');
    expect(await refused({ tenantId, email: 'nobody' })).toBe('VALIDATION_FAILED');
    expect(await refused({ status: 'accepted' })).toBe('VALIDATION_FAILED');
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it('SEC-32 compares addresses in one form, after it was made', async () => {
    const { id } = await invite(app, { email: 'josé@bücher.example'.replace('é', 'e') });
    const again = invite(app, { email: 'JOSE＠xn--bcher-kva.EXAMPLE' });
    await expect(again).rejects.toMatchObject({ code: 'INVITATION_ALREADY_PENDING', details: { ids: [id] } });
  });

  it('leaves the transaction of the caller usable when it refuses', async () => {
    const { email } = await invite(app);
    const other = freshEmail();
    await app.users.runInTransaction(async () => {
      await expect(invite(app, { email })).rejects.toMatchObject({ code: 'INVITATION_ALREADY_PENDING' });
      await invite(app, { email: other });
    });
    const { items } = await service().listInvitations({ tenantId: app.seed.tenantId, email: other });
    expect(items).toHaveLength(1);
  });
});

describe('resendInvitation', () => {
  it('SEC-24 makes a new token; the old one is unknown from then on', async () => {
    const { id, token } = await invite(app);
    await expire(app.url, id);
    const sent = await service().resendInvitation(id, app.seed.tenantId);
    expect(sent.invitation).toMatchObject({ id, issue: 2, status: 'pending' });
    expect(sent.invitation.expiresAt.getTime()).toBeGreaterThan(Date.now() + 6 * 86_400_000);
    await expect(accept(app, token)).rejects.toMatchObject({ code: 'INVITATION_INVALID' });
    await expect(accept(app, sent.reveal().token)).resolves.toMatchObject({ isNewUser: true });
    expect(eventsOf(id)).toEqual([
      'nest_auth.invitation.sent',
      'nest_auth.invitation.resent',
      'nest_auth.invitation.accepted',
    ]);
    expect((await activitiesAbout(id)).map(({ type, details }) => [type, details])).toEqual([
      ['nest_auth.invitation.sent', { invitedBy: null, issue: 1 }],
      ['nest_auth.invitation.resent', { invitedBy: null, issue: 2 }],
      ['nest_auth.invitation.accepted', { invitedBy: null, issue: 2, isNewUser: true }],
    ]);
  });

  it('is for pending ones of the tenant alone', async () => {
    const { tenantId, otherTenantId } = app.seed;
    const [used, declined, revoked, pending] = [
      await invite(app),
      await invite(app),
      await invite(app),
      await invite(app),
    ];
    await accept(app, used.token);
    await service().declineInvitation({ token: declined.token });
    await service().revokeInvitation(revoked.id, tenantId);
    for (const { id } of [used, declined, revoked]) {
      await expect(service().resendInvitation(id, tenantId)).rejects.toMatchObject({ code: 'INVITATION_NOT_PENDING' });
    }
    for (const call of [
      service().resendInvitation(pending.id, otherTenantId),
      service().resendInvitation(uuidv7(), tenantId),
    ]) {
      await expect(call).rejects.toMatchObject({ code: 'INVITATION_NOT_FOUND' });
    }
  });

  it('leaves one token that works when many send it at once', async () => {
    const { id, token } = await invite(app);
    const sent = await Promise.all(times(8, () => service().resendInvitation(id, app.seed.tenantId)));
    const { won, codes } = await outcomesOf(
      [token, ...sent.map((one) => one.reveal().token)].map((one) => accept(app, one)),
    );
    expect(won).toHaveLength(1);
    expect(won[0]?.invitation.issue).toBe(9);
    expect(codes).toEqual({ INVITATION_INVALID: 8 });
  });
});

describe('revokeInvitation and declineInvitation', () => {
  it('end an invitation; revoking twice is the same as once', async () => {
    const { tenantId } = app.seed;
    const [one, two] = [await invite(app), await invite(app)];
    const revoked = await service().revokeInvitation(one.id, tenantId);
    expect(revoked).toMatchObject({ status: 'revoked', endedAt: expect.any(Date) });
    expect(await service().revokeInvitation(one.id, tenantId)).toEqual(revoked);
    expect(eventsOf(one.id)).toEqual(['nest_auth.invitation.sent', 'nest_auth.invitation.revoked']);
    const declined = await service().declineInvitation({ token: two.token });
    expect(declined.status).toBe('declined');
    await expect(service().declineInvitation({ token: two.token })).rejects.toMatchObject({
      code: 'INVITATION_INVALID',
    });
    await expect(service().revokeInvitation(two.id, tenantId)).rejects.toMatchObject({
      code: 'INVITATION_NOT_PENDING',
    });
    expect(eventsOf(two.id)).toEqual(['nest_auth.invitation.sent', 'nest_auth.invitation.declined']);
    for (const { token } of [one, two])
      await expect(accept(app, token)).rejects.toMatchObject({ code: 'INVITATION_INVALID' });
  });

  it('SEC-61 finds no invitation of another tenant', async () => {
    const { id } = await invite(app);
    const before = await dumpTables(app.url);
    for (const tenantId of [app.seed.otherTenantId, uuidv7()]) {
      await expect(service().revokeInvitation(id, tenantId)).rejects.toMatchObject({ code: 'INVITATION_NOT_FOUND' });
      await expect(service().resendInvitation(id, tenantId)).rejects.toMatchObject({ code: 'INVITATION_NOT_FOUND' });
      const { items } = await service().listInvitations({ tenantId });
      expect(items.map((one) => one.id)).not.toContain(id);
    }
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it('one of revoking and accepting wins, and the other one is told', async () => {
    for (const round of times(10, (index) => index)) {
      const { id, token } = await invite(app);
      const calls: Promise<unknown>[] = [service().revokeInvitation(id, app.seed.tenantId), accept(app, token)];
      const { won, codes } = await outcomesOf(round % 2 === 0 ? calls : calls.toReversed());
      expect(won).toHaveLength(1);
      const status = await statusOf(app.url, id);
      expect(codes).toEqual({ [status === 'revoked' ? 'INVITATION_INVALID' : 'INVITATION_NOT_PENDING']: 1 });
    }
  });
});

describe('listInvitations', () => {
  it('pages by cursor, and by status as it is now, and shows nothing of a token', async () => {
    const { id: tenantId } = await app.tenants.createTenant({ name: 'Lists', slug: `lists-${uuidv7()}` });
    const sent = [];
    for (let count = 0; count < 7; count += 1) sent.push(await invite(app, { tenantId, roleIds: [] }));
    const ids = sent.map(({ id }) => id);
    await service().revokeInvitation(ids[0] as string, tenantId);
    await accept(app, sent[1]?.token as string);
    await service().declineInvitation({ token: sent[2]?.token as string });
    await expire(app.url, ids[3] as string);
    const list = (more: object) => service().listInvitations({ tenantId, ...more });
    const seen: string[] = [];
    for (let after: string | null | undefined; after !== null;) {
      const page = await list({ limit: 3, ...(after === undefined ? {} : { after }) });
      seen.push(...page.items.map(({ id }) => id));
      after = page.nextCursor;
    }
    expect(seen).toEqual(ids);
    const idsOf = async (status: unknown) => (await list({ status })).items.map(({ id }) => id);
    expect(await idsOf('revoked')).toEqual([ids[0]]);
    expect(await idsOf(['accepted', 'declined'])).toEqual([ids[1], ids[2]]);
    expect(await idsOf('expired')).toEqual([ids[3]]);
    expect(await idsOf('pending')).toEqual(ids.slice(4));
    expect(Object.keys((await list({ limit: 1 })).items[0] as object).toSorted()).toEqual([
      'acceptedBy',
      'createdAt',
      'email',
      'endedAt',
      'expiresAt',
      'id',
      'invitedBy',
      'issue',
      'metadata',
      'roleIds',
      'sentAt',
      'status',
      'tenantId',
    ]);
    const { nextCursor } = await list({ limit: 1 });
    for (const other of [{ tenantId: app.seed.tenantId }, { status: 'pending' }, { email: freshEmail() }]) {
      await expect(list({ ...other, after: nextCursor })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    }
    await expect(list({ status: 'open' })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });
});

describe('removeExpiredInvitations', () => {
  it('takes what expired long ago, whatever became of it, and nothing else', async () => {
    const [old, used, recent, pending] = [await invite(app), await invite(app), await invite(app), await invite(app)];
    await accept(app, used.token);
    for (const { id } of [old, used]) await expire(app.url, id, 31);
    await expire(app.url, recent.id, 29);
    expect(await service().removeExpiredInvitations()).toBe(2);
    expect(await service().removeExpiredInvitations()).toBe(0);
    const left = await Promise.all([old, used, recent, pending].map(({ id }) => statusOf(app.url, id)));
    expect(left).toEqual([undefined, undefined, 'pending', 'pending']);
  });
});

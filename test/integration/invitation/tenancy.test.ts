import { describe, expect, it } from '@jest/globals';

import { NIL_UUID, RateLimitService, RoleGuardEnum, TenantModeEnum } from '../../../src/index.js';
import { createTestDatabase } from '../../support/database.js';
import { freshEmail, startNestApp, useNestApp } from '../../support/nest-app.js';
import { accept, invitations, INVITING, memberOf, PASSWORD, query } from './fixture.js';
import { auth } from '../session/fixture.js';

const tenancy = (mode: TenantModeEnum) => ({ auth: { ...INVITING, tenant: { mode } } });

describe('in ISOLATED tenancy', () => {
  const app = useNestApp(tenancy(TenantModeEnum.ISOLATED));

  it('the account is one of the tenant, whoever has the address elsewhere', async () => {
    const { tenantId, otherTenantId, member } = app.seed;
    const email = freshEmail();
    const elsewhere = await app.users.createUser({ email }, otherTenantId);
    await app.users.verifyUser(elsewhere.id);
    const sent = await invitations(app).sendInvitation({ email, tenantId, roleIds: [member] });
    const { token } = sent.reveal();
    await expect(invitations(app).getInvitationByToken(token)).resolves.toMatchObject({ hasAccount: false });
    const { user, isNewUser } = await invitations(app).acceptInvitation({ token, password: PASSWORD });
    expect([isNewUser, user.realmId]).toEqual([true, tenantId]);
    await expect(auth(app).signIn({ email, password: PASSWORD, tenantId })).resolves.toMatchObject({ userId: user.id });
    const again = await invitations(app).sendInvitation({ email, tenantId: otherTenantId, roleIds: [member] });
    await expect(accept(app, again.reveal().token)).resolves.toMatchObject({
      isNewUser: false,
      user: { id: elsewhere.id },
    });
  });
});

describe('in DISABLED tenancy', () => {
  it('people are invited to the built-in tenant', async () => {
    const { url, drop } = await createTestDatabase();
    const app = await startNestApp(url, tenancy(TenantModeEnum.DISABLED));
    try {
      const role = await app.roles.createRole({ name: 'reader', guard: RoleGuardEnum.PORTAL });
      const to = { tenantId: NIL_UUID, roleIds: [role.id] };
      const sent = await invitations(app).sendInvitation({ email: freshEmail(), ...to });
      await expect(accept(app, sent.reveal().token)).resolves.toMatchObject({ access: { tenantId: NIL_UUID } });
      const elsewhere = invitations(app).sendInvitation({ email: freshEmail(), tenantId: sent.invitation.id });
      await expect(elsewhere).rejects.toMatchObject({ code: 'TENANT_NOT_FOUND' });
    } finally {
      await app.close();
      await drop();
    }
  });
});

describe('with a pool of one', () => {
  const app = useNestApp({ auth: INVITING, pool: 1 });

  it('everything runs on it', async () => {
    const { tenantId, member } = app.seed;
    const inviter = await memberOf(app, member);
    const send = { email: freshEmail(), tenantId, roleIds: [member], invitedBy: inviter };
    const { id } = (await invitations(app).sendInvitation(send)).invitation;
    const token = (await invitations(app).resendInvitation(id, tenantId)).reveal().token;
    await app.users.runInTransaction(async () => {
      await invitations(app).getInvitationByToken(token);
      await invitations(app).acceptInvitation({ token, password: await app.passwords.hash(PASSWORD) });
    });
    const { items } = await invitations(app).listInvitations({ tenantId });
    expect(items).toMatchObject([{ id, status: 'accepted' }]);
    expect(await invitations(app).removeExpiredInvitations()).toBe(0);
  });
});

describe('rate limits', () => {
  const one = { points: 1, seconds: 60 };
  const app = useNestApp({
    auth: { ...INVITING, rateLimits: { actions: { invitation: { perTenant: one, perUser: one } } } },
  });

  it('count what is sent for the inviter and the tenant, before anything is done', async () => {
    const { tenantId, otherTenantId } = app.seed;
    const send = (more: object = {}) => invitations(app).sendInvitation({ email: freshEmail(), tenantId, ...more });
    await send();
    await expect(send()).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    expect(await query(app.url, 'select 1 from nest_auth_invitations')).toHaveLength(1);
    const inviter = await memberOf(app);
    await app.users.ensureUserAccess(inviter, otherTenantId);
    await expect(send({ tenantId: otherTenantId, invitedBy: inviter })).resolves.toBeDefined();
    await expect(
      app.context.get(RateLimitService).consume('invitation', { userId: inviter, tenantId: otherTenantId }),
    ).rejects.toMatchObject({ code: 'RATE_LIMITED' });
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { freshEmail } from '../../support/nest-app.js';
import { type RlsApp, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { dumpTables } from '../../support/tables.js';
import { lifecycle } from '../session/fixture.js';
import { accept, as, invitations, INVITING, statusOf } from './fixture.js';

let database: RlsDatabase;
let app: RlsApp;

beforeAll(async () => {
  database = await createRlsDatabase();
  const started = await startRlsApp(database, { auth: INVITING });
  app = { ...started, ...(await seedTenants(started)) };
});
afterAll(async () => {
  await app.close();
  await database.drop();
});

/** Sent by a member of tenant A, in its context. */
function send(email: string = freshEmail()) {
  const { id, users, role } = app.a;
  return app.tenant.run(id, () =>
    as(users[0] as string, () => invitations(app).sendInvitation({ email, tenantId: id, roleIds: [role] })),
  );
}

describe('with row-level security', () => {
  it('a tenant manages its own invitations, and whoever accepts has no tenant to run in', async () => {
    const { id: tenantId, users } = app.a;
    const { invitation } = await send();
    const again = await app.tenant.run(tenantId, () => invitations(app).resendInvitation(invitation.id, tenantId));
    const { items } = await app.tenant.run(tenantId, () => invitations(app).listInvitations({ tenantId }));
    expect(items).toMatchObject([{ id: invitation.id, invitedBy: users[0], issue: 2 }]);
    const { token } = again.reveal();
    await expect(invitations(app).getInvitationByToken(token)).resolves.toMatchObject({ tenantName: 'a' });
    const { user, access } = await accept(app, token);
    expect(access.tenantId).toBe(tenantId);
    // A member of the other tenant, signed in there, accepts as well.
    const [other] = app.b.users as [string];
    const email = await app.tenant.withoutTenant('seed', async () => {
      await app.users.verifyUser(other);
      return (await app.users.getUserById(other))?.email as string;
    });
    const toOther = await send(email);
    const joined = await app.tenant.run(app.b.id, () =>
      invitations(app).acceptInvitation({ token: toOther.reveal().token, userId: other }),
    );
    expect(joined).toMatchObject({ isNewUser: false, user: { id: other }, access: { tenantId } });
    expect(user.id).not.toBe(other);
    const declined = await send();
    await invitations(app).declineInvitation({ token: declined.reveal().token });
    expect(await statusOf(database.url, declined.invitation.id)).toBe('declined');
    expect(await invitations(app).removeExpiredInvitations()).toBe(0);
  });

  it('SEC-61 a tenant finds nothing of another one, and does nothing with it', async () => {
    const { invitation } = await send();
    const { id } = invitation;
    const before = await dumpTables(database.url);
    for (const tenantId of [app.a.id, app.b.id]) {
      await app.tenant.run(app.b.id, async () => {
        const service = invitations(app);
        const { items } = await service.listInvitations({ tenantId });
        expect(items.map((one) => one.id)).not.toContain(id);
        await expect(service.revokeInvitation(id, tenantId)).rejects.toMatchObject({ code: 'INVITATION_NOT_FOUND' });
        await expect(service.resendInvitation(id, tenantId)).rejects.toMatchObject({ code: 'INVITATION_NOT_FOUND' });
      });
    }
    await app.tenant.run(app.b.id, async () => {
      const service = invitations(app);
      const [email, roleIds] = [freshEmail(), [app.a.role]];
      await expect(service.sendInvitation({ email, tenantId: app.a.id })).rejects.toMatchObject({
        code: 'TENANT_NOT_FOUND',
      });
      await expect(service.sendInvitation({ email, tenantId: app.b.id, roleIds })).rejects.toMatchObject({
        code: 'ROLE_NOT_FOUND',
      });
      const invitedBy = app.a.users[0] as string;
      await expect(service.sendInvitation({ email, tenantId: app.b.id, invitedBy })).rejects.toMatchObject({
        code: 'GRANT_NOT_HELD',
      });
    });
    expect(await dumpTables(database.url)).toEqual(before);
  });

  it.each([
    'select id from nest_auth_invitations',
    `update nest_auth_invitations set expires_at = now() + interval '1 day' returning id`,
    'delete from nest_auth_invitations returning id',
    `insert into nest_auth_invitations (id, tenant_id, realm_id, email, email_norm, role_ids, key_id, salt, token_hash, expires_at)
      select gen_random_uuid(), '$a', '$a', 'x@x.x', 'x@x.x', '{}', 'k', 'x', 'x', now()`,
  ])('SEC-61 another tenant gets nothing by: %s', async (sql) => {
    await send();
    const before = await dumpTables(database.url);
    const answer: unknown = await app.tenant
      .run(app.b.id, () => app.dataSource.query(sql.replaceAll('$a', app.a.id)))
      .catch((error: { driverError?: { code?: string } }) => error.driverError?.code);
    expect([[], [[], 0], '42501']).toContainEqual(answer);
    expect(await dumpTables(database.url)).toEqual(before);
  });

  it('a token is refused inside a transaction of a tenant', async () => {
    const sent = await send();
    const inside = app.tenant.run(app.a.id, () => app.users.runInTransaction(() => accept(app, sent.reveal().token)));
    await expect(inside).rejects.toMatchObject({ code: 'TENANT_CONTEXT_MISMATCH' });
    await expect(accept(app, sent.reveal().token)).resolves.toBeDefined();
  });

  it('the invitations of an inviter end whoever sends them away, and are worth nothing where that is not seen', async () => {
    const member = await app.tenant.withoutTenant('seed', async () => {
      const { id } = await app.users.createUser({ email: freshEmail() }, app.a.id);
      await app.users.ensureUserAccess(id, app.b.id);
      return id;
    });
    const sendAs = (tenantId: string) =>
      app.tenant.run(tenantId, () =>
        as(member, () => invitations(app).sendInvitation({ email: freshEmail(), tenantId })),
      );
    const [inA, inB] = [await sendAs(app.a.id), await sendAs(app.b.id)];
    await app.tenant.run(app.a.id, () => app.users.deleteUserAccess(member, app.a.id));
    const statuses = await Promise.all([inA, inB].map(({ invitation }) => statusOf(database.url, invitation.id)));
    expect(statuses).toEqual(['revoked', 'pending']);
    await app.tenant.withoutTenant('an administrator of the platform', () => lifecycle(app).disableById(member));
    expect(await statusOf(database.url, inB.invitation.id)).toBe('revoked');
  });
});

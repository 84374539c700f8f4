import { beforeAll, describe, expect, it } from '@jest/globals';

import { v7 as uuidv7 } from 'uuid';

import { AccessStatusEnum, ActorTypeEnum, IdentityContext, RoleGuardEnum } from '../../../src/index.js';
import { freshEmail, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';
import { lifecycle } from '../session/fixture.js';
import {
  accept,
  as,
  type Invited,
  invitations,
  invite,
  INVITING,
  memberOf,
  query,
  rolesIn,
  statusOf,
  verified,
} from './fixture.js';

const app = useNestApp({ auth: INVITING });
const service = () => invitations(app);
const NOT_HELD = { code: 'GRANT_NOT_HELD' };
const INVALID = { code: 'INVITATION_INVALID' };

let ownerRole: string;
beforeAll(async () => {
  await app.permissions.createPermission({ name: 'invoices:pay', guard: RoleGuardEnum.PORTAL });
  ownerRole = (
    await app.roles.createRole({ name: 'owner', guard: RoleGuardEnum.PORTAL, isSystem: true, isOwner: true })
  ).id;
});

const invitedBy = (inviter: string, more: object = {}): Promise<Invited> => as(inviter, () => invite(app, more));

describe('SEC-31 whoever invites', () => {
  it('gives what they hold, and nothing else, for every set of roles', async () => {
    const { member, editor } = app.seed;
    const roles: Record<string, string> = { member, editor, ownerRole };
    // What each set of roles may give: an owner without permissions owns, and may give no permission.
    const holds: Record<string, readonly string[]> = {
      '': [],
      member: ['member'],
      editor: ['member', 'editor'],
      ownerRole: ['ownerRole'],
      'member ownerRole': ['member', 'ownerRole'],
      'editor ownerRole': ['member', 'editor', 'ownerRole'],
    };
    const subsets = [[], ['member'], ['editor'], ['ownerRole'], ['member', 'editor'], ['editor', 'ownerRole']];
    const idsOf = (names: readonly string[]) => names.map((name) => roles[name] as string);
    for (const [held, mayGive] of Object.entries(holds)) {
      const inviter = await memberOf(app, ...idsOf(held.split(' ').filter(Boolean)));
      for (const given of subsets) {
        const call = invitedBy(inviter, { roleIds: idsOf(given) }).then(
          () => 'sent',
          ({ code }: { code: string }) => code,
        );
        expect([held, given, await call]).toEqual([
          held,
          given,
          given.every((name) => mayGive.includes(name)) ? 'sent' : 'GRANT_NOT_HELD',
        ]);
      }
    }
  });

  it('must be an active member of the tenant, or of the platform', async () => {
    const { tenantId, admin, member } = app.seed;
    const stranger = await verified(app);
    const suspended = await memberOf(app, member);
    await app.access.setUserAccessStatus(suspended, tenantId, AccessStatusEnum.SUSPENDED);
    const inactive = await memberOf(app, member);
    await lifecycle(app).deactivateById(inactive);
    for (const inviter of [stranger.id, suspended, inactive]) {
      await expect(invitedBy(inviter, { roleIds: [] })).rejects.toMatchObject(NOT_HELD);
      await expect(invite(app, { roleIds: [], invitedBy: inviter })).rejects.toMatchObject(NOT_HELD);
    }
    const staff = await app.users.createPlatformUser({ email: freshEmail(), platformRoleIds: [admin] });
    await expect(invitedBy(staff.id, { roleIds: [] })).resolves.toBeDefined();
    await expect(invitedBy(staff.id)).rejects.toMatchObject(NOT_HELD);
  });

  it('is whoever acts: nobody invites in the name of another, and code that acts for nobody may', async () => {
    const { member, editor } = app.seed;
    const [clerk, lead] = [await memberOf(app, member), await memberOf(app, editor)];
    await expect(invitedBy(clerk, { roleIds: [editor], invitedBy: lead })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
    const { id } = await invite(app, { roleIds: [editor], invitedBy: lead });
    await expect(invite(app, { roleIds: [editor], invitedBy: clerk })).rejects.toMatchObject(NOT_HELD);
    const { items } = await service().listInvitations({
      tenantId: app.seed.tenantId,
      status: 'pending' as never,
      limit: 200,
    });
    expect(items.find((one) => one.id === id)?.invitedBy).toBe(lead);
    expect(items.filter((one) => one.invitedBy === clerk)).toEqual([]);
  });

  it('by an API key gives no more than its scopes, also when the actor is said again, and by a service account nothing', async () => {
    const { tenantId, member, editor } = app.seed;
    const lead = await memberOf(app, editor);
    const apiKey = { id: uuidv7(), tenantId, scopes: ['members:invite'] };
    const byKey = <T>(fn: () => Promise<T>): Promise<T> =>
      IdentityContext.run({ actor: { type: ActorTypeEnum.USER, id: lead }, apiKey }, fn);
    await expect(invitedBy(lead, { roleIds: [editor] })).resolves.toBeDefined();
    const calls = [() => invite(app, { roleIds: [editor] }), () => invitedBy(lead, { roleIds: [editor] })];
    for (const call of calls) await expect(byKey(call)).rejects.toMatchObject(NOT_HELD);
    const { id } = await invitedBy(lead, { roleIds: [editor] });
    await expect(byKey(() => service().resendInvitation(id, tenantId))).rejects.toMatchObject(NOT_HELD);
    const account = { actor: { type: ActorTypeEnum.SERVICE, id: uuidv7() }, apiKey: { ...apiKey, scopes: ['*'] } };
    for (const roleIds of [[], [member]]) {
      const call = IdentityContext.run(account, () => invite(app, { roleIds }));
      await expect(call).rejects.toMatchObject(NOT_HELD);
    }
    const again = IdentityContext.run(account, () => service().resendInvitation(id, tenantId));
    await expect(again).rejects.toMatchObject(NOT_HELD);
  });

  it('sends nothing and keeps the transaction of the caller usable when it is refused', async () => {
    const { editor, member } = app.seed;
    const clerk = await memberOf(app, member);
    const before = await dumpTables(app.url);
    await expect(invitedBy(clerk, { roleIds: [editor] })).rejects.toMatchObject(NOT_HELD);
    expect(await dumpTables(app.url)).toEqual(before);
    await as(clerk, () =>
      app.users.runInTransaction(async () => {
        await expect(invite(app, { roleIds: [editor] })).rejects.toMatchObject(NOT_HELD);
        await invite(app);
      }),
    );
  });
});

/** What may happen between an invitation and its acceptance, and must make it worthless. */
const MEANWHILE: Readonly<
  Record<string, (what: { inviter: string; roleId: string; ids: string[] }) => Promise<unknown>>
> = {
  'the inviter is disabled': ({ inviter }) => lifecycle(app).disableById(inviter),
  'the inviter is deactivated': ({ inviter }) => lifecycle(app).deactivateById(inviter),
  'the inviter is deleted': ({ inviter }) => app.users.deleteUser(inviter),
  'the inviter is deactivated by hand': ({ inviter }) =>
    query(
      app.url,
      `update nest_auth_users set status = 'inactive', is_active = false, deactivated_at = now() where id = $1`,
      [inviter],
    ),
  'the inviter is no member any more': ({ inviter }) => app.users.deleteUserAccess(inviter, app.seed.tenantId),
  'the membership of the inviter is suspended': ({ inviter }) =>
    app.access.setUserAccessStatus(inviter, app.seed.tenantId, AccessStatusEnum.SUSPENDED),
  'the membership is suspended by hand': ({ inviter }) =>
    query(app.url, `update nest_auth_user_accesses set status = 'suspended' where user_id = $1`, [inviter]),
  'the inviter has lost the role': ({ inviter, roleId }) =>
    app.access.removeUserAccessRoles(inviter, app.seed.tenantId, [roleId]),
  'the inviter is denied what the role grants': ({ inviter }) =>
    app.access.denyPermission(inviter, app.seed.tenantId, 'invoices:pay'),
  'the role is not active any more': ({ roleId }) => app.roles.updateRole(roleId, { isActive: false }),
  'the role is deleted': async ({ inviter, roleId }) => {
    await app.access.removeUserAccessRoles(inviter, app.seed.tenantId, [roleId]);
    await app.roles.deleteRole(roleId);
  },
  'the role belongs to another tenant': async ({ inviter, roleId }) => {
    await app.access.removeUserAccessRoles(inviter, app.seed.tenantId, [roleId]);
    await query(app.url, 'update nest_auth_roles set tenant_id = $2, owner_tenant_id = $2 where id = $1', [
      roleId,
      app.seed.otherTenantId,
    ]);
  },
  'a role of another tenant stands in the row': ({ ids }) =>
    query(app.url, 'update nest_auth_invitations set role_ids = array[$2::uuid] where id = any($1)', [
      ids,
      app.seed.foreign,
    ]),
  'a role of the platform stands in the row': ({ ids }) =>
    query(app.url, 'update nest_auth_invitations set role_ids = array[$2::uuid] where id = any($1)', [
      ids,
      app.seed.admin,
    ]),
  'a role that the inviter does not hold stands in the row': ({ ids }) =>
    query(app.url, 'update nest_auth_invitations set role_ids = array[$2::uuid] where id = any($1)', [
      ids,
      app.seed.editor,
    ]),
  'another tenant stands in the row': ({ ids }) =>
    query(app.url, 'update nest_auth_invitations set tenant_id = $2 where id = any($1)', [ids, app.seed.otherTenantId]),
};

describe('SEC-30 an invitation is worth nothing when', () => {
  it.each(Object.entries(MEANWHILE))('%s', async (_what, happens) => {
    const { tenantId } = app.seed;
    const guard = RoleGuardEnum.PORTAL;
    const name = `payer-${freshEmail()}`;
    const role = await app.roles.createRole({ name, guard, tenantId, permissions: ['invoices:pay'] });
    const inviter = await memberOf(app, role.id);
    const known = await verified(app);
    const toNew = await invitedBy(inviter, { roleIds: [role.id] });
    const toKnown = await invitedBy(inviter, { roleIds: [role.id], email: known.email });
    await happens({ inviter, roleId: role.id, ids: [toNew.id, toKnown.id] });
    for (const { token } of [toNew, toKnown]) await expect(accept(app, token)).rejects.toMatchObject(INVALID);
    expect(await query(app.url, 'select 1 from nest_auth_users where email = $1', [toNew.email])).toEqual([]);
    expect(await app.users.isUserInTenant(known.id, tenantId)).toBe(false);
  });

  it.each([
    ['not active', (id: string) => app.tenants.updateTenant(id, { isActive: false })],
    ['deleted', (id: string) => app.tenants.deleteTenant(id)],
  ])('SEC-63 the tenant is %s, also for the page behind the link', async (_how, end) => {
    const tenant = await app.tenants.createTenant({
      name: 'Soon',
      slug: `soon-${freshEmail().replaceAll(/[@.]/g, '-')}`,
    });
    const { token, id } = await invite(app, { tenantId: tenant.id });
    await end(tenant.id);
    await expect(service().getInvitationByToken(token)).rejects.toMatchObject(INVALID);
    await expect(accept(app, token)).rejects.toMatchObject(INVALID);
    expect(await statusOf(app.url, id)).toBe(_how === 'deleted' ? undefined : 'pending');
  });

  it('but for what changes nothing, and for roles that were taken back and are held again', async () => {
    const { tenantId, member, editor } = app.seed;
    const inviter = await memberOf(app, editor);
    const { token } = await invitedBy(inviter, { roleIds: [member] });
    await app.access.removeUserAccessRoles(inviter, tenantId, [editor]);
    await expect(accept(app, token)).rejects.toMatchObject(INVALID);
    await app.access.addUserAccessRoles(inviter, tenantId, [editor]);
    const { user } = await accept(app, token);
    expect(await rolesIn(app, user.id, tenantId)).toEqual([member]);
  });
});

describe('SEC-45 an invitation to a member', () => {
  it.each(['taken out', 'suspended'] as const)('does not lead back in who was %s since', async (how) => {
    const { tenantId, member, editor, otherTenantId } = app.seed;
    const person = await verified(app);
    await app.users.setUserAccessRoles(person.id, tenantId, [member]);
    const more = await invite(app, { email: person.email, roleIds: [editor] });
    const elsewhere = await invite(app, { email: person.email, tenantId: otherTenantId, roleIds: [] });
    if (how === 'taken out') await app.users.deleteUserAccess(person.id, tenantId);
    else await app.access.setUserAccessStatus(person.id, tenantId, AccessStatusEnum.SUSPENDED);
    expect(await statusOf(app.url, more.id)).toBe('revoked');
    await expect(accept(app, more.token)).rejects.toMatchObject(INVALID);
    expect(await statusOf(app.url, elsewhere.id)).toBe('pending');
    const [activity] = await query<{ details: object }>(
      app.url,
      `select details from nest_auth_activities where type = 'nest_auth.invitation.revoked' and subject_id = $1`,
      [more.id],
    );
    expect(activity?.details).toMatchObject({ reason: 'access_ended' });
  });
});

describe('an invitation ends with its inviter', () => {
  it('when that one leaves, in the same transaction, and is told', async () => {
    const { member, tenantId } = app.seed;
    const inviter = await memberOf(app, member);
    const [one, two] = [await invitedBy(inviter), await invitedBy(inviter)];
    const others = await invite(app);
    const before = app.events.length;
    await app.users
      .runInTransaction(async () => {
        await lifecycle(app).deactivateById(inviter);
        throw new Error('not after all');
      })
      .catch(() => undefined);
    expect(await statusOf(app.url, one.id)).toBe('pending');
    await lifecycle(app).deactivateById(inviter);
    expect(await Promise.all([one, two, others].map(({ id }) => statusOf(app.url, id)))).toEqual([
      'revoked',
      'revoked',
      'pending',
    ]);
    expect(app.events.slice(before).filter(({ name }) => name === 'nest_auth.invitation.revoked')).toHaveLength(2);
    const told = await query<{ details: object }>(
      app.url,
      `select details from nest_auth_activities where type = 'nest_auth.invitation.revoked' and subject_id = any($1)`,
      [[one.id, two.id]],
    );
    expect(told).toEqual(times(2, () => ({ details: { invitedBy: inviter, issue: 1, reason: 'inviter_left' } })));
    // It stays so when the inviter is back.
    await lifecycle(app).reactivateById(inviter);
    await expect(accept(app, one.token)).rejects.toMatchObject(INVALID);
    await expect(service().resendInvitation(one.id, tenantId)).rejects.toMatchObject({
      code: 'INVITATION_NOT_PENDING',
    });
  });

  it('in the tenant that the inviter leaves, and in no other', async () => {
    const { member, tenantId, otherTenantId } = app.seed;
    const inviter = await memberOf(app, member);
    await app.access.addUserAccessRoles(inviter, otherTenantId, [member]);
    const [here, there] = [await invitedBy(inviter), await invitedBy(inviter, { tenantId: otherTenantId })];
    await app.users.deleteUserAccess(inviter, tenantId);
    expect(await Promise.all([here, there].map(({ id }) => statusOf(app.url, id)))).toEqual(['revoked', 'pending']);
  });

  it('whichever of leaving and accepting comes first, and neither waits for the other for ever', async () => {
    const { member, tenantId } = app.seed;
    for (let round = 0; round < 12; round += 1) {
      const inviter = await memberOf(app, member);
      const { token, id } = await invitedBy(inviter);
      const calls: Promise<unknown>[] = [accept(app, token), lifecycle(app).disableById(inviter)];
      const { codes } = await outcomesOf(calls);
      const status = await statusOf(app.url, id);
      expect([{}, { INVITATION_INVALID: 1 }]).toContainEqual(codes);
      expect(status).toBe('INVITATION_INVALID' in codes ? 'revoked' : 'accepted');
      expect(await app.users.isUserInTenant(inviter, tenantId)).toBe(false);
    }
  });

  it('none is sent in the name of somebody who leaves at the same moment', async () => {
    for (let round = 0; round < 8; round += 1) {
      const inviter = await memberOf(app, app.seed.member);
      const sending = times(4, () => invitedBy(inviter));
      await outcomesOf<unknown>([...sending, lifecycle(app).disableById(inviter)]);
      const left = await query(
        app.url,
        `select id from nest_auth_invitations where invited_by = $1 and status = 'pending'`,
        [inviter],
      );
      expect(left).toEqual([]);
    }
  });
});

describe('resendInvitation', () => {
  it('makes whoever acts answer for it', async () => {
    const { member, editor, tenantId } = app.seed;
    const [first, second, clerk] = [
      await memberOf(app, editor),
      await memberOf(app, editor),
      await memberOf(app, member),
    ];
    const { id } = await invitedBy(first, { roleIds: [editor] });
    await expect(as(clerk, () => service().resendInvitation(id, tenantId))).rejects.toMatchObject(NOT_HELD);
    const sent = await as(second, () => service().resendInvitation(id, tenantId));
    expect(sent.invitation.invitedBy).toBe(second);
    await lifecycle(app).disableById(first);
    await expect(accept(app, sent.reveal().token)).resolves.toMatchObject({ isNewUser: true });
  });

  it('without anybody who acts keeps the inviter, who must still be good for it', async () => {
    const { editor, tenantId } = app.seed;
    const inviter = await memberOf(app, editor);
    const { id } = await invitedBy(inviter, { roleIds: [editor] });
    const sent = await service().resendInvitation(id, tenantId);
    expect(sent.invitation.invitedBy).toBe(inviter);
    await app.access.removeUserAccessRoles(inviter, tenantId, [editor]);
    await expect(service().resendInvitation(id, tenantId)).rejects.toMatchObject(NOT_HELD);
  });
});

describe('acceptInvitation', () => {
  it('asks the inviter and not the person who accepts, who is told as the one who did it', async () => {
    const { editor, tenantId } = app.seed;
    const inviter = await memberOf(app, editor);
    const known = await verified(app);
    const { token, id } = await invitedBy(inviter, { roleIds: [editor], email: known.email });
    await as(known.id, () => IdentityContext.run({ ip: '203.0.113.9' }, () => accept(app, token)));
    expect(await rolesIn(app, known.id, tenantId)).toEqual([editor]);
    const told = await query(
      app.url,
      `select type, actor_id, host(ip) as ip, details->>'invitedBy' as inviter from nest_auth_activities
        where user_id = $1 and tenant_id = $2 order by xid, id`,
      [known.id, tenantId],
    );
    const actor = { actor_id: known.id, ip: '203.0.113.9' };
    expect(told).toEqual([
      { type: 'nest_auth.user_access.changed', ...actor, inviter: null },
      { type: 'nest_auth.invitation.accepted', ...actor, inviter },
    ]);
    expect(await statusOf(app.url, id)).toBe('accepted');
  });
});

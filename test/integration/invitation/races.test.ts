import { describe, expect, it, jest } from '@jest/globals';

import { AcceptInvitationOperations } from '../../../src/invitation/accept-invitation.operations.js';
import { readInvitationToken } from '../../../src/invitation/invitation-input.policy.js';
import { RoleGuardEnum } from '../../../src/index.js';
import { freshEmail, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { withClient } from '../../support/database.js';
import { until } from '../../support/until.js';
import {
  accept,
  begun,
  invitations,
  invite,
  INVITING,
  memberOf,
  query,
  rolesIn,
  statusOf,
  verified,
} from './fixture.js';

jest.setTimeout(120_000);

const app = useNestApp({ auth: INVITING });
const INVALID = { code: 'INVITATION_INVALID' };

const blocked = () =>
  until('somebody waits for a lock', async () => {
    const waiting = await query(
      app.url,
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return waiting.length > 0;
  });

/** Runs `first` in a transaction that stays open until `second` waits for it, and then ends as `ends` says. */
async function meet<T>(first: () => Promise<unknown>, second: () => Promise<T>, ends: 'commits' | 'rolls back') {
  let late: Promise<unknown> | undefined;
  await app.users
    .runInTransaction(async () => {
      await first();
      // Outside of this transaction, on a connection of its own.
      late = app.users.runInTransaction(second, { nested: 'independent' }).catch((error: unknown) => error);
      await blocked();
      if (ends === 'rolls back') throw new Error('not after all');
    })
    .catch(() => undefined);
  return late as Promise<T>;
}

describe('two who invite one address', () => {
  it('the second one waits for the first, is refused by name, and its transaction goes on', async () => {
    const [email, other] = [freshEmail(), freshEmail()];
    const second = async () => {
      await expect(invite(app, { email })).rejects.toMatchObject({ code: 'INVITATION_ALREADY_PENDING' });
      return invite(app, { email: other });
    };
    await expect(meet(() => invite(app, { email }), second, 'commits')).resolves.toMatchObject({ email: other });
  });

  it('the second one invites when the first has not after all', async () => {
    const email = freshEmail();
    const made = await meet(
      () => invite(app, { email }),
      () => invite(app, { email }),
      'rolls back',
    );
    expect(made).toMatchObject({ email });
    await expect(accept(app, made.token)).resolves.toMatchObject({ isNewUser: true });
  });
});

describe('while somebody accepts', () => {
  it('the others wait, run no code of the host, and their transactions go on', async () => {
    const { token, email } = await invite(app);
    const other = await invite(app);
    const second = async () => {
      await expect(accept(app, token)).rejects.toMatchObject(INVALID);
      return accept(app, other.token);
    };
    await expect(meet(() => accept(app, token), second, 'commits')).resolves.toMatchObject({ isNewUser: true });
    expect(begun.filter((one) => one === email)).toHaveLength(1);
  });

  it('one of the others accepts when it was undone', async () => {
    const { token } = await invite(app);
    const joined = meet(
      () => accept(app, token),
      () => accept(app, token),
      'rolls back',
    );
    await expect(joined).resolves.toMatchObject({ isNewUser: true });
  });

  it('revoking and sending again come too late', async () => {
    const { tenantId } = app.seed;
    const [one, two] = [await invite(app), await invite(app)];
    const revoke = async () => invitations(app).revokeInvitation(one.id, tenantId);
    await expect(meet(() => accept(app, one.token), revoke, 'commits')).resolves.toMatchObject({
      code: 'INVITATION_NOT_PENDING',
    });
    const resend = async () => invitations(app).resendInvitation(two.id, tenantId);
    await expect(meet(() => accept(app, two.token), resend, 'commits')).resolves.toMatchObject({
      code: 'INVITATION_NOT_PENDING',
    });
  });

  it('a role that is to be deleted stays until that is done', async () => {
    const { tenantId } = app.seed;
    const role = await app.roles.createRole({ name: freshEmail(), guard: RoleGuardEnum.PORTAL, tenantId });
    const { token } = await invite(app, { roleIds: [role.id] });
    const deleted = meet(
      () => accept(app, token),
      () => app.roles.deleteRole(role.id),
      'commits',
    );
    await expect(deleted).resolves.toMatchObject({ code: 'ROLE_IN_USE' });
  });
});

describe('while the inviter leaves', () => {
  it('whoever accepts waits for that before the invitation is held: neither waits for the other', async () => {
    const inviter = await memberOf(app, app.seed.member);
    const { token, id } = await invite(app, { invitedBy: inviter });
    const late = await withClient(app.url, async (client) => {
      await client.query(`begin; set local lock_timeout = '200ms'`);
      await client.query('select id from nest_auth_users where id = $1 for no key update', [inviter]);
      const accepting = accept(app, token).catch((error: unknown) => error);
      await blocked();
      // Held by whoever accepts, this would be a circle.
      await client.query('select id from nest_auth_invitations where id = $1 for update', [id]);
      await client.query(
        `update nest_auth_users set status = 'inactive', is_active = false, deactivated_at = now() where id = $1`,
        [inviter],
      );
      await client.query('commit');
      return accepting;
    });
    expect(late).toMatchObject(INVALID);
  });
});

describe('accepting many times at once what was sent by somebody who joins, too', () => {
  const deadlocks = async () => {
    const sql = 'select deadlocks from pg_stat_database where datname = current_database()';
    return Number((await query<{ deadlocks: string }>(app.url, sql))[0]?.deadlocks);
  };
  const editor = async () => {
    const one = await verified(app);
    await app.access.addUserAccessRoles(one.id, app.seed.tenantId, [app.seed.editor]);
    return one;
  };

  it('to an address of their own makes one membership, and nobody waits for somebody who waits for them', async () => {
    const { tenantId, member } = app.seed;
    const { id: invitedBy, email } = await editor();
    const before = await deadlocks();
    const { token } = await invite(app, { email, roleIds: [member], invitedBy });
    const { won, codes } = await outcomesOf(times(20, () => accept(app, token)));
    expect(won).toMatchObject([{ isNewUser: false, user: { id: invitedBy } }]);
    expect(codes).toEqual({ INVITATION_INVALID: 19 });
    expect(await rolesIn(app, invitedBy, tenantId)).toEqual([member, app.seed.editor].toSorted());
    expect(await deadlocks()).toBe(before);
  });

  it('to each other makes both members of the role, and nobody waits for somebody who waits for them', async () => {
    const [one, two] = [await editor(), await editor()];
    const before = await deadlocks();
    const roleIds = [app.seed.member];
    const toTwo = await invite(app, { email: two.email, roleIds, invitedBy: one.id });
    const toOne = await invite(app, { email: one.email, roleIds, invitedBy: two.id });
    const calls = times(10, (index) => accept(app, index % 2 === 0 ? toTwo.token : toOne.token));
    const { won, codes } = await outcomesOf(calls);
    expect(won.map(({ user }) => user.id).toSorted()).toEqual([one.id, two.id].toSorted());
    expect(codes).toEqual({ INVITATION_INVALID: 8 });
    expect(await deadlocks()).toBe(before);
  });
});

describe('SEC-30 between the look at a token and the transaction', () => {
  it.each([
    ['the role is deleted', (roleId: string) => app.roles.deleteRole(roleId)],
    ['the role is not active any more', (roleId: string) => app.roles.updateRole(roleId, { isActive: false })],
    ['the tenant is closed', (_: string, tenantId: string) => app.tenants.updateTenant(tenantId, { isActive: false })],
  ])('%s: nothing is accepted, and it is not told why', async (_what, happens) => {
    const slug = freshEmail().replaceAll(/[@.]/g, '-');
    const { id: tenantId } = await app.tenants.createTenant({ name: 'Soon', slug });
    const role = await app.roles.createRole({ name: 'own', guard: RoleGuardEnum.PORTAL, tenantId });
    const { token, id, email } = await invite(app, { tenantId, roleIds: [role.id] });
    const acceptances = app.context.get(AcceptInvitationOperations, { strict: false });
    const { hash } = readInvitationToken(token);
    const seen = await acceptances.find(app.manager, id, hash);
    await happens(role.id, tenantId);
    const acceptance = { seen, hash, passwordHash: null, userId: undefined, metadata: undefined };
    const accepting = app.users.runInTransaction((manager) => acceptances.accept(manager, acceptance));
    await expect(accepting).rejects.toMatchObject(INVALID);
    expect(await statusOf(app.url, id)).toBe('pending');
    expect(await query(app.url, 'select 1 from nest_auth_users where email = $1', [email])).toEqual([]);
  });
});

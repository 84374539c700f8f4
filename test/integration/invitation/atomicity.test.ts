import { beforeAll, describe, expect, it, jest } from '@jest/globals';

import { expectAtomic } from '../../../src/testing/index.js';
import { AppUser, freshEmail, useNestApp } from '../../support/nest-app.js';
import { accept, as, invitations, invite, INVITING, memberOf, query, rolesIn, statusOf, verified } from './fixture.js';

// Dozens of replays, each with a look at every table.
jest.setTimeout(120_000);

const app = useNestApp({ auth: INVITING });
const service = () => invitations(app);
let inviter: string;
beforeAll(async () => {
  inviter = await memberOf(app, app.seed.editor);
});
const invitedBy = (more: object = {}) => as(inviter, () => invite(app, more));

describe('SEC-91 whichever statement fails, or whenever the connection dies', () => {
  it('accepting makes user, membership, roles and the row of the host, or nothing, and the token still works', async () => {
    const { token, email, id } = await invitedBy({ metadata: { displayName: 'Ada' } });
    const report = await expectAtomic(app.dataSource, () => accept(app, token));
    expect(report.replays.length).toBeGreaterThan(20);
    const users = await query<{ id: string }>(app.url, 'select id from nest_auth_users where email = $1', [email]);
    expect(users).toHaveLength(1);
    const userId = users[0]?.id as string;
    expect(await rolesIn(app, userId, app.seed.tenantId)).toEqual([app.seed.member]);
    expect(await app.dataSource.getRepository(AppUser).countBy({ authUserId: userId })).toBe(1);
    expect(await statusOf(app.url, id)).toBe('accepted');
  });

  it('accepting gives somebody with an account access and roles, or nothing', async () => {
    const known = await verified(app);
    const { token } = await invitedBy({ email: known.email });
    await expectAtomic(app.dataSource, () => accept(app, token));
    expect(await rolesIn(app, known.id, app.seed.tenantId)).toEqual([app.seed.member]);
  });

  it('sending, sending again, revoking and declining are done or not', async () => {
    const email = freshEmail();
    await expectAtomic(app.dataSource, () => invitedBy({ email }));
    const { tenantId } = app.seed;
    const [one, two] = [await invitedBy(), await invitedBy()];
    await expectAtomic(app.dataSource, () => as(inviter, () => service().resendInvitation(one.id, tenantId)));
    await expectAtomic(app.dataSource, () => service().revokeInvitation(one.id, tenantId));
    await expectAtomic(app.dataSource, () => service().declineInvitation({ token: two.token }));
  });
});

describe('in a transaction of the caller', () => {
  it('accepting goes with it when it is rolled back, and the token still works', async () => {
    const { token, email } = await invitedBy();
    const rolledBack = app.users.runInTransaction(async (manager) => {
      const { user } = await service().acceptInvitation({ token }, manager);
      expect(await manager.getRepository(AppUser).countBy({ authUserId: user.id })).toBe(1);
      throw new Error('not after all');
    });
    await expect(rolledBack).rejects.toThrow('not after all');
    expect(await query(app.url, 'select 1 from nest_auth_users where email = $1', [email])).toEqual([]);
    await expect(accept(app, token)).resolves.toMatchObject({ isNewUser: true });
  });

  it('refusals leave it usable', async () => {
    const { token } = await invitedBy();
    const unproven = await app.users.createUser({ email: freshEmail() });
    const toUnproven = await invitedBy({ email: unproven.email as string });
    const toOrphan = await invitedBy();
    await query(app.url, 'update nest_auth_invitations set invited_by = $2 where id = $1', [toOrphan.id, unproven.id]);
    await app.users.runInTransaction(async () => {
      await expect(accept(app, toUnproven.token)).rejects.toMatchObject({ code: 'INVITATION_EMAIL_UNVERIFIED' });
      await expect(accept(app, toOrphan.token)).rejects.toMatchObject({ code: 'INVITATION_INVALID' });
      await accept(app, token);
      await expect(accept(app, token)).rejects.toMatchObject({ code: 'INVITATION_INVALID' });
    });
    await expect(accept(app, token)).rejects.toMatchObject({ code: 'INVITATION_INVALID' });
  });
});

describe('with a row of the host that is refused', () => {
  it('nothing is left, and the token still works', async () => {
    const { token, email, id } = await invitedBy({ metadata: { displayName: 'refused' } });
    await expect(accept(app, token)).rejects.toMatchObject({ driverError: { code: '23514' } });
    expect(await query(app.url, 'select 1 from nest_auth_users where email = $1', [email])).toEqual([]);
    expect(await statusOf(app.url, id)).toBe('pending');
    await query(app.url, `update nest_auth_invitations set metadata = '{}' where id = $1`, [id]);
    await expect(accept(app, token)).resolves.toMatchObject({ isNewUser: true });
  });
});

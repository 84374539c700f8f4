import { describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { AccessStatusEnum, IssuedInvitation } from '../../../src/index.js';
import { AppUser, freshEmail, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';
import { auth, lifecycle } from '../session/fixture.js';
import { accept, begun, expire, invitations, invite, INVITING, PASSWORD, query, rolesIn, verified } from './fixture.js';

const app = useNestApp({ auth: INVITING });
const service = () => invitations(app);
const INVALID = { code: 'INVITATION_INVALID' };
const appUsersOf = (userId: string) => app.dataSource.getRepository(AppUser).findBy({ authUserId: userId });
const typesAbout = async (userId: string) =>
  (
    await query<{ type: string }>(
      app.url,
      'select type from nest_auth_activities where user_id = $1 order by xid, id',
      [userId],
    )
  ).map(({ type }) => type);

describe('acceptInvitation of somebody new', () => {
  it('makes the user, verified, with access, roles and the row of the host, and signs nobody in', async () => {
    const { tenantId, member } = app.seed;
    const { id, email, token } = await invite(app, { metadata: { displayName: 'Ada' } });
    const before = app.events.length;
    const accepted = await service().acceptInvitation({ token, password: PASSWORD, metadata: { theme: 'dark' } });
    const { user, access, invitation, isNewUser } = accepted;
    expect(isNewUser).toBe(true);
    expect(user).toMatchObject({
      email,
      status: 'active',
      emailVerifiedAt: expect.any(Date),
      metadata: { theme: 'dark' },
    });
    expect(access).toMatchObject({ userId: user.id, tenantId, status: AccessStatusEnum.ACTIVE, isDefault: true });
    expect(invitation).toMatchObject({ id, status: 'accepted', acceptedBy: user.id, endedAt: expect.any(Date) });
    expect(await rolesIn(app, user.id, tenantId)).toEqual([member]);
    expect(await appUsersOf(user.id)).toMatchObject([{ displayName: 'Ada' }]);
    expect(await typesAbout(user.id)).toEqual([
      'nest_auth.user.created',
      'nest_auth.user.updated',
      'nest_auth.invitation.accepted',
    ]);
    expect(app.events.slice(before)).toMatchObject([
      { name: 'nest_auth.user.created', tenantId, context: { source: 'invitation', invitation: { id } } },
      { name: 'nest_auth.user.updated' },
      { name: 'nest_auth.invitation.accepted', userId: user.id, isNewUser: true, invitation: { id } },
    ]);
    expect(await query(app.url, 'select id from nest_auth_sessions where user_id = $1', [user.id])).toEqual([]);
    await expect(auth(app).signIn({ email, password: PASSWORD, tenantId })).resolves.toMatchObject({ userId: user.id });
  });

  it('needs no password, and takes one that was hashed before', async () => {
    const [without, hashed] = [await invite(app), await invite(app)];
    await expect(accept(app, without.token)).resolves.toMatchObject({ isNewUser: true });
    const password = await app.passwords.hash(PASSWORD);
    await service().acceptInvitation({ token: hashed.token, password });
    await expect(auth(app).signIn({ email: hashed.email, password: PASSWORD })).resolves.toBeDefined();
    await expect(auth(app).signIn({ email: without.email, password: PASSWORD })).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
  });

  it('SEC-06 refuses a password that everybody knows, and leaves the invitation as it is', async () => {
    const { token, email } = await invite(app);
    for (const password of ['password123456789', `${email.split('@')[0]}`]) {
      await expect(service().acceptInvitation({ token, password })).rejects.toMatchObject({ code: 'PASSWORD_REFUSED' });
    }
    await expect(accept(app, token)).resolves.toMatchObject({ isNewUser: true });
  });

  it('SEC-22 makes one user of twenty calls at once, one membership, and one row of the host', async () => {
    const { token, email } = await invite(app);
    const { won, codes } = await outcomesOf(times(20, () => accept(app, token)));
    expect(won).toHaveLength(1);
    expect(codes).toEqual({ INVITATION_INVALID: 19 });
    const users = await query<{ id: string }>(app.url, 'select id from nest_auth_users where email = $1', [email]);
    expect(users).toEqual([{ id: won[0]?.user.id }]);
    expect(await appUsersOf(users[0]?.id as string)).toHaveLength(1);
    // The others have waited, and not run code of the host in vain.
    expect(begun.filter((one) => one === email)).toHaveLength(1);
  });

  it('becomes one account when a sign-up of the same address goes on meanwhile', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { token, email } = await invite(app);
      const { won, codes } = await outcomesOf<unknown>([accept(app, token), app.users.createUser({ email })]);
      expect(won).toHaveLength(1);
      // Whoever has signed up first has not verified the address yet.
      expect(['INVITATION_EMAIL_UNVERIFIED', 'EMAIL_ALREADY_EXISTS']).toContain(Object.keys(codes)[0]);
      expect(await query(app.url, 'select 1 from nest_auth_users where email = $1', [email])).toHaveLength(1);
    }
  });
});

describe('acceptInvitation of somebody with an account', () => {
  it('gives the access and the roles, once, and changes nothing else of the person', async () => {
    const { tenantId, member, editor } = app.seed;
    const { id: userId, email } = await verified(app);
    const { token, id } = await invite(app, { email: email.toUpperCase(), roleIds: [member, editor] });
    expect(await service().getInvitationByToken(token)).toMatchObject({
      hasAccount: true,
      tenantName: 'Acme',
      invitation: { id },
    });
    const { won, codes } = await outcomesOf(times(20, () => service().acceptInvitation({ token, userId })));
    expect(won).toMatchObject([{ isNewUser: false, user: { id: userId, email }, access: { userId, tenantId } }]);
    expect(codes).toEqual({ INVITATION_INVALID: 19 });
    expect(await rolesIn(app, userId, tenantId)).toEqual([member, editor].toSorted());
    expect(await appUsersOf(userId)).toEqual([]);
    expect((await typesAbout(userId)).slice(-2)).toEqual([
      'nest_auth.user_access.changed',
      'nest_auth.invitation.accepted',
    ]);
  });

  it('adds roles to those of a member, and an invitation without roles makes a member', async () => {
    const { tenantId, member, editor } = app.seed;
    const one = await verified(app);
    await app.access.addUserAccessRoles(one.id, tenantId, [editor]);
    await accept(app, (await invite(app, { email: one.email })).token);
    expect(await rolesIn(app, one.id, tenantId)).toEqual([member, editor].toSorted());
    const two = await verified(app);
    await accept(app, (await invite(app, { email: two.email, roleIds: [] })).token);
    expect(await app.users.isUserInTenant(two.id, tenantId)).toBe(true);
    // A member already, and no role to give: nothing is left to change but the invitation.
    await accept(app, (await invite(app, { email: two.email, roleIds: [] })).token);
    expect((await typesAbout(two.id)).filter((type) => type.includes('access'))).toHaveLength(1);
  });

  it('SEC-28 refuses an account whose address nobody has verified, until that is done', async () => {
    const email = freshEmail();
    const attacker = await app.users.createUser({ email, password: await app.passwords.hash(PASSWORD) });
    const { token } = await invite(app, { email });
    await expect(accept(app, token)).rejects.toMatchObject({ code: 'INVITATION_EMAIL_UNVERIFIED' });
    expect(await app.users.isUserInTenant(attacker.id, app.seed.tenantId)).toBe(false);
    await app.users.verifyUser(attacker.id);
    await expect(accept(app, token)).resolves.toMatchObject({ isNewUser: false });
  });

  it('SEC-30 refuses whoever is signed in with another address', async () => {
    const [one, two] = [await verified(app), await verified(app)];
    const { token } = await invite(app, { email: one.email });
    for (const userId of [two.id, uuidv7()]) {
      await expect(service().acceptInvitation({ token, userId })).rejects.toMatchObject({
        code: 'INVITATION_NOT_FOR_USER',
      });
    }
    const nobodys = await invite(app);
    await expect(service().acceptInvitation({ token: nobodys.token, userId: two.id })).rejects.toMatchObject({
      code: 'INVITATION_NOT_FOR_USER',
    });
    await expect(service().acceptInvitation({ token, userId: one.id.toUpperCase() })).resolves.toBeDefined();
  });

  it('sets no password, and says so instead of dropping it', async () => {
    const { email } = await verified(app);
    const { token } = await invite(app, { email });
    await expect(service().acceptInvitation({ token, password: PASSWORD, metadata: {} })).rejects.toMatchObject({
      code: 'EMAIL_ALREADY_EXISTS',
      details: { fields: ['password', 'metadata'] },
    });
    await expect(auth(app).signIn({ email, password: PASSWORD })).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
    await expect(accept(app, token)).resolves.toBeDefined();
  });

  it('refuses a user who is not active, and does not lift a suspension', async () => {
    const { tenantId } = app.seed;
    const disabled = await verified(app);
    const toDisabled = await invite(app, { email: disabled.email });
    await lifecycle(app).disableById(disabled.id);
    await expect(accept(app, toDisabled.token)).rejects.toMatchObject({ code: 'USER_NOT_ACTIVE' });
    const suspended = await verified(app);
    await app.users.ensureUserAccess(suspended.id, tenantId);
    await app.access.setUserAccessStatus(suspended.id, tenantId, AccessStatusEnum.SUSPENDED);
    await expect(accept(app, (await invite(app, { email: suspended.email })).token)).rejects.toMatchObject(INVALID);
    expect(await app.users.isUserInTenant(suspended.id, tenantId)).toBe(false);
  });

  it('makes a new account for somebody whose former one was deleted', async () => {
    const former = await verified(app);
    const { token } = await invite(app, { email: former.email });
    await app.users.deleteUser(former.id);
    const { user, isNewUser } = await accept(app, token);
    expect([isNewUser, user.id === former.id]).toEqual([true, false]);
  });
});

describe('SEC-20 SEC-21 SEC-23 a token', () => {
  it('is of 256 bits of chance, another one each time, and in no row, event or JSON', async () => {
    const sent = await service().sendInvitation({ email: freshEmail(), tenantId: app.seed.tenantId });
    const again = await service().resendInvitation(sent.invitation.id, app.seed.tenantId);
    expect(sent).toBeInstanceOf(IssuedInvitation);
    const [holder, ...secrets] = [sent, again].map((one) => one.reveal().token).flatMap((token) => token.split('.'));
    expect(secrets.map((secret) => Buffer.from(secret, 'base64url').length)).toEqual([32, 16, 32]);
    expect(secrets[0]).not.toBe(secrets[2]);
    expect(holder).toBe(secrets[1]);
    const seen = JSON.stringify([await dumpTables(app.url), app.events, sent, again]);
    for (const secret of [secrets[0], secrets[2]] as string[]) {
      const raw = Buffer.from(secret, 'base64url');
      for (const form of ['base64url', 'base64', 'hex'] as const) expect(seen).not.toContain(raw.toString(form));
    }
    await accept(app, again.reveal().token);
    const kept = await query(app.url, 'select key_id, salt, token_hash from nest_auth_invitations where id = $1', [
      sent.invitation.id,
    ]);
    expect(kept).toEqual([{ key_id: null, salt: null, token_hash: null }]);
  });

  it('gets one answer when it is unknown, forged, used, declined, revoked, replaced or expired', async () => {
    const { tenantId } = app.seed;
    const [used, declined, revoked, replaced, expired, live, other] = await Promise.all(times(7, () => invite(app)));
    await accept(app, used?.token as string);
    await service().declineInvitation({ token: declined?.token as string });
    await service().revokeInvitation(revoked?.id as string, tenantId);
    await service().resendInvitation(replaced?.id as string, tenantId);
    await expire(app.url, expired?.id as string);
    const swapped = `${live?.token.split('.')[0]}.${other?.token.split('.')[1]}`;
    const tokens = [used, declined, revoked, replaced, expired].map((one) => one?.token as string);
    const strange = ['', 'x', 'A'.repeat(66), `${'A'.repeat(22)}.${'A'.repeat(43)}`, swapped];
    const errors = [];
    for (const token of [...tokens, ...strange]) {
      for (const call of [
        () => service().getInvitationByToken(token),
        () => service().acceptInvitation({ token, password: PASSWORD }),
        () => service().declineInvitation({ token }),
      ]) {
        errors.push(await call().then(String, (error: Error) => JSON.stringify([error.message, error])));
      }
    }
    expect(new Set(errors).size).toBe(1);
    expect(errors[0]).toContain('INVITATION_INVALID');
    await expect(accept(app, live?.token as string)).resolves.toBeDefined();
  });

  it('hashes no password for a token that is none', async () => {
    const { statements } = await recordStatements(async () => {
      const weak = service().acceptInvitation({ token: `${'A'.repeat(22)}.${'A'.repeat(43)}`, password: 'short' });
      // A password that was judged would have been refused.
      await expect(weak).rejects.toMatchObject(INVALID);
    });
    expect(statements).toHaveLength(1);
  });
});

describe('statements', () => {
  it('of accepting are counted', async () => {
    const [fresh, known] = [await invite(app), await verified(app)];
    const toKnown = await invite(app, { email: known.email });
    const made = await recordStatements(() => accept(app, fresh.token));
    const given = await recordStatements(() => accept(app, toKnown.token));
    // Look-up, BEGIN, claim, whose address, user, the host's row, verified, access, done, COMMIT.
    // Look-up, BEGIN, claim, whose address, the user held, access, roles, access, done, COMMIT.
    const counts = [made, given].map(({ statements, connections }) => [statements.length, connections]);
    expect(counts).toEqual([
      [10, 1],
      [10, 1],
    ]);
  });
});

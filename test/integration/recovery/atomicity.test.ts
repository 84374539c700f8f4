import { describe, expect, it } from '@jest/globals';

import type { UserHooks } from '../../../src/index.js';
import { expectAtomic } from '../../../src/testing/index.js';
import { AppUser, freshEmail, useNestApp } from '../../support/nest-app.js';
import { auth, PASSWORD, query } from '../session/fixture.js';
import { AUTH, NEW_PASSWORD, recovery, resetToken, somebody, stored, tokenOf, verification } from './fixture.js';

/** The host’s row follows the email of its user. */
const user: UserHooks = {
  afterUpdate: async ({ id, email }, change, manager) => {
    if (change.email !== undefined) await manager.update(AppUser, { authUserId: id }, { displayName: email });
  },
};
const app = useNestApp({ auth: { ...AUTH, user } });

describe('SEC-24 SEC-91 whichever statement fails, or whenever the connection dies', () => {
  it('a reset ends everything and sets the password, or does nothing, and the link still works', async () => {
    const { id, email } = await somebody(app);
    const { refreshToken } = await auth(app).signIn({ email, password: PASSWORD });
    await auth(app)
      .signIn({ email, password: 'wrong' })
      .catch(() => undefined);
    await (await app.users.getUserById(id))?.findOrCreateIdentity('google', `attacker-${id}`);
    const token = await resetToken(app, email);
    const report = await expectAtomic(app.dataSource, () =>
      recovery(app).resetPassword({ token, password: NEW_PASSWORD }),
    );
    expect(report.replays.length).toBeGreaterThan(20);
    await expect(auth(app).refresh(refreshToken)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    expect(await stored(app.url, id)).toMatchObject({ email_verified: true, security_stamp: 2 });
    await expect(auth(app).signIn({ email, password: NEW_PASSWORD })).resolves.toBeDefined();
  }, 120_000);

  it('a change of the email moves user, identity and the row of the host, or nothing', async () => {
    const { id } = await somebody(app);
    await app.dataSource.getRepository(AppUser).insert({ authUserId: id, displayName: 'before' });
    const email = freshEmail();
    const asked = await verification(app).requestEmailChange({ userId: id, email, currentPassword: PASSWORD });
    await expectAtomic(app.dataSource, () => verification(app).confirmEmailChange({ token: tokenOf(asked) }));
    expect(await stored(app.url, id)).toMatchObject({ email, email_verified: true });
    expect(await query(app.url, 'select display_name from app_users where auth_user_id = $1', [id])).toEqual([
      { display_name: email },
    ]);
  }, 120_000);

  it('asking for a link, and verifying by it, are done or not', async () => {
    const { id, email } = await somebody(app);
    await expectAtomic(app.dataSource, () => verification(app).requestEmailVerification(id));
    await expectAtomic(app.dataSource, () => recovery(app).requestPasswordReset({ email }));
    const token = tokenOf(await verification(app).requestEmailVerification(id));
    await expectAtomic(app.dataSource, () => verification(app).verifyEmail({ token }));
    expect(await stored(app.url, id)).toMatchObject({ email_verified: true });
  }, 120_000);
});

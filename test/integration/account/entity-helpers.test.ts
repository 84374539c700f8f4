import { describe, expect, it } from '@jest/globals';
import { v4 as uuidv4 } from 'uuid';

import { NestAuthIdentity, NestAuthUser } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, freshPhone, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { createPortalUserStepByStep } from '../../support/recipes.js';
import { brokenUsers, countRows } from '../../support/tables.js';

const app = useNestApp({ pool: 20, auth: { phone: { defaultRegion: 'DE' } } });

const identitiesOf = (userId: string) =>
  app.manager.find(NestAuthIdentity, { where: { userId }, order: { provider: 'ASC', providerId: 'ASC' } });

describe('setPassword and validatePassword', () => {
  it('persist at once, and survive saving the entity twice', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    await user.setPassword('correct horse battery staple');
    await app.manager.save(user);
    await app.manager.save(user);
    expect(await user.validatePassword('correct horse battery staple')).toBe(true);
    expect(await user.validatePassword('wrong horse')).toBe(false);
    expect(await app.users.getUserById(user.id)).toMatchObject({ version: user.version });
  });

  it('survive a save of an entity that was loaded before the password was set', async () => {
    const { id } = await app.users.createUser({ email: freshEmail(), password: 'the first of two passwords' });
    const loaded = await app.manager.findOneByOrFail(NestAuthUser, { id });
    loaded.metadata = { saved: true };
    await app.manager.save(loaded);
    expect(await loaded.validatePassword('the first of two passwords')).toBe(true);
  });

  it('take a password back for null, and answer false for a user without one', async () => {
    const user = await app.users.createUser({ email: freshEmail(), password: 'the first of two passwords' });
    await user.setPassword(null);
    expect(await user.validatePassword('the first of two passwords')).toBe(false);
    expect(await user.validatePassword('')).toBe(false);
  });

  it('are undone with their transaction', async () => {
    const user = await app.users.createUser({ email: freshEmail(), password: 'the one of before' });
    await app.users
      .runInTransaction(async () => {
        await user.setPassword('the one of afterwards');
        throw new Error('undo');
      })
      .catch(() => undefined);
    expect(await user.validatePassword('the one of before')).toBe(true);
    expect(await user.validatePassword('the one of afterwards')).toBe(false);
  });

  it('store what PasswordService.hash returned, and refuse a hash that came from outside', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    const hashed = await app.passwords.hash('correct horse battery staple');
    await user.setPassword(hashed);
    expect(await user.validatePassword('correct horse battery staple')).toBe(true);
    const forged = { phc: hashed.phc } as never;
    await expect(user.setPassword(forged)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    await expect(app.users.createUser({ email: freshEmail(), password: forged })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
  });

  it('are refused for a user that is gone', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    await app.users.deleteUser(user.id);
    await expect(user.setPassword('correct horse battery staple')).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    expect(await user.validatePassword('x')).toBe(false);
  });
});

describe('findOrCreateIdentity', () => {
  it('ends the documented flow with one identity each, for a mixed-case email and a national number', async () => {
    const email = `Mixed.${freshEmail()}`;
    const { authUserId } = await createPortalUserStepByStep(app, {
      email,
      phone: '0151 19111111',
      password: 'correct horse battery staple',
    });
    expect(await identitiesOf(authUserId)).toMatchObject([
      { provider: 'email', providerId: email.toLowerCase() },
      { provider: 'phone', providerId: '+4915119111111' },
    ]);
  });

  it('finds the phone identity by country code and number put together, in either order of writing', async () => {
    const user = await app.users.createUser({ phone: '0151 19222222' });
    for (const spelling of ['+4915119222222', '+49015119222222', '015119222222', '+49 151 19222222']) {
      expect(await user.findOrCreateIdentity('phone', spelling)).toMatchObject({ providerId: '+4915119222222' });
    }
    expect(await identitiesOf(user.id)).toHaveLength(1);
  });

  it('gives a user without an email the email, with its identity', async () => {
    const user = await app.users.createUser({ phone: freshPhone() });
    const email = freshEmail();
    await user.findOrCreateIdentity('email', email.toUpperCase());
    expect(user).toMatchObject({ email: email.toUpperCase(), version: 2 });
    expect(await app.users.getUserByEmail(email)).toMatchObject({ id: user.id });
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it('is refused as a mismatch for another email or phone than the user has', async () => {
    const user = await app.users.createUser({ email: freshEmail(), phone: freshPhone() });
    for (const [provider, id] of [
      ['email', freshEmail()],
      ['phone', freshPhone()],
    ] as const) {
      await expect(user.findOrCreateIdentity(provider, id)).rejects.toMatchObject({ code: 'IDENTITY_MISMATCH' });
    }
    await expect(user.findOrCreateIdentity('email', 'no email')).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    await expect(user.findOrCreateIdentity('google', '')).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
  });

  it('of 50 at once for one user makes one row, and announces one change', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    const providerId = uuidv4();
    const { length } = app.events;
    const found = await Promise.all(times(50, () => user.findOrCreateIdentity('google', providerId)));
    expect(found).toHaveLength(50);
    expect(await countRows(app.url, 'nest_auth_identities', 'provider_id = $1', [providerId])).toBe(1);
    expect(app.events).toHaveLength(length + 1);
  });

  it('of 50 users at once for one account makes one row and 49 typed conflicts', async () => {
    const people = await Promise.all(times(50, () => app.users.createUser({ email: freshEmail() })));
    const providerId = uuidv4();
    const { won, codes } = await outcomesOf(people.map((user) => user.findOrCreateIdentity('google', providerId)));
    expect(won).toHaveLength(1);
    expect(codes).toEqual({ IDENTITY_ALREADY_EXISTS: 49 });
  });

  it('heals a login whose identity was deleted by hand', async () => {
    const email = freshEmail();
    const user = await app.users.createUser({ email });
    await withClient(app.url, (client) =>
      client.query('delete from nest_auth_identities where user_id = $1', [user.id]),
    );
    expect(await user.findOrCreateIdentity('email', email)).toMatchObject({ providerId: email });
    expect(await brokenUsers(app.url)).toEqual([]);
  }, 10_000);

  it('is refused for a user that is gone', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    await app.users.deleteUser(user.id);
    for (const provider of ['email', 'google']) {
      await expect(user.findOrCreateIdentity(provider, freshEmail())).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    }
  });
});

describe('updateOrCreateIdentity', () => {
  it('of 50 at once for one user leaves one account', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    await Promise.all(
      times(50, (index) => user.updateOrCreateIdentity('google', { providerId: `${user.id}-${index}` })),
    );
    expect(await countRows(app.url, 'nest_auth_identities', `user_id = $1 and provider = 'google'`, [user.id])).toBe(1);
  });

  it('keeps metadata when the account is replaced, and merges what is new', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    await user.updateOrCreateIdentity('google', { providerId: uuidv4(), metadata: { hd: 'a', old: 1 } });
    const providerId = uuidv4();
    const identity = await user.updateOrCreateIdentity('google', { providerId, metadata: { hd: 'b', old: null } });
    expect(identity).toMatchObject({ providerId, metadata: { hd: 'b' } });
  });

  it('changes the user too for email and phone', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    const email = freshEmail();
    await user.updateOrCreateIdentity('email', { providerId: email });
    expect(user.email).toBe(email);
    expect(await app.users.getUserByEmail(email)).toMatchObject({ id: user.id });
  });

  it('is refused for an account of somebody else, and leaves the transaction usable', async () => {
    const providerId = uuidv4();
    await app.users.createUser({ identities: [{ provider: 'google', providerId }] });
    const user = await app.users.createUser({
      email: freshEmail(),
      identities: [{ provider: 'google', providerId: uuidv4() }],
    });
    const before = await identitiesOf(user.id);
    await app.users.runInTransaction(async () => {
      await expect(user.updateOrCreateIdentity('google', { providerId })).rejects.toMatchObject({
        code: 'IDENTITY_ALREADY_EXISTS',
      });
      await app.users.updateUserMetadata(user.id, { kept: true });
    });
    expect(await identitiesOf(user.id)).toEqual(before);
    await expect(user.updateOrCreateIdentity('github', { metadata: {} })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
    await expect(user.updateOrCreateIdentity('google', { userId: uuidv4() } as never)).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
  });
});

describe('updateEmail and updatePhone', () => {
  it('change the row and its identity, and refresh the entity, so that it can be saved', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    const [email, phone] = [freshEmail(), freshPhone()];
    await user.updateEmail(email);
    await user.updatePhone(phone);
    expect(user).toMatchObject({ email, phone, version: 3, emailVerifiedAt: null });
    user.metadata = { saved: true };
    await user.save();
    expect(await app.users.getUserById(user.id)).toMatchObject({ email, phone, metadata: { saved: true } });
  });

  it('leave the entity as it was when they are refused', async () => {
    const { email: taken } = await app.users.createUser({ email: freshEmail() });
    const user = await app.users.createUser({ email: freshEmail() });
    const before = JSON.stringify(user);
    await expect(user.updateEmail(taken)).rejects.toMatchObject({ code: 'EMAIL_ALREADY_EXISTS' });
    expect(JSON.stringify(user)).toBe(before);
  });
});

describe('helpers without a manager', () => {
  it('join the transaction that made the entity, and its save does not hang', async () => {
    const undo = new Error('undo');
    const email = freshEmail();
    const flow = app.users.runInTransaction(async () => {
      const user = await app.users.createUser({ email });
      await user.findOrCreateIdentity('google', uuidv4());
      const access = await user.getUserAccess(app.seed.tenantId, true);
      await access.assignRoles([app.seed.member]);
      user.metadata = { saved: true };
      await user.save();
      expect(await NestAuthUser.countBy({ id: user.id })).toBe(1);
      expect(await app.access.getPermissions(user.id, app.seed.tenantId)).toHaveLength(1);
      throw undo;
    });
    await expect(flow).rejects.toBe(undo);
    expect(await countRows(app.url, 'nest_auth_users', 'email_norm = $1', [email])).toBe(0);
  });
});

import { describe, expect, it } from '@jest/globals';
import { v4 as uuidv4 } from 'uuid';

import { type UpdateUserInput, UserDeletedEvent, UserUpdatedEvent } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { AppUser, freshEmail, freshPhone, outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { brokenUsers, countRows, dumpTables } from '../../support/tables.js';

const app = useNestApp({ pool: 20 });

const identitiesOf = (userId: string): Promise<string[]> =>
  withClient(app.url, async (client) => {
    const { rows } = await client.query<{ identity: string }>(
      `select provider || ':' || provider_id as identity from nest_auth_identities where user_id = $1 order by provider`,
      [userId],
    );
    return rows.map(({ identity }) => identity);
  });

describe('updateUser', () => {
  it('replaces the identities with the logins, and leaves no stale one', async () => {
    const user = await app.users.createUser({ email: freshEmail(), phone: freshPhone() });
    const [email, phone] = [freshEmail(), freshPhone()];
    const updated = await app.users.updateUser(user.id, { email: email.toUpperCase(), phone });
    expect(updated).toMatchObject({ email: email.toUpperCase(), phone, version: 2 });
    expect(await identitiesOf(user.id)).toEqual([`email:${email}`, `phone:${phone}`]);
  });

  it('starts a new address unverified, and keeps the proof of one that is only typed otherwise', async () => {
    const email = freshEmail();
    const { id } = await app.users.createUser({ email });
    await app.users.verifyUser(id);
    const retyped = await app.users.updateUser(id, { email: email.toUpperCase() });
    expect(retyped).toMatchObject({ email: email.toUpperCase(), emailVerifiedAt: expect.any(Date) });
    const moved = await app.users.updateUser(id, { email: freshEmail() });
    expect(moved.emailVerifiedAt).toBeNull();
  });

  it('starts a new number unverified', async () => {
    const { id } = await app.users.createUser({ phone: freshPhone() });
    await app.users.verifyUser(id, 'phone');
    const moved = await app.users.updateUser(id, { phone: freshPhone() });
    expect(moved.phoneVerifiedAt).toBeNull();
  });

  it('takes a login back with its identity, but never the last one', async () => {
    const { id } = await app.users.createUser({ email: freshEmail(), phone: freshPhone() });
    const updated = await app.users.updateUser(id, { email: null });
    expect(updated.email).toBeNull();
    expect(await identitiesOf(id)).toHaveLength(1);
    await expect(app.users.updateUser(id, { phone: null })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it('writes and announces nothing for what already is', async () => {
    const email = freshEmail();
    const { id } = await app.users.createUser({ email, metadata: { a: 1 } });
    const before = await dumpTables(app.url);
    const { length } = app.events;
    for (const same of [{ email }, { isActive: true }, { metadata: { a: 1 } }, { metadata: { gone: null } }, {}]) {
      const user = await app.users.updateUser(id, same);
      expect(user.version).toBe(1);
    }
    expect(app.events).toHaveLength(length);
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it('announces which fields have another value', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    await app.users.updateUser(id, { email: freshEmail(), isActive: false });
    const event = app.events.at(-1);
    expect(event).toBeInstanceOf(UserUpdatedEvent);
    expect(event).toMatchObject({ changed: ['email', 'status', 'isActive'] });
  });

  it('never changes a column that is not a field of its input', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const before = await dumpTables(app.url);
    const fields = ['id', 'realmId', 'passwordHash', 'status', 'emailVerifiedAt', 'version', 'emailNorm', 'deletedAt'];
    for (const field of fields) {
      const input = { [field]: uuidv4() } as UpdateUserInput;
      await expect(app.users.updateUser(id, input)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    }
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it('is refused for an unknown user and for what is no id', async () => {
    await expect(app.users.updateUser(uuidv4(), { email: freshEmail() })).rejects.toMatchObject({
      code: 'USER_NOT_FOUND',
    });
    await expect(app.users.updateUser(uuidv4(), { isActive: true })).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    for (const id of [undefined, null, '', 'not-a-uuid', { id: uuidv4() }, [uuidv4()]]) {
      await expect(app.users.updateUser(id as never, { isActive: true })).rejects.toMatchObject({
        code: 'VALIDATION_FAILED',
      });
    }
  });

  it('for a taken login leaves the transaction usable and the user as it was', async () => {
    const taken = await app.users.createUser({ email: freshEmail(), phone: freshPhone() });
    const { id } = await app.users.createUser({ email: freshEmail(), phone: freshPhone() });
    const before = await identitiesOf(id);
    await app.users.runInTransaction(async (manager) => {
      const steal = app.users.updateUser(id, { email: taken.email, phone: taken.phone }, manager);
      await expect(steal).rejects.toMatchObject({
        code: 'EMAIL_ALREADY_EXISTS',
        details: { fields: ['email', 'phone'] },
      });
      await app.users.updateUser(id, { metadata: { kept: true } }, manager);
    });
    expect(await identitiesOf(id)).toEqual(before);
    expect((await app.users.getUserById(id))?.metadata).toEqual({ kept: true });
  });

  it('with the mirrored host row changes both or neither', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    await app.manager.insert(AppUser, { authUserId: user.id, displayName: 'before' });
    const change = (email: string, displayName: string) =>
      app.users.runInTransaction(async (manager) => {
        const updated = await app.users.updateUser(user.id, { email }, manager);
        await manager.update(AppUser, { authUserId: updated.id }, { displayName });
      });
    await expect(change(freshEmail(), 'refused')).rejects.toMatchObject({ driverError: { code: '23514' } });
    expect(await app.users.getUserById(user.id)).toMatchObject({ email: user.email });
    expect(await identitiesOf(user.id)).toEqual([`email:${user.email}`]);
    const email = freshEmail();
    await change(email, 'after');
    expect(await app.users.getUserByEmail(email)).toMatchObject({ id: user.id });
    expect(await app.manager.findOneBy(AppUser, { authUserId: user.id })).toMatchObject({ displayName: 'after' });
  });
});

describe('expectedVersion', () => {
  it.each([
    ['status', (index: number): UpdateUserInput => ({ metadata: { [`k${index}`]: index } })],
    ['a login', (): UpdateUserInput => ({ email: freshEmail() })],
  ])('lets one of 50 changes of %s at once through, and refuses the others as stale', async (_what, change) => {
    for (let round = 0; round < 3; round += 1) {
      const { id } = await app.users.createUser({ email: freshEmail() });
      const { won, codes } = await outcomesOf(
        times(50, (index) => app.users.updateUser(id, { ...change(index), expectedVersion: 1 })),
      );
      expect(won).toHaveLength(1);
      expect(codes).toEqual({ STALE_VERSION: 49 });
      expect(await app.users.getUserById(id)).toMatchObject({ version: 2 });
    }
  });

  it('of an earlier read is refused', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    await app.users.updateUser(id, { metadata: { a: 1 } });
    for (const change of [{ metadata: { b: 1 } }, { email: freshEmail() }]) {
      await expect(app.users.updateUser(id, { ...change, expectedVersion: 1 })).rejects.toMatchObject({
        code: 'STALE_VERSION',
      });
    }
  });
});

describe('races of updates', () => {
  it('50 users that take one email leave it with one of them, and every identity in step', async () => {
    for (let round = 0; round < 3; round += 1) {
      const people = await Promise.all(times(50, () => app.users.createUser({ email: freshEmail() })));
      const email = freshEmail();
      const { won, codes } = await outcomesOf(people.map(({ id }) => app.users.updateUser(id, { email })));
      expect(won).toHaveLength(1);
      expect(codes).toEqual({ EMAIL_ALREADY_EXISTS: 49 });
      expect(await brokenUsers(app.url)).toEqual([]);
    }
  });

  it('updates of one user to different emails end with the last one, and one identity', async () => {
    const { id } = await app.users.createUser({ email: freshEmail(), phone: freshPhone() });
    const { won } = await outcomesOf(
      times(50, () => app.users.updateUser(id, { email: freshEmail(), phone: freshPhone() })),
    );
    expect(won).toHaveLength(50);
    expect(await identitiesOf(id)).toHaveLength(2);
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it('users that swap their emails end with two people and two emails', async () => {
    for (let round = 0; round < 10; round += 1) {
      const [a, b] = [
        await app.users.createUser({ email: freshEmail() }),
        await app.users.createUser({ email: freshEmail() }),
      ];
      const { codes } = await outcomesOf([
        app.users.updateUser(a.id, { email: b.email }),
        app.users.updateUser(b.id, { email: a.email }),
      ]);
      expect(Object.keys(codes).filter((code) => code !== 'EMAIL_ALREADY_EXISTS')).toEqual([]);
    }
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it('an update and a creation of one email, 100 times, end with one holder and only typed conflicts', async () => {
    const rounds = times(100, async (round) => {
      const user = await app.users.createUser({ email: freshEmail() });
      const email = freshEmail();
      const calls = [
        () => app.users.updateUser(user.id, { email }),
        () => app.users.createUser({ email, phone: freshPhone() }),
      ];
      if (round % 2) calls.reverse();
      const { won, codes } = await outcomesOf(calls.map((call) => call()));
      expect(codes).toEqual({ EMAIL_ALREADY_EXISTS: 1 });
      expect(won).toHaveLength(1);
      expect(await countRows(app.url, 'nest_auth_identities', 'provider_id = $1', [email])).toBe(1);
    });
    for (const round of rounds) await round;
    expect(await brokenUsers(app.url)).toEqual([]);
  }, 120_000);
});

describe('updateUserMetadata', () => {
  it('keeps all of 50 keys that are written at once', async () => {
    const { id } = await app.users.createUser({ email: freshEmail(), metadata: { first: true } });
    await Promise.all(times(50, (index) => app.users.updateUserMetadata(id, { [`key${index}`]: index })));
    const { metadata, version } = (await app.users.getUserById(id)) ?? {};
    expect(Object.keys(metadata ?? {})).toHaveLength(51);
    expect(version).toBe(51);
  });

  it('removes a key for null, and replaces a nested object as a whole', async () => {
    const { id } = await app.users.createUser({ email: freshEmail(), metadata: { a: { b: 1, c: 2 }, d: 1 } });
    const user = await app.users.updateUserMetadata(id, { a: { b: 2 }, d: null });
    expect(user.metadata).toEqual({ a: { b: 2 } });
  });

  it('answers the row that is there, also to the calls that found nothing left to do', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const users = await Promise.all(times(20, () => app.users.updateUserMetadata(id, { same: 1 })));
    expect(users.map(({ metadata }) => metadata)).toEqual(times(20, () => ({ same: 1 })));
    expect(await app.users.getUserById(id)).toMatchObject({ version: 2 });
  });

  it('never lets the stored metadata outgrow the limits of one input', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const chunk = 'x'.repeat(60_000);
    await app.users.updateUserMetadata(id, { a: chunk });
    await expect(app.users.updateUserMetadata(id, { b: chunk })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    expect(await app.users.updateUserMetadata(id, { a: null, b: chunk })).toMatchObject({ metadata: { b: chunk } });
  });
});

describe('verifyUser and unverifyUser', () => {
  it('are idempotent, and the first time stays', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const first = await app.users.verifyUser(id);
    const { length } = app.events;
    const second = await app.users.verifyUser(id);
    expect(second.emailVerifiedAt).toEqual(first.emailVerifiedAt);
    expect(app.events).toHaveLength(length);
    expect((await app.users.unverifyUser(id)).emailVerifiedAt).toBeNull();
    expect((await app.users.unverifyUser(id)).emailVerifiedAt).toBeNull();
  });

  it('answer a verified user to all of 50 calls at once, and announce one change', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const { length } = app.events;
    const users = await Promise.all(times(50, () => app.users.verifyUser(id)));
    expect(users.filter(({ emailVerifiedAt }) => emailVerifiedAt === null)).toEqual([]);
    expect(app.events).toHaveLength(length + 1);
  });

  it('are refused for a login the user does not have, and for an unknown type', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    await expect(app.users.verifyUser(id, 'phone')).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    await expect(app.users.verifyUser(id, 'fax' as never)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    await expect(app.users.verifyUser(uuidv4())).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
  });
});

describe('updateUserStatus', () => {
  it('keeps status and isActive in step', async () => {
    const { id } = await app.users.createUser({ email: freshEmail(), isActive: false });
    expect(await app.users.updateUserStatus(id, false)).toMatchObject({ status: 'pending', isActive: false });
    expect(await app.users.updateUserStatus(id, true)).toMatchObject({ status: 'active', isActive: true });
    expect(await app.users.updateUserStatus(id, false)).toMatchObject({ status: 'inactive', isActive: false });
  });

  it.each([undefined, null, 'false', 0])('refuses %p', async (isActive) => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    await expect(app.users.updateUserStatus(id, isActive as never)).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
  });

  it('is undone with its transaction, on a pool that has no second connection to give', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    await app.users
      .runInTransaction(async (manager) => {
        await app.users.updateUserStatus(id, false, manager);
        throw new Error('no');
      })
      .catch(() => undefined);
    expect(await app.users.getUserById(id)).toMatchObject({ isActive: true });
  });
});

describe('deleteUser', () => {
  it('takes identities, accesses and roles along, and announces it once', async () => {
    const email = freshEmail();
    const { id } = await app.users.createUser({ email, roleIds: [app.seed.member] }, app.seed.tenantId);
    const { length } = app.events;
    await app.users.deleteUser(id);
    for (const table of ['nest_auth_identities', 'nest_auth_user_accesses', 'nest_auth_user_access_roles']) {
      expect(await countRows(app.url, table, 'user_id = $1', [id])).toBe(0);
    }
    expect(app.events.slice(length)).toEqual([expect.any(UserDeletedEvent)]);
    await expect(app.users.deleteUser(id)).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    await app.users.createUser({ email });
  });

  it('is refused by code while a row of the host refers to the user', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    await app.manager.insert(AppUser, { authUserId: id });
    await expect(app.users.deleteUser(id)).rejects.toMatchObject({
      code: 'USER_IN_USE',
      details: { table: 'app_users' },
    });
    await app.users.runInTransaction(async (manager) => {
      await manager.delete(AppUser, { authUserId: id });
      await app.users.deleteUser(id, manager);
    });
    expect(await app.users.getUserById(id)).toBeNull();
  });

  it('of 20 calls at once succeeds once', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const { won, codes } = await outcomesOf(times(20, () => app.users.deleteUser(id)));
    expect(won).toHaveLength(1);
    expect(codes).toEqual({ USER_NOT_FOUND: 19 });
  });
});

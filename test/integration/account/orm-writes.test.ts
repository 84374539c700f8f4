import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';

import { NestAuthIdentity, NestAuthUser, UserLifecycleService, UserStatusEnum } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, freshPhone, useNestApp } from '../../support/nest-app.js';
import { brokenUsers, countRows, dumpTables } from '../../support/tables.js';

const app = useNestApp();
const refused = { code: 'ENTITY_WRITE_REFUSED' };

describe('writing users through the ORM', () => {
  it('with a changed email or phone is refused, whichever way', async () => {
    const user = await app.users.createUser({ email: freshEmail(), phone: freshPhone() });
    const before = await dumpTables(app.url);
    const email = freshEmail();
    const ways = [
      () => app.manager.save(Object.assign(new NestAuthUser(), user, { email })),
      () => app.manager.save(Object.assign(new NestAuthUser(), user, { phone: freshPhone() })),
      () => app.manager.save(NestAuthUser, { id: user.id, email }),
      () => app.manager.update(NestAuthUser, { id: user.id }, { email }),
      () => app.manager.update(NestAuthUser, user.id, { phone: null }),
      () => app.manager.createQueryBuilder().update(NestAuthUser).set({ email }).where({ id: user.id }).execute(),
      () => NestAuthUser.update({ id: user.id }, { email }),
    ];
    for (const way of ways) await expect(way()).rejects.toMatchObject(refused);
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it('never makes a user, who would have no identities', async () => {
    const draft = { id: '01a1fb24-0fde-73a3-a684-6db91d4ba5d7', realmId: app.seed.tenantId, email: freshEmail() };
    const ways = [
      () => app.manager.save(NestAuthUser, draft),
      () => app.manager.insert(NestAuthUser, draft),
      () => app.manager.upsert(NestAuthUser, draft, ['id']),
      () => app.manager.create(NestAuthUser, draft).save(),
    ];
    const before = await dumpTables(app.url);
    for (const way of ways) await expect(way()).rejects.toMatchObject(refused);
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it("never leaves an email or phone identity that is not the user's", async () => {
    const { id, realmId } = await app.users.createUser({ phone: freshPhone() });
    const { id: other } = await app.users.createUser({ email: freshEmail() });
    const ways = [
      () => app.manager.insert(NestAuthIdentity, { provider: 'email', providerId: freshEmail(), userId: id, realmId }),
      () => app.manager.update(NestAuthIdentity, { userId: other, provider: 'email' }, { providerId: freshEmail() }),
      async () => app.manager.remove(await app.manager.findOneByOrFail(NestAuthIdentity, { userId: other })),
    ];
    for (const way of ways) await expect(way()).rejects.toMatchObject(refused);
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it.each([
    ['save of the entity', (id: string, set: object) => app.manager.save(NestAuthUser, { id, ...set })],
    ['update', (id: string, set: object) => app.manager.update(NestAuthUser, { id }, set)],
    [
      'save of a loaded instance',
      async (id: string, set: object) => {
        const user = await app.manager.findOneByOrFail(NestAuthUser, { id });
        await Object.assign(user, set).save();
      },
    ],
  ])('keeps status and isActive in step for a %s', async (_way, write) => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const state = async () => {
      const { status, isActive } = (await app.users.getUserById(id)) ?? {};
      return { status, isActive };
    };
    await write(id, { isActive: false });
    expect(await state()).toEqual({ status: 'inactive', isActive: false });
    await write(id, { status: UserStatusEnum.ACTIVE });
    expect(await state()).toEqual({ status: 'active', isActive: true });
    for (const status of [UserStatusEnum.PENDING, UserStatusEnum.DISABLED, UserStatusEnum.SCHEDULED_DELETION]) {
      await expect(write(id, { status })).rejects.toMatchObject(refused);
    }
    await expect(write(id, { activatedAt: new Date() })).rejects.toMatchObject(refused);
    expect(await state()).toEqual({ status: 'active', isActive: true });
    // Disabling is for good: the subscriber refuses it by name, the constraints where nobody knows the row.
    await app.context.get(UserLifecycleService).disableById(id);
    await expect(write(id, { isActive: true })).rejects.toMatchObject({
      code: expect.stringMatching(/^(ENTITY_WRITE_REFUSED|23514)$/),
    });
    expect(await state()).toEqual({ status: 'disabled', isActive: false });
  });

  it('is refused for a status and an isActive that contradict each other', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const contradiction = { isActive: true, status: UserStatusEnum.DISABLED };
    await expect(app.manager.update(NestAuthUser, { id }, contradiction)).rejects.toMatchObject(refused);
  });

  it('from an entity that has changed meanwhile is refused as stale', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const stale = await app.manager.findOneByOrFail(NestAuthUser, { id });
    await app.users.updateUserMetadata(id, { newer: true });
    stale.metadata = { older: true };
    await expect(app.manager.save(stale)).rejects.toMatchObject({ code: 'STALE_VERSION' });
    expect((await app.users.getUserById(id))?.metadata).toEqual({ newer: true });
  });

  it('is stopped by the constraints where raw SQL passes the ORM by', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    const other = await app.users.createUser({ email: freshEmail() });
    await withClient(app.url, async (client) => {
      const refuse = (sql: string, values: unknown[]) =>
        expect(client.query(sql, values)).rejects.toMatchObject({ code: expect.stringMatching(/^23/) });
      await refuse('update nest_auth_users set email_norm = $2 where id = $1', [other.id, user.email]);
      await refuse(`update nest_auth_users set status = 'disabled' where id = $1`, [user.id]);
      await refuse(
        'update nest_auth_users set email_verified_at = now(), email = null, email_norm = null where id = $1',
        [user.id],
      );
      await refuse(
        `insert into nest_auth_identities (provider, provider_id, realm_id, user_id) values ('email', 'x@y.z', $2, $1)`,
        [user.id, user.realmId],
      );
      await refuse(`insert into nest_auth_user_accesses (user_id, tenant_id, realm_id) values ($1, $2, $2)`, [
        user.id,
        app.seed.tenantId,
      ]);
    });
  });
});

describe('the password hash', () => {
  it('is never selected, never serialised and never written by the ORM (SEC-86)', async () => {
    const { id } = await app.users.createUser({ email: freshEmail(), password: 'canary in the coal mine' });
    const loaded = [
      await app.users.getUserById(id),
      await app.manager.findOneBy(NestAuthUser, { id }),
      await NestAuthUser.findOneBy({ id }),
    ];
    for (const user of loaded) expect(inspect(user, { depth: 10 }) + JSON.stringify(user)).not.toContain('$argon2');
    const selected = await app.manager.findOneOrFail(NestAuthUser, {
      where: { id },
      select: { id: true, passwordHash: true },
    });
    expect(selected.passwordHash).toContain('$argon2id$');
    expect(JSON.stringify(selected)).not.toContain('$argon2');
    await app.manager.update(NestAuthUser, { id }, { passwordHash: 'planted' }).catch(() => undefined);
    await app.manager.save(NestAuthUser, { id, passwordHash: 'planted' }).catch(() => undefined);
    expect(await countRows(app.url, 'nest_auth_users', `password_hash = 'planted'`)).toBe(0);
  });
});

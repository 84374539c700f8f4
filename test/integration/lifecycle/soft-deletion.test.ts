import { describe, expect, it } from '@jest/globals';

import { NestAuthUser, RoleGuardEnum, UserLifecycleService } from '../../../src/index.js';
import { freshEmail, freshPhone, useNestApp } from '../../support/nest-app.js';
import { countRows, dumpTables } from '../../support/tables.js';
import { stateOf, userIn } from './fixture.js';

const app = useNestApp();
const lifecycle = () => app.context.get(UserLifecycleService);

/** Somebody with everything that a user can have, disabled. */
async function somebody() {
  const { tenantId, member } = app.seed;
  const [email, phone, account] = [freshEmail(), freshPhone(), freshEmail()];
  const user = await app.users.createUser(
    { email, phone, roleIds: [member], identities: [{ provider: 'google', providerId: account, metadata: { a: 1 } }] },
    tenantId,
  );
  await lifecycle().disableById(user.id);
  return { id: user.id, email, phone, account };
}

describe('a soft-deleted user', () => {
  it('is found by nothing', async () => {
    const { id, email, phone } = await somebody();
    const { tenantId, member } = app.seed;
    const role = await app.roles.getRoleById(member);
    await lifecycle().softDeleteById(id);
    expect(await app.users.getUserById(id)).toBeNull();
    expect(await app.users.getUserByEmail(email)).toBeNull();
    expect(await app.users.getUserByPhone(phone)).toBeNull();
    expect(await app.users.emailExists(email)).toBe(false);
    expect(await app.users.getTenantsByEmail(email)).toEqual([]);
    expect(await app.users.isUserInTenant(id, tenantId)).toBe(false);
    expect(await app.access.getPermissions(id, tenantId)).toEqual([]);
    expect(await app.users.getUserTenants(id)).toEqual([]);
    for (const options of [
      { tenantId },
      { search: email },
      { role: { name: role?.name ?? '', guard: RoleGuardEnum.PORTAL } },
      {},
    ]) {
      const found = await app.users.getUsers({ ...options, limit: 200, sortOrder: 'desc' });
      expect(found.map((user) => user.id)).not.toContain(id);
    }
    expect(await NestAuthUser.findOneBy({ id })).toBeNull();
    await expect(app.users.updateUser(id, { isActive: true })).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    await expect(app.users.updateUser(id, { email: freshEmail() })).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    await expect(app.users.deleteUser(id)).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    await expect(app.users.ensureUserAccess(id, app.seed.otherTenantId)).rejects.toMatchObject({
      code: 'USER_NOT_FOUND',
    });
  });

  it('is in the list of the soft-deleted, and in no other', async () => {
    const { id } = await somebody();
    await lifecycle().softDeleteById(id);
    const [found] = await app.users.getUsers({
      softDeleted: true,
      limit: 1,
      sortOrder: 'desc',
      relations: { identities: true },
    });
    expect(found).toMatchObject({ id, status: 'disabled', softDeletedAt: expect.any(Date), identities: [] });
    expect(JSON.stringify(found)).not.toContain('parked');
  });

  it('frees its logins at once, and comes back with all of them', async () => {
    const { id, email, phone, account } = await somebody();
    const logins = () =>
      app.dataSource.query(
        'select provider, provider_id, metadata, created_at from nest_auth_identities where user_id = $1 order by 1',
        [id],
      );
    const before = (await logins()) as unknown[];
    expect(before).toHaveLength(3);
    await lifecycle().softDeleteById(id);
    expect(await logins()).toEqual([]);
    const other = await app.users.createUser({
      email,
      phone,
      identities: [{ provider: 'google', providerId: account }],
    });
    await app.users.deleteUser(other.id);
    const restored = await lifecycle().restoreById(id);
    expect(restored).toMatchObject({ status: 'disabled', softDeletedAt: null, email, phone });
    expect(await logins()).toEqual(before);
    expect(await app.users.getUserByEmail(email)).toMatchObject({ id });
    expect(await countRows(app.url, 'nest_auth_user_access_roles', 'user_id = $1', [id])).toBe(1);
  });

  it.each([
    ['email', 'EMAIL_ALREADY_EXISTS'],
    ['phone', 'PHONE_ALREADY_EXISTS'],
    ['identities', 'IDENTITY_ALREADY_EXISTS'],
  ])('does not come back onto a taken %s, and the transaction stays usable', async (field, code) => {
    const { id, email, phone, account } = await somebody();
    await lifecycle().softDeleteById(id);
    const logins = { email, phone, identities: [{ provider: 'google', providerId: account }] };
    await app.users.createUser({ email: freshEmail(), [field]: logins[field as keyof typeof logins] });
    const before = await dumpTables(app.url);
    await expect(lifecycle().restoreById(id)).rejects.toMatchObject({ code, details: { fields: [field] } });
    await app.users.runInTransaction(async (manager) => {
      await expect(lifecycle().restoreById(id, manager)).rejects.toMatchObject({ code });
      expect(await app.users.emailExists(email, undefined, manager)).toBe(field === 'email');
    });
    expect(await dumpTables(app.url)).toEqual(before);
  });

  it('comes back once, or not, when its email is taken at the same moment', async () => {
    for (let round = 0; round < 20; round += 1) {
      const { id, email } = await somebody();
      await lifecycle().softDeleteById(id);
      const [restored, created] = await Promise.allSettled([
        lifecycle().restoreById(id),
        app.users.createUser({ email }),
      ]);
      expect([restored.status, created.status].toSorted()).toEqual(['fulfilled', 'rejected']);
      const lost = [restored, created].find(({ status }) => status === 'rejected') as PromiseRejectedResult;
      expect(lost.reason).toMatchObject({ code: 'EMAIL_ALREADY_EXISTS' });
      expect(await countRows(app.url, 'nest_auth_identities', 'provider_id = $1', [email])).toBe(1);
    }
  });

  it('keeps no identity that was added in the same moment', async () => {
    for (let round = 0; round < 20; round += 1) {
      const { id } = await somebody();
      const user = (await app.users.getUserById(id)) as NestAuthUser;
      await Promise.allSettled([
        user.findOrCreateIdentity('github', freshEmail()),
        lifecycle().softDeleteById(id),
        user.findOrCreateIdentity('gitlab', freshEmail()),
      ]);
      expect(await stateOf(app.url, id)).toBe('soft_deleted');
      expect(await countRows(app.url, 'nest_auth_identities', 'user_id = $1', [id])).toBe(0);
    }
  });

  it('is not made by the ORM', async () => {
    const id = await userIn({ users: app.users, lifecycle: lifecycle() }, 'disabled');
    const user = await NestAuthUser.findOneByOrFail({ id });
    const refused = { code: 'ENTITY_WRITE_REFUSED' };
    await expect(user.softRemove()).rejects.toMatchObject(refused);
    await expect(app.manager.softDelete(NestAuthUser, { id })).rejects.toMatchObject(refused);
  });
});

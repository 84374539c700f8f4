import { beforeAll, describe, expect, it } from '@jest/globals';

import type { HashedPassword, NestAuthUser } from '../../../src/index.js';
import { AppUser, freshEmail, freshPhone, useNestApp } from '../../support/nest-app.js';
import {
  createAdminUser,
  createPortalUser,
  createPortalUserStepByStep,
  deletePortalUser,
  updatePortalUser,
} from '../../support/recipes.js';
import { countRows } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';

const app = useNestApp();
let password: HashedPassword;
let user: NestAuthUser;

beforeAll(async () => {
  password = await app.passwords.hash('correct horse battery staple');
  user = await app.users.createUser(
    { email: freshEmail(), phone: freshPhone(), roleIds: [app.seed.member] },
    app.seed.tenantId,
  );
  // A new connection asks the server for its version once.
  await app.users.runInTransaction(() => app.users.getUserById(user.id));
});

const person = () => ({ email: freshEmail(), phone: freshPhone() });

async function sent(fn: () => Promise<unknown>): Promise<number> {
  const { statements } = await recordStatements(fn);
  return statements.length;
}

describe('statements on the wire, BEGIN and COMMIT included', () => {
  it('are at most 12 for the documented portal flow step by step, with password, role and host row', async () => {
    const { result, statements } = await recordStatements(() =>
      createPortalUserStepByStep(app, { ...person(), password: 'correct horse battery staple' }),
    );
    expect(statements.length).toBeLessThanOrEqual(12);
    expect(await countRows(app.url, 'nest_auth_identities', 'user_id = $1', [result.authUserId])).toBe(2);
    expect(await countRows(app.url, 'nest_auth_user_accesses', 'user_id = $1', [result.authUserId])).toBe(1);
    expect(
      await countRows(app.url, 'nest_auth_users', 'id = $1 and password_hash is not null', [result.authUserId]),
    ).toBe(1);
  });

  it('are 4 for the same in one createUser call and the host row', async () => {
    const { tenantId, member } = app.seed;
    const flow = () =>
      app.users.runInTransaction(async (manager) => {
        const made = await app.users.createUser({ ...person(), password, roleIds: [member] }, tenantId);
        await manager.save(manager.create(AppUser, { authUserId: made.id }));
      });
    expect(await sent(flow)).toBe(4);
    expect(await sent(() => createPortalUser(app, person()))).toBe(4);
  });

  it('are at most 6 for the documented administrator', async () => {
    expect(await sent(() => createAdminUser(app, person()))).toBeLessThanOrEqual(6);
  });

  it.each([
    ['an email', () => app.users.createUser({ email: freshEmail() })],
    ['email and phone', () => app.users.createUser(person())],
    [
      'everything at once',
      () =>
        app.users.createUser(
          {
            ...person(),
            password,
            metadata: { a: 1 },
            identities: [{ provider: 'google', providerId: freshEmail() }],
            roleIds: [app.seed.member, app.seed.editor],
          },
          app.seed.tenantId,
        ),
    ],
    ['a platform user', () => app.users.createPlatformUser({ ...person(), platformRoleIds: [app.seed.admin] })],
  ])('are 1 for createUser alone with %s', async (_what, call) => {
    expect(await sent(call)).toBe(1);
  });

  it('are at most 5 for updateUser with email and phone and the mirrored host row', async () => {
    const { authUserId } = await createPortalUser(app, person());
    expect(await sent(() => updatePortalUser(app, authUserId, person()))).toBeLessThanOrEqual(5);
  });

  it('are 1 for a change of status or metadata', async () => {
    expect(await sent(() => app.users.updateUserMetadata(user.id, { a: Math.random() }))).toBe(1);
    expect(await sent(() => app.users.updateUserStatus(user.id, true))).toBe(1);
  });

  it('are at most 2 for setUserAccessRoles and assignRoles, for a change and for none', async () => {
    const { tenantId, member, editor } = app.seed;
    expect(await sent(() => app.users.setUserAccessRoles(user.id, tenantId, [editor]))).toBeLessThanOrEqual(2);
    expect(await sent(() => app.users.setUserAccessRoles(user.id, tenantId, [editor]))).toBeLessThanOrEqual(2);
    const access = await user.getUserAccess(tenantId, true);
    expect(await sent(() => access.assignRoles([member]))).toBeLessThanOrEqual(2);
  });

  it.each([
    ['getPermissions', () => app.access.getPermissions(user.id, app.seed.tenantId)],
    ['can', () => app.access.can(user.id, app.seed.tenantId, 'documents:read')],
    ['getUserByEmail', () => app.users.getUserByEmail(user.email ?? '')],
    ['getUserByEmail of a member', () => app.users.getUserByEmail(user.email ?? '', app.seed.tenantId)],
    ['getUserByEmail for nobody', () => app.users.getUserByEmail(freshEmail())],
    ['getUserById', () => app.users.getUserById(user.id)],
    ['getUsersPage', () => app.users.getUsersPage({ tenantId: app.seed.tenantId })],
    ['ensureUserAccess', () => app.users.ensureUserAccess(user.id, app.seed.otherTenantId)],
    ['deleteUserAccess', () => app.users.deleteUserAccess(user.id, app.seed.otherTenantId)],
    ['isUserInTenant', () => app.users.isUserInTenant(user.id, app.seed.tenantId)],
  ])('are 1 for %s', async (_what, call) => {
    expect(await sent(call)).toBe(1);
  });

  it('are at most 3 for deleteUser, by itself and inside a transaction', async () => {
    const [alone, joined] = [await app.users.createUser(person()), await app.users.createUser(person())];
    expect(await sent(() => app.users.deleteUser(alone.id))).toBeLessThanOrEqual(3);
    await app.users.runInTransaction(async () => {
      expect(await sent(() => app.users.deleteUser(joined.id))).toBeLessThanOrEqual(3);
    });
    const { authUserId } = await createPortalUser(app, person());
    expect(await sent(() => deletePortalUser(app, authUserId))).toBeLessThanOrEqual(6);
  });

  it('hold no write when a user that was just made is saved again', async () => {
    const made = await app.users.createUser({ ...person(), metadata: { a: { b: [1] } } });
    const { statements } = await recordStatements(() => app.manager.save(made));
    expect(statements.filter((text) => /^(update|insert)/i.test(text))).toEqual([]);
  });
});

import { In } from 'typeorm';

import { NestAuthRole, RoleGuardEnum } from '../../src/index.js';
import { AppUser, type NestAppFixture } from './nest-app.js';

export interface Person {
  readonly email: string;
  readonly phone: string;
  readonly password?: string;
  readonly displayName?: string;
}

/** The documented flow: every write of its own, each with the manager. */
export function createPortalUserStepByStep(
  { users, seed: { tenantId, member } }: NestAppFixture,
  { email, phone, password, displayName = 'Person' }: Person,
): Promise<AppUser> {
  return users.runInTransaction(async (manager) => {
    const authUser = await users.createUser({ email, phone }, undefined, undefined, manager);
    if (password !== undefined) await authUser.setPassword(password);
    await authUser.findOrCreateIdentity('phone', phone, manager);
    await authUser.findOrCreateIdentity('email', email, manager);
    await manager.save(authUser);
    const found = await manager.find(NestAuthRole, {
      where: { id: In([member]), guard: RoleGuardEnum.PORTAL },
      select: { id: true },
    });
    const access = await authUser.getUserAccess(tenantId, true, manager);
    await access.assignRoles(
      found.map(({ id }) => id),
      manager,
    );
    return manager.save(manager.create(AppUser, { authUserId: authUser.id, displayName }));
  });
}

/** The same outcome by one call. */
export function createPortalUser(
  { users, seed: { tenantId, member } }: NestAppFixture,
  { displayName = 'Person', ...person }: Person,
): Promise<AppUser> {
  return users.runInTransaction(async (manager) => {
    const authUser = await users.createUser({ ...person, roleIds: [member] }, tenantId);
    return manager.save(manager.create(AppUser, { authUserId: authUser.id, displayName }));
  });
}

/** The documented flow for an administrator. */
export function createAdminUser(
  { users, seed: { admin } }: NestAppFixture,
  { email, phone, displayName = 'Admin' }: Person,
): Promise<AppUser> {
  return users.runInTransaction(async (manager) => {
    const authUser = await users.createUser({ email, phone }, undefined, undefined, manager);
    const access = await authUser.getPlatformAccess(true, manager);
    await access.assignRoles([admin], manager);
    return manager.save(manager.create(AppUser, { authUserId: authUser.id, displayName }));
  });
}

/** The documented update: both tables or neither. */
export function updatePortalUser(
  { users }: NestAppFixture,
  authUserId: string,
  { email, phone, displayName = 'Changed' }: Person,
): Promise<void> {
  return users.runInTransaction(async (manager) => {
    const updated = await users.updateUser(authUserId, { email, phone }, manager);
    await manager.update(AppUser, { authUserId: updated.id }, { displayName });
  });
}

/** Host row and user together. */
export function deletePortalUser({ users }: NestAppFixture, authUserId: string): Promise<void> {
  return users.runInTransaction(async (manager) => {
    await manager.delete(AppUser, { authUserId });
    await users.deleteUser(authUserId, manager);
  });
}

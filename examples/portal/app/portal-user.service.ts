import { Injectable } from '@nestjs/common';
import {
  NestAuthError,
  NestAuthRole,
  type NestAuthUser,
  PasswordService,
  RoleGuardEnum,
  type TransactionalManager,
  UserLifecycleService,
  UserService,
} from 'nest-auth-identity';
import { type EntityManager, In } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { AppUser } from './app-user.entity.js';
import { explainingRefusals } from './profile.errors.js';

interface Profile {
  readonly displayName: string;
  readonly dateOfBirth?: string | null;
  readonly locale?: string;
}

interface Login {
  readonly email?: string | null;
  readonly phone?: string | null;
  /** `+49`, `49` or `DE`, for a phone number without it. */
  readonly phoneCountryCode?: string | null;
}

export interface NewUser extends Profile, Login {
  readonly password?: string;
  readonly roleIds?: readonly string[];
  /** The account stays pending until it is activated. @default false */
  readonly invite?: boolean;
}

export interface NewPortalUser extends NewUser {
  readonly tenantId: string;
}

export type UserChange = Login & Partial<Profile>;

/** Auth user and AppUser, always both or neither. */
@Injectable()
export class PortalUserService {
  constructor(
    private readonly users: UserService,
    private readonly passwords: PasswordService,
    private readonly lifecycle: UserLifecycleService,
  ) {}

  /** A member of a tenant, with roles there. Four statements: BEGIN, the auth user with all it has, AppUser, COMMIT. */
  async createPortalUser(input: NewPortalUser): Promise<AppUser> {
    const login = await this.#login(input);
    return this.users.runInTransaction(async (manager) => {
      const data = { ...login, roleIds: input.roleIds ?? [] };
      const authUser = await this.users.createUser(data, input.tenantId, { source: 'admin' }, manager);
      return this.#addAppUser(manager, authUser, input);
    });
  }

  /** Lets somebody who is known already into a further tenant, with roles there. */
  addToTenant(authUserId: string, tenantId: string, roleIds: readonly string[]): Promise<void> {
    return this.users.runInTransaction(async (manager) => {
      await this.users.ensureUserAccess(authUserId, tenantId, manager);
      await this.users.setUserAccessRoles(authUserId, tenantId, roleIds, manager);
    });
  }

  /** An administrator of the platform: bound to no tenant, with roles of the admin guard. */
  async createAdmin(input: NewUser): Promise<AppUser> {
    const login = await this.#login(input);
    return this.users.runInTransaction(async (manager) => {
      const data = { ...login, platformRoleIds: input.roleIds ?? [] };
      const authUser = await this.users.createPlatformUser(data, { source: 'admin' }, manager);
      return this.#addAppUser(manager, authUser, input);
    });
  }

  /**
   * As {@link createPortalUser}, in single steps, for flows that decide something between them. More statements and
   * the same promise: whichever of them fails, nothing is left.
   */
  async createPortalUserStepByStep(input: NewPortalUser): Promise<AppUser> {
    const { email, phone, password, isActive } = await this.#login(input);
    return this.users.runInTransaction(async (manager) => {
      const metadata = { importedBy: 'step-by-step' };
      const authUser = await this.users.createUser({ email, phone, isActive, metadata }, undefined, undefined, manager);
      await authUser.setPassword(password, manager);
      if (authUser.phone !== null) await authUser.findOrCreateIdentity('phone', authUser.phone, manager);
      if (authUser.email !== null) await authUser.findOrCreateIdentity('email', authUser.email, manager);

      await manager.save(authUser);

      const roleIds = await this.#portalRoles(manager, input.roleIds ?? []);
      const userAccess = await authUser.getUserAccess(input.tenantId, true, manager);
      await userAccess.assignRoles(roleIds, manager);
      return this.#addAppUser(manager, authUser, input);
    });
  }

  /** Email and phone live on the auth user and are mirrored on AppUser: both change or neither does. */
  updateUser(authUserId: string, { displayName, dateOfBirth, locale, ...login }: UserChange): Promise<AppUser> {
    return this.users.runInTransaction(async (manager) => {
      const { email, phone } = await this.users.updateUser(authUserId, login, manager);
      const profile = {
        ...(displayName === undefined ? {} : { displayName }),
        ...(dateOfBirth === undefined ? {} : { dateOfBirth }),
        ...(locale === undefined ? {} : { locale }),
      };
      await explainingRefusals(() => manager.update(AppUser, { authUserId }, { ...profile, email, phone }));
      return manager.findOneByOrFail(AppUser, { authUserId });
    });
  }

  /** The application's rows first, then the auth user with its identities, accesses and roles. */
  deleteUser(authUserId: string): Promise<void> {
    return this.users.runInTransaction(async (manager) => {
      await manager.delete(AppUser, { authUserId });
      await this.users.deleteUser(authUserId, manager);
    });
  }

  /** The same, but only for whom the rules of the life of a user let go; a refusal brings the AppUser back. */
  deleteForGood(authUserId: string): Promise<void> {
    return this.users.runInTransaction(async (manager) => {
      await manager.delete(AppUser, { authUserId });
      await this.lifecycle.deleteById(authUserId, manager);
    });
  }

  /** The password is hashed here, before any transaction: it takes tens of milliseconds. */
  async #login({ email, phone, phoneCountryCode, password, invite = false }: NewUser) {
    return {
      email: email ?? null,
      phone: phone ?? null,
      phoneCountryCode: phoneCountryCode ?? null,
      password: password === undefined ? null : await this.passwords.hash(password),
      isActive: !invite,
    };
  }

  async #addAppUser(manager: TransactionalManager, authUser: NestAuthUser, input: NewUser): Promise<AppUser> {
    const values = {
      id: uuidv7(),
      authUserId: authUser.id,
      email: authUser.email,
      phone: authUser.phone,
      displayName: input.displayName,
      dateOfBirth: input.dateOfBirth ?? null,
      locale: input.locale ?? 'en',
    };
    // With its id made here, an `insert` is one statement; `save` would look for the row first.
    await explainingRefusals(() => manager.insert(AppUser, values));
    return manager.create(AppUser, values);
  }

  async #portalRoles(manager: EntityManager, roleIds: readonly string[]): Promise<string[]> {
    const roles = await manager.find(NestAuthRole, {
      where: { id: In(roleIds), guard: RoleGuardEnum.PORTAL },
      select: { id: true },
    });
    if (roles.length === roleIds.length) return roles.map(({ id }) => id);
    throw new NestAuthError('ROLE_NOT_FOUND', 'One of the roles is not a role of the portal', {
      details: { ids: roleIds },
    });
  }
}

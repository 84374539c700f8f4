import { Injectable } from '@nestjs/common';
import {
  type HashedPassword,
  InvitationService,
  NestAuthError,
  NestAuthRole,
  type NestAuthUser,
  PasswordPolicy,
  PasswordService,
  RoleGuardEnum,
  type TransactionalManager,
  UserLifecycleService,
  UserService,
  VerificationService,
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

/** By whoever was invited: the token of the mail, and what the invitation does not know of them. */
export interface Acceptance extends Profile {
  readonly token: string;
  /** Not for somebody who has an account. */
  readonly password?: string;
}

/** Auth user and AppUser, always both or neither. */
@Injectable()
export class PortalUserService {
  constructor(
    private readonly users: UserService,
    private readonly passwords: PasswordService,
    private readonly policy: PasswordPolicy,
    private readonly lifecycle: UserLifecycleService,
    private readonly invitations: InvitationService,
    private readonly verification: VerificationService,
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

  /**
   * Accepts an invitation: auth user, membership, roles, and AppUser in one transaction. When AppUser is refused, the
   * invitation is as pending as before, and the same link works again.
   *
   * The manager is passed on instead of a hook, because the profile comes with this request: `user.afterCreate` runs in
   * the same transaction, but knows of the person only what the package knows.
   */
  async acceptInvitation({ token, password: plain, ...profile }: Acceptance): Promise<AppUser> {
    // Before anything costs: nobody makes the portal hash passwords by a token that is none.
    const { invitation } = await this.invitations.getInvitationByToken(token);
    const about = { email: invitation.email, displayName: profile.displayName };
    const password = plain === undefined ? null : await this.#hash(plain, about);
    return this.users.runInTransaction(async (manager) => {
      const accepted = await this.invitations.acceptInvitation({ token, password }, manager);
      if (accepted.isNewUser) return this.#addAppUser(manager, accepted.user, profile);
      return manager.findOneByOrFail(AppUser, { authUserId: accepted.user.id });
    });
  }

  /** The new email has proven itself; the mirror changes with it or neither does. */
  confirmEmailChange(token: string): Promise<AppUser> {
    return this.users.runInTransaction(async (manager) => {
      const { id: authUserId, email } = await this.verification.confirmEmailChange({ token }, manager);
      await manager.update(AppUser, { authUserId }, { email });
      return manager.findOneByOrFail(AppUser, { authUserId });
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

  async #login({
    email = null,
    phone = null,
    phoneCountryCode = null,
    password,
    invite = false,
    displayName,
  }: NewUser) {
    const hashed = password === undefined ? null : await this.#hash(password, { email, phone, displayName });
    return { email, phone, phoneCountryCode, password: hashed, isActive: !invite };
  }

  /**
   * The password is hashed here, before any transaction: it takes tens of milliseconds. What takes a hash cannot judge
   * the password any more, so that is done here, too.
   */
  async #hash(password: string, about: Login & Pick<Profile, 'displayName'>): Promise<HashedPassword> {
    const { email = null, phone = null, displayName } = about;
    await this.policy.assertAcceptable(password, { email, phone, identifiers: [displayName] });
    return this.passwords.hash(password);
  }

  async #addAppUser(manager: TransactionalManager, authUser: NestAuthUser, input: Profile): Promise<AppUser> {
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

import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { assertUuid } from '../errors/input.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { Tenancy } from '../tenant/tenancy.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import type { AccessGrants } from './access-grants.js';
import { AccessGrantsReader } from './access-grants.reader.js';
import { readPermissionNames } from './access-input.policy.js';
import { AccessOperations } from './access.operations.js';
import { explain } from './explain.policy.js';
import { type GrantScope, readPermissions, readRoles } from './access.queries.js';
import type {
  AccessDelta,
  AccessExplanation,
  AccessStatusEnum,
  DirectPermission,
  DirectPermissionOptions,
  GrantOptions,
  PurgeExpiredOptions,
  PurgeExpiredResult,
} from './access.types.js';
import { OwnershipOperations } from './ownership.operations.js';
import { readGrantFacts } from './grant-facts.queries.js';
import type { NestAuthRole } from './role.entity.js';
import type { NestAuthUserAccess } from './user-access.entity.js';

/**
 * What somebody may do, and the parts of an access that `UserService` does not carry.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself. A grant needs a user, a
 * tenant, an access and a role that are all active. What a user may do in a tenant never comes from the platform, nor
 * the other way round.
 *
 * `can`, `canAll`, `canAny`, `canOnPlatform` and the grants are answered by what was read before where that still holds:
 * what this process takes away is refused at once, and what another one does within `revocation.maxStaleMs`. With a
 * manager or in a transaction the database is asked.
 */
@Injectable()
export class AccessService {
  private readonly ownership: OwnershipOperations;

  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: AccessOperations,
    private readonly tenancy: Tenancy,
    private readonly grants: AccessGrantsReader,
  ) {
    this.ownership = new OwnershipOperations(operations, tenancy);
  }

  /** Whether the user may do this in the tenant; false for anything unknown. At most one statement. */
  async can(userId: string, tenantId: string, permission: string, manager?: EntityManager): Promise<boolean> {
    readPermissionNames([permission]);
    return this.grants.holds(this.#scope(userId, tenantId), permission, manager);
  }

  /** Whether the user may do all of these in the tenant. At most one statement. Errors: `VALIDATION_FAILED` for an empty list. */
  async canAll(
    userId: string,
    tenantId: string,
    permissions: readonly string[],
    manager?: EntityManager,
  ): Promise<boolean> {
    const names = readPermissionNames(permissions, { min: 1 });
    const held = await this.grants.held(this.#scope(userId, tenantId), names, manager);
    return names.every((name) => held.has(name));
  }

  /** Whether the user may do one of these in the tenant. At most one statement. Errors: `VALIDATION_FAILED` for an empty list. */
  async canAny(
    userId: string,
    tenantId: string,
    permissions: readonly string[],
    manager?: EntityManager,
  ): Promise<boolean> {
    const names = readPermissionNames(permissions, { min: 1 });
    const held = await this.grants.held(this.#scope(userId, tenantId), names, manager);
    return held.size > 0;
  }

  /** Whether the user may do this on the platform; false for anything unknown. At most one statement. */
  async canOnPlatform(userId: string, permission: string, manager?: EntityManager): Promise<boolean> {
    readPermissionNames([permission]);
    return this.grants.holds(platform(userId), permission, manager);
  }

  /** Names of all that the user may do in the tenant, sorted, each once. One statement. */
  async getPermissions(userId: string, tenantId: string, manager?: EntityManager): Promise<string[]> {
    const scope = this.#scope(userId, tenantId);
    return this.transactions.operate(manager, (m) => readPermissions(m, scope));
  }

  /** Names of all that the user may do on the platform, sorted, each once. One statement. */
  async getPlatformPermissions(userId: string, manager?: EntityManager): Promise<string[]> {
    const scope = platform(userId);
    return this.transactions.operate(manager, (m) => readPermissions(m, scope));
  }

  /**
   * All that the user may do in the tenant, to be asked as often as it is needed; null without an active access and
   * role. At most one statement.
   */
  async getGrants(userId: string, tenantId: string, manager?: EntityManager): Promise<AccessGrants | null> {
    return this.grants.read(this.#scope(userId, tenantId), manager);
  }

  /** As {@link getGrants}, on the platform. */
  async getPlatformGrants(userId: string, manager?: EntityManager): Promise<AccessGrants | null> {
    return this.grants.read(platform(userId), manager);
  }

  /**
   * The roles that grant the user something in the tenant now: those of the access, and those from which they inherit.
   * Inactive ones and those that have run out, and all of a suspended access or inactive user, are left out. One
   * statement.
   */
  async getRoles(userId: string, tenantId: string, manager?: EntityManager): Promise<NestAuthRole[]> {
    const scope = this.#scope(userId, tenantId);
    return this.transactions.operate(manager, (m) => readRoles(m, scope.userId, scope.tenantId));
  }

  /**
   * Whether the user may do this in the tenant and why: the roles and entries that grant it, or what is missing first.
   * One statement.
   */
  async explain(
    userId: string,
    tenantId: string,
    permission: string,
    manager?: EntityManager,
  ): Promise<AccessExplanation> {
    const scope = this.#scope(userId, tenantId);
    readPermissionNames([permission]);
    const facts = await this.transactions.operate(manager, (m) =>
      readGrantFacts(m, scope.userId, scope.tenantId, permission),
    );
    return explain(facts, permission);
  }

  /**
   * Suspends an access, or makes it active again; its roles stay.
   *
   * Transaction: one statement; where sessions are in use a transaction, in which those in the tenant end. Announces
   * `UserAccessChangedEvent` if it changed; repeating it changes nothing.
   * Errors: `ACCESS_NOT_FOUND`, `TENANT_NOT_FOUND`, `VALIDATION_FAILED`.
   */
  setUserAccessStatus(
    userId: string,
    tenantId: string,
    status: AccessStatusEnum,
    manager?: EntityManager,
  ): Promise<NestAuthUserAccess> {
    return this.transactions.perform(this.operations.endNeedsTransaction, manager, (m) =>
      this.operations.setUserAccessStatus(m, userId, tenantId, status),
    );
  }

  /**
   * Makes the access the one a sign-in lands in, instead of the one before.
   *
   * Transaction: two statements, in a transaction of their own where none is running. Repeating it changes nothing.
   * Errors: `ACCESS_NOT_FOUND`, `TENANT_NOT_FOUND`, `VALIDATION_FAILED`.
   */
  setDefaultAccess(userId: string, tenantId: string, manager?: EntityManager): Promise<NestAuthUserAccess> {
    return this.transactions.atomic(manager, (m) => this.operations.setDefaultAccess(m, userId, tenantId));
  }

  /**
   * Gives the user the roles that are missing; makes the access if there is none.
   *
   * Transaction: one statement, repeated while others change the access; a refusal changes nothing and leaves the
   * caller's transaction usable. Announces `UserAccessChangedEvent` if something changed. Repeating it changes nothing.
   * Tenancy: roles of the system or of that tenant, never of the admin guard.
   * Errors: `USER_NOT_FOUND`, `TENANT_NOT_FOUND`, `TENANT_SCOPE_MISMATCH`, `ROLE_NOT_FOUND`, `ROLE_SCOPE_MISMATCH`
   * with `details.ids`, `VALIDATION_FAILED`.
   */
  addUserAccessRoles(
    userId: string,
    tenantId: string,
    roleIds: readonly string[],
    manager?: EntityManager,
  ): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) =>
      this.operations.roles.addUserAccessRoles(m, userId, tenantId, roleIds),
    );
  }

  /**
   * Gives the user the role until `expiresAt`, by the clock of the database, or for good without it; makes the access if
   * there is none. A role that the user has already gets this time instead of its own.
   *
   * Transaction, tenancy and errors as for {@link addUserAccessRoles}; also `VALIDATION_FAILED` for a moment that is not
   * to come. Repeating it with the same time changes nothing.
   */
  grantAccessRole(
    userId: string,
    tenantId: string,
    roleId: string,
    options?: GrantOptions,
    manager?: EntityManager,
  ): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) =>
      this.operations.roles.grantAccessRole(m, userId, tenantId, roleId, options),
    );
  }

  /** Takes from the user those of the roles that the access has, inactive ones too. Otherwise as {@link addUserAccessRoles}. */
  removeUserAccessRoles(
    userId: string,
    tenantId: string,
    roleIds: readonly string[],
    manager?: EntityManager,
  ): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) =>
      this.operations.roles.removeUserAccessRoles(m, userId, tenantId, roleIds),
    );
  }

  /**
   * The owners of the tenant in the order of their making, the first 200: active users with an active access and a role
   * that makes owners. None of a tenant that is not active. One statement.
   *
   * Errors: `TENANT_NOT_FOUND` for what is no tenant's id.
   */
  getOwners(tenantId: string, manager?: EntityManager): Promise<NestAuthUser[]> {
    return this.transactions.operate(manager, (m) => this.ownership.getOwners(m, tenantId));
  }

  /**
   * Gives the roles that make `fromUserId` an owner of the tenant to `toUserId`, who becomes a member if need be, and
   * takes them from the former. Answers the ids of the roles.
   *
   * Transaction: its own where none is running; of concurrent transfers by one owner exactly one succeeds. Announces
   * `UserAccessChangedEvent` for both.
   * Errors: `OWNER_NOT_FOUND`, also when repeated; `USER_NOT_FOUND`, `USER_NOT_ACTIVE` and `ACCESS_NOT_FOUND` for who
   * cannot receive it; `TENANT_NOT_FOUND`, `TENANT_SCOPE_MISMATCH`, `LAST_OWNER` in a race, `GRANT_NOT_HELD`,
   * `VALIDATION_FAILED`.
   */
  transferOwnership(
    tenantId: string,
    fromUserId: string,
    toUserId: string,
    manager?: EntityManager,
  ): Promise<readonly string[]> {
    return this.transactions.atomic(manager, (m) => this.ownership.transfer(m, tenantId, fromUserId, toUserId));
  }

  /**
   * Makes `roleIds` the user's roles on the platform; makes the platform access if there is none.
   *
   * Transaction: one statement, repeated while others change the access: of concurrent sets exactly one remains. A
   * refusal changes nothing and leaves the caller's transaction usable. Announces `PlatformAccessChangedEvent` if
   * something changed.
   * Tenancy: users of the nil realm and system roles of the admin guard only.
   * Errors: `USER_NOT_FOUND`, `TENANT_SCOPE_MISMATCH`, `ROLE_NOT_FOUND`, `ROLE_SCOPE_MISMATCH` with `details.ids`,
   * `VALIDATION_FAILED`.
   */
  setPlatformAccessRoles(userId: string, roleIds: readonly string[], manager?: EntityManager): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) => this.operations.roles.setPlatformAccessRoles(m, userId, roleIds));
  }

  /** As {@link grantAccessRole}, on the platform, with what {@link setPlatformAccessRoles} refuses. */
  grantPlatformAccessRole(
    userId: string,
    roleId: string,
    options?: GrantOptions,
    manager?: EntityManager,
  ): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) =>
      this.operations.roles.grantPlatformAccessRole(m, userId, roleId, options),
    );
  }

  /**
   * Grants the access a permission, or a wildcard, beside its roles, for good or until `expiresAt` by the clock of the
   * database; true if that changed something. It replaces a denial of the same name.
   *
   * Transaction: one statement, repeated while others change the access; a refusal leaves the caller's transaction
   * usable. Announces `UserAccessPermissionChangedEvent` if it changed; repeating it changes nothing.
   * Errors: `ACCESS_NOT_FOUND`, `PERMISSION_NOT_FOUND` for a name that no guard but the admin's has, `TENANT_NOT_FOUND`,
   * `VALIDATION_FAILED`, also for a moment that is not to come.
   */
  grantPermission(
    userId: string,
    tenantId: string,
    permission: string,
    options?: DirectPermissionOptions,
    manager?: EntityManager,
  ): Promise<boolean> {
    return this.transactions.operate(manager, (m) =>
      this.operations.entries.enter(m, this.#scope(userId, tenantId), 'grant', permission, options),
    );
  }

  /**
   * Denies the access a permission, and with a wildcard everything below, whatever grants it. It replaces a grant of the
   * same name. Otherwise as {@link grantPermission}.
   */
  denyPermission(
    userId: string,
    tenantId: string,
    permission: string,
    options?: DirectPermissionOptions,
    manager?: EntityManager,
  ): Promise<boolean> {
    return this.transactions.operate(manager, (m) =>
      this.operations.entries.enter(m, this.#scope(userId, tenantId), 'deny', permission, options),
    );
  }

  /** Takes back what {@link grantPermission} or {@link denyPermission} made of the permission; the roles stay. False if there was nothing. */
  revokePermission(userId: string, tenantId: string, permission: string, manager?: EntityManager): Promise<boolean> {
    return this.transactions.operate(manager, (m) =>
      this.operations.entries.remove(m, this.#scope(userId, tenantId), permission),
    );
  }

  /** What the access grants and denies beside its roles and has not run out, by name; also when it is suspended. One statement. */
  getDirectPermissions(userId: string, tenantId: string, manager?: EntityManager): Promise<DirectPermission[]> {
    return this.transactions.operate(manager, (m) => this.operations.entries.list(m, this.#scope(userId, tenantId)));
  }

  /** As {@link grantPermission}, on the platform: permissions of the admin guard. Announces `PlatformAccessPermissionChangedEvent`. */
  grantPlatformPermission(
    userId: string,
    permission: string,
    options?: DirectPermissionOptions,
    manager?: EntityManager,
  ): Promise<boolean> {
    return this.transactions.operate(manager, (m) =>
      this.operations.entries.enter(m, platform(userId), 'grant', permission, options),
    );
  }

  /** As {@link denyPermission}, on the platform. */
  denyPlatformPermission(
    userId: string,
    permission: string,
    options?: DirectPermissionOptions,
    manager?: EntityManager,
  ): Promise<boolean> {
    return this.transactions.operate(manager, (m) =>
      this.operations.entries.enter(m, platform(userId), 'deny', permission, options),
    );
  }

  /** As {@link revokePermission}, on the platform. */
  revokePlatformPermission(userId: string, permission: string, manager?: EntityManager): Promise<boolean> {
    return this.transactions.operate(manager, (m) => this.operations.entries.remove(m, platform(userId), permission));
  }

  /** As {@link getDirectPermissions}, on the platform. */
  getDirectPlatformPermissions(userId: string, manager?: EntityManager): Promise<DirectPermission[]> {
    return this.transactions.operate(manager, (m) => this.operations.entries.list(m, platform(userId)));
  }

  /**
   * Removes roles and permissions of accesses that have run out; they grant nothing already. A job of the package does
   * it regularly.
   *
   * Transaction: each batch is one statement, and one transaction unless the caller has one. Announces what was removed as
   * if somebody had. Repeating it removes what has run out since; two at once do not meet.
   * Errors: `VALIDATION_FAILED`.
   */
  purgeExpiredGrants(options: PurgeExpiredOptions = {}, manager?: EntityManager): Promise<PurgeExpiredResult> {
    return this.operations.expired.purge(options, manager);
  }

  /** Of a tenant, and never of the platform, which only the methods named after it are about. */
  #scope(userId: string, tenantId: string): { userId: string; tenantId: string } {
    assertUuid('userId', userId);
    return { userId, tenantId: this.tenancy.named(tenantId) };
  }
}

function platform(userId: string): GrantScope {
  assertUuid('userId', userId);
  return { userId, tenantId: null };
}

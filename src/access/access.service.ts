import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { assertUuid } from '../errors/input.js';
import { Tenancy } from '../tenant/tenancy.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import type { AccessGrants } from './access-grants.js';
import { readPermissionNames } from './access-input.policy.js';
import { AccessOperations } from './access.operations.js';
import { explain } from './access.policy.js';
import {
  type GrantScope,
  readGrantFacts,
  readGrants,
  readHeldPermissions,
  readHoldsPermission,
  readPermissions,
  readRoles,
} from './access.queries.js';
import type { AccessDelta, AccessExplanation, AccessStatusEnum } from './access.types.js';
import type { NestAuthRole } from './role.entity.js';
import type { NestAuthUserAccess } from './user-access.entity.js';

/**
 * What somebody may do, and the parts of an access that `UserService` does not carry.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself. A grant needs a user, a
 * tenant, an access and a role that are all active; nothing is cached, so that taking one away works at once. What a
 * user may do in a tenant never comes from the platform, nor the other way round.
 */
@Injectable()
export class AccessService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: AccessOperations,
    private readonly tenancy: Tenancy,
  ) {}

  /** Whether the user may do this in the tenant; false for anything unknown. One statement. */
  async can(userId: string, tenantId: string, permission: string, manager?: EntityManager): Promise<boolean> {
    readPermissionNames([permission]);
    const scope = this.#scope(userId, tenantId);
    return this.transactions.operate(manager, (m) => readHoldsPermission(m, scope, permission));
  }

  /** Whether the user may do all of these in the tenant. One statement. Errors: `VALIDATION_FAILED` for an empty list. */
  async canAll(
    userId: string,
    tenantId: string,
    permissions: readonly string[],
    manager?: EntityManager,
  ): Promise<boolean> {
    const names = readPermissionNames(permissions, { min: 1 });
    const held = await this.#held(this.#scope(userId, tenantId), names, manager);
    return names.every((name) => held.has(name));
  }

  /** Whether the user may do one of these in the tenant. One statement. Errors: `VALIDATION_FAILED` for an empty list. */
  async canAny(
    userId: string,
    tenantId: string,
    permissions: readonly string[],
    manager?: EntityManager,
  ): Promise<boolean> {
    const names = readPermissionNames(permissions, { min: 1 });
    const held = await this.#held(this.#scope(userId, tenantId), names, manager);
    return held.size > 0;
  }

  /** Whether the user may do this on the platform; false for anything unknown. One statement. */
  async canOnPlatform(userId: string, permission: string, manager?: EntityManager): Promise<boolean> {
    readPermissionNames([permission]);
    const scope = platform(userId);
    return this.transactions.operate(manager, (m) => readHoldsPermission(m, scope, permission));
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
   * role. One statement.
   */
  async getGrants(userId: string, tenantId: string, manager?: EntityManager): Promise<AccessGrants | null> {
    const scope = this.#scope(userId, tenantId);
    return this.transactions.operate(manager, (m) => readGrants(m, scope));
  }

  /** As {@link getGrants}, on the platform. */
  async getPlatformGrants(userId: string, manager?: EntityManager): Promise<AccessGrants | null> {
    const scope = platform(userId);
    return this.transactions.operate(manager, (m) => readGrants(m, scope));
  }

  /**
   * The roles that grant the user something in the tenant now; inactive ones, and those of a suspended access or
   * inactive user, are left out. One statement.
   */
  async getRoles(userId: string, tenantId: string, manager?: EntityManager): Promise<NestAuthRole[]> {
    const scope = this.#scope(userId, tenantId);
    return this.transactions.operate(manager, (m) => readRoles(m, scope.userId, scope.tenantId));
  }

  /** Whether the user may do this in the tenant and why, or what is missing first. One statement. */
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
    return this.transactions.operate(manager, (m) => this.operations.addUserAccessRoles(m, userId, tenantId, roleIds));
  }

  /** Takes from the user those of the roles that the access has, inactive ones too. Otherwise as {@link addUserAccessRoles}. */
  removeUserAccessRoles(
    userId: string,
    tenantId: string,
    roleIds: readonly string[],
    manager?: EntityManager,
  ): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) =>
      this.operations.removeUserAccessRoles(m, userId, tenantId, roleIds),
    );
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
    return this.transactions.operate(manager, (m) => this.operations.setPlatformAccessRoles(m, userId, roleIds));
  }

  #held(scope: GrantScope, names: readonly string[], manager?: EntityManager): Promise<ReadonlySet<string>> {
    return this.transactions.operate(manager, (m) => readHeldPermissions(m, scope, names));
  }

  #scope(userId: string, tenantId: string): { userId: string; tenantId: string } {
    assertUuid('userId', userId);
    return { userId, tenantId: this.tenancy.named(tenantId) };
  }
}

function platform(userId: string): GrantScope {
  assertUuid('userId', userId);
  return { userId, tenantId: null };
}

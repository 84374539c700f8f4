import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { EventPublisher } from '../events/event-publisher.js';
import { Ownership } from '../tenant/ownership.operations.js';
import { Tenancy } from '../tenant/tenancy.js';
import type { Page, PageOptions } from '../transaction/keyset.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { AccessSettings } from './access.settings.js';
import type { AccessDelta, CreateRoleInput, GetRolesOptions, RoleRelations, UpdateRoleInput } from './access.types.js';
import { Delegation } from './delegation.operations.js';
import type { NestAuthRole } from './role.entity.js';
import { RoleOperations } from './role.operations.js';

/**
 * Roles and their permissions: make, change, find, list, remove.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself. A role belongs to the
 * system or to one tenant, inside a guard; neither ever changes.
 */
@Injectable()
export class RoleService {
  private readonly operations: RoleOperations;

  constructor(
    private readonly transactions: TransactionHost,
    publisher: EventPublisher,
    tenancy: Tenancy,
    settings: AccessSettings,
  ) {
    this.operations = new RoleOperations(
      publisher,
      tenancy,
      settings,
      new Ownership(transactions),
      new Delegation(transactions, tenancy, settings),
    );
  }

  /**
   * Makes a role with its permissions, or nothing.
   *
   * Transaction: one statement; a refusal leaves the caller's transaction usable. Announces `RoleCreatedEvent`.
   * Tenancy: `isSystem: true` or a `tenantId` says whose it is; in `DISABLED` tenancy it is the system's unless told.
   * Errors: `VALIDATION_FAILED`, `TENANT_NOT_FOUND`, `ROLE_ALREADY_EXISTS`, `PERMISSION_NOT_FOUND` with the unknown
   * names in `details.fields`.
   */
  createRole(input: CreateRoleInput, manager?: EntityManager): Promise<NestAuthRole> {
    return this.transactions.operate(manager, (m) => this.operations.create(m, input));
  }

  /**
   * Changes the fields named; metadata is merged key by key, `null` removes a key.
   *
   * Transaction: one statement; inside a transaction a new name is tried in a savepoint, so that a taken one leaves it
   * usable. Announces `RoleUpdatedEvent` if something has another value now; repeating a call changes nothing.
   * Errors: `VALIDATION_FAILED`, `ROLE_NOT_FOUND`, `ROLE_ALREADY_EXISTS`, `STALE_VERSION`.
   */
  updateRole(id: string, input: UpdateRoleInput, manager?: EntityManager): Promise<NestAuthRole> {
    return this.transactions.operate(manager, (m) => this.operations.update(m, id, input));
  }

  /**
   * Removes a role that no access has and no role inherits from, with its grants of permissions and what it inherits.
   *
   * Transaction: one statement, in a savepoint inside a transaction; a refusal leaves the caller's transaction usable,
   * also when the role is assigned at the same moment. Announces `RoleDeletedEvent`.
   * Errors: `ROLE_NOT_FOUND`, also when repeated; `ROLE_IN_USE`.
   */
  deleteRole(id: string, manager?: EntityManager): Promise<void> {
    return this.transactions.operate(manager, (m) => this.operations.delete(m, id));
  }

  /**
   * The role with this id, active or not; null when there is none. One statement, also with its permissions; with its
   * parents one more.
   */
  getRoleById(
    id: string,
    options?: { readonly relations?: RoleRelations },
    manager?: EntityManager,
  ): Promise<NestAuthRole | null> {
    return this.transactions.operate(manager, (m) => this.operations.findById(m, id, options));
  }

  /** The role with this name of the guard and tenant, or of the system without one; null when there is none. One statement. */
  getRoleByName(
    name: string,
    guard: string,
    tenantId?: string | null,
    manager?: EntityManager,
  ): Promise<NestAuthRole | null> {
    return this.transactions.operate(manager, (m) => this.operations.findByName(m, name, guard, tenantId));
  }

  /**
   * Roles of the system and of the tenant named, in the order of their making. One statement, at the primary; with
   * `replica: true` at a replica, unless a transaction is running or `manager` is passed.
   *
   * Tenancy: without `tenantId` those of the system alone. Errors: `VALIDATION_FAILED`, `TENANT_NOT_FOUND`.
   */
  async getRoles(options?: GetRolesOptions, manager?: EntityManager): Promise<NestAuthRole[]> {
    const { items } = await this.getRolesPage(options, manager);
    return items;
  }

  /** As {@link getRoles}, with the cursor of the next page. */
  getRolesPage(options?: GetRolesOptions, manager?: EntityManager): Promise<Page<NestAuthRole>> {
    return this.transactions.browse(options, manager, (m) => this.operations.page(m, options));
  }

  /** Roles of the system, in the order of their making. One statement. Errors: `VALIDATION_FAILED`. */
  getSystemRoles(
    options?: PageOptions & { readonly guard?: string },
    manager?: EntityManager,
  ): Promise<NestAuthRole[]> {
    return this.getRoles({ ...options, systemOnly: true }, manager);
  }

  /**
   * Makes the permissions named the ones of the role; of concurrent calls exactly one set remains.
   *
   * Transaction: one statement, repeated while others change the role; a refusal changes nothing and leaves the
   * caller's transaction usable. Announces `RolePermissionsChangedEvent` if something changed, and only then counts
   * the version up.
   * Errors: `VALIDATION_FAILED`, `ROLE_NOT_FOUND`, `PERMISSION_NOT_FOUND` with the unknown names in `details.fields`.
   */
  setRolePermissions(roleId: string, permissions: readonly string[], manager?: EntityManager): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) => this.operations.changePermissions(m, roleId, permissions, 'set'));
  }

  /** Gives the role the permissions that it lacks. As {@link setRolePermissions} otherwise; repeating it changes nothing. */
  addRolePermissions(roleId: string, permissions: readonly string[], manager?: EntityManager): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) => this.operations.changePermissions(m, roleId, permissions, 'add'));
  }

  /** Takes from the role the permissions that it holds. As {@link setRolePermissions} otherwise; repeating it changes nothing. */
  removeRolePermissions(roleId: string, permissions: readonly string[], manager?: EntityManager): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) =>
      this.operations.changePermissions(m, roleId, permissions, 'remove'),
    );
  }

  /**
   * Makes the roles named the ones from which the role inherits what they grant, and what they inherit themselves; of
   * concurrent calls exactly one set remains.
   *
   * Transaction: one statement, repeated while others change what inherits from what; a refusal changes nothing and
   * leaves the caller's transaction usable. Announces `RoleParentsChangedEvent` if something changed, and only then
   * counts the version up.
   * Tenancy: roles of the same guard, of the role's own tenant or of the system; one of the system inherits from the
   * system's alone.
   * Errors: `VALIDATION_FAILED`, `ROLE_NOT_FOUND`, `ROLE_SCOPE_MISMATCH` and `ROLE_CYCLE` with `details.ids`,
   * `ROLE_DEPTH_EXCEEDED` for more than eight steps within the roles of one owner.
   */
  setRoleParents(roleId: string, parentIds: readonly string[], manager?: EntityManager): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) => this.operations.parents.change(m, roleId, parentIds, 'set'));
  }

  /** Lets the role inherit from these too. As {@link setRoleParents} otherwise; repeating it changes nothing. */
  addRoleParents(roleId: string, parentIds: readonly string[], manager?: EntityManager): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) => this.operations.parents.change(m, roleId, parentIds, 'add'));
  }

  /** Lets the role inherit from these no more. As {@link setRoleParents} otherwise; repeating it changes nothing. */
  removeRoleParents(roleId: string, parentIds: readonly string[], manager?: EntityManager): Promise<AccessDelta> {
    return this.transactions.operate(manager, (m) => this.operations.parents.change(m, roleId, parentIds, 'remove'));
  }
}

import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { EventPublisher } from '../events/event-publisher.js';
import type { Page } from '../transaction/keyset.js';
import { Tenancy } from '../tenant/tenancy.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { AccessSettings } from './access.settings.js';
import type {
  CreatePermissionInput,
  CreatePermissionsResult,
  GetPermissionsOptions,
  UpdatePermissionInput,
} from './access.types.js';
import { Delegation } from './delegation.operations.js';
import type { NestAuthPermission } from './permission.entity.js';
import { PermissionOperations } from './permission.operations.js';

/**
 * Permissions: make, change, find, list, remove.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself. Permissions belong to a
 * guard and to no tenant.
 */
@Injectable()
export class PermissionService {
  private readonly operations: PermissionOperations;

  constructor(
    private readonly transactions: TransactionHost,
    publisher: EventPublisher,
    settings: AccessSettings,
    tenancy: Tenancy,
  ) {
    const delegation = new Delegation(transactions, tenancy, settings);
    this.operations = new PermissionOperations(publisher, settings, delegation);
  }

  /**
   * Makes a permission.
   *
   * Transaction: one statement; a refusal leaves the caller's transaction usable. Announces `PermissionCreatedEvent`.
   * Errors: `VALIDATION_FAILED`, `PERMISSION_ALREADY_EXISTS`.
   */
  createPermission(input: CreatePermissionInput, manager?: EntityManager): Promise<NestAuthPermission> {
    return this.transactions.operate(manager, (m) => this.operations.create(m, input));
  }

  /**
   * Makes those of the permissions that do not exist, at most 1,000 at once. Made for the start of an application.
   *
   * Transaction: one statement, repeated for what another process made meanwhile. Announces one
   * `PermissionCreatedEvent` for each that was made.
   * Idempotent: a permission that exists is returned as it is, also when the input describes it differently.
   * Errors: `VALIDATION_FAILED`, which makes none.
   */
  createPermissions(
    inputs: readonly CreatePermissionInput[],
    manager?: EntityManager,
  ): Promise<CreatePermissionsResult> {
    return this.transactions.atomic(manager, (m) => this.operations.createMany(m, inputs));
  }

  /**
   * Changes the fields named; metadata is merged key by key, `null` removes a key.
   *
   * Transaction: one statement; inside a transaction a new name is tried in a savepoint, so that a taken one leaves it
   * usable. Announces `PermissionUpdatedEvent` if something has another value now; repeating a call changes nothing.
   * Errors: `VALIDATION_FAILED`, `PERMISSION_NOT_FOUND`, `PERMISSION_ALREADY_EXISTS`.
   */
  updatePermission(id: string, input: UpdatePermissionInput, manager?: EntityManager): Promise<NestAuthPermission> {
    return this.transactions.operate(manager, (m) => this.operations.update(m, id, input));
  }

  /**
   * Removes a permission that no role holds.
   *
   * Transaction: one statement, in a savepoint inside a transaction; a refusal leaves the caller's transaction usable.
   * Announces `PermissionDeletedEvent`.
   * Errors: `PERMISSION_NOT_FOUND`, also when repeated; `PERMISSION_IN_USE`.
   */
  deletePermission(id: string, manager?: EntityManager): Promise<void> {
    return this.transactions.operate(manager, (m) => this.operations.delete(m, id));
  }

  /** The permission with this id; null when there is none. One statement. */
  getPermissionById(id: string, manager?: EntityManager): Promise<NestAuthPermission | null> {
    return this.transactions.operate(manager, (m) => this.operations.findById(m, id));
  }

  /** The permission with this name in the guard; null when there is none. One statement. */
  getPermissionByName(name: string, guard: string, manager?: EntityManager): Promise<NestAuthPermission | null> {
    return this.transactions.operate(manager, (m) => this.operations.findByName(m, name, guard));
  }

  /**
   * Permissions in the order of their making. One statement, at the primary; with `replica: true` at a replica, unless
   * a transaction is running or `manager` is passed. Errors: `VALIDATION_FAILED`.
   */
  async getPermissions(options?: GetPermissionsOptions, manager?: EntityManager): Promise<NestAuthPermission[]> {
    const { items } = await this.getPermissionsPage(options, manager);
    return items;
  }

  /** As {@link getPermissions}, with the cursor of the next page. */
  getPermissionsPage(options?: GetPermissionsOptions, manager?: EntityManager): Promise<Page<NestAuthPermission>> {
    return this.transactions.browse(options, manager, (m) => this.operations.page(m, options));
  }
}

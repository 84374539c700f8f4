import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { EventPublisher } from '../events/event-publisher.js';
import { Ownership } from '../tenant/ownership.operations.js';
import { Tenancy } from '../tenant/tenancy.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { AccessSettings } from './access.settings.js';
import { Delegation } from './delegation.operations.js';
import { PermissionOperations } from './permission.operations.js';
import { RegistryOperations } from './registry.operations.js';
import type { ApplyPermissionsOptions, PermissionRegistry, PermissionRegistryPlan } from './registry.types.js';
import { RoleOperations } from './role.operations.js';

/**
 * Brings permissions and roles that are declared in code, by `definePermissions`, into the database.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself. Only permissions of the
 * registry's guard and roles of the system are looked at; those of tenants are theirs.
 */
@Injectable()
export class PermissionRegistryService {
  private readonly operations: RegistryOperations;

  constructor(
    private readonly transactions: TransactionHost,
    publisher: EventPublisher,
    tenancy: Tenancy,
    settings: AccessSettings,
  ) {
    const delegation = new Delegation(transactions, tenancy, settings);
    this.operations = new RegistryOperations(
      new PermissionOperations(publisher, settings, delegation),
      new RoleOperations(publisher, tenancy, settings, new Ownership(transactions), delegation),
    );
  }

  /**
   * What `apply` would create and change, and what is in the database without being declared. One statement; writes
   * nothing.
   *
   * Errors: `VALIDATION_FAILED` for what was not made by `definePermissions`.
   */
  plan(registry: PermissionRegistry, manager?: EntityManager): Promise<PermissionRegistryPlan> {
    return this.transactions.operate(manager, (m) => this.operations.plan(m, registry));
  }

  /**
   * Creates and changes what is needed so that the database has what is declared, and answers that plan. A declared role
   * grants afterwards what is declared and nothing else.
   *
   * Transaction: its own where none is running; all of it or nothing. Processes that apply at once do so one after
   * another, and the later ones find nothing to do. Announces what was really created, changed and deleted, and nothing
   * when it is repeated.
   * Errors: `VALIDATION_FAILED`; `LAST_OWNER`, `ROLE_CYCLE` and `ROLE_DEPTH_EXCEEDED` as from `RoleService`; with
   * `prune` `ROLE_IN_USE` and `PERMISSION_IN_USE` for what is not declared and in use; `GRANT_NOT_HELD`.
   */
  apply(
    registry: PermissionRegistry,
    options?: ApplyPermissionsOptions,
    manager?: EntityManager,
  ): Promise<PermissionRegistryPlan> {
    return this.transactions.atomic(manager, (m) => this.operations.apply(m, registry, options));
  }
}

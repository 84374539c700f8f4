import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { EventPublisher } from '../events/event-publisher.js';
import type { Page } from '../transaction/keyset.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { Tenancy } from './tenancy.js';
import type { NestAuthTenant } from './tenant.entity.js';
import { TenantOperations } from './tenant.operations.js';
import type { CreateTenantInput, GetTenantsOptions, TenantFilter, UpdateTenantInput } from './tenant.types.js';

/**
 * Tenants: make, change, find, list, remove.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself. The built-in tenant is
 * seen only in `DISABLED` tenancy, where it is the only one.
 */
@Injectable()
export class TenantService {
  private readonly operations: TenantOperations;

  constructor(
    private readonly transactions: TransactionHost,
    publisher: EventPublisher,
    tenancy: Tenancy,
  ) {
    this.operations = new TenantOperations(publisher, tenancy);
  }

  /**
   * Makes a tenant.
   *
   * Transaction: one statement; a refusal leaves the caller's transaction usable. Announces `TenantCreatedEvent`.
   * Errors: `VALIDATION_FAILED`, also in `DISABLED` tenancy; `TENANT_ALREADY_EXISTS` for a slug that is taken.
   */
  createTenant(input: CreateTenantInput, manager?: EntityManager): Promise<NestAuthTenant> {
    return this.transactions.operate(manager, (m) => this.operations.create(m, input));
  }

  /**
   * Changes the fields named; metadata is merged key by key, `null` removes a key. A stricter `secondFactorPolicy` ends
   * the sessions in the tenant that do not meet it.
   *
   * Transaction: one statement; inside a transaction a new slug is tried in a savepoint, so that a taken one leaves
   * it usable. Announces `TenantUpdatedEvent` if something has another value now; repeating a call changes nothing.
   * Errors: `VALIDATION_FAILED`, `TENANT_NOT_FOUND`, `TENANT_ALREADY_EXISTS`, `STALE_VERSION`.
   */
  updateTenant(id: string, input: UpdateTenantInput, manager?: EntityManager): Promise<NestAuthTenant> {
    return this.transactions.operate(manager, (m) => this.operations.update(m, id, input));
  }

  /**
   * Removes a tenant that nothing belongs to any more.
   *
   * Transaction: one statement, in a savepoint inside a transaction; a refusal leaves the caller's transaction usable.
   * Announces `TenantDeletedEvent`.
   * Errors: `TENANT_NOT_FOUND`, also when repeated; `TENANT_IN_USE` while it has users, roles or accesses;
   * `VALIDATION_FAILED` in `DISABLED` tenancy.
   */
  deleteTenant(id: string, manager?: EntityManager): Promise<void> {
    return this.transactions.operate(manager, (m) => this.operations.delete(m, id));
  }

  /** The tenant with this id, active or not; null when there is none. One statement. */
  getTenantById(id: string, manager?: EntityManager): Promise<NestAuthTenant | null> {
    return this.transactions.operate(manager, (m) => this.operations.findById(m, id));
  }

  /** The tenant with this slug, active or not; null when there is none. One statement. */
  getTenantBySlug(slug: string, manager?: EntityManager): Promise<NestAuthTenant | null> {
    return this.transactions.operate(manager, (m) => this.operations.findBySlug(m, slug));
  }

  /**
   * Tenants in the order of their making. One statement, at the primary; with `replica: true` at a replica, unless a
   * transaction is running or `manager` is passed. Errors: `VALIDATION_FAILED`.
   */
  async getTenants(options?: GetTenantsOptions, manager?: EntityManager): Promise<NestAuthTenant[]> {
    const { items } = await this.getTenantsPage(options, manager);
    return items;
  }

  /** As {@link getTenants}, with the cursor of the next page. */
  getTenantsPage(options?: GetTenantsOptions, manager?: EntityManager): Promise<Page<NestAuthTenant>> {
    return this.transactions.browse(options, manager, (m) => this.operations.page(m, options));
  }

  /** As {@link getTenants}, with how many match the filter altogether. One statement, which counts them all. */
  getTenantsAndCount(options?: GetTenantsOptions, manager?: EntityManager): Promise<[NestAuthTenant[], number]> {
    return this.transactions.browse(options, manager, (m) => this.operations.pageAndCount(m, options));
  }

  /** How many tenants match. One statement. Errors: `VALIDATION_FAILED`. */
  countTenants(filter?: TenantFilter, manager?: EntityManager): Promise<number> {
    return this.transactions.operate(manager, (m) => this.operations.count(m, filter));
  }
}

import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { EventPublisher } from '../events/event-publisher.js';
import { Tenancy } from '../tenant/tenancy.js';
import type { Page } from '../transaction/keyset.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import type { CreateServiceAccountInput, ListServiceAccountsOptions } from './api-key.types.js';
import type { NestAuthServiceAccount } from './service-account.entity.js';
import { ServiceAccountOperations } from './service-account.operations.js';

/**
 * Programs that work for a tenant. A service account has no password, no session and no role; what it may do is in the
 * scopes of its keys, which `ApiKeyService` makes. It asks nobody for a right; the caller does.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself, and is one statement. An
 * account of another tenant is refused like one that does not exist. Where tenancy is `DISABLED` the tenant can be left
 * out.
 */
@Injectable()
export class ServiceAccountService {
  private readonly operations: ServiceAccountOperations;

  constructor(
    private readonly transactions: TransactionHost,
    events: EventPublisher,
    tenancy: Tenancy,
  ) {
    this.operations = new ServiceAccountOperations(events, tenancy);
  }

  /**
   * Makes a service account, which is active.
   *
   * Transaction: one statement; a refusal leaves the caller's transaction usable. Announces
   * `ServiceAccountCreatedEvent`.
   * Errors: `SERVICE_ACCOUNT_ALREADY_EXISTS` for a name that another one of the tenant has, `TENANT_NOT_FOUND`,
   * `VALIDATION_FAILED`.
   */
  create(input: CreateServiceAccountInput, manager?: EntityManager): Promise<NestAuthServiceAccount> {
    return this.transactions.operate(manager, (m) => this.operations.create(m, input));
  }

  /** The accounts of the tenant, in the order of their making; 20 a page, at most 100. Errors: `VALIDATION_FAILED`, `TENANT_NOT_FOUND`. */
  list(options?: ListServiceAccountsOptions, manager?: EntityManager): Promise<Page<NestAuthServiceAccount>> {
    return this.transactions.browse(options, manager, (m) => this.operations.page(m, options));
  }

  /** The account, active or not; null when the tenant has none of this id. */
  get(id: string, tenantId?: string, manager?: EntityManager): Promise<NestAuthServiceAccount | null> {
    return this.transactions.operate(manager, (m) => this.operations.find(m, id, tenantId));
  }

  /**
   * Shuts the account: from the next request on none of its keys opens anything, in no process, until it is enabled.
   *
   * Announces `ServiceAccountDisabledEvent` if it changed; repeating it changes nothing.
   * Errors: `SERVICE_ACCOUNT_NOT_FOUND`, `TENANT_NOT_FOUND`, `VALIDATION_FAILED`.
   */
  disable(id: string, tenantId?: string, manager?: EntityManager): Promise<NestAuthServiceAccount> {
    return this.transactions.operate(manager, (m) => this.operations.setActive(m, id, tenantId, false));
  }

  /** Opens it again, with the keys that have neither ended nor been revoked. As {@link disable}; announces `ServiceAccountEnabledEvent`. */
  enable(id: string, tenantId?: string, manager?: EntityManager): Promise<NestAuthServiceAccount> {
    return this.transactions.operate(manager, (m) => this.operations.setActive(m, id, tenantId, true));
  }

  /**
   * Removes the account with its keys.
   *
   * Announces `ServiceAccountDeletedEvent`. Errors: `SERVICE_ACCOUNT_NOT_FOUND`, also when repeated; `TENANT_NOT_FOUND`,
   * `VALIDATION_FAILED`.
   */
  delete(id: string, tenantId?: string, manager?: EntityManager): Promise<void> {
    return this.transactions.operate(manager, (m) => this.operations.delete(m, id, tenantId));
  }
}

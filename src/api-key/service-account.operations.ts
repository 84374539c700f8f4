import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { assertUuid } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import {
  ServiceAccountCreatedEvent,
  ServiceAccountDeletedEvent,
  ServiceAccountDisabledEvent,
  ServiceAccountEnabledEvent,
} from '../events/nest-auth.events.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { cursorKind, encodeCursor, type Page, readIdCursor, readPage, toPage } from '../transaction/keyset.js';
import { checkAccountList, checkCreateAccount, tenantOfAccounts } from './api-key-input.policy.js';
import { accountNameTaken, noAccount } from './api-key-refusals.policy.js';
import { actingUser } from './api-key.operations.js';
import type { CreateServiceAccountInput, ListServiceAccountsOptions } from './api-key.types.js';
import type { NestAuthServiceAccount } from './service-account.entity.js';
import {
  deleteAccount,
  findAccount,
  insertAccount,
  isMade,
  listAccounts,
  setAccountActive,
  toServiceAccount,
} from './service-account.queries.js';

const LIMITS = { defaultLimit: 20, maxLimit: 100 } as const;

/** The rules of service accounts: validate, write, announce. */
export class ServiceAccountOperations {
  constructor(
    private readonly events: EventPublisher,
    private readonly tenancy: Tenancy,
  ) {}

  async create(manager: EntityManager, input: CreateServiceAccountInput): Promise<NestAuthServiceAccount> {
    checkCreateAccount(input);
    const { name, description = null } = input;
    const tenantId = tenantOfAccounts(input.tenantId, this.tenancy);
    const row = await insertAccount(manager, { tenantId, id: uuidv7(), name, description, createdBy: actingUser() });
    if (!row.tenant_ok) {
      throw new NestAuthError('TENANT_NOT_FOUND', 'create was called with the id of no tenant; pass an existing one');
    }
    if (!isMade(row)) throw accountNameTaken();
    const account = toServiceAccount(row, manager);
    this.events.publish(manager, new ServiceAccountCreatedEvent(account));
    return account;
  }

  async page(manager: EntityManager, options: ListServiceAccountsOptions = {}): Promise<Page<NestAuthServiceAccount>> {
    checkAccountList(options);
    const tenantId = tenantOfAccounts(options.tenantId, this.tenancy);
    const { limit, after, offset } = readPage(options, LIMITS);
    const kind = cursorKind('service-accounts', { tenantId });
    const window = { afterId: readIdCursor(kind, after), limit: limit + 1, offset };
    const rows = await listAccounts(manager, tenantId, window);
    return toPage(
      rows,
      limit,
      (row) => toServiceAccount(row, manager),
      ({ id }) => encodeCursor(kind, { id }),
    );
  }

  async find(manager: EntityManager, id: string, tenantId?: string): Promise<NestAuthServiceAccount | null> {
    assertUuid('id', id);
    return findAccount(manager, tenantOfAccounts(tenantId, this.tenancy), id);
  }

  async setActive(
    manager: EntityManager,
    id: string,
    tenantId: string | undefined,
    isActive: boolean,
  ): Promise<NestAuthServiceAccount> {
    assertUuid('id', id);
    const row = await setAccountActive(manager, tenantOfAccounts(tenantId, this.tenancy), id, isActive);
    if (row === undefined) throw noAccount(isActive ? 'enable' : 'disable');
    const account = toServiceAccount(row, manager);
    const Event = isActive ? ServiceAccountEnabledEvent : ServiceAccountDisabledEvent;
    if (row.changed) this.events.publish(manager, new Event(account));
    return account;
  }

  async delete(manager: EntityManager, id: string, tenantId?: string): Promise<void> {
    assertUuid('id', id);
    const owner = tenantOfAccounts(tenantId, this.tenancy);
    if (!(await deleteAccount(manager, owner, id))) throw noAccount('delete');
    this.events.publish(manager, new ServiceAccountDeletedEvent(id, owner));
  }
}

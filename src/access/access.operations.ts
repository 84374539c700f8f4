import type { EntityManager } from 'typeorm';
import type { NestAuthUser } from '../account/user.entity.js';
import { assertUuid, InputIssues } from '../errors/input.js';
import type { EventPublisher } from '../events/event-publisher.js';
import {
  PlatformAccessChangedEvent,
  UserAccessChangedEvent,
  UserAccessDeletedEvent,
} from '../events/nest-auth.events.js';
import { Ownership } from '../tenant/ownership.operations.js';
import type { Tenancy } from '../tenant/tenancy.js';
import type { NestAuthTenant } from '../tenant/tenant.entity.js';
import { toTenant } from '../tenant/tenant.queries.js';
import { TenantModeEnum } from '../tenant/tenant.types.js';
import {
  encodeCursor,
  type Page,
  type PageOptions,
  PAGE_FIELDS,
  readIdCursor,
  readPage,
  toPage,
} from '../transaction/keyset.js';
import { untilDecided } from '../transaction/optimistic.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { AccessSettings } from './access.settings.js';
import { AccessDependents } from './access-dependents.js';
import { AccessPermissionsOperations } from './access-permissions.operations.js';
import { AccessRolesOperations, ownRealmOnly } from './access-roles.operations.js';
import { ExpiredGrantsOperations } from './expired-grants.operations.js';
import { assertMayHaveAccess, assertStatus, emptyDelta, noAccess } from './access-refusals.policy.js';
import { deltaOf, forgetRoles } from './access-roles.policy.js';
import type { AccessPort } from './access.port.js';
import { isMember } from './access.queries.js';
import { AccessStatusEnum } from './access.types.js';
import { Delegation } from './delegation.operations.js';
import type { NestAuthPlatformAccess } from './platform-access.entity.js';
import { ensurePlatform, findPlatform, type PlatformAccessRow, toPlatformAccess } from './platform-access.queries.js';
import type { NestAuthUserAccess } from './user-access.entity.js';
import {
  chooseDefaultAccess,
  deleteAccess,
  ensureAccess,
  findAccess,
  listTenantsOfUser,
  setAccessStatus,
} from './user-access.queries.js';
import { toUserAccess, type UserAccessRow } from './user-access.rows.js';

const TENANT_LIMITS = { defaultLimit: 20, maxLimit: 100 } as const;

/** The rules of accesses: validate, write, announce. */
export class AccessOperations implements AccessPort {
  /** What accesses grant and deny beside their roles. */
  readonly entries: AccessPermissionsOperations;
  readonly roles: AccessRolesOperations;
  readonly expired: ExpiredGrantsOperations;

  constructor(
    private readonly transactions: TransactionHost,
    private readonly publisher: EventPublisher,
    private readonly tenancy: Tenancy,
    private readonly dependents: AccessDependents = new AccessDependents(),
    private readonly ownership: Ownership = new Ownership(transactions),
    delegation: Delegation = new Delegation(transactions, tenancy, new AccessSettings()),
  ) {
    this.entries = new AccessPermissionsOperations(publisher, delegation);
    this.roles = new AccessRolesOperations(publisher, tenancy, ownership, delegation);
    this.expired = new ExpiredGrantsOperations(transactions, publisher);
  }

  /** Whether the end of an access is more than one statement. */
  get endNeedsTransaction(): boolean {
    return this.dependents.any;
  }

  /** The access, made if missing; the first one of a user becomes the default. One statement unless a race is lost. */
  async ensureUserAccess(manager: EntityManager, userId: string, tenantId: string): Promise<NestAuthUserAccess> {
    assertUuid('userId', userId);
    const named = this.tenancy.named(tenantId);
    const row = await untilDecided(async () => {
      const found = await ensureAccess(manager, userId, named, ownRealmOnly(this.tenancy));
      if (found.user_id !== null) return found;
      assertMayHaveAccess(found);
      return undefined;
    });
    if (row.created) this.publisher.publish(manager, new UserAccessChangedEvent(userId, named, emptyDelta()));
    return toUserAccess(row as UserAccessRow, manager);
  }

  async findUserAccess(manager: EntityManager, userId: string, tenantId: string): Promise<NestAuthUserAccess | null> {
    assertUuid('userId', userId);
    return findAccess(manager, userId, this.tenancy.named(tenantId));
  }

  async ensurePlatformAccess(manager: EntityManager, userId: string): Promise<NestAuthPlatformAccess> {
    assertUuid('userId', userId);
    const row = await untilDecided(async () => {
      const found = await ensurePlatform(manager, userId);
      if (found.user_id !== null) return found;
      assertMayHaveAccess({ ...found, tenant_ok: true });
      return undefined;
    });
    if (row.created) this.publisher.publish(manager, new PlatformAccessChangedEvent(userId, emptyDelta()));
    return toPlatformAccess(row as PlatformAccessRow, manager);
  }

  async findPlatformAccess(manager: EntityManager, userId: string): Promise<NestAuthPlatformAccess | null> {
    assertUuid('userId', userId);
    return findPlatform(manager, userId);
  }

  /** Removes the access with its roles; false when there was none. */
  async deleteUserAccess(manager: EntityManager, userId: string, tenantId: string): Promise<boolean> {
    assertUuid('userId', userId);
    const named = this.tenancy.named(tenantId);
    const deleted = await this.ownership.keepOfAccess(manager, { userId, tenantId: named }, async (m, isHeld) => {
      const found = await untilDecided(() => deleteAccess(m, userId, named, isHeld));
      return { result: found.deleted, ownerGoes: found.ownerGoes };
    });
    if (deleted) {
      await this.dependents.end(manager, userId, named);
      this.publisher.publish(manager, new UserAccessDeletedEvent(userId, named));
    }
    return deleted;
  }

  /** A suspended access keeps its roles and grants nothing. */
  async setUserAccessStatus(
    manager: EntityManager,
    userId: string,
    tenantId: string,
    status: AccessStatusEnum,
  ): Promise<NestAuthUserAccess> {
    assertUuid('userId', userId);
    const named = this.tenancy.named(tenantId);
    assertStatus(status);
    const row = await this.ownership.keepOfAccess(manager, { userId, tenantId: named }, async (m, isHeld) => {
      const result = await untilDecided(async () => {
        const found = await setAccessStatus(m, userId, named, status, isHeld);
        if (found === undefined) throw noAccess('setUserAccessStatus');
        return found.status === status || found.owner_goes ? found : undefined;
      });
      return { result, ownerGoes: result.owner_goes };
    });
    if (row.changed) {
      if (status !== AccessStatusEnum.ACTIVE) await this.dependents.end(manager, userId, named);
      this.publisher.publish(manager, new UserAccessChangedEvent(userId, named, emptyDelta()));
    }
    return toUserAccess(row, manager);
  }

  /**
   * Makes the access the one a sign-in lands in. Two statements; `manager` must be a transaction's. It changes the
   * former default too, which is announced for itself.
   */
  async setDefaultAccess(manager: EntityManager, userId: string, tenantId: string): Promise<NestAuthUserAccess> {
    assertUuid('userId', userId);
    const named = this.tenancy.named(tenantId);
    const row = await chooseDefaultAccess(manager, userId, named);
    if (row === undefined) throw noAccess('setDefaultAccess');
    for (const changed of row.changed ? [row.cleared_tenant_id, named] : []) {
      if (changed === null) continue;
      this.publisher.publish(manager, new UserAccessChangedEvent(userId, changed, emptyDelta()));
    }
    return toUserAccess(row, manager);
  }

  /** The active tenants to which the user has an active access, in the order of their making. */
  async getUserTenants(manager: EntityManager, userId: string, options: PageOptions = {}): Promise<NestAuthTenant[]> {
    const { items } = await this.getUserTenantsPage(manager, userId, options);
    return items;
  }

  async getUserTenantsPage(
    manager: EntityManager,
    userId: string,
    options: PageOptions = {},
  ): Promise<Page<NestAuthTenant>> {
    assertUuid('userId', userId);
    const issues = new InputIssues();
    issues.fields(options, PAGE_FIELDS);
    issues.refuse('The tenants cannot be listed');
    const { limit, after, offset } = readPage(options, TENANT_LIMITS);
    const kind = `user-tenants.${userId.toLowerCase()}`;
    const window = { afterId: readIdCursor(kind, after), limit: limit + 1, offset, builtIn: this.#disabled };
    const rows = await listTenantsOfUser(manager, userId, window);
    return toPage(
      rows,
      limit,
      (row) => toTenant(row, manager),
      ({ id }) => encodeCursor(kind, { id }),
    );
  }

  /** Whether user, tenant and access are there and active. */
  async isUserInTenant(manager: EntityManager, userId: string, tenantId: string): Promise<boolean> {
    assertUuid('userId', userId);
    return isMember(manager, userId, this.tenancy.named(tenantId));
  }

  async getUserAccess(user: NestAuthUser, tenantId: string, createIfNotExists: boolean, manager?: EntityManager) {
    return this.transactions.operate(manager, (m) =>
      createIfNotExists ? this.ensureUserAccess(m, user.id, tenantId) : this.findUserAccess(m, user.id, tenantId),
    );
  }

  async getPlatformAccess(user: NestAuthUser, createIfNotExists: boolean, manager?: EntityManager) {
    return this.transactions.operate(manager, (m) =>
      createIfNotExists ? this.ensurePlatformAccess(m, user.id) : this.findPlatformAccess(m, user.id),
    );
  }

  async assignUserAccessRoles(access: NestAuthUserAccess, roleIds: readonly string[], manager?: EntityManager) {
    const change = await this.transactions.operate(manager, (m) =>
      this.roles.changeInTenant(m, access.userId, access.tenantId, roleIds),
    );
    forgetRoles(access, change);
    return deltaOf(change);
  }

  async assignPlatformAccessRoles(access: NestAuthPlatformAccess, roleIds: readonly string[], manager?: EntityManager) {
    const change = await this.transactions.operate(manager, (m) =>
      this.roles.changeOnPlatform(m, access.userId, roleIds),
    );
    forgetRoles(access, change);
    return deltaOf(change);
  }

  get #disabled(): boolean {
    return this.tenancy.mode === TenantModeEnum.DISABLED;
  }
}

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
import { readExpiry, readRoleIds } from './access-input.policy.js';
import { AccessPermissionsOperations } from './access-permissions.operations.js';
import { ExpiredGrantsOperations } from './expired-grants.operations.js';
import { assertMayHaveAccess, assertStatus, emptyDelta, noAccess } from './access-refusals.policy.js';
import { changeOf, decide, deltaOf, forgetRoles, type RolesChange } from './access-roles.policy.js';
import type { AccessPort } from './access.port.js';
import { isMember } from './access.queries.js';
import { type AccessDelta, AccessStatusEnum, type GrantOptions } from './access.types.js';
import { Delegation } from './delegation.operations.js';
import type { NestAuthPlatformAccess } from './platform-access.entity.js';
import { ensurePlatform, findPlatform, type PlatformAccessRow, toPlatformAccess } from './platform-access.queries.js';
import type { NestAuthUserAccess } from './user-access.entity.js';
import {
  type AccessRolesRow,
  changePlatformAccessRoles,
  changeUserAccessRoles,
  type RolesSetChange,
  type RolesWish,
} from './user-access-roles.queries.js';
import {
  chooseDefaultAccess,
  deleteAccess,
  ensureAccess,
  findAccess,
  listTenantsOfUser,
  setAccessStatus,
  toUserAccess,
  type UserAccessRow,
} from './user-access.queries.js';

const TENANT_LIMITS = { defaultLimit: 20, maxLimit: 100 } as const;

/** The rules of accesses and of the roles on them: validate, write, announce. */
export class AccessOperations implements AccessPort {
  /** What accesses grant and deny beside their roles. */
  readonly entries: AccessPermissionsOperations;
  readonly expired: ExpiredGrantsOperations;

  constructor(
    private readonly transactions: TransactionHost,
    private readonly publisher: EventPublisher,
    private readonly tenancy: Tenancy,
    private readonly dependents: AccessDependents = new AccessDependents(),
    private readonly ownership: Ownership = new Ownership(transactions),
    private readonly delegation: Delegation = new Delegation(transactions, tenancy, new AccessSettings()),
  ) {
    this.entries = new AccessPermissionsOperations(publisher, tenancy, delegation);
    this.expired = new ExpiredGrantsOperations(transactions, publisher);
  }

  /** Whether the end of an access is more than one statement. */
  get endNeedsTransaction(): boolean {
    return this.dependents.any;
  }

  /** Makes `roleIds` the roles of the access, which is made if missing. One statement unless others change it too. */
  async setUserAccessRoles(m: EntityManager, userId: string, tenantId: string, roleIds: readonly string[]) {
    return deltaOf(await this.#changeUserRoles(m, userId, tenantId, roleIds, 'set'));
  }

  async addUserAccessRoles(m: EntityManager, userId: string, tenantId: string, roleIds: readonly string[]) {
    return deltaOf(await this.#changeUserRoles(m, userId, tenantId, roleIds, 'add'));
  }

  /** Takes away those of the roles that the access has; an access is never made for that. */
  async removeUserAccessRoles(m: EntityManager, userId: string, tenantId: string, roleIds: readonly string[]) {
    return deltaOf(await this.#changeUserRoles(m, userId, tenantId, roleIds, 'remove'));
  }

  /** Gives the role until a moment, also when it is held until another one; without one, for good. */
  async grantAccessRole(m: EntityManager, userId: string, tenantId: string, roleId: string, options?: GrantOptions) {
    const expiresAt = readExpiry(options);
    return deltaOf(await this.#changeUserRoles(m, userId, tenantId, [roleId], 'grant', expiresAt));
  }

  async grantPlatformAccessRole(m: EntityManager, userId: string, roleId: string, options?: GrantOptions) {
    return deltaOf(await this.#changePlatformRoles(m, userId, [roleId], 'grant', readExpiry(options)));
  }

  /** As {@link setUserAccessRoles}, for the platform. */
  async setPlatformAccessRoles(m: EntityManager, userId: string, roleIds: readonly string[]): Promise<AccessDelta> {
    return deltaOf(await this.#changePlatformRoles(m, userId, roleIds));
  }

  /** The access, made if missing; the first one of a user becomes the default. One statement unless a race is lost. */
  async ensureUserAccess(manager: EntityManager, userId: string, tenantId: string): Promise<NestAuthUserAccess> {
    assertUuid('userId', userId);
    const named = this.tenancy.named(tenantId);
    const row = await untilDecided(async () => {
      const found = await ensureAccess(manager, userId, named, this.#ownRealmOnly);
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
    const deleted = await this.#unlessLast(manager, { userId, tenantId: named }, async (m, isHeld) => {
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
    const row = await this.#unlessLast(manager, { userId, tenantId: named }, async (m, isHeld) => {
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
      this.#changeUserRoles(m, access.userId, access.tenantId, roleIds, 'set'),
    );
    forgetRoles(access, change);
    return deltaOf(change);
  }

  async assignPlatformAccessRoles(access: NestAuthPlatformAccess, roleIds: readonly string[], manager?: EntityManager) {
    const change = await this.transactions.operate(manager, (m) =>
      this.#changePlatformRoles(m, access.userId, roleIds),
    );
    forgetRoles(access, change);
    return deltaOf(change);
  }

  async #changeUserRoles(
    manager: EntityManager,
    userId: string,
    tenantId: string,
    roleIds: readonly string[],
    change: RolesSetChange,
    expiresAt: Date | null = null,
  ): Promise<RolesChange> {
    const wish = { roleIds: readRoleIds(userId, roleIds), change, expiresAt };
    const named = this.tenancy.named(tenantId);
    const access = { userId, tenantId: named, ownRealmOnly: this.#ownRealmOnly };
    const write = (inner: EntityManager): Promise<AccessRolesRow> =>
      this.#unlessLast(inner, access, async (m, isHeld) => {
        const result = await untilDecided(async () =>
          decide(await changeUserAccessRoles(m, access, wish, isHeld), change),
        );
        return { result, ownerGoes: result.owner_goes };
      });
    const row = await this.#granting(manager, access, wish, write);
    const result = changeOf(row);
    if (result.version !== undefined) {
      this.publisher.publish(manager, new UserAccessChangedEvent(userId, named, deltaOf(result)));
    }
    return result;
  }

  async #changePlatformRoles(
    manager: EntityManager,
    userId: string,
    roleIds: readonly string[],
    change: RolesSetChange = 'set',
    expiresAt: Date | null = null,
  ): Promise<RolesChange> {
    const wish = { roleIds: readRoleIds(userId, roleIds), change, expiresAt };
    const write = (m: EntityManager): Promise<AccessRolesRow> =>
      untilDecided(async () => decide(await changePlatformAccessRoles(m, userId, wish), change));
    const row = await this.#granting(manager, { userId, tenantId: null }, wish, write);
    const result = changeOf(row);
    if (result.version !== undefined) {
      this.publisher.publish(manager, new PlatformAccessChangedEvent(userId, deltaOf(result)));
    }
    return result;
  }

  /** Nobody gives roles that grant more than they hold; everybody may take them away. */
  #granting<T>(
    manager: EntityManager,
    to: { readonly userId: string; readonly tenantId: string | null },
    { roleIds, change }: RolesWish,
    write: (manager: EntityManager) => Promise<T>,
  ): Promise<T> {
    if (change === 'remove') return write(manager);
    return this.delegation.guard(manager, (m) => this.delegation.assertMayGiveRoles(m, to, roleIds, change), write);
  }

  /** Runs a change of one access, and once more with the tenant held when it takes an owner from it. */
  #unlessLast<T>(
    manager: EntityManager,
    { userId, tenantId }: { readonly userId: string; readonly tenantId: string },
    attempt: (manager: EntityManager, isHeld: boolean) => Promise<{ result: T; ownerGoes: boolean }>,
  ): Promise<T> {
    return this.ownership.keep(manager, { userIds: [userId] }, async (m, held) => {
      const { result, ownerGoes } = await attempt(m, held.length > 0);
      return { result, owned: ownerGoes ? [tenantId] : null };
    });
  }

  get #disabled(): boolean {
    return this.tenancy.mode === TenantModeEnum.DISABLED;
  }

  /** Where every tenant has people of its own, nobody from outside gets an access to it. */
  get #ownRealmOnly(): boolean {
    return this.tenancy.mode === TenantModeEnum.ISOLATED;
  }
}

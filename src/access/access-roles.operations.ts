import type { EntityManager } from 'typeorm';
import type { EventPublisher } from '../events/event-publisher.js';
import { PlatformAccessChangedEvent, UserAccessChangedEvent } from '../events/nest-auth.events.js';
import type { Ownership } from '../tenant/ownership.operations.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { TenantModeEnum } from '../tenant/tenant.types.js';
import { untilDecided } from '../transaction/optimistic.js';
import { readExpiry, readRoleIds } from './access-input.policy.js';
import { changeOf, decide, deltaOf, type RolesChange } from './access-roles.policy.js';
import type { AccessDelta, GrantOptions } from './access.types.js';
import type { Delegation } from './delegation.operations.js';
import {
  type AccessRolesRow,
  changePlatformAccessRoles,
  changeUserAccessRoles,
  type RolesSetChange,
  type RolesWish,
} from './user-access-roles.queries.js';

/** The roles on accesses: validate, write, announce. One statement each unless others change the access too. */
export class AccessRolesOperations {
  constructor(
    private readonly publisher: EventPublisher,
    private readonly tenancy: Tenancy,
    private readonly ownership: Ownership,
    private readonly delegation: Delegation,
  ) {}

  /** Makes `roleIds` the roles of the access, which is made if missing. */
  async setUserAccessRoles(m: EntityManager, userId: string, tenantId: string, roleIds: readonly string[]) {
    return deltaOf(await this.changeInTenant(m, userId, tenantId, roleIds, 'set'));
  }

  async addUserAccessRoles(m: EntityManager, userId: string, tenantId: string, roleIds: readonly string[]) {
    return deltaOf(await this.changeInTenant(m, userId, tenantId, roleIds, 'add'));
  }

  /** Takes away those of the roles that the access has; an access is never made for that. */
  async removeUserAccessRoles(m: EntityManager, userId: string, tenantId: string, roleIds: readonly string[]) {
    return deltaOf(await this.changeInTenant(m, userId, tenantId, roleIds, 'remove'));
  }

  /** Gives the role until a moment, also when it is held until another one; without one, for good. */
  async grantAccessRole(m: EntityManager, userId: string, tenantId: string, roleId: string, options?: GrantOptions) {
    return deltaOf(await this.changeInTenant(m, userId, tenantId, [roleId], 'grant', readExpiry(options)));
  }

  async grantPlatformAccessRole(m: EntityManager, userId: string, roleId: string, options?: GrantOptions) {
    return deltaOf(await this.changeOnPlatform(m, userId, [roleId], 'grant', readExpiry(options)));
  }

  /** As {@link setUserAccessRoles}, for the platform. */
  async setPlatformAccessRoles(m: EntityManager, userId: string, roleIds: readonly string[]): Promise<AccessDelta> {
    return deltaOf(await this.changeOnPlatform(m, userId, roleIds));
  }

  async changeInTenant(
    manager: EntityManager,
    userId: string,
    tenantId: string,
    roleIds: readonly string[],
    change: RolesSetChange = 'set',
    expiresAt: Date | null = null,
  ): Promise<RolesChange> {
    const wish = { roleIds: readRoleIds(userId, roleIds), change, expiresAt };
    const named = this.tenancy.named(tenantId);
    const access = { userId, tenantId: named, ownRealmOnly: ownRealmOnly(this.tenancy) };
    const write = (inner: EntityManager): Promise<AccessRolesRow> =>
      this.ownership.keepOfAccess(inner, access, async (m, isHeld) => {
        const result = await untilDecided(async () =>
          decide(await changeUserAccessRoles(m, access, wish, isHeld), change),
        );
        return { result, ownerGoes: result.owner_goes };
      });
    const result = changeOf(await this.#granting(manager, access, wish, write));
    if (result.version !== undefined) {
      this.publisher.publish(manager, new UserAccessChangedEvent(userId, named, deltaOf(result)));
    }
    return result;
  }

  async changeOnPlatform(
    manager: EntityManager,
    userId: string,
    roleIds: readonly string[],
    change: RolesSetChange = 'set',
    expiresAt: Date | null = null,
  ): Promise<RolesChange> {
    const wish = { roleIds: readRoleIds(userId, roleIds), change, expiresAt };
    const write = (m: EntityManager): Promise<AccessRolesRow> =>
      untilDecided(async () => decide(await changePlatformAccessRoles(m, userId, wish), change));
    const result = changeOf(await this.#granting(manager, { userId, tenantId: null }, wish, write));
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
}

/** Where every tenant has people of its own, nobody from outside gets an access to it. */
export function ownRealmOnly({ mode }: Tenancy): boolean {
  return mode === TenantModeEnum.ISOLATED;
}

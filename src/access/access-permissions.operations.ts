import type { EntityManager } from 'typeorm';
import type { EventPublisher } from '../events/event-publisher.js';
import { PlatformAccessPermissionChangedEvent, UserAccessPermissionChangedEvent } from '../events/nest-auth.events.js';
import { untilDecided } from '../transaction/optimistic.js';
import { readDirectPermission } from './access-input.policy.js';
import {
  enterPermission,
  type EntryChangeRow,
  listPermissionEntries,
  removePermission,
} from './access-permissions.queries.js';
import { expired, noAccess, noPermission } from './access-refusals.policy.js';
import type { GrantScope } from './access.queries.js';
import type { Delegation } from './delegation.operations.js';
import type { DirectPermission, DirectPermissionOptions, PermissionEffect } from './access.types.js';

/** The rules of what an access grants and denies beside its roles, in a scope that is known to be one: validate, write, announce. */
export class AccessPermissionsOperations {
  constructor(
    private readonly publisher: EventPublisher,
    private readonly delegation: Delegation,
  ) {}

  /** Whether something has changed. */
  async enter(
    manager: EntityManager,
    scope: GrantScope,
    effect: PermissionEffect,
    permission: string,
    options?: DirectPermissionOptions,
  ): Promise<boolean> {
    const { expiresAt, reason } = readDirectPermission(permission, options);
    const write = (m: EntityManager): Promise<boolean> =>
      change(`${effect}Permission`, permission, () =>
        enterPermission(m, scope, permission, { effect, expiresAt, reason }),
      );
    const changed = await (effect === 'deny'
      ? write(manager)
      : this.delegation.guard(manager, (m) => this.delegation.assertMayEnter(m, scope, permission), write));
    if (changed) this.#announce(manager, scope, permission, { effect, expiresAt });
    return changed;
  }

  async remove(manager: EntityManager, scope: GrantScope, permission: string): Promise<boolean> {
    readDirectPermission(permission);
    const changed = await this.delegation.guard(
      manager,
      (m) => this.#assertMayRemove(m, scope, permission),
      (m) => change('revokePermission', permission, () => removePermission(m, scope, permission)),
    );
    if (changed) this.#announce(manager, scope, permission, { effect: null, expiresAt: null });
    return changed;
  }

  /** To end a denial is to give. */
  async #assertMayRemove(manager: EntityManager, scope: GrantScope, permission: string): Promise<void> {
    const entries = await listPermissionEntries(manager, scope);
    const isDenied = entries.some((entry) => entry.permission === permission && entry.effect === 'deny');
    if (isDenied) await this.delegation.assertMayEnter(manager, scope, permission);
  }

  async list(manager: EntityManager, scope: GrantScope): Promise<DirectPermission[]> {
    return listPermissionEntries(manager, scope);
  }

  #announce(
    manager: EntityManager,
    { userId, tenantId }: GrantScope,
    permission: string,
    { effect, expiresAt }: { readonly effect: PermissionEffect | null; readonly expiresAt: Date | null },
  ): void {
    this.publisher.publish(
      manager,
      tenantId === null
        ? new PlatformAccessPermissionChangedEvent(userId, permission, effect, expiresAt)
        : new UserAccessPermissionChangedEvent(userId, tenantId, permission, effect, expiresAt),
    );
  }
}

/** Whether it has; tried again while others change the access. */
async function change(method: string, permission: string, attempt: () => Promise<EntryChangeRow>): Promise<boolean> {
  const { version } = await untilDecided(async () => {
    const row = await attempt();
    if (!row.found) throw noAccess(method);
    if (!row.known) throw noPermission(method, permission);
    if (!row.in_time) throw expired(method);
    return row.version === null && row.differs ? undefined : row;
  });
  return version !== null;
}

import type { EntityManager } from 'typeorm';
import { untilDecided } from '../transaction/optimistic.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { within } from '../transaction/within.js';
import { lastOwner, type Leaving, succession } from './ownership.policy.js';
import {
  keepOwner,
  lockAccessRow,
  lockRoleRow,
  lockTenants,
  lockUserRow,
  type OwnerRow,
  readOwners,
  readTenantsOwnedBy,
  readTenantsOwnedThrough,
} from './ownership.queries.js';

/** What an attempt at a change found. */
export interface OwnerCheck<T> {
  /** Tenants that would lose an owner and are not held yet; nothing was written for it. Null when there are none. */
  readonly owned: readonly string[] | null;
  readonly result: T;
}

/**
 * Keeps every tenant from losing its last owner.
 *
 * A change that may take an owner away tells so in its own statement, and writes nothing then. Only now the tenants are
 * held, one after another whoever takes an owner from them; another owner of each is made sure of; and the change is
 * tried again. All others stay one statement.
 */
export class Ownership {
  constructor(private readonly transactions: TransactionHost) {}

  /**
   * Runs a change by which somebody may cease to be an owner. `attempt` is given the tenants that are held for it.
   * Throws `LAST_OWNER`, before anything is written.
   */
  async keep<T>(
    manager: EntityManager,
    leaving: Leaving,
    attempt: (manager: EntityManager, held: readonly string[]) => Promise<OwnerCheck<T>>,
  ): Promise<T> {
    const first = await attempt(manager, []);
    if (first.owned === null) return first.result;
    return this.within(manager, async (m) => {
      let { owned } = first;
      const held = new Set<string>();
      return untilDecided(async () => {
        for (const id of owned ?? []) held.add(id);
        if (!(await this.assertOthers(m, leaving, [...held]))) return undefined;
        const next = await attempt(m, [...held]);
        owned = next.owned;
        return owned === null ? next.result : undefined;
      });
    });
  }

  /** As {@link keep}, of one access: once more with the tenant held when the change takes an owner from it. */
  keepOfAccess<T>(
    manager: EntityManager,
    { userId, tenantId }: { readonly userId: string; readonly tenantId: string },
    attempt: (manager: EntityManager, isHeld: boolean) => Promise<{ result: T; ownerGoes: boolean }>,
  ): Promise<T> {
    return this.keep(manager, { userIds: [userId] }, async (m, held) => {
      const { result, ownerGoes } = await attempt(m, held.length > 0);
      return { result, owned: ownerGoes ? [tenantId] : null };
    });
  }

  /** As {@link keep}, of a role that may cease to make owners of everybody who has it. */
  async keepThroughRole<T extends { readonly owners_go: boolean }>(
    manager: EntityManager,
    roleId: string,
    attempt: (manager: EntityManager, isHeld: boolean) => Promise<T>,
  ): Promise<T> {
    const first = await attempt(manager, false);
    if (!first.owners_go) return first;
    return this.within(manager, async (m) => {
      await this.assertRoleMayEnd(m, roleId);
      return attempt(m, true);
    });
  }

  /** Before a role ceases to make owners. Nobody is given it from now on, until the transaction ends. */
  async assertRoleMayEnd(manager: EntityManager, roleId: string): Promise<void> {
    await lockRoleRow(manager, roleId);
    await untilDecided(async () =>
      (await this.assertOthers(manager, { roleId }, await readTenantsOwnedThrough(manager, roleId))) ? true : undefined,
    );
  }

  /** Holds the tenants and makes sure of another owner of each; false when somebody was faster and it must be repeated. */
  async assertOthers(manager: EntityManager, leaving: Leaving, tenantIds: readonly string[]): Promise<boolean> {
    const last = await this.release(manager, leaving, tenantIds);
    if (last === undefined) return false;
    if (last.length > 0) throw lastOwner(last.map(({ tenant_id }) => tenant_id));
    return true;
  }

  /**
   * Holds the tenants and makes sure of those who stay, unless one alone is about to leave who cannot; answers who must
   * not leave. Undefined when somebody was faster and it must be repeated.
   */
  async release(
    manager: EntityManager,
    leaving: Leaving,
    tenantIds: readonly string[],
  ): Promise<readonly OwnerRow[] | undefined> {
    if (tenantIds.length === 0) return [];
    await lockTenants(manager, tenantIds);
    const { keepers, last } = succession(await readOwners(manager, tenantIds), leaving);
    const isRefused = last.length > 0 && (leaving.userIds ?? []).length <= 1;
    if (isRefused) return last;
    for (const keeper of keepers) {
      if (!(await keepOwner(manager, keeper))) return undefined;
    }
    return last;
  }

  /** Before the row of a user is held who is about to leave: whoever keeps an owner holds the tenant first, too. */
  async holdTenantsOf(manager: EntityManager, userId: string): Promise<void> {
    const owned = await readTenantsOwnedBy(manager, [userId]);
    if (owned.length > 0) await lockTenants(manager, owned);
  }

  /** Who could not leave together with the others, without holding or changing anything. */
  async lastAmong(manager: EntityManager, userIds: readonly string[]): Promise<ReadonlySet<string>> {
    if (userIds.length === 0) return new Set();
    const owners = await readOwners(manager, await readTenantsOwnedBy(manager, userIds));
    return new Set(succession(owners, { userIds }).last.map(({ user_id }) => user_id));
  }

  /** Before the ORM writes that a user ceases to be active, or removes the user. `manager` must be a transaction's. */
  async assertUserMayLeave(manager: EntityManager, userId: string): Promise<void> {
    await lockUserRow(manager, userId);
    await untilDecided(async () =>
      (await this.assertOthers(manager, { userIds: [userId] }, await readTenantsOwnedBy(manager, [userId])))
        ? true
        : undefined,
    );
  }

  /** As {@link assertUserMayLeave}, of one access. */
  async assertAccessMayGo(manager: EntityManager, userId: string, tenantId: string): Promise<void> {
    await lockAccessRow(manager, userId, tenantId);
    await untilDecided(async () => {
      const owned = await readTenantsOwnedBy(manager, [userId]);
      const concerned = owned.filter((id) => id === tenantId);
      return (await this.assertOthers(manager, { userIds: [userId] }, concerned)) ? true : undefined;
    });
  }

  /** In the running transaction, else in one of its own. */
  within<T>(manager: EntityManager, fn: (manager: EntityManager) => Promise<T>): Promise<T> {
    return within(this.transactions, manager, fn);
  }
}

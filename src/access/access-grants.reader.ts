import type { EntityManager } from 'typeorm';
import type { Loaded } from '../revocation/revocable-cache.js';
import { revocationTag } from '../revocation/revocation.policy.js';
import type { Revocations, SharedReads } from '../revocation/revocations.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { AccessGrants } from './access-grants.js';
import { type GrantScope, readGrants, readHeldPermissions, readHoldsPermission } from './access.queries.js';

/** What somebody may do: as it was read before where that still holds, else as the database says. */
export class AccessGrantsReader {
  readonly #reads: SharedReads<AccessGrants>;

  constructor(
    private readonly transactions: TransactionHost,
    revocations: Revocations,
  ) {
    this.#reads = revocations.reads();
  }

  /** Whether the permission is granted. Where nobody shares the answer, no more is read than that. */
  async holds(scope: GrantScope, permission: string, manager?: EntityManager): Promise<boolean> {
    if (!this.#reads.isShared(manager)) {
      return this.transactions.operate(manager, (m) => readHoldsPermission(m, scope, permission));
    }
    return (await this.read(scope))?.can(permission) ?? false;
  }

  /** Which of the permissions are granted; otherwise as {@link holds}. */
  async held(scope: GrantScope, names: readonly string[], manager?: EntityManager): Promise<ReadonlySet<string>> {
    if (!this.#reads.isShared(manager)) {
      return this.transactions.operate(manager, (m) => readHeldPermissions(m, scope, names));
    }
    const grants = await this.read(scope);
    return new Set(names.filter((name) => grants?.can(name) === true));
  }

  /** Null without an active access and anything that it grants. */
  read(scope: GrantScope, manager?: EntityManager): Promise<AccessGrants | null> {
    const { userId, tenantId } = scope;
    const tags = [revocationTag.user(userId), revocationTag.access(userId, tenantId), revocationTag.roles];
    if (tenantId !== null) tags.push(revocationTag.tenant(tenantId));
    const key = { name: revocationTag.access(userId, tenantId), tags, later: revocationTag.role('') };
    return this.#reads.read(manager, key, (m) => load(m, scope));
  }
}

async function load(manager: EntityManager, scope: GrantScope): Promise<Loaded<AccessGrants> | null> {
  const grants = await readGrants(manager, scope);
  if (grants === null) return null;
  return { value: grants, forMs: grants.validForMs ?? Infinity, tags: grants.roleIds.map(revocationTag.role) };
}

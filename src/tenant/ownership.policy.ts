import { NestAuthError } from '../errors/nest-auth.error.js';
import type { OwnerRow } from './ownership.queries.js';

/** Who is about to cease to be an owner: these users, or everybody through this role. */
export interface Leaving {
  readonly userIds?: readonly string[];
  readonly roleId?: string;
}

/** What becomes of the owners of some tenants. */
export interface Succession {
  /** Owners who stay because others may leave for it. */
  readonly keepers: readonly OwnerRow[];
  /** Those because of whom nothing may happen: without them their tenant had no owner. */
  readonly last: readonly OwnerRow[];
}

/**
 * Chooses for each tenant the owner who stays: one whose role does not run out before one whose role does, and then
 * somebody who is not about to leave. Of those who are about to leave at once, one is left over.
 */
export function succession(owners: readonly OwnerRow[], leaving: Leaving): Succession {
  const leaves = ({ user_id, role_id }: OwnerRow): boolean =>
    leaving.userIds?.includes(user_id) === true || role_id === leaving.roleId;
  const rank = (owner: OwnerRow): number => (owner.lasting ? 2 : 0) + (leaves(owner) ? 0 : 1);
  const keepers: OwnerRow[] = [];
  const last: OwnerRow[] = [];
  const byTenant = new Map<string, OwnerRow[]>();
  for (const owner of owners) {
    const others = byTenant.get(owner.tenant_id);
    if (others === undefined) byTenant.set(owner.tenant_id, [owner]);
    else others.push(owner);
  }
  for (const rows of byTenant.values()) {
    const stayer = rows.reduce((best, one) => (rank(one) > rank(best) ? one : best));
    const relying = rows.some((one) => leaves(one) && (!leaves(stayer) || one.user_id !== stayer.user_id));
    if (relying) keepers.push(stayer);
    if (leaves(stayer)) last.push(stayer);
  }
  return { keepers, last };
}

/** As many tenants as a refusal names. */
const NAMED = 100;

/** The refusal; `userId` where one user of many is refused. */
export function lastOwner(tenantIds: readonly string[], userId?: string): NestAuthError {
  return new NestAuthError(
    'LAST_OWNER',
    'A tenant would be left without an owner (see details.tenantIds); make somebody else an owner first, or close the tenant',
    {
      details: {
        tenantIds: [...new Set(tenantIds)].toSorted().slice(0, NAMED),
        ...(userId === undefined ? {} : { ids: [userId] }),
      },
    },
  );
}

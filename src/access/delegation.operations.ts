import type { EntityManager } from 'typeorm';
import { isUuid } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { type ActingKey, ActorTypeEnum } from '../audit/activity.types.js';
import { IdentityContext } from '../audit/identity-context.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { NIL_UUID, TenantModeEnum } from '../tenant/tenant.types.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { within } from '../transaction/within.js';
import { AccessGrants } from './access-grants.js';
import { readGrants } from './access.queries.js';
import type { AccessSettings } from './access.settings.js';
import type { CreateRoleInput, UpdateRoleInput } from './access.types.js';
import { holdActor, holdRole, holdRolesOf, readGiven, readOwns, type RoleHead } from './delegation.queries.js';

/** Where something is given: in a tenant, or on the platform, to which the roles of the system belong too. */
export interface GrantPlace {
  readonly tenantId: string | null;
}

/** What is given. */
export interface Given {
  readonly roleIds?: readonly string[];
  readonly permissionNames?: readonly string[];
  /** A role comes to make owners. */
  readonly isOwner?: boolean;
}

/** As many names as a refusal tells. */
const NAMED = 100;

/**
 * Nobody gives what they do not hold: a user who acts, by `IdentityContext`, needs every permission that is given, in
 * the tenant or on the platform. The actor and the roles by which the actor holds it stay as they are until the
 * transaction ends, so that a right which is taken away meanwhile is either used before or not at all. Whoever acts by
 * an API key gives what the key names besides, and a service account that alone.
 *
 * Without a user who acts it costs nothing.
 */
export class Delegation {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly tenancy: Tenancy,
    private readonly settings: AccessSettings,
  ) {}

  /** Whether whoever acts is held to it. */
  get applies(): boolean {
    const { actor, apiKey } = IdentityContext.current;
    const isBound = actor?.type === ActorTypeEnum.USER || apiKey !== undefined;
    return this.settings.delegation === 'enforced' && isBound;
  }

  /** Runs `act` after `check`, in one transaction; where it does not apply, `act` alone. */
  guard<T>(
    manager: EntityManager,
    check: (manager: EntityManager) => Promise<void>,
    act: (manager: EntityManager) => Promise<T>,
  ): Promise<T> {
    if (!this.applies) return act(manager);
    return within(this.transactions, manager, async (m) => {
      await check(m);
      return act(m);
    });
  }

  /** Throws `GRANT_NOT_HELD` unless whoever acts may give this. `manager` must be a transaction's. */
  async assertMayGrant(manager: EntityManager, { tenantId }: GrantPlace, given: Given): Promise<void> {
    if (!this.applies) return;
    const actorId = IdentityContext.current.actor?.id ?? '';
    if (isUuid(actorId)) await holdActor(manager, actorId, tenantId);
    const { names, owner_ids: ownerIds } = await readGiven(manager, given.roleIds ?? [], tenantId);
    const wanted = [...new Set([...names, ...(given.permissionNames ?? [])])];
    const makesOwner = given.isOwner === true || ownerIds.length > 0;
    const missing = isUuid(actorId) ? await this.#missing(manager, actorId, tenantId, wanted) : wanted;
    const isOwner = !makesOwner || (isUuid(actorId) && (await this.#actsAsOwner(manager, actorId, tenantId)));
    if (missing.length > 0 || !isOwner) throw notHeld(missing, isOwner ? [] : ownerIds);
  }

  /** Roles given to somebody, but for those that are there already. */
  async assertMayGiveRoles(
    manager: EntityManager,
    to: { readonly userId: string; readonly tenantId: string | null },
    roleIds: readonly string[],
    change: 'set' | 'add' | 'grant',
  ): Promise<void> {
    // A role that is given for another time is given anew.
    const there = change === 'grant' ? [] : await holdRolesOf(manager, to.userId, to.tenantId);
    const coming = roleIds.filter((id) => !there.includes(id));
    if (coming.length > 0) await this.assertMayGrant(manager, to, { roleIds: coming });
  }

  /** A permission that is granted to one access, or no longer denied to it. */
  async assertMayEnter(manager: EntityManager, place: GrantPlace, permission: string): Promise<void> {
    await this.assertMayGrant(manager, place, { permissionNames: [permission] });
  }

  /** A role that is made. */
  assertMayCreateRole(manager: EntityManager, tenantId: string | null, input: CreateRoleInput): Promise<void> {
    const given = { permissionNames: input.permissions ?? [], isOwner: input.isOwner ?? false };
    return this.assertMayGrant(manager, this.#placeOf({ tenant_id: tenantId, guard: input.guard }), given);
  }

  /** A role that is made active, or one of owners: everybody who has it is given what it grants. */
  async assertMayUpdateRole(manager: EntityManager, roleId: string, input: UpdateRoleInput): Promise<void> {
    if (input.isActive !== true && input.isOwner !== true) return;
    const role = await holdRole(manager, roleId);
    if (role === undefined) return;
    const activates = input.isActive === true && !role.is_active;
    const makesOwners = (input.isOwner ?? role.is_owner) && (activates || !role.is_owner);
    const given = { roleIds: activates ? [roleId] : [], isOwner: makesOwners };
    if (activates || makesOwners) await this.assertMayGrant(manager, this.#placeOf(role), given);
  }

  /** Permissions and parents that are given to a role, but for those that it has already. */
  async assertMayAddToRole(manager: EntityManager, roleId: string, given: Omit<Given, 'isOwner'>): Promise<void> {
    const role = await holdRole(manager, roleId);
    if (role === undefined) return;
    const permissionNames = (given.permissionNames ?? []).filter((name) => !role.names.includes(name));
    // A parent of owners makes no owners: that is not inherited.
    const parentIds = (given.roleIds ?? []).filter((id) => !role.parent_ids.includes(id));
    const { names } = await readGiven(manager, parentIds, role.tenant_id);
    const coming = [...permissionNames, ...names];
    if (coming.length > 0) await this.assertMayGrant(manager, this.#placeOf(role), { permissionNames: coming });
  }

  /** A permission that gets another name: who has the old one has the new one then, everywhere. */
  assertMayRename(manager: EntityManager, name: string): Promise<void> {
    return this.assertMayGrant(manager, this.#placeOf({ tenant_id: null, guard: '' }), { permissionNames: [name] });
  }

  async #missing(
    manager: EntityManager,
    actorId: string,
    tenantId: string | null,
    wanted: readonly string[],
  ): Promise<string[]> {
    if (wanted.length === 0) return [];
    const here = tenantId === null ? null : await heldBy(manager, actorId, tenantId);
    const open = wanted.filter((name) => here?.can(name) !== true);
    if (open.length === 0) return [];
    const platform = await heldBy(manager, actorId, null);
    return open.filter((name) => platform?.can(name) !== true);
  }

  /** An owner of the tenant, or somebody who may do everything on the platform, where every tenant begins. */
  async #actsAsOwner(manager: EntityManager, actorId: string, tenantId: string | null): Promise<boolean> {
    const mayActAsOwner = tenantId !== null && opensEverything(tenantId);
    if (mayActAsOwner && (await readOwns(manager, actorId, tenantId))) return true;
    const platform = await heldBy(manager, actorId, null);
    return platform?.can('*') === true;
  }

  /** Where a role counts. In `DISABLED` tenancy the roles of the system are those of the one tenant. */
  #placeOf({ tenant_id, guard }: Pick<RoleHead, 'tenant_id' | 'guard'>): GrantPlace {
    if (tenant_id !== null || guard === 'admin') return { tenantId: tenant_id };
    return { tenantId: this.tenancy.mode === TenantModeEnum.DISABLED ? NIL_UUID : null };
  }
}

/** What the actor holds there: by a key where it works alone, and as far as its scopes go. */
async function heldBy(manager: EntityManager, actorId: string, tenantId: string | null): Promise<AccessGrants | null> {
  const { actor, apiKey } = IdentityContext.current;
  if (apiKey === undefined) return readGrants(manager, { userId: actorId, tenantId });
  if (!worksIn(apiKey, tenantId)) return null;
  const { scopes } = apiKey;
  if (actor?.type === ActorTypeEnum.USER) {
    return (await readGrants(manager, { userId: actorId, tenantId }))?.scopedTo(scopes) ?? null;
  }
  // A service account has nothing but what its key says.
  return new AccessGrants({ userId: '', tenantId, roles: [], granted: scopes, denied: [], validUntil: null });
}

/** Whether whoever acts does so without a key, or by one to all that the actor may do there. */
function opensEverything(tenantId: string): boolean {
  const { apiKey } = IdentityContext.current;
  return apiKey === undefined || (worksIn(apiKey, tenantId) && apiKey.scopes.includes('*'));
}

/** Whether a key opens something there by itself. */
export function worksIn(apiKey: ActingKey, tenantId: string | null): boolean {
  return (apiKey.tenantId?.toLowerCase() ?? null) === (tenantId?.toLowerCase() ?? null);
}

function notHeld(permissions: readonly string[], ids: readonly string[]): NestAuthError {
  return new NestAuthError(
    'GRANT_NOT_HELD',
    'Whoever acts does not hold what would be given (see details.permissions, and details.ids for roles of owners, which owners give)',
    { details: { permissions: [...permissions].toSorted().slice(0, NAMED), ...(ids.length === 0 ? {} : { ids }) } },
  );
}

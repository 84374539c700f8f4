import type { EntityManager } from 'typeorm';
import { execute, executeOne, statement } from '../transaction/statement.js';
import { AccessGrants } from './access-grants.js';
import { type GrantsRow, type NamesRow, OF_PLATFORM, OF_TENANT, TENANT_ROLE_LIST } from './grants.queries.js';
import { coveringNames, prefixBelow } from './permission-names.policy.js';
import { toRole } from './role.rows.js';
import type { NestAuthRole } from './role.entity.js';

/** Where the grants of an access are looked for: in one tenant, or on the platform. */
export interface GrantScope {
  readonly userId: string;
  /** Null for the platform. */
  readonly tenantId: string | null;
}

const questionsAbout = ({ tenantId }: GrantScope) => (tenantId === null ? OF_PLATFORM : OF_TENANT);

/** The first parameters of everything that is asked about an access. */
export const keyOf = ({ userId, tenantId }: GrantScope): string[] =>
  tenantId === null ? [userId] : [userId, tenantId];

/** Names of every permission granted and not denied, sorted by code unit, each once; a wildcard with all that it covers. */
export async function readPermissions(manager: EntityManager, scope: GrantScope): Promise<string[]> {
  const row = await executeOne(manager, questionsAbout(scope).permissions, keyOf(scope));
  const names = row.known ?? row.granted ?? [];
  const isPlain = row.known === null && row.denied === null;
  const given = grantsOf(scope, row);
  // Sorted here, because the order of the database depends on its locale; several roles may grant the same.
  return [...new Set(isPlain ? names : names.filter((name) => given.can(name)))].toSorted();
}

/** All that the access grants; null when there is none that grants anything. */
export async function readGrants(manager: EntityManager, scope: GrantScope): Promise<AccessGrants | null> {
  const [row] = await execute(manager, questionsAbout(scope).grants, keyOf(scope));
  if (row === undefined || (row.roles.length === 0 && row.granted === null)) return null;
  return grantsOf(scope, row);
}

/** Whether the permission named is granted: the most frequent question of all, which brings nothing along. */
export async function readHoldsPermission(manager: EntityManager, scope: GrantScope, name: string): Promise<boolean> {
  const values = [...keyOf(scope), coveringNames(name), prefixBelow(name)];
  const { held } = await executeOne(manager, questionsAbout(scope).holds, values);
  return held;
}

/** Which of the permissions named are granted. */
export async function readHeldPermissions(
  manager: EntityManager,
  scope: GrantScope,
  names: readonly string[],
): Promise<ReadonlySet<string>> {
  const covering = [...new Set(names.flatMap(coveringNames))];
  const row = await executeOne(manager, questionsAbout(scope).held, [...keyOf(scope), covering]);
  const given = grantsOf(scope, row);
  return new Set(names.filter((name) => given.can(name)));
}

/** The roles that grant something now, of the access and inherited. */
export async function readRoles(manager: EntityManager, userId: string, tenantId: string): Promise<NestAuthRole[]> {
  const rows = await execute(manager, TENANT_ROLE_LIST, [userId, tenantId]);
  return rows.map((row) => toRole(row, manager));
}

function grantsOf({ userId, tenantId }: GrantScope, row: NamesRow & Partial<GrantsRow>): AccessGrants {
  return new AccessGrants({
    userId,
    tenantId,
    roles: row.roles ?? [],
    systemRoles: row.system_roles ?? [],
    granted: row.granted ?? [],
    denied: row.denied ?? [],
    validUntil: row.valid_until ?? null,
    validForMs: row.valid_for_ms ?? null,
    roleIds: row.role_ids ?? [],
  });
}

const IS_MEMBER = statement<{ member: boolean }>(
  'user_in_tenant',
  `select exists (
    select 1 from nest_auth_user_accesses a
    join nest_auth_users u on u.id = a.user_id and u.status = 'active' and u.deleted_at is null
    join nest_auth_tenants t on t.id = a.tenant_id and t.is_active
    where a.user_id = $1 and a.tenant_id = $2 and a.status = 'active') as member`,
);

export async function isMember(manager: EntityManager, userId: string, tenantId: string): Promise<boolean> {
  const { member } = await executeOne(manager, IS_MEMBER, [userId, tenantId]);
  return member;
}

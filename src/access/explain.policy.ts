import type { AccessExplanation, AccessPath, AccessReason, DirectPermission, MissingLink } from './access.types.js';
import type { AssignedFacts, EntryFacts, GrantFacts, RoleFacts } from './grant-facts.queries.js';
import { coveringNames } from './permission-names.policy.js';

/** Why the facts grant the permission, or the first thing that stands against it, from the user to the permission. */
export function explain(facts: GrantFacts, permission: string): AccessExplanation {
  const closed = closedBefore(facts);
  if (closed !== null) return { allowed: false, reason: closed };
  const inForce = facts.entries.filter(({ expired }) => !expired);
  const denials = inForce.filter(({ effect }) => effect === 'deny');
  if (denials.length > 0) return { allowed: false, reason: 'DENIED', direct: denials.map(toDirect) };
  const grants = inForce.filter(({ effect }) => effect === 'grant');
  const ways = waysTo(facts, standing(facts), isActive);
  if (grants.length + ways.length > 0) {
    const path = ways.map((way) => toPath(way, permission));
    return { allowed: true, reason: 'GRANTED', path, ...(grants.length === 0 ? {} : { direct: grants.map(toDirect) }) };
  }
  return refusal(facts);
}

/** What ends the check before any role is looked at. */
function closedBefore(facts: GrantFacts): AccessReason | null {
  if (facts.user_active === null) return 'USER_NOT_FOUND';
  if (!facts.user_active) return 'USER_INACTIVE';
  if (facts.tenant_active === null) return 'TENANT_NOT_FOUND';
  if (!facts.tenant_active) return 'TENANT_INACTIVE';
  if (facts.access_active === null) return 'NO_ACCESS';
  return facts.access_active ? null : 'ACCESS_SUSPENDED';
}

/** What is missing: something that has run out, a role, or one that is active, or the permission. */
function refusal(facts: GrantFacts): AccessExplanation {
  const no = (reason: AccessReason, missing?: MissingLink): AccessExplanation => ({
    allowed: false,
    reason,
    ...(missing === undefined ? {} : { missing }),
  });
  const assigned = standing(facts);
  const [entry] = facts.entries.filter(({ effect }) => effect === 'grant').map(toDirect);
  if (entry !== undefined) return no('GRANT_EXPIRED', { direct: entry, ...expiredAt(entry.expiresAt) });
  const [late] = waysTo(facts, facts.assigned, isActive);
  if (late !== undefined)
    return no('GRANT_EXPIRED', { role: referenceOf(late.roles[0]), ...expiredAt(late.expiresAt) });
  if (assigned.length === 0) return no('NO_ROLE');
  const blocked = waysTo(facts, assigned, () => true)[0]?.roles.find((role) => !isActive(role));
  if (blocked !== undefined) return no('ROLE_INACTIVE', { role: referenceOf(blocked) });
  const byId = rolesById(facts);
  if (!assigned.some(({ id }) => byId.get(id)?.active === true)) return no('ROLE_INACTIVE');
  return no(facts.permission_known ? 'PERMISSION_NOT_GRANTED' : 'PERMISSION_UNKNOWN');
}

/** From a role of the access to one that holds the permission, or a wildcard above it. */
interface Way {
  readonly roles: readonly [RoleFacts, ...RoleFacts[]];
  /** When the first of them runs out. */
  readonly expiresAt: string | null;
}

const isActive = ({ active }: RoleFacts): boolean => active;

function standing({ assigned }: GrantFacts): readonly AssignedFacts[] {
  return assigned.filter(({ expired }) => !expired);
}

function rolesById({ roles }: GrantFacts): ReadonlyMap<string, RoleFacts> {
  return new Map(roles.map((role) => [role.id, role]));
}

/** The shortest way to each role that holds it, in the order of the roles; breadth first, each role once. */
function waysTo(facts: GrantFacts, from: readonly AssignedFacts[], mayPass: (role: RoleFacts) => boolean): Way[] {
  const byId = rolesById(facts);
  const ways = new Map<string, Way>();
  const step = (id: string, way: (role: RoleFacts) => Way): string[] => {
    const role = byId.get(id);
    if (role === undefined || ways.has(id) || !mayPass(role)) return [];
    ways.set(id, way(role));
    return [id];
  };
  let reached = from.flatMap(({ id, expires_at }) => step(id, (role) => ({ roles: [role], expiresAt: expires_at })));
  while (reached.length > 0) {
    reached = reached.flatMap((id) => {
      const { roles, expiresAt } = ways.get(id) as Way;
      const parents = byId.get(id)?.parents ?? [];
      return parents.flatMap((parent) => step(parent, (role) => ({ roles: [...roles, role], expiresAt })));
    });
  }
  return facts.roles.filter(({ holds }) => holds.length > 0).flatMap(({ id }) => ways.get(id) ?? []);
}

function toPath({ roles, expiresAt }: Way, permission: string): AccessPath {
  const role = roles.at(-1) as RoleFacts;
  const held = coveringNames(permission).find((name) => role.holds.includes(name));
  return {
    role: referenceOf(role),
    permission,
    ...(held === undefined || held === permission ? {} : { wildcard: held }),
    ...(roles.length === 1 ? {} : { through: roles.map(referenceOf) }),
    ...(expiresAt === null ? {} : { expiresAt: new Date(expiresAt) }),
  };
}

function toDirect({ name, guard, effect, expires_at, reason, created_at }: EntryFacts): DirectPermission {
  return {
    permission: name,
    guard,
    effect,
    expiresAt: expires_at === null ? null : new Date(expires_at),
    reason,
    createdAt: new Date(created_at),
  };
}

function referenceOf({ id, name }: RoleFacts): { id: string; name: string } {
  return { id, name };
}

function expiredAt(at: Date | string | null): { expiredAt?: Date } {
  return at === null ? {} : { expiredAt: new Date(at) };
}

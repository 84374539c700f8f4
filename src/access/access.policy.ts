import { NestAuthError } from '../errors/nest-auth.error.js';
import type { GrantFacts } from './access.queries.js';
import type { AccessExplanation, AccessReason } from './access.types.js';

/** The names of a loaded relation; a relation that was not loaded is not an empty one. */
export function namesOf(items: readonly { name: string }[] | null | undefined, relation: string): ReadonlySet<string> {
  if (items === undefined || items === null) {
    throw new NestAuthError('RELATION_NOT_LOADED', `Load ${relation} first, or ask AccessService, which queries it`);
  }
  return new Set(items.map(({ name }) => name));
}

export function hasEveryName(held: ReadonlySet<string>, wanted: readonly string[]): boolean {
  return wanted.every((name) => held.has(name));
}

/** Why the facts grant the permission, or the first thing that stands against it, from the user to the permission. */
export function explain(facts: GrantFacts, permission: string): AccessExplanation {
  const reason = reasonOf(facts);
  if (reason !== 'GRANTED') return { allowed: false, reason };
  const granting = facts.holders.filter(({ active }) => active);
  return { allowed: true, reason, path: granting.map(({ id, name }) => ({ role: { id, name }, permission })) };
}

function reasonOf(facts: GrantFacts): AccessReason {
  if (facts.user_active === null) return 'USER_NOT_FOUND';
  if (!facts.user_active) return 'USER_INACTIVE';
  if (facts.tenant_active === null) return 'TENANT_NOT_FOUND';
  if (!facts.tenant_active) return 'TENANT_INACTIVE';
  if (facts.access_active === null) return 'NO_ACCESS';
  if (!facts.access_active) return 'ACCESS_SUSPENDED';
  if (facts.roles === 0) return 'NO_ROLE';
  if (facts.holders.some(({ active }) => active)) return 'GRANTED';
  if (facts.active_roles === 0 || facts.holders.length > 0) return 'ROLE_INACTIVE';
  return facts.permission_known ? 'PERMISSION_NOT_GRANTED' : 'PERMISSION_UNKNOWN';
}

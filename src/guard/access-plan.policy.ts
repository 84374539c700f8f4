import type { AccessGrants } from '../access/access-grants.js';
import { InputIssues } from '../errors/input.js';
import type { AccessRequirement } from './guard.types.js';

/** One decorator, as it was written. */
export type AccessMark =
  | { readonly kind: 'public' | 'platform' | 'session' | 'apiKeys' }
  | { readonly kind: 'roles' | 'permissions' | 'anyPermission' | 'service'; readonly names: readonly string[] };

/** What a guard adds by itself, without any decorator. */
export type GuardKind = 'user' | 'roles' | 'permissions' | 'platform' | 'service';

/** What must be fulfilled, all of it. */
export interface Demand {
  readonly platform: boolean;
  /** One of each list. */
  readonly roles: readonly (readonly string[])[];
  readonly permissions: readonly string[];
  /** One of each list. */
  readonly anyPermission: readonly (readonly string[])[];
}

/** Whom a handler lets in. */
export interface AccessPlan {
  readonly audience: 'public' | 'user' | 'service';
  readonly demand: Demand;
  /** Whether a key can be let in: its scopes say what it opens, so that something has to ask for a permission. */
  readonly takesApiKeys: boolean;
  /** One of each list; an empty list takes every service. */
  readonly services: readonly (readonly string[])[];
  /** What contradicts itself: nobody is let in. */
  readonly problems: readonly string[];
}

/** Adds up the decorators of a handler and its class with what its guards stand for: nothing takes anything away. */
export function planOf(marks: readonly AccessMark[], guards: readonly GuardKind[]): AccessPlan {
  const has = (kind: AccessMark['kind']): boolean => marks.some((mark) => mark.kind === kind);
  const lists = (kind: AccessMark['kind']): (readonly string[])[] =>
    marks.flatMap((mark) => (mark.kind === kind && 'names' in mark ? [mark.names] : []));
  const isService = has('service') || guards.includes('service');
  const isPublic = has('public');
  const demand = {
    platform: !isPublic && (has('platform') || guards.includes('platform')),
    roles: lists('roles'),
    permissions: lists('permissions').flat(),
    anyPermission: lists('anyPermission'),
  };
  const demandsPermission = has('permissions') || has('anyPermission');
  const problems = [
    ...marks.flatMap(problemOf),
    ...(isPublic && marks.some(({ kind }) => kind !== 'public') ? ['is @Public and asks for something'] : []),
    ...(isService && has('roles') ? ['is for services, which have no @Roles'] : []),
    ...(isService && demand.platform ? ['is for services, which have no platform access'] : []),
    ...(isService && has('session') ? ['is for services, which have no session'] : []),
    ...(isService && has('apiKeys') ? ['is for services, which have no API keys'] : []),
    ...(has('session') && has('apiKeys') ? ['is @SessionOnly and @AllowApiKeys'] : []),
    ...(!isPublic && guards.includes('roles') && !has('roles') ? ['has RolesGuard and no @Roles'] : []),
    ...(!isPublic && guards.includes('permissions') && !demandsPermission
      ? ['has PermissionsGuard and no @Permissions']
      : []),
  ];
  const audience = isPublic ? 'public' : isService ? 'service' : 'user';
  const takesApiKeys = audience === 'user' && !has('session') && (demandsPermission || has('apiKeys'));
  return { audience, demand, takesApiKeys, services: lists('service'), problems };
}

function problemOf(mark: AccessMark): string[] {
  if (!('names' in mark)) return [];
  if (mark.names.length === 0 && mark.kind !== 'service') return [`names no ${mark.kind}`];
  return mark.names.every((name) => typeof name === 'string' && name.trim() !== '')
    ? []
    : [`has a name among its ${mark.kind} that is no text`];
}

export function demandsAnything({ platform, roles, permissions, anyPermission }: Demand): boolean {
  return platform || roles.length + permissions.length + anyPermission.length > 0;
}

/** Whether these grants fulfil the demand. The place they are of has been chosen before: the tenant, or the platform. */
export function fulfils(grants: AccessGrants, { platform, roles, permissions, anyPermission }: Demand): boolean {
  return (
    // Without a role on the platform there is no access to it, unless a permission that is asked for was given alone.
    (!platform || grants.roles.length > 0 || permissions.length + anyPermission.length > 0) &&
    // Names in code are of the system: a tenant must not become something by the name it gives a role of its own.
    roles.every((names) => names.some((name) => grants.hasSystemRole(name))) &&
    permissions.every((name) => grants.can(name)) &&
    anyPermission.every((names) => grants.canAny(names))
  );
}

const LISTS = ['roles', 'permissions', 'anyPermission'] as const;
const MAX_NAMES = 100;
const MAX_NAME_LENGTH = 200;

/** Reads what somebody asks for in code. A field that we would not know, or an empty list, would let everybody in. */
export function readRequirement(requirement: AccessRequirement): Demand {
  const issues = new InputIssues();
  issues.fields(requirement, [...LISTS, 'platform']);
  for (const list of LISTS) {
    const names: unknown = requirement[list];
    if (names === undefined) continue;
    if (!Array.isArray(names) || names.length === 0 || names.length > MAX_NAMES) {
      issues.add(list, `must be an array of 1 to ${MAX_NAMES} names`);
    } else names.forEach((name, index) => issues.text(`${list}[${index}]`, name, { max: MAX_NAME_LENGTH }));
  }
  const { roles, permissions = [], anyPermission, platform = false } = requirement;
  issues.boolean('platform', platform);
  const demand = {
    platform,
    roles: roles === undefined ? [] : [roles],
    permissions,
    anyPermission: anyPermission === undefined ? [] : [anyPermission],
  };
  if (!demandsAnything(demand)) issues.add('requirement', 'must ask for something');
  issues.refuse('The requirement cannot be checked');
  return demand;
}

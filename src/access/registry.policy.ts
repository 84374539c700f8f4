import type {
  PermissionDifference,
  PermissionRegistry,
  PermissionRegistryPlan,
  RoleDifference,
} from './registry.types.js';

/** What the database has of one guard. */
export interface RegistryState {
  readonly permissions: readonly {
    readonly id: string;
    readonly name: string;
    readonly description: string | null;
    readonly category: string | null;
  }[];
  readonly roles: readonly {
    readonly id: string;
    readonly name: string;
    readonly description: string | null;
    readonly is_owner: boolean;
    readonly permissions: readonly string[];
    readonly parents: readonly string[];
  }[];
}

/** How what is there differs from what is declared. */
export function planOf(registry: PermissionRegistry, state: RegistryState): PermissionRegistryPlan {
  const permissions = diffPermissions(registry, state);
  const roles = diffRoles(registry, state);
  const isUpToDate = [permissions, roles].every(({ create, change }) => create.length + change.length === 0);
  return { guard: registry.guard, permissions, roles, isUpToDate };
}

function diffPermissions(registry: PermissionRegistry, { permissions }: RegistryState) {
  const there = new Map(permissions.map((one) => [one.name, one]));
  const change: PermissionDifference[] = [];
  for (const [name, wanted] of Object.entries(registry.permissions)) {
    const row = there.get(name);
    if (row === undefined) continue;
    const fields = (['description', 'category'] as const).filter(
      (field) => wanted[field] !== undefined && wanted[field] !== row[field],
    );
    if (fields.length > 0) change.push({ name, fields });
  }
  return { ...named(registry.permissions, there), change: byName(change) };
}

function diffRoles(registry: PermissionRegistry, { roles }: RegistryState) {
  const there = new Map(roles.map((one) => [one.name, one]));
  const change: RoleDifference[] = [];
  for (const [name, wanted] of Object.entries(registry.roles)) {
    const row = there.get(name);
    if (row === undefined) continue;
    const fields: ('description' | 'isOwner')[] = [];
    if (wanted.description !== undefined && wanted.description !== row.description) fields.push('description');
    if (wanted.isOwner !== undefined && wanted.isOwner !== row.is_owner) fields.push('isOwner');
    const permissions = diffNames(wanted.permissions, row.permissions);
    const parents = diffNames(wanted.inherits, row.parents);
    const sets = [permissions.added, permissions.removed, parents.added, parents.removed];
    if (fields.length > 0 || sets.some((names) => names.length > 0))
      change.push({ name, fields, permissions, parents });
  }
  return { ...named(registry.roles, there), change: byName(change) };
}

function named(declared: Readonly<Record<string, unknown>>, there: ReadonlyMap<string, unknown>) {
  const { added: create, removed: unknown } = diffNames(Object.keys(declared), [...there.keys()]);
  return { create, unknown };
}

function diffNames(wanted: readonly string[] = [], there: readonly string[]) {
  return {
    added: [...new Set(wanted)].filter((name) => !there.includes(name)).toSorted(),
    removed: there.filter((name) => !wanted.includes(name)).toSorted(),
  };
}

function byName<T extends { readonly name: string }>(items: readonly T[]): T[] {
  return items.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

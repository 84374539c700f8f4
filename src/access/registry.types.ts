import { InputIssues } from '../errors/input.js';
import type { RoleGuardEnum } from './access.types.js';

/** A permission as code declares it; what is left out stays as it is in the database. */
export interface PermissionDeclaration {
  readonly description?: string | null;
  readonly category?: string | null;
}

/** A role of the system as code declares it: it grants what is listed and nothing else. */
export interface RoleDeclaration<Permission extends string = string, Role extends string = string> {
  /** @default none */
  readonly permissions?: readonly Permission[];
  /** Roles of the same registry from which it inherits. @default none */
  readonly inherits?: readonly Role[];
  readonly description?: string | null;
  /** Left out it stays as it is; false for a new role. */
  readonly isOwner?: boolean;
}

/** Permissions of one guard, and roles of the system with them. Made by {@link definePermissions}. */
export interface PermissionRegistry<Permission extends string = string, Role extends string = string> {
  readonly guard: string;
  readonly permissions: Readonly<Record<Permission, PermissionDeclaration>>;
  readonly roles: Readonly<Record<Role, RoleDeclaration<Permission, Role>>>;
}

/** What {@link definePermissions} takes. */
export interface PermissionRegistryInput<Permission extends string, Role extends string> {
  /** One of `RoleGuardEnum`, or of the option `access.guards`. @default 'portal' */
  readonly guard?: `${RoleGuardEnum}` | (string & {});
  readonly permissions: { readonly [Name in Permission]: PermissionDeclaration };
  readonly roles?: {
    readonly [Name in Role]: RoleDeclaration<NoInfer<Permission>, NoInfer<Role>>;
  };
}

/** The names of the permissions that a registry declares. */
export type PermissionOf<Registry> = Registry extends PermissionRegistry<infer Permission> ? Permission : never;
/** The names of the roles that a registry declares. */
export type RoleOf<Registry> = Registry extends PermissionRegistry<string, infer Role> ? Role : never;

/**
 * Declares permissions and roles in code. The names are literal types: a role that names a permission or role which is
 * not declared does not compile.
 *
 * Errors: `VALIDATION_FAILED` for such a name in code that was not compiled.
 */
export function definePermissions<const Permission extends string, const Role extends string = never>({
  guard = 'portal',
  permissions,
  roles,
}: PermissionRegistryInput<Permission, Role>): PermissionRegistry<Permission, Role> {
  const declared = (roles ?? {}) as Record<Role, RoleDeclaration<Permission, Role>>;
  const issues = new InputIssues();
  for (const [name, role] of Object.entries<RoleDeclaration>(declared)) {
    issues.fields(role, ['permissions', 'inherits', 'description', 'isOwner']);
    for (const permission of role.permissions ?? []) {
      if (!Object.hasOwn(permissions, permission))
        issues.add(`roles.${name}.permissions`, `${permission} is not declared`);
    }
    for (const parent of role.inherits ?? []) {
      if (!Object.hasOwn(declared, parent)) issues.add(`roles.${name}.inherits`, `${parent} is not declared`);
    }
  }
  issues.refuse('The permissions are not well declared');
  return Object.freeze({
    guard,
    permissions: Object.freeze({ ...permissions }),
    roles: Object.freeze({ ...declared }),
  });
}

/** How a declared role differs from the one there is. */
export interface RoleDifference {
  readonly name: string;
  readonly fields: readonly ('description' | 'isOwner')[];
  readonly permissions: { readonly added: readonly string[]; readonly removed: readonly string[] };
  readonly parents: { readonly added: readonly string[]; readonly removed: readonly string[] };
}

/** How a declared permission differs from the one there is. */
export interface PermissionDifference {
  readonly name: string;
  readonly fields: readonly ('description' | 'category')[];
}

/** What is to be done so that the database has what is declared. Names, sorted. */
export interface PermissionRegistryPlan {
  readonly guard: string;
  readonly permissions: {
    readonly create: readonly string[];
    readonly change: readonly PermissionDifference[];
    /** In the database and not declared: left alone, unless `prune` is asked for. */
    readonly unknown: readonly string[];
  };
  /** Of the system. Roles of tenants are their own business. */
  readonly roles: {
    readonly create: readonly string[];
    readonly change: readonly RoleDifference[];
    readonly unknown: readonly string[];
  };
  /** Whether nothing has to be created or changed. */
  readonly isUpToDate: boolean;
}

/** How a registry is applied. */
export interface ApplyPermissionsOptions {
  /** Deletes what is not declared; refused as a whole if some of it is in use. @default false */
  readonly prune?: boolean;
}

import type { PageOptions } from '../transaction/keyset.js';
import type { NestAuthPermission } from './permission.entity.js';

/** The namespaces of roles and permissions that every application has; more by the option `access.guards`. */
export enum RoleGuardEnum {
  /** Platform administration: its roles go on platform accesses only. */
  ADMIN = 'admin',
  PORTAL = 'portal',
}

/** Whether an access grants anything. */
export enum AccessStatusEnum {
  ACTIVE = 'active',
  SUSPENDED = 'suspended',
}

/** What a change of a set did; both empty when the set was already as wished. */
export interface AccessDelta {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** JSON of the host, kept as it is: at most 64 KiB, 8 levels and 256 keys a level. */
type Metadata = Readonly<Record<string, unknown>>;

/** What `createRole` takes. Either `isSystem` or `tenantId` says whose role it is; in `DISABLED` tenancy neither is needed. */
export interface CreateRoleInput {
  /** Unique among the roles of the same owner and guard. */
  readonly name: string;
  /** One of `RoleGuardEnum`, or of the option `access.guards`. Roles of the admin guard are system roles. */
  readonly guard: string;
  /** The tenant that owns the role. */
  readonly tenantId?: string | null;
  /** Usable in every tenant, owned by none. @default false */
  readonly isSystem?: boolean;
  readonly description?: string | null;
  /** @default true */
  readonly isActive?: boolean;
  /** Names of permissions of the same guard. */
  readonly permissions?: readonly string[];
  readonly metadata?: Metadata;
}

/** What `updateRole` takes; absent fields stay as they are. Guard and owner of a role never change. */
export interface UpdateRoleInput {
  readonly name?: string;
  readonly description?: string | null;
  readonly isActive?: boolean;
  /** Merged into what is there, key by key; `null` removes a key. */
  readonly metadata?: Metadata;
  /** Refuses with `STALE_VERSION` when the row has another version. */
  readonly expectedVersion?: number;
}

/** What `getRoles` takes: at most 100 at once, 20 unless told. */
export interface GetRolesOptions extends PageOptions {
  readonly guard?: string;
  /** Roles of this tenant and of the system; absent, of the system alone: one tenant's roles are no other's business. */
  readonly tenantId?: string;
  readonly systemOnly?: boolean;
  /** Without the system's. */
  readonly ownOnly?: boolean;
}

/** What to load with a role. */
export interface RoleRelations {
  readonly permissions?: boolean;
}

/** What `createPermission` takes. */
export interface CreatePermissionInput {
  /** Unique within its guard. */
  readonly name: string;
  readonly guard: string;
  readonly description?: string | null;
  readonly category?: string | null;
  readonly metadata?: Metadata;
}

/** What `createPermissions` did. */
export interface CreatePermissionsResult {
  readonly created: NestAuthPermission[];
  /** Those that were there already, as they are. */
  readonly existing: NestAuthPermission[];
}

/** What `updatePermission` takes; absent fields stay as they are. The guard of a permission never changes. */
export interface UpdatePermissionInput {
  readonly name?: string;
  readonly description?: string | null;
  readonly category?: string | null;
  /** Merged into what is there, key by key; `null` removes a key. */
  readonly metadata?: Metadata;
}

/** What `getPermissions` of the permission service takes: at most 100 at once, 20 unless told. */
export interface GetPermissionsOptions extends PageOptions {
  readonly guard?: string;
  readonly category?: string;
  /** Part of the name or description, without regard to case. */
  readonly search?: string;
}

/** Why an access check ended as it did, from the user to the permission; the first that applies. */
export type AccessReason =
  | 'GRANTED'
  | 'USER_NOT_FOUND'
  | 'USER_INACTIVE'
  | 'TENANT_NOT_FOUND'
  | 'TENANT_INACTIVE'
  | 'NO_ACCESS'
  | 'ACCESS_SUSPENDED'
  | 'NO_ROLE'
  | 'ROLE_INACTIVE'
  | 'PERMISSION_UNKNOWN'
  | 'PERMISSION_NOT_GRANTED';

/** A role through which a permission is granted. */
export interface AccessPath {
  readonly role: { readonly id: string; readonly name: string };
  readonly permission: string;
}

/** The outcome of an access check, with its reason. */
export interface AccessExplanation {
  readonly allowed: boolean;
  readonly reason: AccessReason;
  /** Every role that grants it; only when allowed. */
  readonly path?: readonly AccessPath[];
}

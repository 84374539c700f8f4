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

/** What an entry of one access beside its roles does. A denial wins, whatever grants. */
export type PermissionEffect = 'grant' | 'deny';

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
  /** Whoever has it in a tenant is an owner there. Not for roles of the admin guard. @default false */
  readonly isOwner?: boolean;
  /** Names of permissions of the same guard. */
  readonly permissions?: readonly string[];
  readonly metadata?: Metadata;
}

/** What `updateRole` takes; absent fields stay as they are. Guard and owner of a role never change. */
export interface UpdateRoleInput {
  readonly name?: string;
  readonly description?: string | null;
  readonly isActive?: boolean;
  readonly isOwner?: boolean;
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
  /** The roles that it inherits from, in the order of their making; not what those inherit from. */
  readonly parents?: boolean;
}

/** What `createPermission` takes. */
export interface CreatePermissionInput {
  /**
   * Unique within its guard. Segments separated by `.` or `:`; a wildcard is `*`, alone or as the last segment:
   * `invoice.*` grants or denies everything below `invoice.`
   */
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
  | 'DENIED'
  | 'GRANT_EXPIRED'
  | 'NO_ROLE'
  | 'ROLE_INACTIVE'
  | 'PERMISSION_UNKNOWN'
  | 'PERMISSION_NOT_GRANTED';

/** A role, as an explanation names it. */
export interface RoleReference {
  readonly id: string;
  readonly name: string;
}

/** A role through which a permission is granted. */
export interface AccessPath {
  readonly role: RoleReference;
  readonly permission: string;
  /** The wildcard that the role holds; absent when it holds the permission itself. */
  readonly wildcard?: string;
  /** From the role of the access, over those that it inherits from, to this one; absent when the access has this one. */
  readonly through?: readonly RoleReference[];
  /** When the role of the access runs out; absent for never. */
  readonly expiresAt?: Date;
}

/** What an access grants or denies beside its roles, and what of it decided a check. */
export interface DirectPermission {
  /** Its name; of a check maybe a wildcard above what was asked for, or for a wildcard something below. */
  readonly permission: string;
  readonly guard: string;
  readonly effect: PermissionEffect;
  /** Null for never. */
  readonly expiresAt: Date | null;
  readonly reason: string | null;
  readonly createdAt: Date;
}

/** What stands between the access and the permission, beside the reason. */
export interface MissingLink {
  /** The role that is inactive, or that has run out. */
  readonly role?: RoleReference;
  /** The entry of the access that has run out. */
  readonly direct?: DirectPermission;
  /** When it ran out. */
  readonly expiredAt?: Date;
}

/** The outcome of an access check, with its reason. */
export interface AccessExplanation {
  readonly allowed: boolean;
  readonly reason: AccessReason;
  /** Every role that grants it, each by the shortest way; only when allowed. */
  readonly path?: readonly AccessPath[];
  /** What of the access itself grants it, or with `DENIED` denies it; absent when nothing does. */
  readonly direct?: readonly DirectPermission[];
  /** Only with `ROLE_INACTIVE` and `GRANT_EXPIRED`. */
  readonly missing?: MissingLink;
}

/** For how long, and why, an access is given something. */
export interface GrantOptions {
  /** By the clock of the database, and in the future. @default never */
  readonly expiresAt?: Date | null;
}

/** What `grantPermission` and `denyPermission` take beside the permission. */
export interface DirectPermissionOptions extends GrantOptions {
  /** For whoever looks at it later: at most 2,000 characters. */
  readonly reason?: string | null;
}

/** What `purgeExpiredGrants` takes. */
export interface PurgeExpiredOptions {
  /** Entries of one batch, each a transaction of its own. 1 to 5,000. @default 500 */
  readonly batchSize?: number;
  /** Stops between two batches. */
  readonly signal?: AbortSignal;
}

/** What `purgeExpiredGrants` has removed. */
export interface PurgeExpiredResult {
  readonly roles: number;
  readonly permissions: number;
}

import type { UserStatusEnum } from '../account/account.types.js';

export interface CountUsersOptions {
  /** Members of this tenant only; counted exactly. */
  readonly tenantId?: string;
  /**
   * Without it the answer is what the database's statistics say, as of its last ANALYZE: at once, however many users
   * there are. A status that hardly anybody has may read 0 then. @default true
   */
  readonly exact?: boolean;
}

/** How many users there are. Soft-deleted ones stand apart, and in no status. */
export interface UserCounts {
  /** Without the soft-deleted ones. */
  readonly total: number;
  readonly byStatus: Readonly<Record<UserStatusEnum, number>>;
  readonly softDeleted: number;
}

export interface CountByTenantOptions {
  /** Tenants at most, 1 to 500. @default 100 */
  readonly limit?: number;
  /** Id of the last tenant of the page before. */
  readonly after?: string;
}

export interface TenantCount {
  readonly tenantId: string;
  /** Members who are not soft-deleted. */
  readonly users: number;
}

export interface CountByRoleOptions extends CountByTenantOptions {
  /** Holders in this tenant only. @default holders anywhere, each access counts */
  readonly tenantId?: string;
}

export interface RoleCount {
  readonly roleId: string;
  readonly users: number;
}

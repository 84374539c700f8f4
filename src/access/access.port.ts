import type { EntityManager } from 'typeorm';
import type { NestAuthUser } from '../account/user.entity.js';
import type { AccessDelta } from './access.types.js';
import type { NestAuthPlatformAccess } from './platform-access.entity.js';
import type { NestAuthUserAccess } from './user-access.entity.js';

/** What the access helpers of the entities delegate to. */
export interface AccessPort {
  getUserAccess(
    user: NestAuthUser,
    tenantId: string,
    createIfNotExists: boolean,
    manager?: EntityManager,
  ): Promise<NestAuthUserAccess | null>;
  getPlatformAccess(
    user: NestAuthUser,
    createIfNotExists: boolean,
    manager?: EntityManager,
  ): Promise<NestAuthPlatformAccess | null>;
  assignUserAccessRoles(
    access: NestAuthUserAccess,
    roleIds: readonly string[],
    manager?: EntityManager,
  ): Promise<AccessDelta>;
  assignPlatformAccessRoles(
    access: NestAuthPlatformAccess,
    roleIds: readonly string[],
    manager?: EntityManager,
  ): Promise<AccessDelta>;
}

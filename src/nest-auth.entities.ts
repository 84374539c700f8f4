import {
  NestAuthPlatformAccessRole,
  NestAuthRolePermission,
  NestAuthUserAccessRole,
} from './access/access-role.entities.js';
import { NestAuthPermission } from './access/permission.entity.js';
import { NestAuthPlatformAccess } from './access/platform-access.entity.js';
import { NestAuthRole } from './access/role.entity.js';
import { NestAuthUserAccess } from './access/user-access.entity.js';
import { NestAuthIdentity } from './account/identity.entity.js';
import { NestAuthUser } from './account/user.entity.js';
import { NestAuthTenant } from './tenant/tenant.entity.js';

/** Every entity of the package. Give them to the host's DataSource: `entities: [...NestAuthEntities, AppUser]`. */
export const NestAuthEntities = [
  NestAuthTenant,
  NestAuthUser,
  NestAuthIdentity,
  NestAuthPermission,
  NestAuthRole,
  NestAuthRolePermission,
  NestAuthUserAccess,
  NestAuthUserAccessRole,
  NestAuthPlatformAccess,
  NestAuthPlatformAccessRole,
] as const;

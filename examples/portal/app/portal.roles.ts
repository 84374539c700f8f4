import { Injectable, type OnModuleInit } from '@nestjs/common';
import { isNestAuthError, PermissionService, RoleGuardEnum, RoleService } from 'nest-auth-identity';

const { PORTAL, ADMIN } = RoleGuardEnum;

/** What the code of this application asks for. */
export const PERMISSIONS = [
  ...['profile.read', 'profile.write', 'records.read', 'records.write'].map((name) => ({ name, guard: PORTAL })),
  ...['members.read', 'members.invite', 'members.remove', '*'].map((name) => ({ name, guard: PORTAL })),
  ...['tenants.read', 'tenants.write', 'users.read', 'users.write', '*'].map((name) => ({ name, guard: ADMIN })),
];

/** The roles of the system; a tenant has others of its own. Nobody gives what they do not hold: who gives it all, has it. */
export const SYSTEM_ROLES = [
  { name: 'member', guard: PORTAL, permissions: ['profile.read', 'profile.write'] },
  { name: 'editor', guard: PORTAL, permissions: ['profile.read', 'records.read', 'records.write'] },
  { name: 'manager', guard: PORTAL, permissions: ['*'] },
  { name: 'platform-support', guard: ADMIN, permissions: ['tenants.read', 'users.read'] },
  { name: 'platform-owner', guard: ADMIN, permissions: ['*'] },
];

/**
 * Makes them when the application starts: before it checks that every name in a decorator exists. A second process finds
 * them made.
 */
@Injectable()
export class PortalRoles implements OnModuleInit {
  constructor(
    private readonly roles: RoleService,
    private readonly permissions: PermissionService,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.permissions.createPermissions(PERMISSIONS);
    for (const { name, guard, permissions } of SYSTEM_ROLES) {
      try {
        await this.roles.createRole({ name, guard, isSystem: true, permissions });
      } catch (error) {
        if (!isNestAuthError(error, 'ROLE_ALREADY_EXISTS')) throw error;
      }
    }
  }
}

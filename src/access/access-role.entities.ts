import { Check, CreateDateColumn, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import { NestAuthPermission } from './permission.entity.js';
import { NestAuthPlatformAccess } from './platform-access.entity.js';
import { NestAuthRole } from './role.entity.js';
import { NestAuthUserAccess } from './user-access.entity.js';

/**
 * The rows between accesses, roles and permissions. They carry the role's owner and guard, so that the keys and checks
 * refuse a role of another tenant or guard whoever writes the row.
 */

const USER_ACCESS_ROLE_KEY = 'nest_auth_user_access_roles_pk';
const PLATFORM_ACCESS_ROLE_KEY = 'nest_auth_platform_access_roles_pk';
const ROLE_PERMISSION_KEY = 'nest_auth_role_permissions_pk';

@Entity({ name: 'nest_auth_user_access_roles' })
@ForeignKey(() => NestAuthUserAccess, ['userId', 'tenantId'], ['userId', 'tenantId'], {
  name: 'nest_auth_user_access_roles_access_fk',
  onDelete: 'CASCADE',
})
@ForeignKey(() => NestAuthRole, ['roleId', 'roleTenantId', 'guard'], ['id', 'ownerTenantId', 'guard'], {
  name: 'nest_auth_user_access_roles_role_fk',
  onDelete: 'RESTRICT',
})
@Index('nest_auth_user_access_roles_role_ix', ['roleId', 'roleTenantId', 'guard'])
@Index('nest_auth_user_access_roles_expires_ix', ['expiresAt'], { where: 'expires_at IS NOT NULL' })
@Index('nest_auth_user_access_roles_tenant_ix', ['tenantId', 'roleId'])
@Check('nest_auth_user_access_roles_scope_ck', `role_tenant_id = '${NIL_UUID}' OR role_tenant_id = tenant_id`)
@Check('nest_auth_user_access_roles_guard_ck', `guard <> 'admin'`)
export class NestAuthUserAccessRole extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: USER_ACCESS_ROLE_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'tenant_id', type: 'uuid', primaryKeyConstraintName: USER_ACCESS_ROLE_KEY })
  tenantId!: string;

  @PrimaryColumn({ name: 'role_id', type: 'uuid', primaryKeyConstraintName: USER_ACCESS_ROLE_KEY })
  roleId!: string;

  @Column({ name: 'role_tenant_id', type: 'uuid', update: false })
  roleTenantId!: string;

  @Column({ name: 'guard', type: 'text' })
  guard!: string;

  /** When the role stops granting anything, by the clock of the database; null for never. */
  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, nullable: true })
  expiresAt!: Date | null;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;
}

@Entity({ name: 'nest_auth_platform_access_roles' })
@ForeignKey(() => NestAuthPlatformAccess, ['userId'], ['userId'], {
  name: 'nest_auth_platform_access_roles_access_fk',
  onDelete: 'CASCADE',
})
@ForeignKey(() => NestAuthRole, ['roleId', 'roleTenantId', 'guard'], ['id', 'ownerTenantId', 'guard'], {
  name: 'nest_auth_platform_access_roles_role_fk',
  onDelete: 'RESTRICT',
})
@Index('nest_auth_platform_access_roles_role_ix', ['roleId', 'roleTenantId', 'guard'])
@Index('nest_auth_platform_access_roles_expires_ix', ['expiresAt'], { where: 'expires_at IS NOT NULL' })
@Check('nest_auth_platform_access_roles_scope_ck', `role_tenant_id = '${NIL_UUID}' AND guard = 'admin'`)
export class NestAuthPlatformAccessRole extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: PLATFORM_ACCESS_ROLE_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'role_id', type: 'uuid', primaryKeyConstraintName: PLATFORM_ACCESS_ROLE_KEY })
  roleId!: string;

  @Column({ name: 'role_tenant_id', type: 'uuid', update: false })
  roleTenantId!: string;

  @Column({ name: 'guard', type: 'text' })
  guard!: string;

  /** When the role stops granting anything, by the clock of the database; null for never. */
  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, nullable: true })
  expiresAt!: Date | null;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;
}

@Entity({ name: 'nest_auth_role_permissions' })
@ForeignKey(() => NestAuthRole, ['roleId', 'guard'], ['id', 'guard'], {
  name: 'nest_auth_role_permissions_role_fk',
  onDelete: 'CASCADE',
})
@ForeignKey(() => NestAuthPermission, ['permissionId', 'guard'], ['id', 'guard'], {
  name: 'nest_auth_role_permissions_permission_fk',
  onDelete: 'RESTRICT',
})
@Index('nest_auth_role_permissions_permission_ix', ['permissionId', 'guard'])
export class NestAuthRolePermission extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'role_id', type: 'uuid', primaryKeyConstraintName: ROLE_PERMISSION_KEY })
  roleId!: string;

  @PrimaryColumn({ name: 'permission_id', type: 'uuid', primaryKeyConstraintName: ROLE_PERMISSION_KEY })
  permissionId!: string;

  @Column({ name: 'guard', type: 'text' })
  guard!: string;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;
}

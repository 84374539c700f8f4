import { Check, Column, CreateDateColumn, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import type { PermissionEffect } from './access.types.js';
import { NestAuthPermission } from './permission.entity.js';
import { NestAuthPlatformAccess } from './platform-access.entity.js';
import { NestAuthUserAccess } from './user-access.entity.js';

const USER_ACCESS_KEY = 'nest_auth_user_access_permissions_pk';
const PLATFORM_ACCESS_KEY = 'nest_auth_platform_access_permissions_pk';
const EFFECTS = `effect IN ('grant', 'deny')`;

/** What one access grants or denies beside its roles. A denial wins, whatever grants. */
abstract class AccessPermission extends NestAuthBaseEntity {
  @Column({ name: 'guard', type: 'text', update: false })
  guard!: string;

  @Column({ name: 'effect', type: 'text' })
  effect!: PermissionEffect;

  /** When it stops, by the clock of the database; null for never. */
  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, nullable: true })
  expiresAt!: Date | null;

  @Column({ name: 'reason', type: 'text', nullable: true })
  reason!: string | null;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;
}

@Entity({ name: 'nest_auth_user_access_permissions' })
@ForeignKey(() => NestAuthUserAccess, ['userId', 'tenantId'], ['userId', 'tenantId'], {
  name: 'nest_auth_user_access_permissions_access_fk',
  onDelete: 'CASCADE',
})
@ForeignKey(() => NestAuthPermission, ['permissionId', 'guard'], ['id', 'guard'], {
  name: 'nest_auth_user_access_permissions_permission_fk',
  onDelete: 'RESTRICT',
})
@Index('nest_auth_user_access_permissions_permission_ix', ['permissionId', 'guard'])
@Index('nest_auth_user_access_permissions_expires_ix', ['expiresAt'], { where: 'expires_at IS NOT NULL' })
@Check('nest_auth_user_access_permissions_guard_ck', `guard <> 'admin'`)
@Check('nest_auth_user_access_permissions_effect_ck', EFFECTS)
export class NestAuthUserAccessPermission extends AccessPermission {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: USER_ACCESS_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'tenant_id', type: 'uuid', primaryKeyConstraintName: USER_ACCESS_KEY })
  tenantId!: string;

  @PrimaryColumn({ name: 'permission_id', type: 'uuid', primaryKeyConstraintName: USER_ACCESS_KEY })
  permissionId!: string;
}

@Entity({ name: 'nest_auth_platform_access_permissions' })
@ForeignKey(() => NestAuthPlatformAccess, ['userId'], ['userId'], {
  name: 'nest_auth_platform_access_permissions_access_fk',
  onDelete: 'CASCADE',
})
@ForeignKey(() => NestAuthPermission, ['permissionId', 'guard'], ['id', 'guard'], {
  name: 'nest_auth_platform_access_permissions_permission_fk',
  onDelete: 'RESTRICT',
})
@Index('nest_auth_platform_access_permissions_permission_ix', ['permissionId', 'guard'])
@Index('nest_auth_platform_access_permissions_expires_ix', ['expiresAt'], { where: 'expires_at IS NOT NULL' })
@Check('nest_auth_platform_access_permissions_guard_ck', `guard = 'admin'`)
@Check('nest_auth_platform_access_permissions_effect_ck', EFFECTS)
export class NestAuthPlatformAccessPermission extends AccessPermission {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: PLATFORM_ACCESS_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'permission_id', type: 'uuid', primaryKeyConstraintName: PLATFORM_ACCESS_KEY })
  permissionId!: string;
}

import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  Index,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  PrimaryColumn,
  type Relation,
  Unique,
  UpdateDateColumn,
  VersionColumn,
} from 'typeorm';
import { NestAuthTenant } from '../tenant/tenant.entity.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { NestAuthBaseEntity, type StoredMetadata } from '../transaction/base.entity.js';
import { hasEveryName, namesOf } from './access.policy.js';
import { NestAuthPermission } from './permission.entity.js';

/** A named set of permissions: of the system (`tenantId` null), or of one tenant. */
@Entity({ name: 'nest_auth_roles' })
@Unique('nest_auth_roles_guard_uq', ['id', 'guard'])
@Unique('nest_auth_roles_scope_uq', ['id', 'ownerTenantId', 'guard'])
@Index('nest_auth_roles_owner_guard_name_uq', ['ownerTenantId', 'guard', 'name'], { unique: true })
@Index('nest_auth_roles_guard_name_ix', ['guard', 'name'])
@Index('nest_auth_roles_tenant_ix', ['tenantId'])
@Index('nest_auth_roles_owner_ix', ['id'], { where: 'is_owner' })
@Check('nest_auth_roles_owner_ck', `owner_tenant_id = COALESCE(tenant_id, '${NIL_UUID}')`)
@Check('nest_auth_roles_system_ck', `is_system = (tenant_id IS NULL)`)
@Check('nest_auth_roles_admin_ck', `guard <> 'admin' OR tenant_id IS NULL`)
@Check('nest_auth_roles_owner_role_ck', `NOT is_owner OR guard <> 'admin'`)
export class NestAuthRole extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_roles_pk' })
  id!: string;

  /** The tenant that owns the role; null for a system role. */
  @Column({ name: 'tenant_id', type: 'uuid', nullable: true, update: false })
  tenantId!: string | null;

  /** `tenantId`, with the nil UUID for null: what the keys of assignments refer to. */
  @Column({ name: 'owner_tenant_id', type: 'uuid', default: NIL_UUID, update: false })
  ownerTenantId!: string;

  @Column({ name: 'guard', type: 'text', update: false })
  guard!: string;

  @Column({ name: 'name', type: 'text' })
  name!: string;

  @Column({ name: 'description', type: 'text', nullable: true })
  description!: string | null;

  @Column({ name: 'is_system', type: 'boolean', default: false, update: false })
  isSystem!: boolean;

  /** An inactive role grants nothing. */
  @Column({ name: 'is_active', type: 'boolean', default: true })
  isActive!: boolean;

  /** Whoever has the role in a tenant is an owner there; the last one stays. */
  @Column({ name: 'is_owner', type: 'boolean', default: false })
  isOwner!: boolean;

  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata!: StoredMetadata;

  @VersionColumn({ name: 'version', type: 'integer', default: 1, update: false })
  version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  updatedAt!: Date;

  @ManyToOne(() => NestAuthTenant, { onDelete: 'RESTRICT', nullable: true })
  @JoinColumn({ name: 'tenant_id', foreignKeyConstraintName: 'nest_auth_roles_tenant_fk' })
  tenant?: Relation<NestAuthTenant | null>;

  /** For reading; changed by `RoleService.setRolePermissions`. */
  @ManyToMany(() => NestAuthPermission)
  @JoinTable({
    name: 'nest_auth_role_permissions',
    synchronize: false,
    joinColumn: { name: 'role_id', referencedColumnName: 'id' },
    inverseJoinColumn: { name: 'permission_id', referencedColumnName: 'id' },
  })
  permissions?: Relation<NestAuthPermission[]>;

  /** The roles that it inherits from, for reading; changed by `RoleService.setRoleParents`. */
  @ManyToMany(() => NestAuthRole)
  @JoinTable({
    name: 'nest_auth_role_parents',
    synchronize: false,
    joinColumn: { name: 'role_id', referencedColumnName: 'id' },
    inverseJoinColumn: { name: 'parent_id', referencedColumnName: 'id' },
  })
  parents?: Relation<NestAuthRole[]>;

  /** Whether the loaded role itself holds the permission by this name; throws `RELATION_NOT_LOADED` when `permissions` is not loaded. */
  hasPermission(permission: string): boolean {
    return this.hasAllPermissions([permission]);
  }

  hasAllPermissions(permissions: readonly string[]): boolean {
    return hasEveryName(namesOf(this.permissions, 'NestAuthRole.permissions'), permissions);
  }

  hasAnyPermission(permissions: readonly string[]): boolean {
    const held = namesOf(this.permissions, 'NestAuthRole.permissions');
    return permissions.some((permission) => held.has(permission));
  }
}

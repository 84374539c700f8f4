import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  type EntityManager,
  Index,
  JoinColumn,
  JoinTable,
  ManyToMany,
  ManyToOne,
  PrimaryColumn,
  type Relation,
  UpdateDateColumn,
  VersionColumn,
} from 'typeorm';
import { NestAuthUser } from '../account/user.entity.js';
import { NestAuthTenant } from '../tenant/tenant.entity.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { NestAuthBaseEntity, type StoredMetadata } from '../transaction/base.entity.js';
import { portOf } from '../transaction/entity-ports.js';
import { namesOf } from './access.policy.js';
import { type AccessDelta, AccessStatusEnum } from './access.types.js';
import { NestAuthRole } from './role.entity.js';

const PRIMARY_KEY = 'nest_auth_user_accesses_pk';

/** A user's membership of a tenant. Its roles are those of the system or of that tenant, never of another one. */
@Entity({ name: 'nest_auth_user_accesses' })
@Index('nest_auth_user_accesses_tenant_ix', ['tenantId', 'userId'])
@Index('nest_auth_user_accesses_default_uq', ['userId'], { unique: true, where: 'is_default' })
@Check('nest_auth_user_accesses_status_ck', `status IN ('active', 'suspended')`)
@Check('nest_auth_user_accesses_realm_ck', `realm_id = '${NIL_UUID}' OR realm_id = tenant_id`)
export class NestAuthUserAccess extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'tenant_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  tenantId!: string;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  @Column({ name: 'status', type: 'text', default: AccessStatusEnum.ACTIVE })
  status!: AccessStatusEnum;

  /** The tenant a sign-in lands in; at most one of a user's accesses. */
  @Column({ name: 'is_default', type: 'boolean', default: false })
  isDefault!: boolean;

  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata!: StoredMetadata;

  @VersionColumn({ name: 'version', type: 'integer', default: 1, update: false })
  version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  updatedAt!: Date;

  @ManyToOne(() => NestAuthUser, (user) => user.userAccesses, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'id', foreignKeyConstraintName: 'nest_auth_user_accesses_user_fk' },
    { name: 'realm_id', referencedColumnName: 'realmId', foreignKeyConstraintName: 'nest_auth_user_accesses_user_fk' },
  ])
  user?: Relation<NestAuthUser>;

  @ManyToOne(() => NestAuthTenant, { onDelete: 'RESTRICT' })
  @JoinColumn({ name: 'tenant_id', foreignKeyConstraintName: 'nest_auth_user_accesses_tenant_fk' })
  tenant?: Relation<NestAuthTenant>;

  /** For reading; changed by `assignRoles`. */
  @ManyToMany(() => NestAuthRole)
  @JoinTable({
    name: 'nest_auth_user_access_roles',
    synchronize: false,
    joinColumns: [
      { name: 'user_id', referencedColumnName: 'userId' },
      { name: 'tenant_id', referencedColumnName: 'tenantId' },
    ],
    // With the other key columns listed too, TypeORM's removal silently does nothing.
    inverseJoinColumns: [{ name: 'role_id', referencedColumnName: 'id' }],
  })
  roles?: Relation<NestAuthRole[]>;

  /** Makes `roleIds` the roles of this access: one set, not a union, also under concurrency. */
  assignRoles(roleIds: readonly string[], manager?: EntityManager): Promise<AccessDelta> {
    const access = portOf(this, 'access', manager);
    return access.port.assignUserAccessRoles(this, roleIds, access.manager);
  }

  /** Whether a loaded role has this name; throws `RELATION_NOT_LOADED` when `roles` is not loaded. */
  hasRole(name: string): boolean {
    return namesOf(this.roles, 'NestAuthUserAccess.roles').has(name);
  }

  /** Whether a loaded, active role holds the permission; needs `roles.permissions`, and this access to be active. */
  hasPermission(permission: string): boolean {
    namesOf(this.roles, 'NestAuthUserAccess.roles');
    const granting = (this.roles ?? []).filter((role) => role.isActive && role.hasPermission(permission));
    return this.status === AccessStatusEnum.ACTIVE && granting.length > 0;
  }
}

import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  type EntityManager,
  ForeignKey,
  JoinColumn,
  JoinTable,
  ManyToMany,
  OneToOne,
  PrimaryColumn,
  type Relation,
  UpdateDateColumn,
  VersionColumn,
} from 'typeorm';
import { NestAuthUser } from '../account/user.entity.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { NestAuthBaseEntity, type StoredMetadata } from '../transaction/base.entity.js';
import { portOf } from '../transaction/entity-ports.js';
import { namesOf } from './access.policy.js';
import { type AccessDelta, AccessStatusEnum } from './access.types.js';
import { NestAuthRole } from './role.entity.js';

/** A user's right to administer the platform: a grant path of its own, which no tenant role can satisfy. */
@Entity({ name: 'nest_auth_platform_accesses' })
@ForeignKey(() => NestAuthUser, ['userId', 'realmId'], ['id', 'realmId'], {
  name: 'nest_auth_platform_accesses_user_fk',
  onDelete: 'CASCADE',
})
@Check('nest_auth_platform_accesses_status_ck', `status IN ('active', 'suspended')`)
@Check('nest_auth_platform_accesses_realm_ck', `realm_id = '${NIL_UUID}'`)
export class NestAuthPlatformAccess extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_platform_accesses_pk' })
  userId!: string;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  @Column({ name: 'status', type: 'text', default: AccessStatusEnum.ACTIVE })
  status!: AccessStatusEnum;

  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata!: StoredMetadata;

  @VersionColumn({ name: 'version', type: 'integer', default: 1, update: false })
  version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  updatedAt!: Date;

  // Joined by the primary key alone: with the realm TypeORM would want a unique constraint of its own on both.
  @OneToOne(() => NestAuthUser, (user) => user.platformAccess, { createForeignKeyConstraints: false })
  @JoinColumn({ name: 'user_id', referencedColumnName: 'id' })
  user?: Relation<NestAuthUser>;

  /** For reading; changed by `assignRoles`. */
  @ManyToMany(() => NestAuthRole)
  @JoinTable({
    name: 'nest_auth_platform_access_roles',
    synchronize: false,
    joinColumn: { name: 'user_id', referencedColumnName: 'userId' },
    inverseJoinColumn: { name: 'role_id', referencedColumnName: 'id' },
  })
  roles?: Relation<NestAuthRole[]>;

  /** Makes `roleIds`, all of the admin guard, the roles of this access. */
  assignRoles(roleIds: readonly string[], manager?: EntityManager): Promise<AccessDelta> {
    const access = portOf(this, 'access', manager);
    return access.port.assignPlatformAccessRoles(this, roleIds, access.manager);
  }

  /** Whether a loaded role has this name; throws `RELATION_NOT_LOADED` when `roles` is not loaded. */
  hasRole(name: string): boolean {
    return namesOf(this.roles, 'NestAuthPlatformAccess.roles').has(name);
  }

  /** Whether a loaded, active role holds the permission; needs `roles.permissions`, and this access to be active. */
  hasPermission(permission: string): boolean {
    namesOf(this.roles, 'NestAuthPlatformAccess.roles');
    const granting = (this.roles ?? []).filter((role) => role.isActive && role.hasPermission(permission));
    return this.status === AccessStatusEnum.ACTIVE && granting.length > 0;
  }
}

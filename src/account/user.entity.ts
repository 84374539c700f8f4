import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  Index,
  OneToMany,
  OneToOne,
  PrimaryColumn,
  type Relation,
  Unique,
  UpdateDateColumn,
  VersionColumn,
  type EntityManager,
} from 'typeorm';
import type { AccessPort } from '../access/access.port.js';
import { NestAuthPlatformAccess } from '../access/platform-access.entity.js';
import { NestAuthUserAccess } from '../access/user-access.entity.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import { portOf } from '../transaction/entity-ports.js';
import type { AccountPort, UpdateIdentityInput } from './account.port.js';
import { UserStatusEnum } from './account.types.js';
import type { HashedPassword } from './hashed-password.js';
import { NestAuthIdentity } from './identity.entity.js';

/**
 * Somebody who can sign in.
 *
 * `email` and `phone` are changed by `updateEmail`, `updatePhone` or `UserService.updateUser`, which also replace the
 * identities; saving the entity with another value is refused. Each helper delegates to the operation that the
 * services use: on the manager passed, else in the running transaction, else on the DataSource the entity came from.
 */
@Entity({ name: 'nest_auth_users' })
@Unique('nest_auth_users_realm_uq', ['id', 'realmId'])
@Index('nest_auth_users_realm_email_uq', ['realmId', 'emailNorm'], { unique: true, where: 'deleted_at IS NULL' })
@Index('nest_auth_users_realm_phone_uq', ['realmId', 'phone'], { unique: true, where: 'deleted_at IS NULL' })
@Check(
  'nest_auth_users_status_ck',
  `status IN ('pending', 'active', 'inactive', 'disabled', 'scheduled_deletion')`,
)
@Check('nest_auth_users_is_active_ck', `is_active = (status = 'active')`)
@Check('nest_auth_users_email_ck', `(email IS NULL) = (email_norm IS NULL)`)
@Check('nest_auth_users_email_verified_ck', `email_verified_at IS NULL OR email IS NOT NULL`)
@Check('nest_auth_users_phone_verified_ck', `phone_verified_at IS NULL OR phone IS NOT NULL`)
export class NestAuthUser extends NestAuthBaseEntity {
  /** UUIDv7, made by the application: it sorts by creation time. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_users_pk' })
  id!: string;

  /** The namespace in which email, phone and provider accounts are unique; nil unless tenancy is `ISOLATED`. */
  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  /** As typed. Mail goes here. */
  @Column({ name: 'email', type: 'text', nullable: true })
  email!: string | null;

  @Column({ name: 'email_norm', type: 'text', nullable: true, select: false, insert: false, update: false })
  emailNorm?: string | null;

  @Column({ name: 'email_verified_at', type: 'timestamptz', precision: 3, nullable: true })
  emailVerifiedAt!: Date | null;

  /** E.164. */
  @Column({ name: 'phone', type: 'text', nullable: true })
  phone!: string | null;

  @Column({ name: 'phone_verified_at', type: 'timestamptz', precision: 3, nullable: true })
  phoneVerifiedAt!: Date | null;

  // TypeORM would null a secret it did not select on the second save, so it may neither read nor write it.
  @Column({ name: 'password_hash', type: 'text', nullable: true, select: false, insert: false, update: false })
  passwordHash?: string | null;

  @Column({ name: 'status', type: 'text', default: UserStatusEnum.ACTIVE })
  status!: UserStatusEnum;

  @Column({ name: 'is_active', type: 'boolean', default: true })
  isActive!: boolean;

  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata!: Record<string, unknown>;

  @VersionColumn({ name: 'version', type: 'integer', default: 1, update: false })
  version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  updatedAt!: Date;

  @Column({ name: 'deleted_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  deletedAt!: Date | null;

  @OneToMany(() => NestAuthIdentity, (identity) => identity.user)
  identities?: Relation<NestAuthIdentity[]>;

  @OneToMany(() => NestAuthUserAccess, (access) => access.user)
  userAccesses?: Relation<NestAuthUserAccess[]>;

  @OneToOne(() => NestAuthPlatformAccess, (access) => access.user)
  platformAccess?: Relation<NestAuthPlatformAccess | null>;

  /** As `UserService`'s identity rules: `email` and `phone` are normalised and must equal the user's own. */
  findOrCreateIdentity(provider: string, providerId: string, manager?: EntityManager): Promise<NestAuthIdentity> {
    const account = portOf<AccountPort>(this, 'account', manager);
    return account.port.findOrCreateIdentity(this, provider, providerId, account.manager);
  }

  /** Replaces the user's account at `provider`, or makes it; for `email` and `phone` this changes the user too. */
  updateOrCreateIdentity(
    provider: string,
    data: UpdateIdentityInput,
    manager?: EntityManager,
  ): Promise<NestAuthIdentity> {
    const account = portOf<AccountPort>(this, 'account', manager);
    return account.port.updateOrCreateIdentity(this, provider, data, account.manager);
  }

  /** Changes the email and its identity together; the new address starts unverified. Refreshes this entity. */
  updateEmail(email: string | null, manager?: EntityManager): Promise<void> {
    const account = portOf<AccountPort>(this, 'account', manager);
    return account.port.updateEmail(this, email, account.manager);
  }

  /** Changes the phone and its identity together; the new number starts unverified. Refreshes this entity. */
  updatePhone(phone: string | null, manager?: EntityManager): Promise<void> {
    const account = portOf<AccountPort>(this, 'account', manager);
    return account.port.updatePhone(this, phone, account.manager);
  }

  /** Hashes and stores the password at once, in the running transaction; no later `save` is needed. */
  setPassword(password: string | HashedPassword | null, manager?: EntityManager): Promise<void> {
    const account = portOf<AccountPort>(this, 'account', manager);
    return account.port.setPassword(this, password, account.manager);
  }

  /** Whether `password` is the user's; false, at the same cost, for a user without one. */
  validatePassword(password: string, manager?: EntityManager): Promise<boolean> {
    const account = portOf<AccountPort>(this, 'account', manager);
    return account.port.validatePassword(this, password, account.manager);
  }

  /** The user's access to a tenant; null when there is none, unless `createIfNotExists`. */
  getUserAccess(tenantId: string, createIfNotExists: true, manager?: EntityManager): Promise<NestAuthUserAccess>;
  getUserAccess(
    tenantId: string,
    createIfNotExists?: boolean,
    manager?: EntityManager,
  ): Promise<NestAuthUserAccess | null>;
  getUserAccess(
    tenantId: string,
    createIfNotExists = false,
    manager?: EntityManager,
  ): Promise<NestAuthUserAccess | null> {
    const access = portOf<AccessPort>(this, 'access', manager);
    return access.port.getUserAccess(this, tenantId, createIfNotExists, access.manager);
  }

  /** The user's access to the platform; null when there is none, unless `createIfNotExists`. */
  getPlatformAccess(createIfNotExists: true, manager?: EntityManager): Promise<NestAuthPlatformAccess>;
  getPlatformAccess(createIfNotExists?: boolean, manager?: EntityManager): Promise<NestAuthPlatformAccess | null>;
  getPlatformAccess(createIfNotExists = false, manager?: EntityManager): Promise<NestAuthPlatformAccess | null> {
    const access = portOf<AccessPort>(this, 'access', manager);
    return access.port.getPlatformAccess(this, createIfNotExists, access.manager);
  }

  /** Leaves secrets out, also when a host selected them on purpose. */
  toJSON(): Record<string, unknown> {
    const { passwordHash: _hash, emailNorm: _norm, ...visible } = this;
    return visible;
  }
}

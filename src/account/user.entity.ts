import {
  Check,
  Column,
  CreateDateColumn,
  DeleteDateColumn,
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
import { NestAuthPlatformAccess } from '../access/platform-access.entity.js';
import { NestAuthUserAccess } from '../access/user-access.entity.js';
import { NestAuthBaseEntity, type StoredMetadata } from '../transaction/base.entity.js';
import { portOf } from '../transaction/entity-ports.js';
import type { UpdateIdentityInput } from './account.port.js';
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
// TypeORM knows no operator class: the migration makes them, and synchronizing leaves them alone.
@Index('nest_auth_users_email_search_ix', { synchronize: false })
@Index('nest_auth_users_phone_search_ix', { synchronize: false })
@Check('nest_auth_users_status_ck', `status IN ('pending', 'active', 'inactive', 'disabled', 'scheduled_deletion')`)
@Check('nest_auth_users_is_active_ck', `is_active = (status = 'active')`)
@Check('nest_auth_users_email_ck', `(email IS NULL) = (email_norm IS NULL)`)
@Check('nest_auth_users_email_verified_ck', `email_verified_at IS NULL OR email IS NOT NULL`)
@Check('nest_auth_users_phone_verified_ck', `phone_verified_at IS NULL OR phone IS NOT NULL`)
@Index('nest_auth_users_status_ix', ['status', 'id'])
@Index('nest_auth_users_deleted_ix', ['id'], { where: 'deleted_at IS NOT NULL' })
@Check(
  'nest_auth_users_activated_ck',
  `(status <> 'pending' OR activated_at IS NULL) AND (status <> 'active' OR activated_at IS NOT NULL)`,
)
@Check(
  'nest_auth_users_deactivated_ck',
  `(status <> 'inactive' OR deactivated_at IS NOT NULL) AND (deactivated_at IS NULL OR status IN ('inactive', 'disabled', 'scheduled_deletion'))`,
)
@Check('nest_auth_users_disabled_ck', `(disabled_at IS NOT NULL) = (status IN ('disabled', 'scheduled_deletion'))`)
@Check('nest_auth_users_deleted_ck', `deleted_at IS NULL OR status IN ('disabled', 'scheduled_deletion')`)
@Check(
  'nest_auth_users_scheduled_ck',
  `(scheduled_deletion_at IS NOT NULL) = (status = 'scheduled_deletion') AND (status <> 'scheduled_deletion' OR deleted_at IS NOT NULL)`,
)
@Check('nest_auth_users_parked_ck', `(parked_identities IS NOT NULL) = (deleted_at IS NOT NULL)`)
@Check('nest_auth_users_legal_hold_ck', `(legal_hold_at IS NULL) = (legal_hold_reason IS NULL)`)
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

  /** Changes with the password, and when the user leaves `ACTIVE`: what was begun under another one has ended. */
  @Column({ name: 'security_stamp', type: 'integer', default: 1, select: false, insert: false, update: false })
  securityStamp?: number;

  /** Counts how often another owner of a tenant could leave because this one stays. */
  @Column({ name: 'ownership_version', type: 'integer', default: 0, select: false, insert: false, update: false })
  ownershipVersion?: number;

  @Column({ name: 'status', type: 'text', default: UserStatusEnum.ACTIVE })
  status!: UserStatusEnum;

  @Column({ name: 'is_active', type: 'boolean', default: true })
  isActive!: boolean;

  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata!: StoredMetadata;

  @VersionColumn({ name: 'version', type: 'integer', default: 1, update: false })
  version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  updatedAt!: Date;

  /** When the user last became active; null for one who never was. */
  @Column({ name: 'activated_at', type: 'timestamptz', precision: 3, nullable: true, default: () => 'now()' })
  activatedAt!: Date | null;

  /** When an inactive user was deactivated; kept while the user is disabled. */
  @Column({ name: 'deactivated_at', type: 'timestamptz', precision: 3, nullable: true })
  deactivatedAt!: Date | null;

  @Column({ name: 'disabled_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  disabledAt!: Date | null;

  /** When the soft-deleted user may be deleted for good. */
  @Column({ name: 'scheduled_deletion_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  scheduledDeletionAt!: Date | null;

  @Column({ name: 'last_login_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  lastLoginAt!: Date | null;

  /** Since when nobody may delete the user, softly or for good. */
  @Column({ name: 'legal_hold_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  legalHoldAt!: Date | null;

  @Column({ name: 'legal_hold_reason', type: 'text', nullable: true, update: false })
  legalHoldReason!: string | null;

  /** The finders of TypeORM leave soft-deleted users out, as every look-up of ours does, unless told `withDeleted`. */
  @DeleteDateColumn({ name: 'deleted_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  softDeletedAt!: Date | null;

  // What a soft-deleted user was recognised by: free for others, and put back when the user is restored.
  @Column({ name: 'parked_identities', type: 'jsonb', nullable: true, select: false, insert: false, update: false })
  parkedIdentities?: unknown;

  @OneToMany(() => NestAuthIdentity, (identity) => identity.user)
  identities?: Relation<NestAuthIdentity[]>;

  @OneToMany(() => NestAuthUserAccess, (access) => access.user)
  userAccesses?: Relation<NestAuthUserAccess[]>;

  @OneToOne(() => NestAuthPlatformAccess, (access) => access.user)
  platformAccess?: Relation<NestAuthPlatformAccess | null>;

  /**
   * The user's account at `provider`, made if nobody has it. For `email` and `phone` the value is normalised and must be
   * the user's own; a user who has none takes it, as by `updateEmail`. Idempotent; announces `UserUpdatedEvent` when made.
   *
   * @throws `IDENTITY_ALREADY_EXISTS`, `EMAIL_ALREADY_EXISTS`, `PHONE_ALREADY_EXISTS` when somebody else has it;
   *   `IDENTITY_MISMATCH` for another email or phone than the user's; `USER_NOT_FOUND`, `VALIDATION_FAILED`. None of them
   *   changes anything, and the caller's transaction stays usable.
   */
  findOrCreateIdentity(provider: string, providerId: string, manager?: EntityManager): Promise<NestAuthIdentity> {
    const account = portOf(this, 'account', manager);
    return account.port.findOrCreateIdentity(this, provider, providerId, account.manager);
  }

  /**
   * Replaces the user's account at `provider`, or makes it, and merges the metadata; for `email` and `phone` this changes
   * the user too. Several statements, in a transaction of their own unless one is joined. Always announces
   * `UserUpdatedEvent`.
   *
   * @throws as {@link findOrCreateIdentity}; `VALIDATION_FAILED` without `providerId` when there is no account yet.
   */
  updateOrCreateIdentity(
    provider: string,
    data: UpdateIdentityInput,
    manager?: EntityManager,
  ): Promise<NestAuthIdentity> {
    const account = portOf(this, 'account', manager);
    return account.port.updateOrCreateIdentity(this, provider, data, account.manager);
  }

  /** Changes the email and its identity together; the new address starts unverified. Refreshes this entity. */
  updateEmail(email: string | null, manager?: EntityManager): Promise<void> {
    const account = portOf(this, 'account', manager);
    return account.port.updateEmail(this, email, account.manager);
  }

  /** Changes the phone and its identity together; the new number starts unverified. Refreshes this entity. */
  updatePhone(phone: string | null, manager?: EntityManager): Promise<void> {
    const account = portOf(this, 'account', manager);
    return account.port.updatePhone(this, phone, account.manager);
  }

  /**
   * Judges a plain password, hashes and stores it at once, in the running transaction; no later `save` is needed. `null`
   * removes it. Inside a transaction pass a hash from `PasswordService.hash`, made before it; `password.history` does not
   * judge that. Announces `UserUpdatedEvent`.
   *
   * @throws `USER_NOT_FOUND`, `VALIDATION_FAILED`, `PASSWORD_REFUSED`, `PASSWORD_CHECK_UNAVAILABLE`, `HASHING_BUSY`.
   */
  setPassword(password: string | HashedPassword | null, manager?: EntityManager): Promise<void> {
    const account = portOf(this, 'account', manager);
    return account.port.setPassword(this, password, account.manager);
  }

  /**
   * Whether `password` is the user's; false, at the same cost, for a user without one. A stored hash that was made with
   * other settings than those of now is replaced when the password is right.
   *
   * @throws `HASHING_BUSY`.
   */
  validatePassword(password: string, manager?: EntityManager): Promise<boolean> {
    const account = portOf(this, 'account', manager);
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
    const access = portOf(this, 'access', manager);
    return access.port.getUserAccess(this, tenantId, createIfNotExists, access.manager);
  }

  /** The user's access to the platform; null when there is none, unless `createIfNotExists`. */
  getPlatformAccess(createIfNotExists: true, manager?: EntityManager): Promise<NestAuthPlatformAccess>;
  getPlatformAccess(createIfNotExists?: boolean, manager?: EntityManager): Promise<NestAuthPlatformAccess | null>;
  getPlatformAccess(createIfNotExists = false, manager?: EntityManager): Promise<NestAuthPlatformAccess | null> {
    const access = portOf(this, 'access', manager);
    return access.port.getPlatformAccess(this, createIfNotExists, access.manager);
  }

  /** Whether a legal hold keeps the user from being deleted. */
  get isOnLegalHold(): boolean {
    return this.legalHoldAt !== null;
  }

  /** Leaves secrets out, also when a host selected them on purpose. */
  toJSON(): Record<string, unknown> {
    const { passwordHash: _hash, emailNorm: _norm, parkedIdentities: _parked, ...visible } = this;
    return visible;
  }
}

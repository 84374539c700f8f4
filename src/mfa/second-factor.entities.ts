import { Check, Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthUser } from '../account/user.entity.js';
import { NestAuthTenant } from '../tenant/tenant.entity.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import type { SecondFactorKind } from './second-factor.types.js';

const FACTORS_KEY = 'nest_auth_second_factors_pk';
const FACTORS_USER_KEY = 'nest_auth_second_factors_user_fk';
const STATES_USER_KEY = 'nest_auth_second_factor_states_user_fk';
const CHALLENGES_KEY = 'nest_auth_second_factor_challenges_pk';
const CHALLENGES_USER_KEY = 'nest_auth_second_factor_challenges_user_fk';

/** What a user has enrolled beside the first factor. For reading: `TwoFactorService` changes it. */
@Entity({ name: 'nest_auth_second_factors' })
@Check(
  'nest_auth_second_factors_kind_ck',
  `kind IN ('totp', 'email', 'sms') AND (kind = 'totp') = (sealed IS NOT NULL) AND (sealed IS NULL) = (key_id IS NULL) AND (kind = 'totp' AND enabled_at IS NOT NULL) = (last_step IS NOT NULL)`,
)
export class NestAuthSecondFactor extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: FACTORS_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'kind', type: 'text', primaryKeyConstraintName: FACTORS_KEY })
  kind!: SecondFactorKind;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  /** By which key of `secrets.keys` the seed is encrypted; null for what has none. */
  @Column({ name: 'key_id', type: 'text', nullable: true, insert: false, update: false })
  keyId!: string | null;

  /** The seed, encrypted for this user. */
  @Column({ name: 'sealed', type: 'bytea', nullable: true, select: false, insert: false, update: false })
  sealed?: Buffer | null;

  /** That of the user when the seed was begun: while it waits, a newer one ends it. */
  @Column({
    name: 'security_stamp',
    type: 'integer',
    nullable: true,
    select: false,
    insert: false,
    update: false,
  })
  securityStamp?: number | null;

  /** The last step of 30 seconds of which a code was taken: none is taken of it again, or of one before. */
  @Column({ name: 'last_step', type: 'bigint', nullable: true, insert: false, update: false })
  lastStep!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  /** Null until the user has shown a code of it. */
  @Column({ name: 'enabled_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  enabledAt!: Date | null;

  @Column({ name: 'last_used_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  lastUsedAt!: Date | null;

  @ManyToOne(() => NestAuthUser, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'id', foreignKeyConstraintName: FACTORS_USER_KEY },
    { name: 'realm_id', referencedColumnName: 'realmId', foreignKeyConstraintName: FACTORS_USER_KEY },
  ])
  user?: Relation<NestAuthUser>;
}

/** What all second factors of a user have in common: the recovery codes, and what was tried in vain. For reading. */
@Entity({ name: 'nest_auth_second_factor_states' })
export class NestAuthSecondFactorState extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_second_factor_states_pk' })
  userId!: string;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  /** SHA-256 of those that are left: a code has 120 random bits, so that nothing slower is needed. */
  @Column({
    name: 'recovery_hashes',
    type: 'bytea',
    array: true,
    default: '{}',
    select: false,
    insert: false,
    update: false,
  })
  recoveryHashes?: Buffer[];

  @Column({ name: 'recovery_made_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  recoveryMadeAt!: Date;

  /** Codes that were wrong, one after another, since `failingSince`. */
  @Column({ name: 'failures', type: 'integer', default: 0, update: false })
  failures!: number;

  @Column({ name: 'failing_since', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  failingSince!: Date;

  @ManyToOne(() => NestAuthUser, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'id', foreignKeyConstraintName: STATES_USER_KEY },
    { name: 'realm_id', referencedColumnName: 'realmId', foreignKeyConstraintName: STATES_USER_KEY },
  ])
  user?: Relation<NestAuthUser>;
}

/** A sign-in that waits for a second factor, by the hash of its token. For reading. */
@Entity({ name: 'nest_auth_second_factor_challenges' })
@Index('nest_auth_second_factor_challenges_tenant_ix', ['tenantId'])
@Index('nest_auth_second_factor_challenges_expires_ix', ['expiresAt'])
export class NestAuthSecondFactorChallenge extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: CHALLENGES_KEY })
  userId!: string;

  /** SHA-256: the token has 256 random bits. */
  @PrimaryColumn({ name: 'token_hash', type: 'bytea', primaryKeyConstraintName: CHALLENGES_KEY })
  tokenHash!: Buffer;

  /** Names it in the activity log. */
  @Column({ name: 'id', type: 'uuid', update: false })
  id!: string;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  /** The tenant that the sign-in named; null for none. */
  @Column({ name: 'tenant_id', type: 'uuid', nullable: true, update: false })
  tenantId!: string | null;

  /** Under which the first factor was shown; worth nothing when the user has another one. */
  @Column({ name: 'security_stamp', type: 'integer', update: false })
  securityStamp!: number;

  @Column({ name: 'attempts', type: 'integer', default: 0, update: false })
  attempts!: number;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, update: false })
  expiresAt!: Date;

  @ManyToOne(() => NestAuthUser, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'id', foreignKeyConstraintName: CHALLENGES_USER_KEY },
    { name: 'realm_id', referencedColumnName: 'realmId', foreignKeyConstraintName: CHALLENGES_USER_KEY },
  ])
  user?: Relation<NestAuthUser>;

  @ManyToOne(() => NestAuthTenant, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'tenant_id', foreignKeyConstraintName: 'nest_auth_second_factor_challenges_tenant_fk' })
  tenant?: Relation<NestAuthTenant>;
}

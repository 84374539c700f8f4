import { Check, Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthUser } from '../account/user.entity.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import type { ProofForm, RecoveryPurpose } from './recovery.types.js';

const PRIMARY_KEY = 'nest_auth_one_time_tokens_pk';

/**
 * The one link or code that a user may use for a purpose: another one replaces it. For reading. What was sent is not in
 * it, and cannot be made from it without a key of the application.
 */
@Entity({ name: 'nest_auth_one_time_tokens' })
@Index('nest_auth_one_time_tokens_expires_ix', ['expiresAt'])
@Check(
  'nest_auth_one_time_tokens_purpose_ck',
  `purpose IN ('email_verification', 'phone_verification', 'email_change', 'phone_change', 'password_reset')`,
)
@Check('nest_auth_one_time_tokens_form_ck', `form IN ('link', 'code')`)
export class NestAuthOneTimeToken extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'purpose', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  purpose!: RecoveryPurpose;

  /** Of this issue: the activity log names it. */
  @Column({ name: 'id', type: 'uuid', update: false })
  id!: string;

  @Column({ name: 'form', type: 'text', update: false })
  form!: ProofForm;

  /** Where it goes, and what it proves. */
  @Column({ name: 'address', type: 'text', update: false })
  address!: string;

  /** That of the user when it was issued, where a newer one ends it; null where it only proves an address. */
  @Column({ name: 'security_stamp', type: 'integer', nullable: true, select: false, insert: false, update: false })
  securityStamp?: number | null;

  /** Of the key that it is derived from. */
  @Column({ name: 'key_id', type: 'text', select: false, insert: false, update: false })
  keyId?: string;

  @Column({ name: 'salt', type: 'bytea', select: false, insert: false, update: false })
  salt?: Buffer;

  /** SHA-256 of a token, which has 256 bits; of a code an HMAC. */
  @Column({ name: 'token_hash', type: 'bytea', select: false, insert: false, update: false })
  tokenHash?: Buffer;

  /** How often this code was tried. */
  @Column({ name: 'attempts', type: 'integer', default: 0, update: false })
  attempts!: number;

  /** How often this and earlier codes of the day were tried in vain. */
  @Column({ name: 'guesses', type: 'integer', default: 0, update: false })
  guesses!: number;

  @Column({ name: 'guesses_since', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  guessesSince!: Date;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, update: false })
  expiresAt!: Date;

  @Column({ name: 'used_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  usedAt!: Date | null;

  @ManyToOne(() => NestAuthUser, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'user_id', foreignKeyConstraintName: 'nest_auth_one_time_tokens_user_fk' })
  user?: Relation<NestAuthUser>;
}

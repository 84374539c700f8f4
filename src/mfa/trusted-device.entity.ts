import { Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthUser } from '../account/user.entity.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';

const PRIMARY_KEY = 'nest_auth_trusted_devices_pk';
const USER_KEY = 'nest_auth_trusted_devices_user_fk';

/** A device on which a user has shown a second factor, and need not for a while. For reading: `TwoFactorService` ends it. */
@Entity({ name: 'nest_auth_trusted_devices' })
@Index('nest_auth_trusted_devices_expires_ix', ['expiresAt'])
export class NestAuthTrustedDevice extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  userId!: string;

  /** SHA-256: the token has 256 random bits, so that nothing slower is needed. */
  @PrimaryColumn({ name: 'token_hash', type: 'bytea', primaryKeyConstraintName: PRIMARY_KEY })
  tokenHash!: Buffer;

  @Column({ name: 'id', type: 'uuid', update: false })
  id!: string;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  /** That of the user when the device was trusted; the trust ends when the user has another one. */
  @Column({ name: 'security_stamp', type: 'integer', update: false })
  securityStamp!: number;

  @Column({ name: 'user_agent', type: 'text', nullable: true, update: false })
  userAgent!: string | null;

  @Column({ name: 'ip', type: 'inet', nullable: true, update: false })
  ip!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @Column({ name: 'last_used_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  lastUsedAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, update: false })
  expiresAt!: Date;

  @ManyToOne(() => NestAuthUser, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'id', foreignKeyConstraintName: USER_KEY },
    { name: 'realm_id', referencedColumnName: 'realmId', foreignKeyConstraintName: USER_KEY },
  ])
  user?: Relation<NestAuthUser>;
}

import { Check, Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthUser } from '../account/user.entity.js';
import { NestAuthTenant } from '../tenant/tenant.entity.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import type { SessionEndReason } from './session.types.js';

const PRIMARY_KEY = 'nest_auth_sessions_pk';
const USER_KEY = 'nest_auth_sessions_user_fk';

/** A user who is signed in on a device, until it is ended or not used any more. For reading: `SessionService` ends it. */
@Entity({ name: 'nest_auth_sessions' })
@Index('nest_auth_sessions_tenant_ix', ['tenantId', 'userId'])
@Check('nest_auth_sessions_revoked_ck', `(revoked_at IS NULL) = (revoked_reason IS NULL)`)
export class NestAuthSession extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  userId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  id!: string;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  /** The tenant that the user works in; null for none. */
  @Column({ name: 'tenant_id', type: 'uuid', nullable: true, update: false })
  tenantId!: string | null;

  /** That of the user when the session began; it ends when the user has another one. */
  @Column({ name: 'security_stamp', type: 'integer', update: false })
  securityStamp!: number;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  /** When it was refreshed last. */
  @Column({ name: 'last_seen_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  lastSeenAt!: Date;

  @Column({ name: 'idle_expires_at', type: 'timestamptz', precision: 3, update: false })
  idleExpiresAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, update: false })
  expiresAt!: Date;

  @Column({ name: 'revoked_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  revokedAt!: Date | null;

  @Column({ name: 'revoked_reason', type: 'text', nullable: true, update: false })
  revokedReason!: SessionEndReason | null;

  /** What was shown beside the first factor, such as `totp` or `trusted_device`; null for nothing. */
  @Column({ name: 'second_factor', type: 'text', nullable: true, update: false })
  secondFactor!: string | null;

  @Column({ name: 'ip', type: 'inet', nullable: true, update: false })
  ip!: string | null;

  @Column({ name: 'user_agent', type: 'text', nullable: true, update: false })
  userAgent!: string | null;

  @ManyToOne(() => NestAuthUser, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'id', foreignKeyConstraintName: USER_KEY },
    { name: 'realm_id', referencedColumnName: 'realmId', foreignKeyConstraintName: USER_KEY },
  ])
  user?: Relation<NestAuthUser>;

  @ManyToOne(() => NestAuthTenant, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'tenant_id', foreignKeyConstraintName: 'nest_auth_sessions_tenant_fk' })
  tenant?: Relation<NestAuthTenant>;
}

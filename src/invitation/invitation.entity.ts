import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { NestAuthTenant } from '../tenant/tenant.entity.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import { InvitationStatusEnum } from './invitation.types.js';

/** An address that is invited to a tenant. It is written by `InvitationService` alone. */
@Entity({ name: 'nest_auth_invitations' })
@Index('nest_auth_invitations_pending_uq', ['tenantId', 'emailNorm'], { unique: true, where: `status = 'pending'` })
@Index('nest_auth_invitations_tenant_ix', ['tenantId', 'id'])
@Index('nest_auth_invitations_inviter_ix', ['invitedBy'], { where: `status = 'pending'` })
@Index('nest_auth_invitations_expires_ix', ['expiresAt'])
@Check('nest_auth_invitations_status_ck', `status IN ('pending', 'accepted', 'declined', 'revoked', 'expired')`)
@Check(
  'nest_auth_invitations_token_ck',
  `(status = 'pending') = (token_hash IS NOT NULL AND salt IS NOT NULL AND key_id IS NOT NULL)`,
)
@Check(
  'nest_auth_invitations_ended_ck',
  `(status = 'pending') = (ended_at IS NULL) AND (status = 'accepted') = (accepted_by IS NOT NULL)`,
)
export class NestAuthInvitation extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_invitations_pk' })
  id!: string;

  @Column({ name: 'tenant_id', type: 'uuid', update: false })
  @ForeignKey(() => NestAuthTenant, 'id', { name: 'nest_auth_invitations_tenant_fk', onDelete: 'CASCADE' })
  tenantId!: string;

  /** In which the address is a login. */
  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  @Column({ name: 'email', type: 'text', update: false })
  email!: string;

  @Column({ name: 'email_norm', type: 'text', update: false })
  emailNorm!: string;

  @Column({ name: 'role_ids', type: 'uuid', array: true, update: false })
  roleIds!: string[];

  /** Without a key: the invitation of somebody who is gone is refused, not lost. */
  @Column({ name: 'invited_by', type: 'uuid', nullable: true, update: false })
  invitedBy!: string | null;

  /** As it is stored: a pending one may have expired, see `expiresAt`. */
  @Column({ name: 'status', type: 'text', default: 'pending', update: false })
  status!: InvitationStatusEnum;

  @Column({ name: 'accepted_by', type: 'uuid', nullable: true, update: false })
  acceptedBy!: string | null;

  @Column({ name: 'metadata', type: 'jsonb', default: {}, update: false })
  metadata!: Record<string, unknown>;

  /** How often it was sent. */
  @Column({ name: 'issue', type: 'integer', default: 1, update: false })
  issue!: number;

  /** What the token is made of again, together with a key that the database does not have; null once it is over. */
  @Column({ name: 'key_id', type: 'text', nullable: true, select: false, insert: false, update: false })
  keyId?: string | null;

  @Column({ name: 'salt', type: 'bytea', nullable: true, select: false, insert: false, update: false })
  salt?: Buffer | null;

  @Column({ name: 'token_hash', type: 'bytea', nullable: true, select: false, insert: false, update: false })
  tokenHash?: Buffer | null;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @Column({ name: 'sent_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  sentAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, update: false })
  expiresAt!: Date;

  @Column({ name: 'ended_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  endedAt!: Date | null;
}

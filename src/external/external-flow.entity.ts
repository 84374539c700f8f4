import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';

/** What a flow is for: none can be used for the other. */
export enum ExternalFlowPurposeEnum {
  SIGN_IN = 'sign_in',
  LINK = 'link',
}

/** Somebody who is at a provider, to sign in or to link an account, by the hash of the token that the browser has. */
@Entity({ name: 'nest_auth_external_flows' })
@Index('nest_auth_external_flows_expires_ix', ['expiresAt'])
@Check(
  'nest_auth_external_flows_purpose_ck',
  `purpose IN ('sign_in', 'link') AND (purpose = 'link') = (user_id IS NOT NULL) AND (user_id IS NULL) = (session_id IS NULL)`,
)
export class NestAuthExternalFlow extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'token_hash', type: 'bytea', primaryKeyConstraintName: 'nest_auth_external_flows_pk' })
  tokenHash!: Buffer;

  @Column({ name: 'purpose', type: 'text', update: false })
  purpose!: ExternalFlowPurposeEnum;

  @Column({ name: 'provider', type: 'text', update: false })
  provider!: string;

  /** The tenant that was named; null for none. */
  @Column({ name: 'tenant_id', type: 'uuid', nullable: true, update: false })
  tenantId!: string | null;

  /** Who links, and in which session; null for a sign-in. */
  @Column({ name: 'user_id', type: 'uuid', nullable: true, update: false })
  userId!: string | null;

  @Column({ name: 'session_id', type: 'uuid', nullable: true, update: false })
  sessionId!: string | null;

  @Column({ name: 'redirect_to', type: 'text', nullable: true, update: false })
  redirectTo!: string | null;

  /** `state` and what the provider keeps, encrypted by the token. */
  @Column({ name: 'sealed', type: 'bytea', select: false, insert: false, update: false })
  sealed?: Buffer;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, update: false })
  expiresAt!: Date;
}

import { Check, Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthUserAccess } from '../access/user-access.entity.js';
import { NestAuthUser } from '../account/user.entity.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import type { ApiKeyEndReason } from './api-key.types.js';
import { NestAuthServiceAccount } from './service-account.entity.js';

const SCOPES = 'cardinality(scopes) > 0';
const PREVIOUS = '(previous_hash IS NULL) = (previous_expires_at IS NULL)';
const REVOKED = '(revoked_at IS NULL) = (revoked_reason IS NULL)';

/** What every key has, whoever owns it. The secret is nowhere; what is kept of it is never read or written as an entity. */
abstract class StoredApiKey extends NestAuthBaseEntity {
  @Column({ name: 'name', type: 'text', update: false })
  name!: string;

  @Column({ name: 'scopes', type: 'text', array: true, update: false })
  scopes!: string[];

  /** SHA-256: the secret has 256 random bits, so that nothing slower is needed. */
  @Column({ name: 'secret_hash', type: 'bytea', select: false, insert: false, update: false })
  secretHash?: Buffer;

  @Column({ name: 'previous_hash', type: 'bytea', nullable: true, select: false, insert: false, update: false })
  previousHash?: Buffer | null;

  @Column({ name: 'previous_expires_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  previousExpiresAt!: Date | null;

  @Column({ name: 'version', type: 'integer', default: 1, update: false })
  version!: number;

  @Column({ name: 'created_by', type: 'uuid', nullable: true, update: false })
  createdBy!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3, update: false })
  expiresAt!: Date;

  @Column({ name: 'last_used_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  lastUsedAt!: Date | null;

  @Column({ name: 'revoked_at', type: 'timestamptz', precision: 3, nullable: true, update: false })
  revokedAt!: Date | null;

  @Column({ name: 'revoked_reason', type: 'text', nullable: true, update: false })
  revokedReason!: ApiKeyEndReason | null;
}

const USER_TABLE = 'nest_auth_api_keys';
const USER_KEY = `${USER_TABLE}_user_fk`;
const ACCESS_KEY = `${USER_TABLE}_access_fk`;

/** A user's API key. For reading: `ApiKeyService` makes and ends it. */
@Entity({ name: USER_TABLE })
@Check(`${USER_TABLE}_scopes_ck`, SCOPES)
@Check(`${USER_TABLE}_previous_ck`, PREVIOUS)
@Check(`${USER_TABLE}_revoked_ck`, REVOKED)
export class NestAuthApiKey extends StoredApiKey {
  @PrimaryColumn({ name: 'user_id', type: 'uuid', primaryKeyConstraintName: `${USER_TABLE}_pk` })
  userId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: `${USER_TABLE}_pk` })
  id!: string;

  @Column({ name: 'realm_id', type: 'uuid', update: false })
  realmId!: string;

  /** The tenant in which it works; null for the platform. */
  @Column({ name: 'tenant_id', type: 'uuid', nullable: true, update: false })
  tenantId!: string | null;

  @ManyToOne(() => NestAuthUser, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'id', foreignKeyConstraintName: USER_KEY },
    { name: 'realm_id', referencedColumnName: 'realmId', foreignKeyConstraintName: USER_KEY },
  ])
  user?: Relation<NestAuthUser>;

  @ManyToOne(() => NestAuthUserAccess, { onDelete: 'CASCADE', nullable: true })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'userId', foreignKeyConstraintName: ACCESS_KEY },
    { name: 'tenant_id', referencedColumnName: 'tenantId', foreignKeyConstraintName: ACCESS_KEY },
  ])
  access?: Relation<NestAuthUserAccess | null>;
}

const ACCOUNT_TABLE = 'nest_auth_service_account_keys';
const ACCOUNT_KEY = `${ACCOUNT_TABLE}_account_fk`;

/** A service account's API key. For reading: `ApiKeyService` makes and ends it. */
@Entity({ name: ACCOUNT_TABLE })
@Index(`${ACCOUNT_TABLE}_account_ix`, ['tenantId', 'serviceAccountId', 'id'])
@Check(`${ACCOUNT_TABLE}_scopes_ck`, SCOPES)
@Check(`${ACCOUNT_TABLE}_previous_ck`, PREVIOUS)
@Check(`${ACCOUNT_TABLE}_revoked_ck`, REVOKED)
export class NestAuthServiceAccountKey extends StoredApiKey {
  @PrimaryColumn({ name: 'tenant_id', type: 'uuid', primaryKeyConstraintName: `${ACCOUNT_TABLE}_pk` })
  tenantId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: `${ACCOUNT_TABLE}_pk` })
  id!: string;

  @Column({ name: 'service_account_id', type: 'uuid', update: false })
  serviceAccountId!: string;

  @ManyToOne(() => NestAuthServiceAccount, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'tenant_id', referencedColumnName: 'tenantId', foreignKeyConstraintName: ACCOUNT_KEY },
    { name: 'service_account_id', referencedColumnName: 'id', foreignKeyConstraintName: ACCOUNT_KEY },
  ])
  serviceAccount?: Relation<NestAuthServiceAccount>;
}

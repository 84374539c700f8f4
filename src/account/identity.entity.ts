import { Column, CreateDateColumn, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthBaseEntity, type StoredMetadata } from '../transaction/base.entity.js';
import { NestAuthUser } from './user.entity.js';

const PRIMARY_KEY = 'nest_auth_identities_pk';

/** A way to be recognised: an email, a phone number or an account at a provider. Replaced, never updated. */
@Entity({ name: 'nest_auth_identities' })
@Index('nest_auth_identities_user_ix', ['userId', 'realmId'])
@Index('nest_auth_identities_user_login_uq', ['userId', 'provider'], {
  unique: true,
  where: `provider IN ('email', 'phone')`,
})
export class NestAuthIdentity extends NestAuthBaseEntity {
  /** The normalised email, the E.164 phone number, or the provider's id of the account. */
  @PrimaryColumn({ name: 'provider_id', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  providerId!: string;

  @PrimaryColumn({ name: 'provider', type: 'text', primaryKeyConstraintName: PRIMARY_KEY })
  provider!: string;

  @PrimaryColumn({ name: 'realm_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  realmId!: string;

  @Column({ name: 'user_id', type: 'uuid', update: false })
  userId!: string;

  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata!: StoredMetadata;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @ManyToOne(() => NestAuthUser, (user) => user.identities, { onDelete: 'CASCADE' })
  @JoinColumn([
    { name: 'user_id', referencedColumnName: 'id', foreignKeyConstraintName: 'nest_auth_identities_user_fk' },
    { name: 'realm_id', referencedColumnName: 'realmId', foreignKeyConstraintName: 'nest_auth_identities_user_fk' },
  ])
  user?: Relation<NestAuthUser>;
}

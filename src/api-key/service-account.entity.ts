import { Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm';
import { NestAuthTenant } from '../tenant/tenant.entity.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';

const PRIMARY_KEY = 'nest_auth_service_accounts_pk';

/** A program that works for a tenant, and is no person. Change it by `ServiceAccountService`. */
@Entity({ name: 'nest_auth_service_accounts' })
@Index('nest_auth_service_accounts_name_uq', ['tenantId', 'name'], { unique: true })
export class NestAuthServiceAccount extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  tenantId!: string;

  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: PRIMARY_KEY })
  id!: string;

  @Column({ name: 'name', type: 'text', update: false })
  name!: string;

  @Column({ name: 'description', type: 'text', nullable: true, update: false })
  description!: string | null;

  /** Keys of one that is not open nothing. */
  @Column({ name: 'is_active', type: 'boolean', default: true, update: false })
  isActive!: boolean;

  /** Id of the user who made it; null for anything else. */
  @Column({ name: 'created_by', type: 'uuid', nullable: true, update: false })
  createdBy!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @ManyToOne(() => NestAuthTenant, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'tenant_id', foreignKeyConstraintName: 'nest_auth_service_accounts_tenant_fk' })
  tenant?: Relation<NestAuthTenant>;
}

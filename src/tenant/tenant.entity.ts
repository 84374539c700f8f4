import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  Index,
  PrimaryColumn,
  UpdateDateColumn,
  VersionColumn,
} from 'typeorm';
import type { LifecycleGracePeriods } from '../lifecycle/lifecycle.types.js';
import { NestAuthBaseEntity, type StoredMetadata } from '../transaction/base.entity.js';
import type { SecondFactorPolicy } from './tenant.types.js';

/** An organisation whose members, roles and data are its own. */
@Entity({ name: 'nest_auth_tenants' })
@Index('nest_auth_tenants_slug_uq', ['slug'], { unique: true })
@Index('nest_auth_tenants_lifecycle_ix', ['id'], { where: 'lifecycle IS NOT NULL' })
@Check('nest_auth_tenants_second_factor_ck', `second_factor_policy IN ('optional', 'required', 'always')`)
export class NestAuthTenant extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_tenants_pk' })
  id!: string;

  @Column({ name: 'name', type: 'text' })
  name!: string;

  @Column({ name: 'slug', type: 'text' })
  slug!: string;

  @Column({ name: 'description', type: 'text', nullable: true })
  description!: string | null;

  /** An inactive tenant grants nothing to anybody. */
  @Column({ name: 'is_active', type: 'boolean', default: true })
  isActive!: boolean;

  /** What is demanded of its members beside what they sign in with. */
  @Column({ name: 'second_factor_policy', type: 'text', default: 'optional' })
  secondFactorPolicy!: SecondFactorPolicy;

  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata!: StoredMetadata;

  // Grace periods of its own, written by `UserLifecycleService.setTenantGracePeriods` and read by the batches.
  @Column({ name: 'lifecycle', type: 'jsonb', nullable: true, select: false, insert: false, update: false })
  lifecycle?: LifecycleGracePeriods | null;

  @VersionColumn({ name: 'version', type: 'integer', default: 1, update: false })
  version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  updatedAt!: Date;
}

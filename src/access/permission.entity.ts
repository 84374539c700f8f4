import { Column, CreateDateColumn, Entity, Index, PrimaryColumn, Unique, UpdateDateColumn } from 'typeorm';
import { NestAuthBaseEntity, type StoredMetadata } from '../transaction/base.entity.js';

/** Something one may do, within a guard. */
@Entity({ name: 'nest_auth_permissions' })
@Unique('nest_auth_permissions_guard_uq', ['id', 'guard'])
@Index('nest_auth_permissions_guard_name_uq', ['guard', 'name'], { unique: true })
export class NestAuthPermission extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_permissions_pk' })
  id!: string;

  @Column({ name: 'guard', type: 'text', update: false })
  guard!: string;

  @Column({ name: 'name', type: 'text' })
  name!: string;

  @Column({ name: 'description', type: 'text', nullable: true })
  description!: string | null;

  @Column({ name: 'category', type: 'text', nullable: true })
  category!: string | null;

  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata!: StoredMetadata;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  updatedAt!: Date;
}

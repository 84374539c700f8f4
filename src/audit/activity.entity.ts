import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import type { ActorTypeEnum } from './activity.types.js';

/**
 * One thing that has happened to an identity. Written with the change it tells of, and never changed again: the
 * database refuses it. The table is partitioned by month.
 */
@Entity({ name: 'nest_auth_activities' })
@Check('nest_auth_activities_actor_ck', `actor_type IN ('user', 'service', 'job', 'system', 'anonymous')`)
@Index('nest_auth_activities_feed_ix', ['xid', 'id'])
@Index('nest_auth_activities_user_ix', ['userId', 'occurredAt', 'id'])
@Index('nest_auth_activities_tenant_ix', ['tenantId', 'occurredAt', 'id'])
@Index('nest_auth_activities_type_ix', ['type', 'occurredAt', 'id'])
@Index('nest_auth_activities_actor_ix', ['actorId', 'occurredAt', 'id'], { where: 'actor_id IS NOT NULL' })
export class NestAuthActivity extends NestAuthBaseEntity {
  /** By the database's clock: the start of the transaction. */
  @PrimaryColumn({
    name: 'occurred_at',
    type: 'timestamptz',
    precision: 3,
    primaryKeyConstraintName: 'nest_auth_activities_pk',
  })
  occurredAt!: Date;

  /** UUIDv7, made by the application. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_activities_pk' })
  id!: string;

  /** The transaction that wrote it, in the order in which the feed is read. */
  @Column({ name: 'xid', type: 'bigint' })
  xid!: string;

  /** The event's name, such as `nest_auth.user.created`, or one of the host's own. */
  @Column({ name: 'type', type: 'text' })
  type!: string;

  @Column({ name: 'actor_type', type: 'text' })
  actorType!: ActorTypeEnum;

  @Column({ name: 'actor_id', type: 'text', nullable: true })
  actorId!: string | null;

  @Column({ name: 'impersonator_id', type: 'uuid', nullable: true })
  impersonatorId!: string | null;

  /** Who was changed. No foreign key: the log outlives the user. */
  @Column({ name: 'user_id', type: 'uuid', nullable: true })
  userId!: string | null;

  @Column({ name: 'tenant_id', type: 'uuid', nullable: true })
  tenantId!: string | null;

  @Column({ name: 'subject_type', type: 'text' })
  subjectType!: string;

  @Column({ name: 'subject_id', type: 'uuid', nullable: true })
  subjectId!: string | null;

  @Column({ name: 'before', type: 'jsonb', nullable: true })
  before!: Record<string, unknown> | null;

  @Column({ name: 'after', type: 'jsonb', nullable: true })
  after!: Record<string, unknown> | null;

  @Column({ name: 'details', type: 'jsonb', nullable: true })
  details!: Record<string, unknown> | null;

  @Column({ name: 'ip', type: 'inet', nullable: true })
  ip!: string | null;

  @Column({ name: 'user_agent', type: 'text', nullable: true })
  userAgent!: string | null;

  @Column({ name: 'request_id', type: 'text', nullable: true })
  requestId!: string | null;
}

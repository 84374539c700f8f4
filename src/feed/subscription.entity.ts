import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  Index,
  JoinColumn,
  ManyToOne,
  PrimaryColumn,
  type Relation,
} from 'typeorm';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';

/** How far a durable subscriber has read the activity log, and which process works for it. */
@Entity({ name: 'nest_auth_subscriptions' })
@Check('nest_auth_subscriptions_lease_ck', `(lease_owner IS NULL) = (lease_until IS NULL)`)
export class NestAuthSubscription extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'name', type: 'text', primaryKeyConstraintName: 'nest_auth_subscriptions_pk' })
  name!: string;

  /** Transaction of the last activity that is done with. */
  @Column({ name: 'position_xid', type: 'bigint' })
  positionXid!: string;

  /** Id of that activity. */
  @Column({ name: 'position_id', type: 'uuid' })
  positionId!: string;

  /** The worker that may deliver, until `leaseUntil` by the database's clock. */
  @Column({ name: 'lease_owner', type: 'uuid', nullable: true })
  leaseOwner!: string | null;

  @Column({ name: 'lease_until', type: 'timestamptz', precision: 3, nullable: true })
  leaseUntil!: Date | null;

  /** How often the next activity has failed. */
  @Column({ name: 'attempts', type: 'integer', default: 0 })
  attempts!: number;

  @Column({ name: 'next_attempt_at', type: 'timestamptz', precision: 3, nullable: true })
  nextAttemptAt!: Date | null;

  @Column({ name: 'last_error', type: 'text', nullable: true })
  lastError!: string | null;

  @Column({ name: 'delivered_at', type: 'timestamptz', precision: 3, nullable: true })
  deliveredAt!: Date | null;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  createdAt!: Date;
}

/** An activity that a subscriber has given up on, or has set aside for a while. */
@Entity({ name: 'nest_auth_dead_letters' })
@Index('nest_auth_dead_letters_retry_ix', ['subscription', 'retryAt'])
export class NestAuthDeadLetter extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'subscription', type: 'text', primaryKeyConstraintName: 'nest_auth_dead_letters_pk' })
  subscription!: string;

  @PrimaryColumn({ name: 'activity_id', type: 'uuid', primaryKeyConstraintName: 'nest_auth_dead_letters_pk' })
  activityId!: string;

  @Column({ name: 'xid', type: 'bigint' })
  xid!: string;

  @Column({ name: 'type', type: 'text' })
  type!: string;

  @Column({ name: 'attempts', type: 'integer' })
  attempts!: number;

  @Column({ name: 'error', type: 'text' })
  error!: string;

  /** To be delivered once more. */
  @Column({ name: 'retry_requested', type: 'boolean', default: false })
  retryRequested!: boolean;

  /** When it is delivered once more by itself; null for what was given up. */
  @Column({ name: 'retry_at', type: 'timestamptz', precision: 3, nullable: true })
  retryAt!: Date | null;

  @CreateDateColumn({ name: 'died_at', type: 'timestamptz', precision: 3, default: () => 'now()', update: false })
  diedAt!: Date;

  @ManyToOne(() => NestAuthSubscription, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'subscription', foreignKeyConstraintName: 'nest_auth_dead_letters_subscription_fk' })
  subscriptionRow?: Relation<NestAuthSubscription>;
}

import { Check, Column, Entity, PrimaryColumn } from 'typeorm';
import { NestAuthBaseEntity, type StoredMetadata } from '../transaction/base.entity.js';
import type { JobStatusEnum } from './job.types.js';

/** One run of a scheduled job. */
@Entity({ name: 'nest_auth_job_runs' })
@Check('nest_auth_job_runs_status_ck', `status IN ('running', 'succeeded', 'failed', 'skipped')`)
@Check('nest_auth_job_runs_lease_ck', `(status = 'running') = (lease_until IS NOT NULL)`)
@Check('nest_auth_job_runs_owner_ck', `(lease_owner IS NULL) = (lease_until IS NULL)`)
@Check('nest_auth_job_runs_finished_ck', `(status = 'running') = (finished_at IS NULL)`)
export class NestAuthJobRun extends NestAuthBaseEntity {
  @PrimaryColumn({ name: 'job', type: 'text', primaryKeyConstraintName: 'nest_auth_job_runs_pk' })
  job!: string;

  @PrimaryColumn({
    name: 'slot',
    type: 'timestamptz',
    precision: 3,
    primaryKeyConstraintName: 'nest_auth_job_runs_pk',
  })
  slot!: Date;

  @Column({ name: 'status', type: 'text' })
  status!: JobStatusEnum;

  @Column({ name: 'started_by', type: 'text' })
  startedBy!: string;

  @Column({ name: 'started_at', type: 'timestamptz', precision: 3 })
  startedAt!: Date;

  @Column({ name: 'finished_at', type: 'timestamptz', precision: 3, nullable: true })
  finishedAt!: Date | null;

  @Column({ name: 'lease_owner', type: 'uuid', nullable: true })
  leaseOwner!: string | null;

  @Column({ name: 'lease_until', type: 'timestamptz', precision: 3, nullable: true })
  leaseUntil!: Date | null;

  @Column({ name: 'takeovers', type: 'integer', default: 0 })
  takeovers!: number;

  @Column({ name: 'counts', type: 'jsonb', default: {} })
  counts!: StoredMetadata;

  @Column({ name: 'error', type: 'text', nullable: true })
  error!: string | null;
}

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** The runs of scheduled jobs: at most one for each job and slot, whoever asks for it. */
export class JobRuns1790000000510 implements MigrationInterface {
  name = 'JobRuns1790000000510';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_job_runs') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      await runner.query(TABLE);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => runner.query('DROP TABLE nest_auth_job_runs'));
  }
}

const TABLE = `CREATE TABLE nest_auth_job_runs (
  job text NOT NULL,
  slot timestamptz(3) NOT NULL,
  status text NOT NULL,
  started_by text NOT NULL,
  started_at timestamptz(3) NOT NULL,
  finished_at timestamptz(3),
  lease_owner uuid,
  lease_until timestamptz(3),
  takeovers integer NOT NULL DEFAULT 0,
  counts jsonb NOT NULL DEFAULT '{}',
  error text,
  CONSTRAINT nest_auth_job_runs_pk PRIMARY KEY (job, slot),
  CONSTRAINT nest_auth_job_runs_status_ck CHECK (status IN ('running', 'succeeded', 'failed', 'skipped')),
  CONSTRAINT nest_auth_job_runs_lease_ck CHECK ((status = 'running') = (lease_until IS NOT NULL)),
  CONSTRAINT nest_auth_job_runs_owner_ck CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
  CONSTRAINT nest_auth_job_runs_finished_ck CHECK ((status = 'running') = (finished_at IS NULL))
)`;

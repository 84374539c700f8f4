import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** Months that have a partition of their own from the start; the scheduled maintenance adds further ones in time. */
const MONTHS_AHEAD = 24;

/**
 * The activity log: one append-only table for the audit and for the event feed.
 *
 * Partitioned by month, so that retention drops whole months. What no month takes goes into the default partition:
 * no write fails because nobody has looked after the partitions. No foreign keys: the log outlives what it tells of.
 */
export class Activities1790000000300 implements MigrationInterface {
  name = 'Activities1790000000300';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass('nest_auth_activities') AND tgname = 'nest_auth_activities_append_only')`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const statement of DOWN) await runner.query(statement);
    });
  }
}

const UP = [
  `CREATE TABLE nest_auth_activities (
    occurred_at timestamptz(3) NOT NULL,
    id uuid NOT NULL,
    xid bigint NOT NULL,
    type text NOT NULL,
    actor_type text NOT NULL,
    actor_id text,
    impersonator_id uuid,
    user_id uuid,
    tenant_id uuid,
    subject_type text NOT NULL,
    subject_id uuid,
    before jsonb,
    after jsonb,
    details jsonb,
    ip inet,
    user_agent text,
    request_id text,
    CONSTRAINT nest_auth_activities_pk PRIMARY KEY (occurred_at, id),
    CONSTRAINT nest_auth_activities_actor_ck CHECK (actor_type IN ('user', 'service', 'job', 'system', 'anonymous'))
  ) PARTITION BY RANGE (occurred_at)`,
  `CREATE INDEX nest_auth_activities_feed_ix ON nest_auth_activities (xid, id)`,
  `CREATE INDEX nest_auth_activities_user_ix ON nest_auth_activities (user_id, occurred_at, id)`,
  `CREATE INDEX nest_auth_activities_tenant_ix ON nest_auth_activities (tenant_id, occurred_at, id)`,
  `CREATE INDEX nest_auth_activities_actor_ix ON nest_auth_activities (actor_id, occurred_at, id) WHERE actor_id IS NOT NULL`,
  `CREATE INDEX nest_auth_activities_type_ix ON nest_auth_activities (type, occurred_at, id)`,
  `CREATE TABLE nest_auth_activities_default PARTITION OF nest_auth_activities DEFAULT`,
  `DO $$
    DECLARE
      -- Without a zone: the months of every session and of daylight saving are those of UTC.
      month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    BEGIN
      FOR i IN 0..${MONTHS_AHEAD} LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF nest_auth_activities FOR VALUES FROM (%L) TO (%L)',
          'nest_auth_activities_' || to_char(month, 'YYYY_MM'),
          month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        month := month + interval '1 month';
      END LOOP;
    END $$`,
  `CREATE FUNCTION nest_auth_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING ERRCODE = '42501', CONSTRAINT = 'nest_auth_append_only', TABLE = TG_TABLE_NAME;
    END $$`,
  `CREATE TRIGGER nest_auth_activities_append_only BEFORE UPDATE OR DELETE ON nest_auth_activities
    FOR EACH ROW EXECUTE FUNCTION nest_auth_refuse_change()`,
  // PostgreSQL hands on the triggers for rows to every partition, but not those for a statement.
  `DO $$
    DECLARE
      name text;
    BEGIN
      FOR name IN SELECT relid::text FROM pg_partition_tree('nest_auth_activities') LOOP
        EXECUTE format('CREATE TRIGGER nest_auth_activities_keep BEFORE TRUNCATE ON %s
          FOR EACH STATEMENT EXECUTE FUNCTION nest_auth_refuse_change()', name);
      END LOOP;
    END $$`,
];

const DOWN = [`DROP TABLE nest_auth_activities`, `DROP FUNCTION nest_auth_refuse_change()`];

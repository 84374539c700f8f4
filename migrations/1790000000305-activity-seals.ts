import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** The chain over the activity log: each seal stands for the activities since the one before it. */
export class ActivitySeals1790000000305 implements MigrationInterface {
  name = 'ActivitySeals1790000000305';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_activity_seals') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, () => runner.query('DROP TABLE nest_auth_activity_seals'));
  }
}

const UP = [
  `CREATE TABLE nest_auth_activity_seals (
    position bigint NOT NULL,
    month text NOT NULL,
    from_xid bigint NOT NULL,
    from_id uuid NOT NULL,
    to_xid bigint NOT NULL,
    to_id uuid NOT NULL,
    activities integer NOT NULL,
    digest text NOT NULL,
    previous_hash text,
    hash text NOT NULL,
    is_keyed boolean NOT NULL,
    sealed_at timestamptz(3) NOT NULL,
    CONSTRAINT nest_auth_activity_seals_pk PRIMARY KEY (position),
    CONSTRAINT nest_auth_activity_seals_position_ck CHECK (position > 0),
    CONSTRAINT nest_auth_activity_seals_chain_ck CHECK ((position = 1) = (previous_hash IS NULL))
  )`,
  `CREATE TRIGGER nest_auth_activity_seals_append_only BEFORE UPDATE OR DELETE ON nest_auth_activity_seals
    FOR EACH ROW EXECUTE FUNCTION nest_auth_refuse_change()`,
  `CREATE TRIGGER nest_auth_activity_seals_keep BEFORE TRUNCATE ON nest_auth_activity_seals
    FOR EACH STATEMENT EXECUTE FUNCTION nest_auth_refuse_change()`,
];

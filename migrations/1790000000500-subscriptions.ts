import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** Durable subscribers: how far each has read the activity log, and what it could not handle. */
export class Subscriptions1790000000500 implements MigrationInterface {
  name = 'Subscriptions1790000000500';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_dead_letters') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('DROP TABLE nest_auth_dead_letters');
      await runner.query('DROP TABLE nest_auth_subscriptions');
    });
  }
}

const UP = [
  `CREATE TABLE nest_auth_subscriptions (
    name text NOT NULL,
    position_xid bigint NOT NULL,
    position_id uuid NOT NULL,
    lease_owner uuid,
    lease_until timestamptz(3),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz(3),
    last_error text,
    delivered_at timestamptz(3),
    created_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_subscriptions_pk PRIMARY KEY (name),
    CONSTRAINT nest_auth_subscriptions_lease_ck CHECK ((lease_owner IS NULL) = (lease_until IS NULL))
  )`,
  `CREATE TABLE nest_auth_dead_letters (
    subscription text NOT NULL,
    activity_id uuid NOT NULL,
    xid bigint NOT NULL,
    type text NOT NULL,
    attempts integer NOT NULL,
    error text NOT NULL,
    retry_requested boolean NOT NULL DEFAULT false,
    died_at timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_dead_letters_pk PRIMARY KEY (subscription, activity_id),
    CONSTRAINT nest_auth_dead_letters_subscription_fk FOREIGN KEY (subscription)
      REFERENCES nest_auth_subscriptions (name) ON DELETE CASCADE
  )`,
];

import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/** What was tried against an account: by network, and in all; and the counters of rate limits. */
export class SignInLimits1790000000730 implements MigrationInterface {
  name = 'SignInLimits1790000000730';

  async up(runner: QueryRunner): Promise<void> {
    const isDone = `to_regclass('nest_auth_rate_limits') IS NOT NULL`;
    await oneAtATime(runner, { name: this.name, isDone }, async () => {
      for (const statement of UP) await runner.query(statement);
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      await runner.query('DROP TABLE nest_auth_rate_limits');
      await runner.query('DROP TABLE nest_auth_sign_in_totals');
      await runner.query('DROP TABLE nest_auth_sign_in_failures');
    });
  }
}

// No foreign key: a login that nobody has is counted like any other, so that nothing tells them apart.
const UP = [
  `CREATE TABLE nest_auth_sign_in_failures (
    subject uuid NOT NULL,
    network cidr NOT NULL,
    failures integer NOT NULL,
    since timestamptz(3) NOT NULL DEFAULT now(),
    last_at timestamptz(3) NOT NULL DEFAULT now(),
    wait_seconds integer NOT NULL DEFAULT 0,
    CONSTRAINT nest_auth_sign_in_failures_pk PRIMARY KEY (subject, network)
  )`,
  `CREATE INDEX nest_auth_sign_in_failures_since_ix ON nest_auth_sign_in_failures (since)`,
  `CREATE TABLE nest_auth_sign_in_totals (
    subject uuid NOT NULL,
    failures integer NOT NULL,
    since timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT nest_auth_sign_in_totals_pk PRIMARY KEY (subject)
  )`,
  `CREATE INDEX nest_auth_sign_in_totals_since_ix ON nest_auth_sign_in_totals (since)`,
  // The columns, and their order, are those of rate-limiter-flexible.
  `CREATE TABLE nest_auth_rate_limits (
    key text NOT NULL,
    points integer NOT NULL DEFAULT 0,
    expire bigint,
    CONSTRAINT nest_auth_rate_limits_pk PRIMARY KEY (key)
  )`,
  `CREATE INDEX nest_auth_rate_limits_expire_ix ON nest_auth_rate_limits (expire)`,
];

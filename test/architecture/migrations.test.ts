import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import type { MigrationInterface, QueryRunner } from 'typeorm';

import { NestAuthMigrations, NestAuthRlsMigrations } from '../../migrations/index.js';
import { oneAtATime } from '../../migrations/one-at-a-time.js';
import { lintMigration } from '../support/migration-lint.js';
import { NEXT_MIGRATIONS } from '../support/next-migrations.js';

type MigrationClass = new () => MigrationInterface;

const files = readdirSync('migrations').filter((file) => /^\d+-/.test(file));
const shipped: readonly MigrationClass[] = [...NestAuthMigrations, ...NestAuthRlsMigrations];

/** A migration of some statements, with the lock and the time limit that all have. */
function made(...statements: string[]): MigrationClass {
  return class implements MigrationInterface {
    async up(runner: QueryRunner): Promise<void> {
      await oneAtATime(runner, { name: 'Made1', isDone: 'false' }, async () => {
        for (const statement of statements) await runner.query(statement);
      });
    }
    async down(): Promise<void> {}
  };
}

function concurrent(transaction: boolean | undefined, ...statements: string[]): MigrationClass {
  return class implements MigrationInterface {
    transaction = transaction as boolean;
    async up(runner: QueryRunner): Promise<void> {
      for (const statement of statements) await runner.query(statement);
    }
    async down(): Promise<void> {}
  };
}

describe('the migration files', () => {
  it('are all shipped, in the order of their timestamps', () => {
    const stamps = files.map((file) => file.split('-')[0]);
    for (const list of [NestAuthMigrations, NestAuthRlsMigrations]) {
      const shippedStamps = list.map(({ name }) => name.slice(-13));
      expect(shippedStamps).toEqual(shippedStamps.toSorted());
    }
    expect(shipped.map(({ name }) => name.slice(-13)).toSorted()).toEqual(stamps);
    expect(stamps.toSorted((a, b) => Number(a) - Number(b))).toEqual(stamps);
  });

  it('bear the name of their class, which minifying must not change', () => {
    for (const file of files) {
      const [, name] = /export class (\w+)/.exec(readFileSync(`migrations/${file}`, 'utf8')) ?? [];
      expect(readFileSync(`migrations/${file}`, 'utf8')).toContain(`name = '${name}'`);
    }
  });

  it.each(shipped.map((one): [string, MigrationClass] => [one.name, one]))(
    '%s is safe on a system in use',
    async (_, one) => {
      expect(await lintMigration(one)).toEqual([]);
    },
  );
});

describe('the linter of the migrations', () => {
  it.each(NEXT_MIGRATIONS.map((one): [string, MigrationClass] => [one.name, one]))(
    'lets %s pass',
    async (_, Migration) => {
      expect(await lintMigration(Migration)).toEqual([]);
    },
  );

  it('lets a new table have whatever it likes', async () => {
    const statements = ['CREATE TABLE nest_auth_new (id uuid NOT NULL)', 'CREATE INDEX new_ix ON nest_auth_new (id)'];
    expect(await lintMigration(made(...statements))).toEqual([]);
  });

  it('lets a small table have an index, if the migration has looked how large it is', async () => {
    const ask = (bytes: number): string => `SELECT pg_relation_size('nest_auth_users') > ${bytes} AS many`;
    const index = 'CREATE INDEX some_ix ON nest_auth_users (phone)';
    expect(await lintMigration(made(ask(8_000_000), index))).toEqual([]);
    expect(await lintMigration(made(index, ask(8_000_000)))).toHaveLength(1);
    expect(await lintMigration(made(ask(80_000_000), index))).toHaveLength(1);
    expect(await lintMigration(made(ask(8_000_000), index.replace('users', 'tenants')))).toHaveLength(1);
  });

  it.each([
    'CREATE INDEX some_ix ON nest_auth_users (phone)',
    'CREATE UNIQUE INDEX some_uq ON nest_auth_users (phone)',
    'ALTER TABLE nest_auth_users ADD CONSTRAINT some_ck CHECK (phone IS NOT NULL)',
    'ALTER TABLE nest_auth_users ADD CONSTRAINT some_fk FOREIGN KEY (id) REFERENCES nest_auth_tenants (id)',
    'ALTER TABLE nest_auth_users ADD CONSTRAINT some_uq UNIQUE (phone)',
    'ALTER TABLE nest_auth_users ADD COLUMN locale text NOT NULL',
    'ALTER TABLE nest_auth_users ADD COLUMN token uuid DEFAULT gen_random_uuid()',
    'ALTER TABLE nest_auth_users ALTER COLUMN phone TYPE varchar(20)',
    'ALTER TABLE nest_auth_users ALTER COLUMN phone SET NOT NULL',
    'ALTER TABLE nest_auth_users RENAME COLUMN phone TO mobile',
    'ALTER TABLE nest_auth_users DROP COLUMN phone',
    'DROP TABLE nest_auth_users',
    `UPDATE nest_auth_users SET status = 'active'`,
    'DELETE FROM nest_auth_users WHERE deleted_at IS NOT NULL',
  ])('refuses %s', async (statement) => {
    expect(await lintMigration(made(statement))).toHaveLength(1);
  });

  it('refuses to validate a constraint in the transaction that added it', async () => {
    const table = 'ALTER TABLE nest_auth_users';
    const both = made(`${table} ADD CONSTRAINT c CHECK (true) NOT VALID`, `${table} VALIDATE CONSTRAINT c`);
    expect(await lintMigration(both)).toHaveLength(1);
  });

  it.each([
    ['in a transaction', concurrent(undefined, 'DROP INDEX CONCURRENTLY IF EXISTS a')],
    ['that cannot be run again', concurrent(false, 'DROP INDEX CONCURRENTLY IF EXISTS a', 'CREATE TABLE b ()')],
    ['that keeps an invalid index', concurrent(false, 'CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON b (c)')],
  ])('refuses a concurrent index %s', async (_, Migration) => {
    expect(await lintMigration(Migration)).toHaveLength(1);
  });

  it('refuses a migration without the lock, which has no time limit either', async () => {
    expect(await lintMigration(concurrent(undefined, 'CREATE TABLE nest_auth_new (id uuid)'))).toHaveLength(2);
  });
});

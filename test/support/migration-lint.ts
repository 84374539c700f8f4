import type { MigrationInterface, QueryRunner } from 'typeorm';

type MigrationClass = new () => MigrationInterface;

/** The statements that a migration sends on its way up, without a server. */
export async function statementsOf(Migration: MigrationClass): Promise<string[]> {
  const statements: string[] = [];
  const roles = ['app', 'platform'].map((kind) => ({ kind, name: kind, quoted: kind, known: true }));
  const runner = {
    isTransactionActive: true,
    query: (sql: string): Promise<unknown[]> => {
      statements.push(sql.replaceAll(/\s+/g, ' ').trim());
      if (sql.includes(`'lock_timeout'`)) return Promise.resolve([{ value: '0' }]);
      return Promise.resolve(sql.includes('pg_roles') ? roles : []);
    },
  };
  await new Migration().up(runner as unknown as QueryRunner);
  return statements;
}

interface Rule {
  readonly refuses: RegExp;
  readonly why: string;
}

/** What makes everybody wait, or breaks the version that still runs, on a table that is in use. */
const ON_LIVE_TABLES: readonly Rule[] = [
  {
    refuses: /^CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)/i,
    why: 'an index keeps writers out while it is built: CONCURRENTLY',
  },
  {
    refuses: /ADD CONSTRAINT \S+ (FOREIGN KEY|CHECK)(?!.*NOT VALID)/i,
    why: 'all rows are read under a lock: NOT VALID, and VALIDATE in a later migration',
  },
  { refuses: /ADD (CONSTRAINT \S+ )?(UNIQUE|PRIMARY KEY)(?! USING INDEX)/i, why: 'USING INDEX of a concurrent one' },
  { refuses: /ADD COLUMN(?!.*DEFAULT).*\bNOT NULL/i, why: 'fails as soon as there is a row: a DEFAULT' },
  {
    refuses: /ADD COLUMN.*DEFAULT[^,]*\b(gen_random_uuid|random|clock_timestamp|uuidv7)\b/i,
    why: 'rewrites the table',
  },
  { refuses: /ALTER COLUMN \S+ (SET DATA )?TYPE/i, why: 'rewrites the table' },
  { refuses: /ALTER COLUMN \S+ SET NOT NULL/i, why: 'reads all rows under a lock: a validated CHECK' },
  { refuses: /\b(RENAME|DROP COLUMN|DROP TABLE|(?<!BEFORE )TRUNCATE)\b/i, why: 'the version that still runs needs it' },
  { refuses: /^(UPDATE|DELETE)\b/i, why: 'a change of many rows belongs into batches, outside of the migration' },
];

const table = (sql: string): string | undefined =>
  /\b(?:TABLE(?: IF EXISTS)?|INDEX .* ON|UPDATE|DELETE FROM) (nest_auth_\w+)/i.exec(sql)?.[1];

/** What is wrong with a migration that is to run on a system in use, in words; nothing when it is safe. */
export async function lintMigration(Migration: MigrationClass): Promise<string[]> {
  const migration = new Migration();
  const statements = await statementsOf(Migration);
  const made = new Set(statements.flatMap((sql) => /^CREATE TABLE (\w+)/i.exec(sql)?.[1] ?? []));
  const live = statements.filter((sql) => !made.has(table(sql) ?? ''));
  const problems = live.flatMap((sql, index) =>
    ON_LIVE_TABLES.filter(({ refuses }) => refuses.test(sql) && !isOnFewRows(sql, live.slice(0, index))).map(
      ({ why }) => `${sql.slice(0, 80)}: ${why}`,
    ),
  );
  if (live.some((sql) => /NOT VALID/i.test(sql)) && live.some((sql) => /VALIDATE CONSTRAINT/i.test(sql))) {
    problems.push('NOT VALID and VALIDATE in one migration are one transaction, which keeps the lock of the first');
  }
  const isConcurrent = statements.some((sql) => /CONCURRENTLY/i.test(sql));
  return [...problems, ...(isConcurrent ? lintConcurrent(migration, statements) : lintOrdinary(statements))];
}

/** An index on a table that is no larger than some megabytes, or a change of no more than thousands of rows: it has asked. */
function isOnFewRows(sql: string, before: readonly string[]): boolean {
  if (/^UPDATE .* LIMIT [1-9]\d{0,4}\)$/i.test(sql)) {
    const counts = new RegExp(
      `^SELECT EXISTS \\(SELECT 1 FROM ${table(sql) ?? ''} WHERE .* OFFSET [1-9]\\d{0,4}\\)`,
      'i',
    );
    return before.some((earlier) => counts.test(earlier));
  }
  if (!/^CREATE INDEX /i.test(sql)) return false;
  const asks = new RegExp(`^SELECT pg_relation_size\\('${table(sql) ?? ''}'\\) > [1-9]\\d{0,6} AS`, 'i');
  return before.some((earlier) => asks.test(earlier));
}

function lintConcurrent(migration: MigrationInterface, statements: readonly string[]): string[] {
  const problems: string[] = [];
  if (migration.transaction !== false) problems.push('CONCURRENTLY needs `transaction = false`');
  for (const sql of statements) {
    if (!/^(CREATE|DROP) .*INDEX CONCURRENTLY IF (NOT )?EXISTS/i.test(sql)) {
      problems.push(`${sql.slice(0, 80)}: outside of a transaction only what can be run again`);
    }
  }
  if (!/^DROP INDEX/i.test(statements[0] ?? '')) problems.push('the invalid index of a killed run is dropped first');
  return problems;
}

function lintOrdinary([first = '', ...rest]: readonly string[]): string[] {
  const problems: string[] = [];
  if (!first.includes('pg_advisory_xact_lock')) problems.push('its first statement must be the lock of oneAtATime()');
  const limit = rest.findIndex((sql) => /^SET LOCAL lock_timeout = '\d+s'/.test(sql));
  const change = rest.findIndex((sql) => /^(CREATE|ALTER|DROP|INSERT|GRANT)/i.test(sql));
  if (limit === -1 || (change !== -1 && limit > change)) problems.push('a lock_timeout must be set before any change');
  return problems;
}

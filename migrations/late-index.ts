import type { QueryRunner } from 'typeorm';

/** An index on a table that has been in use for a while. */
export interface LateIndex {
  readonly name: string;
  readonly on: string;
}

/** Some forty thousand rows: indexed before anybody notices that writers wait. */
const SMALL_TABLE_BYTES = 8_000_000;

/** A concurrent build that was killed leaves an index that is invalid. */
export const isUsable = ({ name }: LateIndex): string =>
  `EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('${name}') AND indisvalid)`;

/**
 * By the size of the tables, because their rows may be hidden from the role that migrates. Where there are many, names
 * the statements that build the indexes while everybody goes on working.
 */
export async function assertSmallTables(runner: QueryRunner, indexes: readonly LateIndex[]): Promise<void> {
  for (const table of new Set(indexes.map(({ on }) => on.slice(0, on.indexOf(' '))))) {
    const rows = (await runner.query(
      `SELECT pg_relation_size('${table}') > ${SMALL_TABLE_BYTES} AS many`,
    )) as readonly { many: boolean }[];
    if (rows[0]?.many === true) throw manyRows(table, indexes);
  }
}

function manyRows(table: string, indexes: readonly LateIndex[]): Error {
  const statements = indexes.flatMap(({ name, on }) => [
    `DROP INDEX CONCURRENTLY IF EXISTS ${name};`,
    `CREATE INDEX CONCURRENTLY ${name} ON ${on};`,
  ]);
  return new Error(
    `There are many rows in ${table}, and nobody could write one while their indexes are built in a transaction. ` +
      `Run these outside of any, then migrate again:\n${statements.join('\n')}`,
  );
}

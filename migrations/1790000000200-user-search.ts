import type { MigrationInterface, QueryRunner } from 'typeorm';
import { oneAtATime, undoOneAtATime } from './one-at-a-time.js';

/**
 * Indexes for the lists of users: by the beginning of an email or a phone number, and by a role's name in any tenant.
 * The first two compare byte by byte: an ordinary index follows the language of the database and cannot tell what
 * begins with something.
 *
 * Made in the transaction of the migration while the tables are small, so that every transaction mode of TypeORM will
 * do. Where they are not it refuses and names the statements that build them while everybody goes on working; run
 * again after those, it finds its work done.
 */
export class UserSearch1790000000200 implements MigrationInterface {
  name = 'UserSearch1790000000200';

  async up(runner: QueryRunner): Promise<void> {
    await oneAtATime(runner, { name: this.name, isDone: INDEXES.map(isUsable).join(' AND ') }, async () => {
      for (const table of TABLES) await assertSmall(runner, table);
      for (const { name, on } of INDEXES) {
        // What a concurrent build that was killed has left is invalid, and holds the name.
        await runner.query(`DROP INDEX IF EXISTS ${name}`);
        await runner.query(`CREATE INDEX ${name} ON ${on}`);
      }
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await undoOneAtATime(runner, async () => {
      for (const { name } of INDEXES) await runner.query(`DROP INDEX ${name}`);
    });
  }
}

/** Some forty thousand rows: indexed before anybody notices that writers wait. */
const SMALL_TABLE_BYTES = 8_000_000;

interface SearchIndex {
  readonly name: string;
  readonly on: string;
}

const INDEXES: readonly SearchIndex[] = [
  {
    name: 'nest_auth_users_email_search_ix',
    on: 'nest_auth_users (email_norm text_pattern_ops) WHERE deleted_at IS NULL',
  },
  {
    name: 'nest_auth_users_phone_search_ix',
    on: 'nest_auth_users (phone text_pattern_ops) WHERE deleted_at IS NULL',
  },
  { name: 'nest_auth_roles_guard_name_ix', on: 'nest_auth_roles (guard, name)' },
];

const TABLES = ['nest_auth_users', 'nest_auth_roles'];

const isUsable = ({ name }: SearchIndex): string =>
  `EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('${name}') AND indisvalid)`;

/** By the size of the table: its rows may be hidden from the role that migrates. */
async function assertSmall(runner: QueryRunner, table: string): Promise<void> {
  const rows = (await runner.query(`SELECT pg_relation_size('${table}') > ${SMALL_TABLE_BYTES} AS large`)) as readonly {
    large: boolean;
  }[];
  if (rows[0]?.large !== true) return;
  const statements = INDEXES.flatMap(({ name, on }) => [
    `DROP INDEX CONCURRENTLY IF EXISTS ${name};`,
    `CREATE INDEX CONCURRENTLY ${name} ON ${on};`,
  ]);
  throw new Error(
    `${table} is large, and nobody could write to it while its indexes are built in a transaction. ` +
      `Run these outside of any, then migrate again:\n${statements.join('\n')}`,
  );
}

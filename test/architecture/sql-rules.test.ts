import { describe, expect, it } from '@jest/globals';

import { NestAuthMigrations, NestAuthRlsMigrations } from '../../migrations/index.js';
import { statementsOf } from '../support/migration-lint.js';
import { type SqlText, sqlTextsOf } from '../support/sql-texts.js';

// What the schema and the statements keep to, so that they can be brought to Citus, YugabyteDB and CockroachDB later;
// and where they do not, with the reason. docs/scaling.md says it in words.

// Without the tools for tests, which are not part of an application.
const texts = sqlTextsOf('src').filter(({ file }) => !file.startsWith('testing/'));
const core = (await Promise.all(NestAuthMigrations.map(statementsOf))).flat();
const rowSecurity = (await Promise.all(NestAuthRlsMigrations.map(statementsOf))).flat();

const filesWith = (pattern: RegExp): string[] => [
  ...new Set(texts.filter(({ text }) => pattern.test(text)).map(({ file }) => file)),
];

/** Tables that a statement changes more than once. */
function changedTwice({ text }: SqlText): string[] {
  const tables = [...text.matchAll(/\b(?:insert into|update|delete from) (nest_auth_\w+)/gi)].map(([, table]) => table);
  return [...new Set(tables.filter((table, index) => tables.indexOf(table) !== index) as string[])];
}

describe('what the rules are held against', () => {
  it('is all of it', () => {
    expect(texts.length).toBeGreaterThan(50);
    expect(core.filter((sql) => sql.startsWith('CREATE TABLE'))).toHaveLength(10);
    expect(rowSecurity.length).toBeGreaterThan(50);
  });
});

describe('the schema', () => {
  it.each<[string, RegExp]>([
    ['no sequence and no id of the database’s making', /\b(serial|bigserial|sequence|identity\b(?!\w)|nextval)\b/i],
    ['no function that makes ids', /gen_random_uuid|uuid_generate|uuidv7/i],
    ['no extension', /citext|uuid-ossp|CREATE EXTENSION/i],
    ['no time without its zone', /\btimestamp\b|without time zone/i],
    ['no constraint that waits for COMMIT', /deferrable|initially/i],
    ['no exclusion constraint and no inheritance', /\bexclude\b|inherits/i],
    ['no table lock', /lock table/i],
    ['no index over an expression', /CREATE (UNIQUE )?INDEX[^(]*\([^)]*\(/i],
    ['no trigger and no function, in what everybody runs', /CREATE (TRIGGER|FUNCTION)/i],
  ])('has %s', (_, refused) => {
    const made = core.filter((sql) => /^(CREATE|ALTER|INSERT)/i.test(sql));
    expect(made.filter((sql) => refused.test(sql.replaceAll(/nest_auth_\w+/g, 'name')))).toEqual([]);
  });

  it('has triggers and functions for row-level security only, which one opts in to and PostgreSQL alone has', () => {
    const made = rowSecurity.flatMap((sql) => /^CREATE (TRIGGER|FUNCTION)/i.exec(sql)?.[1] ?? []);
    expect(new Set(made)).toEqual(new Set(['FUNCTION', 'TRIGGER']));
  });

  it('has a primary key for every table', () => {
    const without = core.filter((sql) => sql.startsWith('CREATE TABLE') && !sql.includes('PRIMARY KEY'));
    expect(without).toEqual([]);
  });

  it('has keys of memberships that begin with the user, by whom they would be distributed', () => {
    const memberships = core.filter((sql) => /^CREATE TABLE nest_auth_(user|platform)_access/.test(sql));
    expect(memberships).toHaveLength(4);
    for (const sql of memberships) expect(sql).toMatch(/PRIMARY KEY \(user_id[,)]/);
  });
});

describe('the statements', () => {
  it.each<[string, RegExp]>([
    ['table lock', /lock table/i],
    ['LISTEN or NOTIFY', /\b(listen|notify)\b/i],
    ['lower() or upper() over a column', /\b(lower|upper)\s*\(/i],
    ['ESCAPE clause', /\bescape\b/i],
    ['all columns of whatever a table has', /\breturning \*|select (\w+\.)?\* from nest_auth_/i],
    ['value that is another one on every node', /\b(random|gen_random_uuid|clock_timestamp|nextval)\s*\(/i],
    ['upsert without its one arbiter', /on conflict do update/i],
    ['change of every row', /\bdelete from nest_auth_\w+(?! using)(?! where)(?=$| returning|\))/i],
  ])('hold no %s', (_, refused) => {
    expect(filesWith(refused)).toEqual([]);
  });

  // Elsewhere it would be of no use behind a pooler, and other engines have none.
  it('take an advisory lock for migrations only, and one that ends with its transaction', () => {
    expect(filesWith(/advisory/i)).toEqual(['transaction/migrate.ts']);
    expect(filesWith(/advisory_(?!xact)(?!\w*xact)/i)).toEqual([]);
  });

  // Broken on purpose: CockroachDB refuses such statements. Here they take away and add, or replace, in one round trip,
  // and each row is still changed once. A set for that engine would have to send two statements in a transaction.
  it('change a table twice only to replace some of its rows by others', () => {
    const broken = texts.flatMap((one) => changedTwice(one).map((name) => `${one.file}: ${name}`));
    expect([...new Set(broken)].toSorted()).toEqual([
      'access/role-permissions.queries.ts: nest_auth_role_permissions',
      'access/user-access-roles.queries.ts: nest_auth_platform_access_roles',
      'access/user-access-roles.queries.ts: nest_auth_platform_accesses',
      'access/user-access-roles.queries.ts: nest_auth_user_access_roles',
      'access/user-access-roles.queries.ts: nest_auth_user_accesses',
      'access/user-access.queries.ts: nest_auth_user_accesses',
      'account/change-login.queries.ts: nest_auth_identities',
      'account/identity.queries.ts: nest_auth_identities',
    ]);
  });

  // Everywhere else a condition in the statement decides. These two span several statements: a user who is changed or
  // deleted with hooks of the host in between, and the choice of another default access.
  it('lock rows for a change only where a decision takes more than one statement', () => {
    expect(filesWith(/for (no key )?update\b/i).toSorted()).toEqual([
      'access/user-access.queries.ts',
      'account/user.queries.ts',
    ]);
  });
});

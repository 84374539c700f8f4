import { describe, expect, it } from '@jest/globals';

import { NestAuthMigrations, NestAuthRlsMigrations } from '../../migrations/index.js';
import { statementsOf } from '../support/migration-lint.js';
import {
  changedTwice,
  joinedAcross,
  lockedAcross,
  problemsOf,
  readAfterChange,
  REFUSED_IN_STATEMENTS,
  REPLACED_AT_ONCE,
  RIGHT_EITHER_WAY,
} from '../support/sql-rules.js';
import { sqlTextsOf } from '../support/sql-texts.js';

// What the schema and the statements keep to, so that they can be brought to Citus, YugabyteDB and CockroachDB later;
// and where they do not, with the reason. docs/scaling.md says it in words.

// Without the tools for tests, which are not part of an application.
const texts = sqlTextsOf('src').filter(({ file }) => !file.startsWith('testing/'));
const core = (await Promise.all(NestAuthMigrations.map(statementsOf))).flat();
const rowSecurity = (await Promise.all(NestAuthRlsMigrations.map(statementsOf))).flat();

const filesWith = (pattern: RegExp): string[] => [
  ...new Set(texts.filter(({ text }) => pattern.test(text)).map(({ file }) => file)),
];

describe('what the rules are held against', () => {
  it('is all of it', () => {
    expect(texts.length).toBeGreaterThan(50);
    expect(core.filter((sql) => sql.startsWith('CREATE TABLE')).length).toBeGreaterThanOrEqual(10);
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
  ])('has %s', (_, refused) => {
    const made = core.filter((sql) => /^(CREATE|ALTER|INSERT)/i.test(sql));
    expect(made.filter((sql) => refused.test(sql.replaceAll(/nest_auth_\w+/g, 'name')))).toEqual([]);
  });

  // The logs refuse changes of what was written; nothing else depends on it, and they stay on one server. What is told
  // by NOTIFY is seen without it too, only later; on a cluster the triggers are dropped.
  it('has no trigger and no function in what everybody runs, but those that keep the logs and tell of revocation', () => {
    const made = core.filter((sql) => /^CREATE (TRIGGER|FUNCTION)/i.test(sql));
    const others = made.filter(
      (sql) =>
        !/^CREATE (FUNCTION nest_auth_refuse_change\(|TRIGGER nest_auth_activit\w+)/i.test(sql) &&
        !/^CREATE (FUNCTION nest_auth_tell_revoked\(|TRIGGER nest_auth_\w+_revoked_(insert|update|delete) AFTER)/i.test(
          sql,
        ),
    );
    expect(others).toEqual([]);
  });

  it('has triggers and functions for row-level security only, which one opts in to and PostgreSQL alone has', () => {
    const made = rowSecurity.flatMap((sql) => /^CREATE (TRIGGER|FUNCTION)/i.exec(sql)?.[1] ?? []);
    expect(new Set(made)).toEqual(new Set(['FUNCTION', 'TRIGGER']));
  });

  it('has a primary key for every table', () => {
    const without = core.filter(
      (sql) => /^CREATE TABLE (?!\w+ PARTITION OF)/.test(sql) && !sql.includes('PRIMARY KEY'),
    );
    expect(without).toEqual([]);
  });

  it('has keys of memberships that begin with the user, by whom they would be distributed', () => {
    const memberships = core.filter((sql) => /^CREATE TABLE nest_auth_(user|platform)_access/.test(sql));
    expect(memberships).toHaveLength(6);
    for (const sql of memberships) expect(sql).toMatch(/PRIMARY KEY \(user_id[,)]/);
  });
});

describe('the statements', () => {
  it.each(REFUSED_IN_STATEMENTS)('hold no %s', (_, refused) => {
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
    const broken = texts.flatMap((one) => changedTwice(one.text).map((name) => `${one.file}: ${name}`));
    expect([...new Set(broken)].toSorted()).toEqual([
      'access/role-parents.queries.ts: nest_auth_role_parents',
      'access/role-permissions.queries.ts: nest_auth_role_permissions',
      'access/user-access-roles.queries.ts: nest_auth_platform_access_roles',
      'access/user-access-roles.queries.ts: nest_auth_platform_accesses',
      'access/user-access-roles.queries.ts: nest_auth_user_access_roles',
      'access/user-access-roles.queries.ts: nest_auth_user_accesses',
      'access/user-access.queries.ts: nest_auth_user_accesses',
      'account/change-login.queries.ts: nest_auth_identities',
      'account/identity.queries.ts: nest_auth_identities',
      'account/password-history.queries.ts: nest_auth_password_history',
      'session/refresh.queries.ts: nest_auth_refresh_tokens',
    ]);
    expect(new Set(broken.map((one) => one.split(': ')[1]))).toEqual(REPLACED_AT_ONCE);
  });

  // Everywhere else a condition in the statement decides. These span several statements: a user who is changed or
  // deleted with hooks of the host in between, and the choice of another default access. In `user-change.queries.ts`
  // one row is held by its id, because the activity must tell what it was when it was replaced; in `sign-in.queries.ts`
  // the user, before the access: in the order in which everybody else locks the two; in `password.queries.ts` the user,
  // whose stamp decides and goes on in the session that is kept. Second factors hold the user before
  // the challenge, so that none is met under a stamp that is being replaced. The last owner of a tenant, who
  // gives what to whom, and the declared permissions are decided by rows that the statement itself does not write.
  it('lock rows for a change only where a decision takes more than one statement', () => {
    const files = filesWith(/for (no key )?update\b/i).filter((file) => !file.startsWith('lifecycle/'));
    expect(files.toSorted()).toEqual([
      'access/delegation.queries.ts',
      'access/registry.queries.ts',
      'access/user-access.queries.ts',
      'account/user-change.queries.ts',
      'account/user.queries.ts',
      'api-key/api-key.queries.ts',
      'mfa/code-factor.queries.ts',
      'mfa/enrolment.queries.ts',
      'mfa/required-enrolment.queries.ts',
      'mfa/two-factor.queries.ts',
      'recovery/password.queries.ts',
      'session/sign-in.queries.ts',
      'tenant/ownership.queries.ts',
    ]);
  });

  // Citus runs the parts of a statement that spans nodes one after the other; PostgreSQL shows all of them the same rows.
  it('read a table after a part that changed it only where the answer is the same either way', () => {
    const found = texts.flatMap(({ text }) => readAfterChange(text)).filter((one) => !RIGHT_EITHER_WAY.has(one));
    expect([...new Set(found)]).toEqual([]);
  });

  it('never join logins with users in one part, because Citus keeps them on different nodes', () => {
    expect(texts.filter(({ text }) => joinedAcross(text).length > 0)).toEqual([]);
  });

  // Citus locks rows of one node only: there the lifecycle, which holds many users at once, does not run.
  it('lock users by the id of one, except where the lifecycle holds many', () => {
    const files = texts.filter(({ text }) => lockedAcross(text)).map(({ file }) => file);
    expect(files.filter((file) => !file.startsWith('lifecycle/'))).toEqual([]);
  });
});

// The integration suite records what is sent, and holds the same rules against it: see recorded-statements.ts.
describe('a recorded statement', () => {
  it.each<[string, string]>([
    ['lower() or upper() over a column', 'select id from nest_auth_users where lower(email_norm) = $1'],
    ['all columns of whatever a table has', 'select u.* from nest_auth_users u where u.id = $1'],
    ['change of every row', 'delete from nest_auth_identities returning user_id'],
    [
      'change of the column by which a table is distributed',
      'UPDATE "nest_auth_identities" SET "provider_id" = $1 WHERE "user_id" = $2',
    ],
    ['change of the column by which a table is distributed', 'update nest_auth_users u set id = $2 where id = $1'],
    [
      'nest_auth_users is changed twice',
      'with a as (update nest_auth_users set phone = $2 where id = $1) update nest_auth_users set email = $3 where id = $1',
    ],
    [
      'reads what a part before has changed: gone > answer: nest_auth_users',
      'with gone as (delete from nest_auth_users where id = $1) select count(*) from nest_auth_users where realm_id = $2',
    ],
    [
      'joins logins with users in one part: answer',
      'select u.id from nest_auth_identities i join nest_auth_users u on u.id = i.user_id where i.provider_id = $1',
    ],
    [
      'joins logins with users in one part: lost',
      'with lost as (delete from nest_auth_identities i using nest_auth_users u where u.id = $1) select 1',
    ],
    ['locks users without saying which', 'select id from nest_auth_users where realm_id = $1 for key share'],
    ['locks rows for a change', 'select id from nest_auth_user_accesses where user_id = $1 for update'],
    ['takes an advisory lock', 'select pg_advisory_xact_lock(1) from nest_auth_users where id = $1'],
  ])('is refused for: %s', (problem, text) => {
    expect(problemsOf(text)).toContain(problem);
  });

  it.each([
    'select id from nest_auth_users where id = (select user_id from nest_auth_identities where provider_id = $1)',
    'with owner as (select id from nest_auth_users where id = $1), gone as (delete from nest_auth_identities i using owner where i.user_id = owner.id returning 1) select count(*) from gone',
    'with person as (select realm_id from nest_auth_users where id = $1 for key share) select 1 from person',
    'UPDATE "nest_auth_users" SET "metadata" = $1 WHERE "id" IN ($2)',
    `select i.provider from nest_auth_identities i where i.provider_id = $1 union select 'email' from nest_auth_users where id = $2`,
  ])('may be: %s', (text) => {
    expect(problemsOf(text)).toEqual([]);
  });
});

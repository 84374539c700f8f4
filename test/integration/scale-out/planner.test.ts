import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import { citusRules } from '../../support/citus-rules.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

/**
 * The rules that every statement is held against which a run has sent: see cluster-statements.ts. Here that they see what
 * Citus refuses, and let pass what it takes.
 */
describe('the rules of the planner of Citus', () => {
  let database: TestDatabase;
  let client: Client;
  let problemsOf: (text: string) => Promise<string[]>;

  beforeAll(async () => {
    database = await createTestDatabase({ plain: true });
    client = new Client({ connectionString: database.url });
    await client.connect();
    problemsOf = await citusRules(client);
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  const LOG = `insert into nest_auth_activities (id, occurred_at, xid, type, actor_type, subject_type)
    select $2::uuid, now(), 1, 'x', 'system', 'user' from`;

  it.each<[problem: string, text: string]>([
    ['locks rows of nest_auth_users on several nodes', 'select id from nest_auth_users where id = any($1) for update'],
    [
      'locks rows of nest_auth_user_accesses on several nodes',
      'select user_id from nest_auth_user_accesses where tenant_id = $1 for key share',
    ],
    [
      'locks rows of nest_auth_users on several nodes',
      `with asked as (select $1::uuid as id), held as (
        select u.id from nest_auth_users u join asked on asked.id = u.id for no key update of u) select id from held`,
    ],
    [
      'changes rows by CASE or COALESCE over what is not IMMUTABLE',
      `update nest_auth_users set activated_at = case when $2 then now() else activated_at end where id = $1`,
    ],
    [
      'changes rows by CASE or COALESCE over what is not IMMUTABLE',
      `delete from nest_auth_sessions where user_id = $1 and coalesce(revoked_at, now()) <= now()`,
    ],
    [
      'changes rows by a STABLE function over a column',
      `update nest_auth_users set metadata = jsonb_build_object('phone', phone) where id = $1`,
    ],
    [
      'changes rows by a function that is VOLATILE',
      'update nest_auth_users set activated_at = clock_timestamp() where id = $1',
    ],
    [
      'returns what a function makes that is not IMMUTABLE',
      'delete from nest_auth_users where id = $1 returning to_jsonb(email)',
    ],
    [
      'changes nest_auth_roles, which is on every node, by rows of nest_auth_user_access_roles',
      'delete from nest_auth_roles r where not exists (select 1 from nest_auth_user_access_roles a where a.role_id = r.id)',
    ],
    [
      'reads nest_auth_users for each row of what is not beside it',
      `with asked as (select unnest($1::uuid[]) as id)
        select asked.id, exists (select 1 from nest_auth_users u where u.id = asked.id) from asked`,
    ],
    [
      'joins nest_auth_users with nest_auth_user_accesses of other nodes',
      'select u.id from nest_auth_users u join nest_auth_user_accesses a on a.realm_id = u.realm_id',
    ],
    [
      'joins nest_auth_users with nest_auth_identities of other nodes',
      'select u.id from nest_auth_users u join nest_auth_identities i on i.user_id = u.id where u.id = $1',
    ],
    [
      'is an upsert by a function that is not IMMUTABLE',
      `insert into nest_auth_identities (realm_id, user_id, provider, provider_id) values ($1, $2, $3, $4)
        on conflict (provider_id, provider, realm_id) do update set metadata = jsonb_build_object('at', now())`,
    ],
    [
      'writes nest_auth_activities by what it reads of nest_auth_roles',
      `with changed as (update nest_auth_users set version = version + 1 where id = $1 returning id),
        activity as (${LOG} changed, nest_auth_roles r where r.id = $3) select id from changed`,
    ],
    [
      'is recursive, and changes something',
      `with recursive up as (select parent_id from nest_auth_role_parents where role_id = $1
          union select p.parent_id from nest_auth_role_parents p join up on p.role_id = up.parent_id),
        gone as (delete from nest_auth_roles where id = $1) select parent_id from up`,
    ],
  ])('see: %s', async (problem, text) => {
    expect(await problemsOf(text)).toContain(problem);
  });

  it.each<[what: string, text: string]>([
    ['a lock of one user', 'select id from nest_auth_users where id = $1 for update skip locked'],
    [
      'a lock of an access together with its user',
      `select a.user_id from nest_auth_user_accesses a join nest_auth_users u on u.id = a.user_id
        where a.user_id = $1 and a.tenant_id = $2 for update of u for no key update of a`,
    ],
    [
      'a change told by the log, which is on the coordinator',
      `with held as (select id from nest_auth_users where id = $1 for no key update),
        changed as (update nest_auth_users u set version = u.version + 1, activated_at = now()
          from held where u.id = held.id and u.id = $1 returning u.id),
        activity as (${LOG} changed) select id from changed`,
    ],
    [
      'now() or another value, without a CASE',
      'update nest_auth_users set activated_at = (array[now(), activated_at])[case when $2 then 1 else 2 end] where id = $1',
    ],
    [
      'a role that nobody has, as a part of its own',
      `with used as (select exists (select 1 from nest_auth_user_access_roles where role_id = $1) as used)
        delete from nest_auth_roles where id = $1 and not (select used from used)`,
    ],
    [
      'a list of members',
      `select u.id from nest_auth_user_accesses a cross join lateral (
        select m.id from nest_auth_users m where m.id = a.user_id offset 0) u where a.tenant_id = $1 limit $2`,
    ],
    ['the log alone', 'select id from nest_auth_activities where user_id = $1 order by xid, id limit 10'],
  ])('let pass: %s', async (_, text) => {
    expect(await problemsOf(text)).toEqual([]);
  });
});

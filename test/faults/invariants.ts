import { expect } from '@jest/globals';

import { onServer } from './fault.js';
import { expectCleanPools } from '../support/identity-fixture.js';
import type { Operation, Person, Subject } from './operations.js';
import type { Stage } from './stage.js';

/** What must be so whatever has happened. Everything is read by plain SQL, past the package. */
export interface Truth {
  /** Everybody, as the host's table knows them. */
  readonly people: readonly Person[];
  /** What is half-made, each with what is wrong with it; empty, or the package has failed. */
  readonly halfMade: readonly string[];
}

/** Rows of which a part is missing. A user is whole with its logins, its one role and the host's row that says the same. */
const HALF_MADE = `
  with roles as (
    select user_id, role_id from nest_auth_user_access_roles
    union all select user_id, role_id from nest_auth_platform_access_roles
  ), held as (
    select user_id, array_agg(role_id) as roles from roles group by user_id
  )
  select 'user without a row of the host: ' || u.email as fault
    from nest_auth_users u left join app_mirrors m on m.auth_user_id = u.id where m.auth_user_id is null
  union all select 'the rows of the host and of the user differ: ' || m.email || ' is ' || coalesce(u.email, 'nobody')
    from app_mirrors m left join nest_auth_users u on u.id = m.auth_user_id
    where u.email is distinct from m.email or u.phone is distinct from m.phone
      or m.state is distinct from case when u.deleted_at is null then u.status else 'soft_deleted' end
  union all select 'roles other than the host has noted: ' || m.email
    from app_mirrors m left join held h on h.user_id = m.auth_user_id
    where h.roles is distinct from array[m.role_id]
  union all select 'access without a role: ' || a.user_id
    from nest_auth_user_accesses a
    left join nest_auth_user_access_roles r on r.user_id = a.user_id and r.tenant_id = a.tenant_id
    where r.role_id is null
  union all select 'platform access without a role: ' || a.user_id
    from nest_auth_platform_accesses a left join nest_auth_platform_access_roles r on r.user_id = a.user_id
    where r.role_id is null
  union all select 'identity of nobody: ' || i.provider_id
    from nest_auth_identities i left join nest_auth_users u on u.id = i.user_id where u.id is null
  union all select 'identities that are not those of the user: ' || u.email
    from nest_auth_users u where (
      select coalesce(array_agg(i.provider || ':' || i.provider_id order by i.provider), '{}')
      from nest_auth_identities i where i.user_id = u.id and i.realm_id = u.realm_id
    ) <> case when u.deleted_at is null then array['email:' || u.email_norm, 'phone:' || u.phone] else '{}' end
  union all select 'soft-deleted without what restores it: ' || u.email
    from nest_auth_users u where u.deleted_at is not null and (
      select coalesce(array_agg(p.provider || ':' || p.provider_id order by p.provider), '{}')
      from jsonb_to_recordset(u.parked_identities) as p (provider text, provider_id text)
    ) <> array['email:' || u.email_norm, 'phone:' || u.phone]`;

/**
 * Where the activity log does not tell what has happened. Read from the beginning, it must come to what the tables say:
 * a change without its activity, an activity without its change, and one that was written twice all show.
 */
const MISTOLD = `
  with told as (
    select user_id, count(*) filter (where type = 'nest_auth.user.created') as created,
      count(*) filter (where type = 'nest_auth.user.deleted') as deleted,
      count(*) filter (where subject_type = 'user') as changes
    from nest_auth_activities where user_id is not null group by user_id
  ), values_told as (
    select a.user_id, jsonb_object_agg(e.key, e.value order by a.xid, a.occurred_at, a.id) as now
    from nest_auth_activities a cross join jsonb_each(a.after) e where a.user_id is not null group by a.user_id
  ), roles as (
    select user_id, role_id from nest_auth_user_access_roles
    union all select user_id, role_id from nest_auth_platform_access_roles
  )
  select 'user whose creation the log does not tell once: ' || u.email as fault
    from nest_auth_users u left join told t on t.user_id = u.id where t.created is distinct from 1 or t.deleted > 0
  union all select 'the log tells of somebody who is gone, but not once that they went: ' || t.user_id
    from told t left join nest_auth_users u on u.id = t.user_id where u.id is null and (t.created, t.deleted) <> (1, 1)
  union all select 'as many changes as the version counts are not in the log: ' || u.email
    from nest_auth_users u join told t on t.user_id = u.id where t.changes <> u.version
  union all select 'the log comes to something else than the tables: ' || u.email || ' ' || t.now
    from nest_auth_users u join values_told t on t.user_id = u.id
    where u.email is distinct from t.now ->> 'email' or u.phone is distinct from t.now ->> 'phone'
      or u.status <> t.now ->> 'status' or (u.deleted_at is null) <> (t.now ->> 'softDeletedAt' is null)
      or (select coalesce(jsonb_agg(r.role_id), '[]') from roles r where r.user_id = u.id)
        <> coalesce(t.now -> 'roleIds', '[]')`;

export async function readTruth(stage: Stage): Promise<Truth> {
  const people = await onServer(
    stage,
    'select email, phone, role_id as "roleId", state from app_mirrors order by email',
  );
  const faults = [...(await onServer(stage, HALF_MADE)), ...(await onServer(stage, MISTOLD))];
  return { people: people as unknown as Person[], halfMade: faults.map(({ fault }) => String(fault)) };
}

/** Every row of every table of ours and of the host: equal dumps mean that not a byte has changed. */
async function dump(stage: Stage): Promise<string[]> {
  const tables = await onServer(
    stage,
    `select string_agg(format('select %L || t::text as row from %I t', table_name || ': ', table_name), ' union all ') as sql
     from information_schema.tables
     where table_schema = current_schema() and table_name like any(array['nest\\_auth\\_%', 'app\\_%'])`,
  );
  return (await onServer(stage, `${String(tables[0]?.['sql'])} order by 1`)).map(({ row }) => String(row));
}

/** How it stood before a run, with every row of every table. */
export interface Before {
  readonly truth: Truth;
  readonly rows: readonly string[];
  readonly activities: number;
}

/** What the log tells, in the order in which it was written. */
async function readActivities(stage: Stage): Promise<Record<string, unknown>[]> {
  return onServer(stage, 'select type, xid from nest_auth_activities order by xid, occurred_at, id');
}

export async function lookBefore(stage: Stage): Promise<Before> {
  stage.events.length = 0;
  const { length: activities } = await readActivities(stage);
  return { truth: await readTruth(stage), rows: await dump(stage), activities };
}

export type Kept = 'nothing' | 'everything';

/**
 * The one place that decides whether a run ended well: no half-made rows, exactly what was promised is kept, exactly
 * what was committed was announced, no session is left in a transaction, and every connection of the pool is idle.
 */
export async function expectInvariants(
  stage: Stage,
  operation: Operation,
  subject: Subject,
  before: Before,
  kept: Kept,
  announced: readonly string[],
): Promise<void> {
  // Whatever is announced late is announced by now.
  await new Promise((resolve) => setImmediate(resolve));
  const truth = await readTruth(stage);
  expect(truth.halfMade).toEqual([]);
  expect(truth.people).toEqual(kept === 'everything' ? afterwards(before.truth.people, subject) : before.truth.people);
  // Not one byte of any table, whoever wrote it.
  if (kept === 'nothing') expect(await dump(stage)).toEqual(before.rows);
  const told = (await readActivities(stage)).slice(before.activities);
  expect(told.map(({ type }) => type)).toEqual(kept === 'everything' ? operation.events : []);
  expect(new Set(told.map(({ xid }) => xid)).size).toBeLessThanOrEqual(1);
  expect({ operation: operation.name, announced: stage.events.map(({ name }) => name) }).toEqual({
    operation: operation.name,
    announced,
  });
  await expectIdle(stage);
}

/** Every connection of the pool is back, and idle by what the server last said; and the server agrees. */
export async function expectIdle(stage: Stage): Promise<void> {
  expectCleanPools(stage.dataSource);
  const { master } = stage.dataSource.driver as unknown as { master: Record<string, number> };
  expect(master['totalCount']).toBe(master['idleCount']);
  expect(await sessionsInTransaction(stage)).toEqual([]);
}

/** Sessions of this database that sit in a transaction. A rollback that was not waited for takes the server a moment. */
async function sessionsInTransaction(stage: Stage): Promise<unknown[]> {
  const sql = `select pid, state, query from pg_stat_activity where datname = current_database()
    and pid <> pg_backend_pid() and backend_type = 'client backend' and xact_start is not null`;
  for (let tries = 0; ; tries += 1) {
    const sessions = await onServer(stage, sql);
    if (sessions.length === 0 || tries === 1_000) return sessions;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** What was given up is free at once: the email of whoever was deleted or renamed can be taken by somebody else. */
export async function expectEmailFree(stage: Stage, { before, after }: Subject): Promise<void> {
  if (before === undefined || (before.email === after?.email && after.state !== 'soft_deleted')) return;
  const { email, phone } = before;
  const user = await stage.users.createUser({ email, phone });
  await stage.users.deleteUser(user.id);
}

function afterwards(people: readonly Person[], { before, after }: Subject): Person[] {
  const rest = people.filter(({ email }) => email !== before?.email);
  // As PostgreSQL sorts them: by code point.
  return [...rest, ...(after === undefined ? [] : [after])].toSorted((a, b) => (a.email < b.email ? -1 : 1));
}

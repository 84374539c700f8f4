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

/**
 * Sessions that nobody has ended, and how many somebody has. Put together once and joined: asked for each row of a table
 * that grows with every test, the last tests would wait for seconds.
 */
const SESSIONS = `unused as (
    select user_id, session_id, count(*) filter (where used_at is null) as tokens from nest_auth_refresh_tokens
    group by user_id, session_id
  ), open as (
    select s.user_id, s.id, s.security_stamp, coalesce(unused.tokens, 0) as tokens from nest_auth_sessions s
    left join unused on unused.user_id = s.user_id and unused.session_id = s.id where s.revoked_at is null
  ), signed_in as (select user_id, count(*) as sessions from open group by user_id)`;

/**
 * Rows of which a part is missing. A user is whole with its logins, its one role and the host's row that says the same,
 * also of what came of its sessions and its password; an invitation with its member.
 */
const HALF_MADE = `
  with ${SESSIONS}, refreshed as (
    select user_id, count(*) as times from nest_auth_refresh_tokens where used_at is not null group by user_id
  ), roles as (
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
    ) <> case when u.deleted_at is null then array_remove(array['email:' || u.email_norm, 'phone:' || u.phone], null)
      else '{}' end
  union all select 'sessions other than the host has counted: ' || m.email
    from app_mirrors m left join signed_in s on s.user_id = m.auth_user_id where m.sessions <> coalesce(s.sessions, 0)
  union all select 'refreshed other than the host has counted: ' || m.email
    from app_mirrors m left join refreshed r on r.user_id = m.auth_user_id where m.refreshes <> coalesce(r.times, 0)
  union all select 'links to reset the password used other than the host has counted: ' || m.email
    from app_mirrors m left join nest_auth_one_time_tokens t
      on t.user_id = m.auth_user_id and t.purpose = 'password_reset' and t.used_at is not null
    where m.resets <> (t.id is not null)::integer
  union all select 'another password, or not, than the host has counted: ' || m.email
    from app_mirrors m join nest_auth_users u on u.id = m.auth_user_id
    -- Who leaves the active state gets another stamp, too.
    where m.state = 'active' and u.security_stamp <> m.resets + 1
  union all select 'session that the password of before has opened: ' || open.id
    from open join nest_auth_users u on u.id = open.user_id where u.security_stamp <> open.security_stamp
  union all select 'session without the one token that it goes on by: ' || open.id from open where open.tokens <> 1
  union all select 'invitation that was accepted by no member: ' || i.email
    from nest_auth_invitations i where i.status = 'accepted' and not exists (
      select 1 from nest_auth_user_accesses a join nest_auth_users u on u.id = a.user_id
      where a.user_id = i.accepted_by and a.tenant_id = i.tenant_id and u.email_norm = i.email_norm)
  union all select 'member who is still invited: ' || i.email
    from nest_auth_invitations i join nest_auth_users u on u.email_norm = i.email_norm where i.status = 'pending'
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
  with ${SESSIONS}, told as (
    select user_id, count(*) filter (where type = 'nest_auth.user.created') as created,
      count(*) filter (where type = 'nest_auth.user.deleted') as deleted,
      count(*) filter (where type = 'nest_auth.user.password_reset') as resets,
      count(*) filter (where after ->> 'password' is not null) as passwords,
      count(*) filter (where type = 'nest_auth.user.logged_in') as sign_ins,
      coalesce(sum(jsonb_array_length(details -> 'sessionIds')), 0) as sessions_ended,
      -- What the user is asked for, or does, changes nothing of the user.
      count(*) filter (where subject_type = 'user' and type not in ('nest_auth.user.logged_in',
        'nest_auth.user.password_reset_requested', 'nest_auth.user.password_reset')) as changes
    from nest_auth_activities where user_id is not null group by user_id
  ), accepted as (
    select subject_id as id, user_id, count(*) as times from nest_auth_activities
    where type = 'nest_auth.invitation.accepted' group by subject_id, user_id
  ), values_told as (
    select a.user_id, jsonb_object_agg(e.key, e.value order by a.xid, a.occurred_at, a.id) as now
    from nest_auth_activities a cross join jsonb_each(a.after) e
    where a.user_id is not null and a.subject_type <> 'invitation' group by a.user_id
  ), roles as (
    select user_id, role_id from nest_auth_user_access_roles
    union all select user_id, role_id from nest_auth_platform_access_roles
  ), held as (
    select user_id, jsonb_agg(role_id) as roles from roles group by user_id
  )
  select 'user whose creation the log does not tell once: ' || u.email as fault
    from nest_auth_users u left join told t on t.user_id = u.id where t.created is distinct from 1 or t.deleted > 0
  union all select 'the log tells of somebody who is gone, but not once that they went: ' || t.user_id
    from told t left join nest_auth_users u on u.id = t.user_id where u.id is null and (t.created, t.deleted) <> (1, 1)
  union all select 'as many changes as the version counts are not in the log: ' || u.email
    from nest_auth_users u join told t on t.user_id = u.id where t.changes <> u.version
  union all select 'the log comes to something else than the tables: ' || u.email || ' ' || t.now
    from nest_auth_users u join values_told t on t.user_id = u.id left join held h on h.user_id = u.id
    where u.email is distinct from t.now ->> 'email' or u.phone is distinct from t.now ->> 'phone'
      or u.status <> t.now ->> 'status' or (u.deleted_at is null) <> (t.now ->> 'softDeletedAt' is null)
      or coalesce(h.roles, '[]') <> coalesce(t.now -> 'roleIds', '[]')
  union all select 'the log comes to other sessions than there are: ' || u.email
    from nest_auth_users u join told t on t.user_id = u.id left join signed_in s on s.user_id = u.id
    where t.sign_ins - t.sessions_ended <> coalesce(s.sessions, 0)
  union all select 'the log tells of other resets than the host has counted: ' || m.email
    from app_mirrors m join told t on t.user_id = m.auth_user_id
    where t.resets <> m.resets or t.passwords <> m.resets
  union all select 'accepted invitation of which the log does not tell once: ' || i.email
    from nest_auth_invitations i left join accepted a on a.id = i.id and a.user_id is not distinct from i.accepted_by
    where coalesce(a.times, 0) <> (i.status = 'accepted')::integer`;

export async function readTruth(stage: Stage): Promise<Truth> {
  const people = await onServer(
    stage,
    'select email, phone, role_id as "roleId", state, sessions, refreshes, resets from app_mirrors order by email',
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
  tries = 0,
): Promise<void> {
  // Whatever is announced late is announced by now.
  await new Promise((resolve) => setImmediate(resolve));
  const truth = await readTruth(stage);
  expect(truth.halfMade).toEqual([]);
  expect(truth.people).toEqual(kept === 'everything' ? afterwards(before.truth.people, subject) : before.truth.people);
  // Not one byte of any table, whoever wrote it.
  if (kept === 'nothing') expect(undoneRows(operation, await dump(stage))).toEqual(undoneRows(operation, before.rows));
  await expectCounted(stage, subject, tries);
  if (kept === 'everything') await expectPassword(stage, subject);
  const told = (await readActivities(stage)).slice(before.activities);
  expect(told.map(({ type }) => type)).toEqual(kept === 'everything' ? operation.events : []);
  expect(new Set(told.map(({ xid }) => xid)).size).toBeLessThanOrEqual(1);
  expect({ operation: operation.name, announced: stage.events.map(({ name }) => name) }).toEqual({
    operation: operation.name,
    announced,
  });
  await expectIdle(stage);
}

/** Without what a second connection has committed by itself, which {@link expectCounted} is about. */
function undoneRows({ needsSecondConnection }: Operation, rows: readonly string[]): readonly string[] {
  return needsSecondConnection === undefined ? rows : rows.filter((row) => !row.startsWith('nest_auth_sign_in_'));
}

/** Tries at a password that are counted against somebody: from the network, and against the account. */
export async function countedTries(stage: Stage, { userId }: Subject): Promise<Record<string, unknown> | undefined> {
  const [counted] = await onServer(
    stage,
    `select (select coalesce(sum(failures), 0)::integer from nest_auth_sign_in_failures where subject = $1) as network,
       (select coalesce(sum(failures), 0)::integer from nest_auth_sign_in_totals where subject = $1) as account`,
    [userId],
  );
  return counted;
}

/**
 * Every try is counted before the password is looked at, and stays counted when it is undone. The password was right: so
 * none is, unless the second connection was lost on the way.
 */
async function expectCounted(stage: Stage, subject: Subject, tries: number): Promise<void> {
  if (subject.userId !== '') expect(await countedTries(stage, subject)).toEqual({ network: tries, account: tries });
}

async function expectPassword(stage: Stage, { after, password }: Subject): Promise<void> {
  if (password === undefined) return;
  const [user] = await onServer(stage, 'select password_hash from nest_auth_users where email = $1', [after?.email]);
  expect(await stage.passwords.verify(String(user?.['password_hash']), password)).toBe(true);
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

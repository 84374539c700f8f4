import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { userColumns, type UserRow } from '../account/user.queries.js';
import { activity, audited } from '../audit/audited-statement.js';
import { moment } from '../audit/changed-values.js';
import type { NestAuthErrorCode } from '../errors/nest-auth.error.js';
import { execute, type Statement } from '../transaction/statement.js';
import { EFFECTS, type Field } from './transition-effects.queries.js';
import { graceSql, isEligible, verdictSql } from './verdict.queries.js';
import { type LifecycleCommand, TRANSITIONS } from './transitions.policy.js';

/** How a command is sent. */
export interface TransitionMode {
  /** Whether the tenants' own grace periods count; without them `value` is the one. */
  readonly tenants: boolean;
  /** Leaves out rows that another transaction holds, instead of waiting for it. */
  readonly skipLocked: boolean;
}

/** What became of one user; the columns are null unless `changed`. */
export type TransitionRow = { readonly [Key in keyof UserRow]: UserRow[Key] | null } & {
  readonly asked_id: string;
  readonly changed: boolean;
  /** Why nothing was changed; null with `changed`, and when the user was not found or not held. */
  readonly reason: NestAuthErrorCode | null;
  /** The row is there, and another transaction holds it. */
  readonly busy: boolean;
  /** The user was active until now. */
  readonly was_active: boolean | null;
  /** Providers whose accounts somebody else has by now. */
  readonly taken: string[] | null;
};

const statements = new Map<string, Statement<TransitionRow>>();

/**
 * Sends a command for some users: each is held, judged by what it is at that moment and by the database's clock, and
 * changed together with its activity, or the reason why not is answered. One statement for all of them.
 */
export function sendTransition(
  manager: EntityManager,
  command: LifecycleCommand,
  ids: readonly string[],
  mode: TransitionMode,
  value: number | string | undefined,
): Promise<TransitionRow[]> {
  const activityIds = ids.map(() => uuidv7());
  return execute(manager, statementOf(command, mode), [ids, activityIds, ...(value === undefined ? [] : [value])]);
}

function statementOf(command: LifecycleCommand, mode: TransitionMode): Statement<TransitionRow> {
  const key = `${command}_${mode.tenants}_${mode.skipLocked}`;
  let found = statements.get(key);
  if (found === undefined) {
    found = audited(undefined, transitionSql(command, mode), (rows) => rows.some(({ changed }) => changed));
    statements.set(key, found);
  }
  return found;
}

function transitionSql(command: LifecycleCommand, { tenants, skipLocked }: TransitionMode): string {
  const effect = EFFECTS[command];
  const { event } = TRANSITIONS[command];
  const isDeletion = command === 'delete';
  // A deletion takes the key away, which those who refer to it hold.
  const lock = `for ${isDeletion ? 'update' : 'no key update'}${skipLocked ? ' skip locked' : ''}`;
  const fields = (row: string): string =>
    `jsonb_build_object(${effect.fields.map((field) => `'${field}', ${fieldSql(row, field)}`).join(', ')})`;
  const parts = [
    `asked as (select id, activity_id from unnest($1::uuid[], $2::uuid[]) as asked (id, activity_id))`,
    `held as (
      select ${userColumns('u')}, u.parked_identities from nest_auth_users u where u.id = any($1::uuid[])
      order by u.id ${lock})`,
    `judged as (select ${userColumns('u')}, u.parked_identities, ${verdictSql(command, tenants)} as reason from held u)`,
    ...(effect.before ?? []),
    isDeletion
      ? `changed as (
      delete from nest_auth_users u using judged where u.id = judged.id and judged.reason is null
      returning ${userColumns('u')})`
      : `changed as (
      update nest_auth_users u set ${effect.set(tenants ? graceSql('deletionDays', true) : '$3::integer')}${
        effect.keepsVersion === true ? '' : ', version = u.version + 1, updated_at = now()'
      }
      from judged ${effect.join ?? ''}
      where u.id = judged.id and judged.reason is null ${effect.where ?? ''}
      returning ${userColumns('u')})`,
    ...(effect.after ?? []),
    activity({
      type: event,
      from: 'changed join judged on judged.id = changed.id join asked on asked.id = changed.id',
      id: 'asked.activity_id',
      userId: 'changed.id',
      tenantId: tenantOfRealm('changed.realm_id'),
      subjectType: 'user',
      before: isDeletion ? `jsonb_strip_nulls(${fields('judged')})` : fields('judged'),
      ...(isDeletion ? {} : { after: fields('changed') }),
      details: `jsonb_build_object('version', changed.version)`,
    }),
  ];
  return `with ${parts.join(',\n    ')}
    select asked.id as asked_id, changed.id is not null as changed, judged.reason,
      judged.id is null and exists (select 1 from nest_auth_users there where there.id = asked.id) as busy,
      judged.is_active as was_active, ${effect.taken ?? 'null::text[]'} as taken, ${userColumns('changed')}
    from asked left join judged on judged.id = asked.id left join changed on changed.id = asked.id ${effect.takenJoin ?? ''}`;
}

const MOMENTS: Readonly<Partial<Record<Field, string>>> = {
  activatedAt: 'activated_at',
  deactivatedAt: 'deactivated_at',
  disabledAt: 'disabled_at',
  softDeletedAt: 'deleted_at',
  scheduledDeletionAt: 'scheduled_deletion_at',
  lastLoginAt: 'last_login_at',
  legalHoldAt: 'legal_hold_at',
};

const VALUES: Readonly<Partial<Record<Field, string>>> = {
  status: 'status',
  isActive: 'is_active',
  email: 'email',
  phone: 'phone',
  legalHoldReason: 'legal_hold_reason',
};

function fieldSql(row: string, field: Field): string {
  const column = MOMENTS[field];
  return column === undefined ? `${row}.${VALUES[field]}` : moment(`${row}.${column}`);
}

const JUDGED = new Map<string, Statement<{ id: string; reason: NestAuthErrorCode | null }>>();

/** What {@link sendTransition} would answer, without holding or changing anybody. */
export function judge(
  manager: EntityManager,
  command: LifecycleCommand,
  ids: readonly string[],
  { tenants }: TransitionMode,
  value: number | undefined,
): Promise<{ id: string; reason: NestAuthErrorCode | null }[]> {
  const key = `${command}_${tenants}`;
  let found = JUDGED.get(key);
  if (found === undefined) {
    const text = `select u.id, ${verdictSql(command, tenants, '$2::integer')} as reason
      from nest_auth_users u where u.id = any($1::uuid[]) order by u.id`;
    found = { text };
    JUDGED.set(key, found);
  }
  return execute(manager, found, [ids, ...(TRANSITIONS[command].grace === undefined ? [] : [value])]);
}

const LOCK: Readonly<Record<'wait' | 'skip', Statement<UserRow>>> = {
  wait: lockStatement(''),
  skip: lockStatement(' skip locked'),
};

function lockStatement(rest: string): Statement<UserRow> {
  return {
    text: `select ${userColumns()} from nest_auth_users where id = any($1::uuid[]) order by id for update${rest}`,
  };
}

/**
 * Holds users against everything, also against an identity that is added to them: what comes after this statement sees
 * all that was added before.
 */
export function holdUsers(manager: EntityManager, ids: readonly string[], skipLocked: boolean): Promise<UserRow[]> {
  return execute(manager, LOCK[skipLocked ? 'skip' : 'wait'], [ids]);
}

const DUE = new Map<string, Statement<DueRow>>();

interface DueRow {
  readonly id: string;
  readonly due: boolean;
  readonly scanned: number;
}

/** Which of the next users with this status, in the order of their ids, a command concerns. */
export async function scanDue(
  manager: EntityManager,
  scan: { readonly command: LifecycleCommand; readonly status: string; readonly tenants: boolean },
  window: { readonly after: string; readonly size: number },
  value: number | undefined,
): Promise<{ due: string[]; last: string | undefined; scanned: number }> {
  const { command, status, tenants } = scan;
  const key = `${command}_${status}_${tenants}`;
  let found = DUE.get(key);
  if (found === undefined) {
    found = { text: dueSql(command, tenants) };
    DUE.set(key, found);
  }
  const hasGrace = TRANSITIONS[command].grace !== undefined;
  const rows = await execute(manager, found, [status, window.after, window.size, ...(hasGrace ? [value] : [])]);
  const due = rows.filter((row) => row.due).map(({ id }) => id);
  return { due, last: rows.at(-1)?.id, scanned: rows[0]?.scanned ?? 0 };
}

/**
 * Reads a part of the index that does not grow with the number of users; answers those who are due, and the last.
 *
 * Always by the index of the status: how many users have it is what a batch changes, and what the planner has heard of
 * it is out of date by then. Told the status, it would go through all users by their ids, or sort all that have it.
 */
function dueSql(command: LifecycleCommand, tenants: boolean): string {
  return `with page as (
      select u.id, ${isEligible(command, tenants, '$4::integer')} as due from nest_auth_users u
      where u.status = any(array(select $1::text)) and u.id > $2::uuid order by u.status, u.id limit $3)
    select id, due, (select count(*) from page)::integer as scanned from page
    where due or id = (select id from page order by id desc limit 1) order by id`;
}

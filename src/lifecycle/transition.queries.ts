import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { userColumns, type UserRow } from '../account/user.queries.js';
import { activity, audited } from '../audit/audited-statement.js';
import { moment } from '../audit/changed-values.js';
import type { NestAuthErrorCode } from '../errors/nest-auth.error.js';
import { isBound, ownedTenants, ownsAny } from '../tenant/ownership.queries.js';
import { execute, type Statement } from '../transaction/statement.js';
import { EFFECTS, type Field } from './transition-effects.queries.js';
import { graceSql, verdictSql } from './verdict.queries.js';
import { type LifecycleCommand, leavesActive, TRANSITIONS } from './transitions.policy.js';

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
  /** Tenants that the user owns and that are not held: left as it is for now. Null when there is nothing to hold. */
  readonly owned: readonly string[] | null;
};

const statements = new Map<string, Statement<TransitionRow>>();

/**
 * Sends a command for some users: each is held, judged by what it is at that moment and by the database's clock, and
 * changed together with its activity, or the reason why not is answered. One statement for all of them. An owner stays
 * active unless the tenants are `held`.
 *
 * That for a single user names the user wherever it locks or changes the row, by which a cluster knows the one node.
 */
export function sendTransition(
  manager: EntityManager,
  command: LifecycleCommand,
  ids: readonly string[],
  mode: TransitionMode,
  value: number | string | undefined,
  held: readonly string[] = [],
): Promise<TransitionRow[]> {
  const whom = ids.length === 1 ? [ids[0], uuidv7()] : [ids, ids.map(() => uuidv7())];
  const values = [...(value === undefined ? [] : [value]), ...(leavesActive(command) ? [held] : [])];
  return execute(manager, statementOf(command, mode, ids.length === 1 ? ONE : MANY), [...whom, ...values]);
}

/** How a statement says whom it is for. */
interface Whom {
  readonly asked: string;
  readonly ids: string;
  readonly held: string;
  readonly order: string;
  /** Wherever the id of a user is compared with that of another row. */
  readonly pin: (id: string) => string;
  /** Whose accesses are looked up. */
  readonly user: string;
}

const ONE: Whom = {
  asked: 'select $1::uuid as id, $2::uuid as activity_id',
  ids: 'array[$1::uuid]',
  held: 'u.id = $1::uuid',
  order: '',
  pin: (id) => ` and ${id} = $1::uuid`,
  user: '$1::uuid',
};
const MANY: Whom = {
  asked: 'select id, activity_id from unnest($1::uuid[], $2::uuid[]) as asked (id, activity_id)',
  ids: '$1::uuid[]',
  held: 'u.id = any($1::uuid[])',
  order: 'order by u.id',
  pin: () => '',
  user: 'u.id',
};

function statementOf(command: LifecycleCommand, mode: TransitionMode, whom: Whom): Statement<TransitionRow> {
  const key = `${command}_${mode.tenants}_${mode.skipLocked}_${whom === ONE}`;
  let found = statements.get(key);
  if (found === undefined) {
    found = audited(undefined, transitionSql(command, mode, whom), (rows) => rows.some(({ changed }) => changed));
    statements.set(key, found);
  }
  return found;
}

function transitionSql(command: LifecycleCommand, { tenants, skipLocked }: TransitionMode, whom: Whom): string {
  const effect = EFFECTS[command];
  const { event } = TRANSITIONS[command];
  const isDeletion = command === 'delete';
  // A deletion takes the key away, which those who refer to it hold.
  const lock = `for ${isDeletion ? 'update' : 'no key update'}${skipLocked ? ' skip locked' : ''}`;
  const fields = (row: string): string =>
    `jsonb_build_object(${effect.fields.map((field) => `'${field}', ${fieldSql(row, field)}`).join(', ')})`;
  const owners = ownersSql(command, tenants, whom.ids);
  const parts = [
    ...owners.parts,
    `asked as (${whom.asked})`,
    `held as (
      select ${userColumns('u')}, u.parked_identities, u.ownership_version from nest_auth_users u where ${whom.held}${owners.unbound}
      ${whom.order} ${lock})`,
    `judged as (
      select ${userColumns('u')}, u.parked_identities, ${verdictSql(command, tenants, '$3::integer', whom.user)} as reason,
        ${owners.bound} as bound
      from held u)`,
    ...(effect.before ?? []),
    isDeletion
      ? `changed as (
      delete from nest_auth_users u using judged where u.id = judged.id${whom.pin('u.id')} and judged.reason is null
      returning ${userColumns('u')})`
      : `changed as (
      update nest_auth_users u set ${effect.set(tenants ? graceSql('deletionDays', true, '$3::integer', whom.user) : '$3::integer')}${
        effect.keepsVersion === true ? '' : ', version = u.version + 1, updated_at = now()'
      }
      from judged ${effect.join ?? ''}
      where u.id = judged.id${whom.pin('u.id')} and judged.reason is null and not judged.bound ${effect.where ?? ''}
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
      judged.id is null
        and exists (select 1 from nest_auth_users there where there.id = asked.id${whom.pin('there.id')}) as busy,
      judged.is_active as was_active, ${effect.taken ?? 'null::text[]'} as taken, ${owners.answer} as owned,
      ${userColumns('changed')}
    from asked ${owners.join} left join judged on judged.id = asked.id left join changed on changed.id = asked.id ${effect.takenJoin ?? ''}`;
}

/** The pieces of the statement that keep owners of tenants that are not held; of no use to the other commands. */
function ownersSql(command: LifecycleCommand, tenants: boolean, ids: string) {
  if (!leavesActive(command)) {
    return { parts: [], unbound: '', bound: 'false', answer: 'null::uuid[]', join: '' };
  }
  const held = TRANSITIONS[command].grace === undefined ? '$3' : '$4';
  return {
    parts: ownedTenants(ids, `${held}::uuid[]`, `${verdictSql(command, tenants)} is null`),
    unbound: ' and u.id not in (select id from bound)',
    bound: isBound('u'),
    answer: `case when bound.id is not null then owned.tenant_ids
        when judged.bound and judged.reason is null then coalesce(owned.tenant_ids, '{}') end`,
    join: 'left join bound on bound.id = asked.id left join owned on owned.user_id = asked.id',
  };
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

interface Judgement {
  readonly id: string;
  readonly reason: NestAuthErrorCode | null;
  /** The user owns a tenant, which only the other owners can say the rest about. */
  readonly owns: boolean;
}

const JUDGED = new Map<string, Statement<Judgement>>();

/** What {@link sendTransition} would answer, without holding or changing anybody. */
export function judge(
  manager: EntityManager,
  command: LifecycleCommand,
  ids: readonly string[],
  { tenants }: TransitionMode,
  value: number | undefined,
): Promise<Judgement[]> {
  const key = `${command}_${tenants}`;
  let found = JUDGED.get(key);
  if (found === undefined) {
    const text = `select u.id, ${verdictSql(command, tenants, '$2::integer')} as reason,
        ${leavesActive(command) ? ownsAny('u.id') : 'false'} as owns
      from nest_auth_users u where u.id = any($1::uuid[]) order by u.id`;
    found = { text };
    JUDGED.set(key, found);
  }
  return execute(manager, found, [ids, ...(TRANSITIONS[command].grace === undefined ? [] : [value])]);
}

function lockStatements(rest: string): Readonly<Record<'one' | 'many', Statement<UserRow>>> {
  const read = `select ${userColumns()} from nest_auth_users`;
  return {
    one: { text: `${read} where id = $1::uuid for update${rest}` },
    many: { text: `${read} where id = any($1::uuid[]) order by id for update${rest}` },
  };
}

const LOCK = { wait: lockStatements(''), skip: lockStatements(' skip locked') } as const;

/**
 * Holds users against everything, also against an identity that is added to them: what comes after this statement sees
 * all that was added before.
 */
export function holdUsers(manager: EntityManager, ids: readonly string[], skipLocked: boolean): Promise<UserRow[]> {
  const lock = LOCK[skipLocked ? 'skip' : 'wait'];
  return ids.length === 1 ? execute(manager, lock.one, [ids[0]]) : execute(manager, lock.many, [ids]);
}

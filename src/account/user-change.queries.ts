import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { activity, type ActivityParts, audited } from '../audit/audited-statement.js';
import { changedMetadata, differences, moment } from '../audit/changed-values.js';
import { METADATA_LIMITS } from '../errors/input.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { isBound, ownedTenants } from '../tenant/ownership.queries.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { either } from '../transaction/either.js';
import { splitPatch } from '../transaction/metadata-patch.js';
import { untilDecided } from '../transaction/optimistic.js';
import { execute, returnsRows, type Statement } from '../transaction/statement.js';
import { keepingHash } from './password-history.queries.js';
import type { NestAuthUser } from './user.entity.js';
import { LIVE, toUser, userColumns, type UserRow } from './user.queries.js';

const COLUMNS = userColumns();

/** What stands in the activities about a user's own row, but for metadata. */
function userValues(row: string): string {
  return `jsonb_build_object('email', ${row}.email, 'emailVerifiedAt', ${moment(`${row}.email_verified_at`)},
    'phone', ${row}.phone, 'phoneVerifiedAt', ${moment(`${row}.phone_verified_at`)},
    'status', ${row}.status, 'isActive', ${row}.is_active)`;
}

/** The tenant that a user belongs to; in a realm for all there is none. */
export function tenantOfRealm(realmId: string): string {
  return `nullif(${realmId}, '${NIL_UUID}')`;
}

/** The activity of a statement that has changed the row of one user. */
function userActivity(row: string, parts: Partial<ActivityParts> & Pick<ActivityParts, 'from'>): string {
  return activity({
    type: NestAuthEvents.USER_UPDATED,
    userId: `${row}.id`,
    tenantId: tenantOfRealm(`${row}.realm_id`),
    subjectType: 'user',
    details: `jsonb_build_object('version', ${row}.version)`,
    ...parts,
  });
}

/** As {@link userActivity}, of the CTE `before` with the row as it was when it was held, and `changed`. */
export function updateActivity(before: string): string {
  const { before: gone, after: come } = differences(userValues(before), userValues('changed'));
  return userActivity('changed', {
    from: `changed join ${before} on ${before}.id = changed.id`,
    before: `${gone} || ${changedMetadata(`${before}.metadata`, 'changed.metadata')}`,
    after: `${come} || ${changedMetadata('changed.metadata', `${before}.metadata`)}`,
  });
}

/**
 * The columns that follow from `isActive`, a parameter that is null when it stays; of a row `u` that is not disabled.
 * A pending user who is not activated stays pending.
 */
export function statusSet(isActive: string): string {
  return `status = case when ${isActive}::boolean is null then u.status when ${isActive} then 'active'
        when u.status = 'active' then 'inactive' else u.status end,
      is_active = coalesce(${isActive}, u.is_active),
      activated_at = ${either(`${isActive} and u.status <> 'active'`, 'now()', 'u.activated_at')},
      deactivated_at = ${either(`not ${isActive} and u.status = 'active'`, 'now()', `case when ${isActive} then null else u.deactivated_at end`)}`;
}

/** What a statement found by which an owner would cease to be active. */
interface OwnerPart {
  /** Tenants that the user owns and that are not held yet: nothing was written for them. Null when there are none. */
  readonly owned: readonly string[] | null;
}

/** Answers the user as it was; with `on_hold` or `raced` the user is still there. `$2` are the tenants that are held. */
const DELETE = audited<UserRow & OwnerPart & { on_hold: boolean; raced: boolean }>(
  undefined,
  `with ${ownedTenants('array[$1::uuid]', '$2::uuid[]', `u.legal_hold_at is null and u.${LIVE}`, userColumns('u')).join(',\n  ')},
  held as (
    select ${COLUMNS}, ownership_version from nest_auth_users
    where id = $1 and ${LIVE} and id not in (select id from bound) for update),
  gone as (
    delete from nest_auth_users u using held
    where u.id = held.id and u.id = $1 and held.legal_hold_at is null and not ${isBound('held')}
    returning ${userColumns('u')}),
  logins as (delete from nest_auth_identities i using gone where i.user_id = gone.id),
  ${userActivity('gone', {
    type: NestAuthEvents.USER_DELETED,
    from: 'gone',
    before: `jsonb_strip_nulls(${userValues('gone')}) || ${changedMetadata('gone.metadata', `'{}'::jsonb`)}`,
  })}
  select ${COLUMNS}, false as on_hold, false as raced, null::uuid[] as owned from gone
  union all
  select ${COLUMNS}, legal_hold_at is not null, legal_hold_at is null, null from held where not exists (select 1 from gone)
  union all
  select ${userColumns('bound')}, false, false, owned.tenant_ids from bound join owned on owned.user_id = bound.id`,
  ([row]) => row !== undefined && !row.on_hold && !row.raced && row.owned === null,
);

/** The one thing about a password that may be told; and where to tell the user of it, for by then it may be another one. */
const PASSWORD_ACTIVITY = userActivity('changed', {
  from: 'changed',
  after: `jsonb_build_object('password', case when $2::text is null then 'removed' else 'changed' end)`,
  details: `jsonb_build_object('version', changed.version, 'email', changed.email)`,
});

const SET_PASSWORD = audited<UserRow>(
  'user_set_password',
  `with changed as (
    update nest_auth_users set password_hash = $2, security_stamp = security_stamp + 1, version = version + 1, updated_at = now()
    where id = $1 and ${LIVE} returning ${COLUMNS}),
  ${PASSWORD_ACTIVITY}
  select ${COLUMNS} from changed`,
  returnsRows,
);

/** As above, and the hash that was there is kept: `$3` is the id of its row, `$4` how many are. */
const SET_PASSWORD_AND_KEEP = audited<UserRow>(
  undefined,
  keepingHash({
    held: `select id, realm_id, password_hash from nest_auth_users where id = $1 and ${LIVE} for no key update`,
    changed: `update nest_auth_users u
      set password_hash = $2, security_stamp = u.security_stamp + 1, version = u.version + 1, updated_at = now()
      from held where u.id = held.id and u.id = $1 returning ${userColumns('u')}`,
    rest: `${PASSWORD_ACTIVITY} select ${COLUMNS} from changed`,
    id: '$3',
    count: '$4',
  }),
  returnsRows,
);

/** Without an activity: the password is the same. */
const UPGRADE_PASSWORD: Statement<{ id: string }> = {
  text: `update nest_auth_users set password_hash = $3 where id = $1 and password_hash = $2 returning id`,
  changes: returnsRows,
};

/** What a conditional change of one row found. */
interface ChangeRow extends UserRow {
  readonly changed: boolean;
  /** Nothing was written although it should have been: another transaction has changed the row meanwhile. */
  readonly raced: boolean;
}

/**
 * `column` is one of ours; `$2` is the address that was shown, null for whichever it is. Answers the row as it is when
 * it was already so. What is to be changed is held first: only so the activity tells what it was at that moment, and not
 * what it was when the statement began.
 */
function verification(column: 'email' | 'phone', verified: boolean): Statement<ChangeRow> {
  const at = `${column}_verified_at`;
  const due = `${column} = coalesce($2::text, ${column}) and ${at} is ${verified ? '' : 'not '}null`;
  return audited<ChangeRow>(
    undefined,
    `with held as (
        select ${COLUMNS} from nest_auth_users where id = $1 and ${LIVE} and ${due} for no key update),
      changed as (
        update nest_auth_users u
        set ${at} = ${verified ? 'now()' : 'null'}, version = u.version + 1, updated_at = now()
        from held where u.id = held.id and u.id = $1
        returning ${userColumns('u')}),
      ${updateActivity('held')}
      select ${COLUMNS}, true as changed, false as raced from changed
      union all
      select ${COLUMNS}, false, ${due} from nest_auth_users where id = $1 and ${LIVE} and not exists (select 1 from changed)`,
    (rows) => rows[0]?.changed === true,
  );
}

const VERIFICATIONS = {
  email: { true: verification('email', true), false: verification('email', false) },
  phone: { true: verification('phone', true), false: verification('phone', false) },
};

const MERGED = '(u.metadata - $3::text[]) || $4::jsonb';

/** Merging must not build up what one input could not hold; what is too large already may shrink. */
const FITS = `octet_length((${MERGED})::text) <= greatest(${METADATA_LIMITS.bytes}, octet_length(u.metadata::text))`;
const DIFFERS = `(u.is_active is distinct from coalesce($2, u.is_active) or ${MERGED} <> u.metadata)`;
/** A disabled user is no longer activated or deactivated. */
const BARRED = `(coalesce($2, false) and u.status = 'disabled')`;
const OF_VERSION = '($5::integer is null or u.version = $5)';

/**
 * Status and metadata in one statement; `$2` null leaves the status, `$3`/`$4` are removed keys and merged values,
 * `$5` null accepts any version. The conditions are answered as they were seen before: if they held and yet nothing
 * was written, somebody else was faster.
 */
const PATCH = audited<ChangeRow & OwnerPart & { fits: boolean; of_version: boolean; barred: boolean }>(
  'user_patch',
  `with ${ownedTenants('array[$1::uuid]', '$6::uuid[]', `u.${LIVE} and $2 is false and ${OF_VERSION} and ${FITS}`).join(',\n  ')},
  seen as (
    select ${COLUMNS}, ${FITS} as fits, ${OF_VERSION} as of_version, ${DIFFERS} as differs,
      ${BARRED} as barred
    from nest_auth_users u where id = $1 and ${LIVE}),
  held as (
    select ${COLUMNS}, ownership_version from nest_auth_users u
    where u.id = $1 and ${LIVE} and ${OF_VERSION} and ${DIFFERS} and ${FITS} and not ${BARRED}
      and u.id not in (select id from bound)
    for no key update),
  changed as (
    update nest_auth_users u set
      ${statusSet('$2')},
      metadata = ${MERGED},
      version = u.version + 1,
      updated_at = now()
    from held where u.id = held.id and u.id = $1 and not ($2 is false and ${isBound('held')})
    returning ${userColumns('u')}),
  ${updateActivity('held')}
  select ${COLUMNS}, true as changed, false as raced, true as fits, true as of_version, false as barred,
    null::uuid[] as owned from changed
  union all
  select ${COLUMNS}, false, differs and fits and of_version and not barred and not exists (select 1 from bound), fits,
    of_version, barred, (select tenant_ids from owned where exists (select 1 from bound))
  from seen where not exists (select 1 from changed)`,
  (rows) => rows[0]?.changed === true,
);

/** What became of a deletion; the user is still there when on hold, or as an owner of tenants that are not held. */
export interface DeleteOutcome extends OwnerPart {
  readonly user: NestAuthUser;
  readonly onHold: boolean;
  /** Another transaction has changed what decides: try again. */
  readonly raced: boolean;
}

/** Deletes the user unless a legal hold keeps it, or tenants that are owned and not `held`; null for no such user. */
export async function deleteUserRow(
  manager: EntityManager,
  id: string,
  held: readonly string[],
): Promise<DeleteOutcome | null> {
  const [row] = await execute(manager, DELETE, [id, held]);
  if (row === undefined) return null;
  return { user: toUser(row, manager), onHold: row.on_hold, raced: row.raced, owned: row.owned };
}

/** `keep` is how many former passwords are remembered. */
export async function storePasswordHash(
  manager: EntityManager,
  id: string,
  phc: string | null,
  keep: number,
): Promise<NestAuthUser | null> {
  const rows =
    keep === 0
      ? await execute(manager, SET_PASSWORD, [id, phc])
      : await execute(manager, SET_PASSWORD_AND_KEEP, [id, phc, uuidv7(), keep]);
  return first(manager, rows);
}

/** Replaces the hash of a password by a stronger one of the same, unless the password has changed meanwhile. */
export async function upgradePasswordHash(manager: EntityManager, id: string, old: string, phc: string): Promise<void> {
  await execute(manager, UPGRADE_PASSWORD, [id, old, phc]);
}

export async function setVerified(
  manager: EntityManager,
  id: string,
  column: 'email' | 'phone',
  verified: boolean,
  address: string | null,
): Promise<{ user: NestAuthUser; changed: boolean } | null> {
  const row = await untilDecided(() => attempt(manager, VERIFICATIONS[column][`${verified}`], [id, address]));
  return row === null ? null : { user: toUser(row, manager), changed: row.changed };
}

export interface UserPatch {
  readonly isActive?: boolean | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly expectedVersion?: number | undefined;
}

/** What became of a patch; the row is unchanged when it did not fit, was not of the version, or had nothing to do. */
export interface PatchOutcome extends OwnerPart {
  readonly user: NestAuthUser;
  readonly changed: boolean;
  /** False when the metadata would outgrow its limit. */
  readonly fits: boolean;
  readonly ofVersion: boolean;
  /** True when a disabled user was to be activated. */
  readonly barred: boolean;
}

/** Applies a change of status and metadata; null for no such user. A deactivation needs what the user owns `held`. */
export async function patchUser(
  manager: EntityManager,
  id: string,
  { isActive, metadata = {}, expectedVersion }: UserPatch,
  held: readonly string[],
): Promise<PatchOutcome | null> {
  const { removed, merged } = splitPatch(metadata);
  const values = [id, isActive ?? null, removed, merged, expectedVersion ?? null, held];
  const row = await untilDecided(() => attempt(manager, PATCH, values));
  if (row === null) return null;
  return {
    user: toUser(row, manager),
    changed: row.changed,
    fits: row.fits,
    ofVersion: row.of_version,
    barred: row.barred,
    owned: row.owned,
  };
}

/** One attempt for `untilDecided`: undefined when another transaction was faster. */
async function attempt<Row extends ChangeRow>(
  manager: EntityManager,
  sql: Statement<Row>,
  values: readonly unknown[],
): Promise<Row | null | undefined> {
  const [row] = await execute(manager, sql, values);
  if (row === undefined) return null;
  return row.raced ? undefined : row;
}

function first(manager: EntityManager, [row]: readonly UserRow[]): NestAuthUser | null {
  return row === undefined ? null : toUser(row, manager);
}

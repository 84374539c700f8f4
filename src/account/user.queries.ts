import type { EntityManager } from 'typeorm';
import { METADATA_LIMITS } from '../errors/input.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { splitPatch } from '../transaction/metadata-patch.js';
import { untilDecided } from '../transaction/optimistic.js';
import { execute, returnsRows, type Statement, statement } from '../transaction/statement.js';
import type { UserStatusEnum } from './account.types.js';
import { NestAuthUser } from './user.entity.js';

/** A user's row, without secrets. */
export interface UserRow {
  readonly id: string;
  readonly realm_id: string;
  readonly email: string | null;
  readonly email_verified_at: Date | null;
  readonly phone: string | null;
  readonly phone_verified_at: Date | null;
  readonly status: UserStatusEnum;
  readonly is_active: boolean;
  readonly metadata: Record<string, unknown>;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly deleted_at: Date | null;
}

const COLUMN_NAMES = [
  'id',
  'realm_id',
  'email',
  'email_verified_at',
  'phone',
  'phone_verified_at',
  'status',
  'is_active',
  'metadata',
  'version',
  'created_at',
  'updated_at',
  'deleted_at',
] as const satisfies readonly (keyof UserRow)[];

/** The columns of a {@link UserRow}, for a select list; with a table's alias where the query has several. */
export function userColumns(alias?: string): string {
  return COLUMN_NAMES.map((name) => (alias === undefined ? name : `${alias}.${name}`)).join(', ');
}

/** The entity of a row. Secrets stay absent, so that saving the entity writes nothing back. */
export function toUser(row: UserRow, manager: EntityManager): NestAuthUser {
  const user = new NestAuthUser();
  user.id = row.id;
  user.realmId = row.realm_id;
  user.email = row.email;
  user.emailVerifiedAt = row.email_verified_at;
  user.phone = row.phone;
  user.phoneVerifiedAt = row.phone_verified_at;
  user.status = row.status;
  user.isActive = row.is_active;
  user.metadata = row.metadata;
  user.version = row.version;
  user.createdAt = row.created_at;
  user.updatedAt = row.updated_at;
  user.deletedAt = row.deleted_at;
  return rememberOrigin(user, manager);
}

const LIVE = 'deleted_at is null';
const COLUMNS = userColumns();

const BY_ID = statement<UserRow>('user_by_id', `select ${COLUMNS} from nest_auth_users where id = $1 and ${LIVE}`);

const BY_EMAIL = statement<UserRow>(
  'user_by_email',
  `select ${COLUMNS} from nest_auth_users where realm_id = $1 and email_norm = $2 and ${LIVE}`,
);

const BY_PHONE = statement<UserRow>(
  'user_by_phone',
  `select ${COLUMNS} from nest_auth_users where realm_id = $1 and phone = $2 and ${LIVE}`,
);

/** Somebody who is not a member of the tenant is not found through it. */
const MEMBER = `exists (select 1 from nest_auth_user_accesses a where a.user_id = nest_auth_users.id and a.tenant_id = $3)`;

const MEMBER_BY_EMAIL = statement<UserRow>('member_by_email', `${BY_EMAIL.text} and ${MEMBER}`);
const MEMBER_BY_PHONE = statement<UserRow>('member_by_phone', `${BY_PHONE.text} and ${MEMBER}`);

const PLATFORM = `exists (select 1 from nest_auth_platform_accesses p where p.user_id = nest_auth_users.id)`;
const PLATFORM_BY_EMAIL = statement<UserRow>('platform_user_by_email', `${BY_EMAIL.text} and ${PLATFORM}`);

const EMAIL_EXISTS = statement<{ found: boolean }>(
  'email_exists',
  `select exists (select 1 from nest_auth_users where realm_id = $1 and email_norm = $2 and ${LIVE}) as found`,
);

const LOCK = statement<UserRow & { email_norm: string | null }>(
  'user_lock',
  `select ${COLUMNS}, email_norm from nest_auth_users where id = $1 and ${LIVE} for no key update`,
);

const DELETE: Statement<UserRow> = {
  text: `delete from nest_auth_users where id = $1 returning ${COLUMNS}`,
  changes: returnsRows,
};

const SET_PASSWORD = statement<UserRow>(
  'user_set_password',
  `update nest_auth_users set password_hash = $2, version = version + 1, updated_at = now()
    where id = $1 and ${LIVE} returning ${COLUMNS}`,
  returnsRows,
);

const PASSWORD_HASH = statement<{ password_hash: string | null }>(
  'user_password_hash',
  `select password_hash from nest_auth_users where id = $1 and ${LIVE}`,
);

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

/** `column` is one of ours. Answers the row as it is when it was already so. */
function verification(column: 'email' | 'phone', verified: boolean): Statement<ChangeRow> {
  const at = `${column}_verified_at`;
  const due = `${column} is not null and ${at} is ${verified ? '' : 'not '}null`;
  return {
    text: `with changed as (
        update nest_auth_users set ${at} = ${verified ? 'now()' : 'null'}, version = version + 1, updated_at = now()
        where id = $1 and ${LIVE} and ${due}
        returning ${COLUMNS})
      select ${COLUMNS}, true as changed, false as raced from changed
      union all
      select ${COLUMNS}, false, ${due} from nest_auth_users where id = $1 and ${LIVE} and not exists (select 1 from changed)`,
    changes: (rows) => rows[0]?.changed === true,
  };
}

const VERIFICATIONS = {
  email: { true: verification('email', true), false: verification('email', false) },
  phone: { true: verification('phone', true), false: verification('phone', false) },
};

const MERGED = '(u.metadata - $3::text[]) || $4::jsonb';

/** Merging must not build up what one input could not hold; what is too large already may shrink. */
const FITS = `octet_length((${MERGED})::text) <= greatest(${METADATA_LIMITS.bytes}, octet_length(u.metadata::text))`;
const DIFFERS = `(u.is_active is distinct from coalesce($2, u.is_active) or ${MERGED} <> u.metadata)`;
const OF_VERSION = '($5::integer is null or u.version = $5)';

/**
 * Status and metadata in one statement; `$2` null leaves the status, `$3`/`$4` are removed keys and merged values,
 * `$5` null accepts any version. The conditions are answered as they were seen before: if they held and yet nothing
 * was written, somebody else was faster.
 */
const PATCH = statement<ChangeRow & { fits: boolean; of_version: boolean }>(
  'user_patch',
  `with seen as (
    select ${COLUMNS}, ${FITS} as fits, ${OF_VERSION} as of_version, ${DIFFERS} as differs
    from nest_auth_users u where id = $1 and ${LIVE}),
  changed as (
    update nest_auth_users u set
      status = case when $2::boolean is null then u.status when $2 then 'active'
        when u.status = 'active' then 'inactive' else u.status end,
      is_active = case when $2::boolean is null then u.is_active else $2 end,
      metadata = ${MERGED},
      version = u.version + 1,
      updated_at = now()
    where u.id = $1 and ${LIVE} and ${OF_VERSION} and ${DIFFERS} and ${FITS}
    returning ${userColumns('u')})
  select ${COLUMNS}, true as changed, false as raced, true as fits, true as of_version from changed
  union all
  select ${COLUMNS}, false, differs and fits and of_version, fits, of_version
  from seen where not exists (select 1 from changed)`,
  (rows) => rows[0]?.changed === true,
);

export async function findUserById(manager: EntityManager, id: string): Promise<NestAuthUser | null> {
  return first(manager, await execute(manager, BY_ID, [id]));
}

/** The user with this login in the realm; with a tenant, only if a member of it. */
export async function findUserByLogin(
  manager: EntityManager,
  login: { readonly realmId: string; readonly tenantId: string | null } & (
    | { readonly email: string }
    | { readonly phone: string }
  ),
): Promise<NestAuthUser | null> {
  const [anybody, member, value] =
    'email' in login ? [BY_EMAIL, MEMBER_BY_EMAIL, login.email] : [BY_PHONE, MEMBER_BY_PHONE, login.phone];
  const rows =
    login.tenantId === null
      ? await execute(manager, anybody, [login.realmId, value])
      : await execute(manager, member, [login.realmId, value, login.tenantId]);
  return first(manager, rows);
}

export async function findPlatformUserByEmail(
  manager: EntityManager,
  realmId: string,
  email: string,
): Promise<NestAuthUser | null> {
  return first(manager, await execute(manager, PLATFORM_BY_EMAIL, [realmId, email]));
}

export async function emailExists(manager: EntityManager, realmId: string, email: string): Promise<boolean> {
  const [row] = await execute(manager, EMAIL_EXISTS, [realmId, email]);
  return row?.found === true;
}

/** The row as it is, held until the transaction ends. */
export async function lockUser(
  manager: EntityManager,
  id: string,
): Promise<{ user: NestAuthUser; emailNorm: string | null } | null> {
  const [row] = await execute(manager, LOCK, [id]);
  return row === undefined ? null : { user: toUser(row, manager), emailNorm: row.email_norm };
}

export async function deleteUserRow(manager: EntityManager, id: string): Promise<NestAuthUser | null> {
  return first(manager, await execute(manager, DELETE, [id]));
}

export async function storePasswordHash(
  manager: EntityManager,
  id: string,
  phc: string | null,
): Promise<NestAuthUser | null> {
  return first(manager, await execute(manager, SET_PASSWORD, [id, phc]));
}

/** The stored hash; null for a user without a password, undefined for no such user. */
export async function readPasswordHash(manager: EntityManager, id: string): Promise<string | null | undefined> {
  const [row] = await execute(manager, PASSWORD_HASH, [id]);
  return row?.password_hash;
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
): Promise<{ user: NestAuthUser; changed: boolean } | null> {
  const row = await untilDecided(() => attempt(manager, VERIFICATIONS[column][`${verified}`], [id]));
  return row === null ? null : { user: toUser(row, manager), changed: row.changed };
}

export interface UserPatch {
  readonly isActive?: boolean | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly expectedVersion?: number | undefined;
}

/** What became of a patch; the row is unchanged when it did not fit, was not of the version, or had nothing to do. */
export interface PatchOutcome {
  readonly user: NestAuthUser;
  readonly changed: boolean;
  /** False when the metadata would outgrow its limit. */
  readonly fits: boolean;
  readonly ofVersion: boolean;
}

/** Applies a change of status and metadata; null for no such user. */
export async function patchUser(
  manager: EntityManager,
  id: string,
  { isActive, metadata = {}, expectedVersion }: UserPatch,
): Promise<PatchOutcome | null> {
  const { removed, merged } = splitPatch(metadata);
  const values = [id, isActive ?? null, removed, merged, expectedVersion ?? null];
  const row = await untilDecided(() => attempt(manager, PATCH, values));
  if (row === null) return null;
  return { user: toUser(row, manager), changed: row.changed, fits: row.fits, ofVersion: row.of_version };
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

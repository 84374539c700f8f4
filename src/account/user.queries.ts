import type { EntityManager } from 'typeorm';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { execute, statement } from '../transaction/statement.js';
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
  readonly activated_at: Date | null;
  readonly deactivated_at: Date | null;
  readonly disabled_at: Date | null;
  readonly scheduled_deletion_at: Date | null;
  readonly last_login_at: Date | null;
  readonly legal_hold_at: Date | null;
  readonly legal_hold_reason: string | null;
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
  'activated_at',
  'deactivated_at',
  'disabled_at',
  'scheduled_deletion_at',
  'last_login_at',
  'legal_hold_at',
  'legal_hold_reason',
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
  user.activatedAt = row.activated_at;
  user.deactivatedAt = row.deactivated_at;
  user.disabledAt = row.disabled_at;
  user.scheduledDeletionAt = row.scheduled_deletion_at;
  user.lastLoginAt = row.last_login_at;
  user.legalHoldAt = row.legal_hold_at;
  user.legalHoldReason = row.legal_hold_reason;
  user.softDeletedAt = row.deleted_at;
  return rememberOrigin(user, manager);
}

/** Of a user that has not been deleted softly. */
export const LIVE = 'deleted_at is null';
const COLUMNS = userColumns();

const BY_ID = statement<UserRow>('user_by_id', `select ${COLUMNS} from nest_auth_users where id = $1 and ${LIVE}`);

/** By way of the identity, whose key decides whose login it is: two look-ups by key, on a cluster of one node each. */
const ofLogin = (provider: 'email' | 'phone'): string => `id = (
  select user_id from nest_auth_identities where provider_id = $2 and provider = '${provider}' and realm_id = $1)`;

const BY_EMAIL = statement<UserRow>(
  'user_by_email',
  `select ${COLUMNS} from nest_auth_users where ${ofLogin('email')} and ${LIVE}`,
);

const BY_PHONE = statement<UserRow>(
  'user_by_phone',
  `select ${COLUMNS} from nest_auth_users where ${ofLogin('phone')} and ${LIVE}`,
);

/** Somebody who is not a member of the tenant is not found through it. */
const MEMBER = `exists (select 1 from nest_auth_user_accesses a where a.user_id = nest_auth_users.id and a.tenant_id = $3)`;

const MEMBER_BY_EMAIL = statement<UserRow>('member_by_email', `${BY_EMAIL.text} and ${MEMBER}`);
const MEMBER_BY_PHONE = statement<UserRow>('member_by_phone', `${BY_PHONE.text} and ${MEMBER}`);

const PLATFORM = `exists (select 1 from nest_auth_platform_accesses p where p.user_id = nest_auth_users.id)`;
const PLATFORM_BY_EMAIL = statement<UserRow>('platform_user_by_email', `${BY_EMAIL.text} and ${PLATFORM}`);

const EMAIL_EXISTS = statement<{ found: boolean }>(
  'email_exists',
  `select exists (select 1 from nest_auth_users where ${ofLogin('email')} and ${LIVE}) as found`,
);

const LOCK = statement<UserRow & { email_norm: string | null }>(
  'user_lock',
  `select ${COLUMNS}, email_norm from nest_auth_users where id = $1 and ${LIVE} for no key update`,
);

/** The logins go by name: on a cluster they are on other nodes, where no foreign key reaches. */
const PASSWORD_HASH = statement<{ password_hash: string | null }>(
  'user_password_hash',
  `select password_hash from nest_auth_users where id = $1 and ${LIVE}`,
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

/** The stored hash; null for a user without a password, undefined for no such user. */
export async function readPasswordHash(manager: EntityManager, id: string): Promise<string | null | undefined> {
  const [row] = await execute(manager, PASSWORD_HASH, [id]);
  return row?.password_hash;
}

function first(manager: EntityManager, [row]: readonly UserRow[]): NestAuthUser | null {
  return row === undefined ? null : toUser(row, manager);
}

import type { EntityManager } from 'typeorm';
import { audited } from '../audit/audited-statement.js';
import { splitPatch } from '../transaction/metadata-patch.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';
import { statusSet, updateActivity } from './user-change.queries.js';
import { toUser, userColumns, type UserRow } from './user.queries.js';
import type { PreparedUpdate } from './user-input.policy.js';
import type { NestAuthUser } from './user.entity.js';

interface Shape {
  /** `set` replaces the identity too, `remove` deletes it, `retype` only stores another spelling. */
  readonly email: 'keep' | 'retype' | 'set' | 'remove';
  readonly phone: 'keep' | 'set' | 'remove';
}

export interface LoginChange extends Shape {
  readonly update: PreparedUpdate;
}

/** What really has to be done to a locked user; null when its logins stay as they are. */
export function loginChange(user: NestAuthUser, emailNorm: string | null, update: PreparedUpdate): LoginChange | null {
  const email = emailStep(user, emailNorm, update.email);
  const phone =
    update.phone === undefined || update.phone === user.phone ? 'keep' : update.phone === null ? 'remove' : 'set';
  return email === 'keep' && phone === 'keep' ? null : { email, phone, update };
}

function emailStep(user: NestAuthUser, emailNorm: string | null, email: PreparedUpdate['email']): Shape['email'] {
  if (email === undefined || (email === null && user.email === null)) return 'keep';
  if (email === null) return 'remove';
  if (email.norm !== emailNorm) return 'set';
  return email.typed === user.email ? 'keep' : 'retype';
}

const statements = new Map<string, Statement<ChangeLoginRow>>();

/** What the statement answers: the row after the change, or only nulls when somebody else has one of the logins. */
type ChangeLoginRow = { readonly [Key in keyof UserRow]: UserRow[Key] | null } & {
  /** False when a login was seen to be taken, so that nothing was done. */
  readonly free: boolean;
  /** The identities that went. */
  readonly gone: unknown[];
};

/**
 * Changes a locked user's logins with everything else of the update, in one statement: the old identities go, the new
 * ones come, and the user's row follows only if all of them came. Null when somebody else has one of them; then all is
 * as it was.
 */
export async function writeLoginChange(
  manager: EntityManager,
  user: NestAuthUser,
  change: LoginChange,
): Promise<NestAuthUser | null> {
  const { update } = change;
  const { removed, merged } = splitPatch(update.metadata);
  const values = [
    user.id,
    user.realmId,
    update.isActive ?? null,
    removed,
    merged,
    ...(change.email === 'set' || change.email === 'retype' ? [update.email?.typed, update.email?.norm] : []),
    ...(change.phone === 'set' ? [update.phone] : []),
  ];
  const row = await executeOne(manager, statementOf(change), values);
  if (isChanged(row)) return toUser(row, manager);
  // Lost half-way: the statement could not take back what it had done itself.
  if (row.free) await execute(manager, RESTORE, [user.id, JSON.stringify(row.gone)]);
  return null;
}

function isChanged(row: ChangeLoginRow): row is ChangeLoginRow & UserRow {
  return row.id !== null;
}

function statementOf({ email, phone }: Shape): Statement<ChangeLoginRow> {
  const key = `${email}_${phone}`;
  let found = statements.get(key);
  if (found === undefined) {
    found = audited(
      `change_login_${key}`,
      changeLoginSql({ email, phone }),
      ([row]) => row !== undefined && isChanged(row),
    );
    statements.set(key, found);
  }
  return found;
}

function changeLoginSql({ email, phone }: Shape): string {
  let last = 5;
  const next = (): string => `$${(last += 1)}`;
  const [typed, norm] = email === 'set' || email === 'retype' ? [next(), next()] : ['', ''];
  const number = phone === 'set' ? next() : '';
  const leaving = [
    ...(email === 'set' || email === 'remove' ? [`'email'`] : []),
    ...(phone === 'set' || phone === 'remove' ? [`'phone'`] : []),
  ];
  const coming = [
    ...(email === 'set' ? [{ provider: 'email', id: norm }] : []),
    ...(phone === 'set' ? [{ provider: 'phone', id: number }] : []),
  ];
  const free = coming.map(
    ({ provider, id }) =>
      `not exists (select 1 from nest_auth_identities where provider_id = ${id} and provider = '${provider}' and realm_id = $2)`,
  );
  const emailColumns = {
    keep: [],
    retype: [`email = ${typed}`, `email_norm = ${norm}`],
    set: [`email = ${typed}`, `email_norm = ${norm}`, 'email_verified_at = null'],
    remove: ['email = null', 'email_norm = null', 'email_verified_at = null'],
  }[email];
  const phoneColumns = {
    keep: [],
    set: [`phone = ${number}`, 'phone_verified_at = null'],
    remove: ['phone = null', 'phone_verified_at = null'],
  }[phone];
  // `held` needs no lock: the caller has one since an earlier statement.
  return `with held as (select ${userColumns()} from nest_auth_users where id = $1),
    gate as (select ${free.join(' and ') || 'true'} as free),
    gone as (
      delete from nest_auth_identities using gate
      where user_id = $1 and realm_id = $2 and provider = any(array[${leaving.join(', ')}]::text[]) and gate.free
      returning provider, provider_id, metadata, nest_auth_identities.created_at),
    made as (
      insert into nest_auth_identities (realm_id, user_id, provider, provider_id)
      select $2::uuid, $1::uuid, login.provider, login.provider_id
      from (values ${coming.map(({ provider, id }) => `('${provider}', ${id}::text)`).join(', ') || '(null::text, null::text)'})
        as login (provider, provider_id), gate
      where gate.free and login.provider is not null and (select count(*) from gone) >= 0
      on conflict do nothing
      returning 1),
    changed as (update nest_auth_users u set
      ${[...emailColumns, ...phoneColumns].join(', ')},
      ${statusSet('$3')},
      metadata = (u.metadata - $4::text[]) || $5::jsonb,
      version = u.version + 1,
      updated_at = now()
    where u.id = $1 and u.realm_id = $2 and (select count(*) from made) = ${coming.length}
      and (select free from gate)
    returning ${userColumns('u')}),
    ${updateActivity('held')}
    select ${userColumns('changed')}, gate.free,
      (select coalesce(jsonb_agg(to_jsonb(gone)), '[]') from gone) as gone
    from gate left join changed on true`;
}

/** Without `changes`: together with the statement that it takes back, nothing has happened. */
const RESTORE: Statement<{ provider: string }> = {
  text: `with owner as (select id, realm_id, email_norm, phone from nest_auth_users where id = $1),
    left_over as (
      delete from nest_auth_identities i using owner
      where i.user_id = owner.id and i.provider in ('email', 'phone')
        and i.provider_id is distinct from case i.provider when 'email' then owner.email_norm else owner.phone end
      returning 1)
    insert into nest_auth_identities (realm_id, user_id, provider, provider_id, metadata, created_at)
    select owner.realm_id, owner.id, gone.provider, gone.provider_id, gone.metadata, gone.created_at
    from owner, jsonb_to_recordset($2::jsonb)
      as gone (provider text, provider_id text, metadata jsonb, created_at timestamptz)
    where (select count(*) from left_over) >= 0
    returning provider`,
};

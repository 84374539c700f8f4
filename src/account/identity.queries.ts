import type { EntityManager } from 'typeorm';
import { activity, type ActivityParts, audited } from '../audit/audited-statement.js';
import { changedMetadata } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { splitPatch } from '../transaction/metadata-patch.js';
import { execute, executeOne, returnsRows, type Statement, statement } from '../transaction/statement.js';
import { NestAuthIdentity } from './identity.entity.js';
import { tenantOfRealm } from './user-change.queries.js';
import type { NestAuthUser } from './user.entity.js';

interface IdentityRow {
  readonly provider: string;
  readonly provider_id: string;
  readonly realm_id: string;
  readonly user_id: string;
  readonly metadata: Record<string, unknown>;
  readonly created_at: Date;
  readonly made?: boolean;
}

const COLUMNS = 'provider, provider_id, realm_id, user_id, metadata, created_at';

/** The activity of a change of identities: `before` and `after` are lists of those that went, came or are another one. */
function identityActivity(
  user: { readonly id: string; readonly realm: string },
  { from, before, after }: Pick<ActivityParts, 'from'> & { readonly before: string; readonly after: string },
): string {
  return activity({
    type: NestAuthEvents.USER_UPDATED,
    userId: user.id,
    tenantId: tenantOfRealm(user.realm),
    subjectType: 'user',
    from,
    before: `jsonb_build_object('identities', coalesce(${before}, '[]'))`,
    after: `jsonb_build_object('identities', coalesce(${after}, '[]'))`,
  });
}

/** An identity in an activity, with what `other` has not of its metadata. */
function identityValues(row: string, other: string): string {
  return `jsonb_build_object('provider', ${row}.provider, 'providerId', ${row}.provider_id)
    || ${changedMetadata(`${row}.metadata`, other)}`;
}

const NO_METADATA = `'{}'::jsonb`;
const MADE = {
  from: 'made',
  before: 'null::jsonb',
  after: `jsonb_build_array(${identityValues('made', NO_METADATA)})`,
};

/**
 * Inserts the identity, or answers the one that is there, whoever has it. Empty only when a concurrent transaction
 * has committed it since the statement began: then the statement is run again.
 */
const FIND_OR_CREATE = audited<IdentityRow>(
  'identity_find_or_create',
  `with made as (
    insert into nest_auth_identities (realm_id, user_id, provider, provider_id, metadata)
    select $1::uuid, $2::uuid, $3::text, $4::text, $5::jsonb
    where exists (select 1 from nest_auth_users where id = $2 and realm_id = $1 and deleted_at is null for key share)
      and not exists (select 1 from nest_auth_identities where provider_id = $4 and provider = $3 and realm_id = $1)
    on conflict do nothing
    returning ${COLUMNS}),
  ${identityActivity({ id: 'made.user_id', realm: 'made.realm_id' }, MADE)}
  select ${COLUMNS}, true as made from made
  union all
  select ${COLUMNS}, false from nest_auth_identities
    where provider_id = $4 and provider = $3 and realm_id = $1 and not exists (select 1 from made)`,
  (rows) => rows[0]?.made === true,
);

/** What the replacement answers: the identity as it is now, or only nulls when somebody else has the account. */
type ReplaceRow = { readonly [Key in keyof IdentityRow]: IdentityRow[Key] | null } & {
  /** False when the account was seen to be taken, so that nothing was done. */
  readonly free: boolean;
  /** The identities that went. */
  readonly gone: unknown[];
};

/** `was` needs no lock, here and in the patch: the caller holds the user, as does whoever else changes these. */
const REPLACE = audited<ReplaceRow>(
  undefined,
  `with was as (
      select ${COLUMNS} from nest_auth_identities where user_id = $2 and realm_id = $1 and provider = $3),
    gate as (
      select not exists (select 1 from nest_auth_identities
        where provider_id = $4 and provider = $3 and realm_id = $1 and user_id <> $2) as free),
    gone as (
      delete from nest_auth_identities using gate
      where user_id = $2 and realm_id = $1 and provider = $3 and provider_id <> $4 and gate.free
      returning provider_id, metadata, created_at),
    made as (
      insert into nest_auth_identities (realm_id, user_id, provider, provider_id, metadata)
      select $1::uuid, $2::uuid, $3::text, $4::text, (coalesce((select metadata from gone limit 1), '{}') - $5::text[]) || $6::jsonb
      from gate where gate.free
      on conflict (provider_id, provider, realm_id) do update
        set metadata = (nest_auth_identities.metadata - $5::text[]) || $6::jsonb
        where nest_auth_identities.user_id = excluded.user_id
      returning ${COLUMNS}),
    unlike as (
      select ${identityValues('was', `coalesce(made.metadata, ${NO_METADATA})`)} as before,
        ${identityValues('made', `coalesce(was.metadata, ${NO_METADATA})`)} as after,
        was.provider is not null as existed, made.provider is not null as exists_now
      from was full join made on made.provider_id = was.provider_id
      where was.metadata is distinct from made.metadata),
    ${identityActivity(
      { id: '$2::uuid', realm: '$1::uuid' },
      {
        from: `(select jsonb_agg(before) filter (where existed) as before, jsonb_agg(after) filter (where exists_now) as after
          from unlike having count(*) > 0 and exists (select 1 from made)) as replaced`,
        before: 'replaced.before',
        after: 'replaced.after',
      },
    )}
    select ${COLUMNS}, gate.free, (select coalesce(jsonb_agg(to_jsonb(gone)), '[]') from gone) as gone
    from gate left join made on true`,
  ([row]) => row !== undefined && isReplaced(row),
);

/** Without `changes`: together with the replacement that it takes back, nothing has happened. */
const RESTORE: Statement<{ provider_id: string }> = {
  text: `insert into nest_auth_identities (realm_id, user_id, provider, provider_id, metadata, created_at)
    select $1::uuid, $2::uuid, $3::text, gone.provider_id, gone.metadata, gone.created_at
    from jsonb_to_recordset($4::jsonb) as gone (provider_id text, metadata jsonb, created_at timestamptz)
    returning provider_id`,
};

function isReplaced(row: ReplaceRow): row is ReplaceRow & IdentityRow {
  return row.provider !== null;
}

const PATCH = audited<IdentityRow>(
  undefined,
  `with was as (
      select ${COLUMNS} from nest_auth_identities where user_id = $2 and realm_id = $1 and provider = $3),
    changed as (
      update nest_auth_identities i set metadata = (i.metadata - $4::text[]) || $5::jsonb
      from was where i.provider_id = was.provider_id and i.provider = was.provider and i.realm_id = was.realm_id
      returning i.provider, i.provider_id, i.realm_id, i.user_id, i.metadata, i.created_at),
    ${identityActivity(
      { id: '$2::uuid', realm: '$1::uuid' },
      {
        from: `(select jsonb_agg(${identityValues('was', 'changed.metadata')}) as before,
            jsonb_agg(${identityValues('changed', 'was.metadata')}) as after
          from was join changed on changed.provider_id = was.provider_id
          where changed.metadata <> was.metadata having count(*) > 0) as patched`,
        before: 'patched.before',
        after: 'patched.after',
      },
    )}
    select ${COLUMNS} from changed`,
  returnsRows,
);

const OF_PROVIDER = statement<IdentityRow>(
  'identity_of_provider',
  `select ${COLUMNS} from nest_auth_identities where user_id = $2 and realm_id = $1 and provider = $3`,
);

const HEAL = audited<IdentityRow>(
  undefined,
  `with made as (
      insert into nest_auth_identities (realm_id, user_id, provider, provider_id)
      select u.realm_id, u.id, $2::text, login.id
      from nest_auth_users u, lateral (select case $2::text when 'email' then u.email_norm else u.phone end as id) login
      where u.id = $1 and u.deleted_at is null and login.id is not null
      on conflict do nothing
      returning ${COLUMNS}),
    ${identityActivity({ id: 'made.user_id', realm: 'made.realm_id' }, MADE)}
    select ${COLUMNS} from made`,
  returnsRows,
);

/** Makes the identity of a login that the user's row has, where somebody has deleted it by hand; else null. */
export async function healLoginIdentity(
  manager: EntityManager,
  user: NestAuthUser,
  provider: 'email' | 'phone',
): Promise<NestAuthIdentity | null> {
  const [row] = await execute(manager, HEAL, [user.id, provider]);
  return row === undefined ? null : toIdentity(row, manager);
}

/** The user's account at a provider of which there is at most one: `email` or `phone`. */
export async function findLoginIdentity(
  manager: EntityManager,
  user: NestAuthUser,
  provider: 'email' | 'phone',
): Promise<NestAuthIdentity | null> {
  const [row] = await execute(manager, OF_PROVIDER, [user.realmId, user.id, provider]);
  return row === undefined ? null : toIdentity(row, manager);
}

const BY_KEY: Statement<IdentityRow> = {
  text: `select ${COLUMNS} from nest_auth_identities where provider_id = $3 and provider = $2 and realm_id = $1`,
};

/** The identity under this key, whoever has it. */
export async function findIdentityRow(
  manager: EntityManager,
  user: NestAuthUser,
  provider: string,
  providerId: string,
): Promise<NestAuthIdentity | null> {
  const [row] = await execute(manager, BY_KEY, [user.realmId, provider, providerId]);
  return row === undefined ? null : toIdentity(row, manager);
}

/** The identity under this key, made for `user` if nobody has it. Null when the user is gone. */
export async function findOrCreateIdentityRow(
  manager: EntityManager,
  user: NestAuthUser,
  provider: string,
  providerId: string,
): Promise<{ identity: NestAuthIdentity; made: boolean } | null> {
  const [row] = await execute(manager, FIND_OR_CREATE, [user.realmId, user.id, provider, providerId, '{}']);
  return row === undefined ? null : { identity: toIdentity(row, manager), made: row.made === true };
}

/** Makes `providerId` the user's only account at the provider; null when somebody else has it. */
export async function replaceIdentityRow(
  manager: EntityManager,
  user: NestAuthUser,
  provider: string,
  providerId: string,
  metadata: Readonly<Record<string, unknown>>,
): Promise<NestAuthIdentity | null> {
  const { removed, merged } = splitPatch(metadata);
  const values = [user.realmId, user.id, provider, providerId, removed, merged];
  const row = await executeOne(manager, REPLACE, values);
  if (isReplaced(row)) return toIdentity(row, manager);
  // Lost half-way: the statement could not take back what it had done itself.
  if (row.free) await execute(manager, RESTORE, [user.realmId, user.id, provider, JSON.stringify(row.gone)]);
  return null;
}

/** Merges metadata into the user's account at the provider; null when there is none. */
export async function patchIdentityRow(
  manager: EntityManager,
  user: NestAuthUser,
  provider: string,
  metadata: Readonly<Record<string, unknown>>,
): Promise<NestAuthIdentity | null> {
  const { removed, merged } = splitPatch(metadata);
  const [row] = await execute(manager, PATCH, [user.realmId, user.id, provider, removed, merged]);
  return row === undefined ? null : toIdentity(row, manager);
}

function toIdentity(row: IdentityRow, manager: EntityManager): NestAuthIdentity {
  const identity = new NestAuthIdentity();
  identity.provider = row.provider;
  identity.providerId = row.provider_id;
  identity.realmId = row.realm_id;
  identity.userId = row.user_id;
  identity.metadata = row.metadata;
  identity.createdAt = row.created_at;
  return rememberOrigin(identity, manager);
}

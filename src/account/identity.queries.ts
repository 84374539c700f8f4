import type { EntityManager } from 'typeorm';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { execute, returnsRows, type Statement, statement } from '../transaction/statement.js';
import { NestAuthIdentity } from './identity.entity.js';
import type { NestAuthUser } from './user.entity.js';
import { splitPatch } from './user.queries.js';

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

/**
 * Inserts the identity, or answers the one that is there, whoever has it. Empty only when a concurrent transaction
 * has committed it since the statement began: then the statement is run again.
 */
const FIND_OR_CREATE = statement<IdentityRow>(
  'identity_find_or_create',
  `with made as (
    insert into nest_auth_identities (realm_id, user_id, provider, provider_id, metadata)
    select $1::uuid, $2::uuid, $3::text, $4::text, $5::jsonb
    where exists (select 1 from nest_auth_users where id = $2 and realm_id = $1 and deleted_at is null for key share)
      and not exists (select 1 from nest_auth_identities where provider_id = $4 and provider = $3 and realm_id = $1)
    on conflict do nothing
    returning ${COLUMNS})
  select ${COLUMNS}, true as made from made
  union all
  select ${COLUMNS}, false from nest_auth_identities where provider_id = $4 and provider = $3 and realm_id = $1`,
  (rows) => rows[0]?.made === true,
);

const REPLACE: Statement<IdentityRow> = {
  text: `with gate as (
      select not exists (select 1 from nest_auth_identities
        where provider_id = $4 and provider = $3 and realm_id = $1 and user_id <> $2) as free),
    gone as (
      delete from nest_auth_identities using gate
      where user_id = $2 and realm_id = $1 and provider = $3 and provider_id <> $4 and gate.free
      returning metadata),
    made as (
      insert into nest_auth_identities (realm_id, user_id, provider, provider_id, metadata)
      select $1::uuid, $2::uuid, $3::text, $4::text, (coalesce((select metadata from gone limit 1), '{}') - $5::text[]) || $6::jsonb
      from gate where gate.free
      on conflict (provider_id, provider, realm_id) do update
        set metadata = (nest_auth_identities.metadata - $5::text[]) || $6::jsonb
        where nest_auth_identities.user_id = excluded.user_id
      returning ${COLUMNS})
    select ${COLUMNS} from made`,
  changes: () => true,
};

const PATCH: Statement<IdentityRow> = {
  text: `update nest_auth_identities set metadata = (metadata - $4::text[]) || $5::jsonb
    where user_id = $2 and realm_id = $1 and provider = $3 returning ${COLUMNS}`,
  changes: returnsRows,
};

const OF_PROVIDER = statement<IdentityRow>(
  'identity_of_provider',
  `select ${COLUMNS} from nest_auth_identities where user_id = $2 and realm_id = $1 and provider = $3`,
);

/** The user's account at a provider of which there is at most one: `email` or `phone`. */
export async function findLoginIdentity(
  manager: EntityManager,
  user: NestAuthUser,
  provider: 'email' | 'phone',
): Promise<NestAuthIdentity | null> {
  const [row] = await execute(manager, OF_PROVIDER, [user.realmId, user.id, provider]);
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
  const values = [user.realmId, user.id, provider, providerId, removed, JSON.stringify(merged)];
  const [row] = await execute(manager, REPLACE, values);
  return row === undefined ? null : toIdentity(row, manager);
}

/** Merges metadata into the user's account at the provider; null when there is none. */
export async function patchIdentityRow(
  manager: EntityManager,
  user: NestAuthUser,
  provider: string,
  metadata: Readonly<Record<string, unknown>>,
): Promise<NestAuthIdentity | null> {
  const { removed, merged } = splitPatch(metadata);
  const [row] = await execute(manager, PATCH, [user.realmId, user.id, provider, removed, JSON.stringify(merged)]);
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

import type { EntityManager } from 'typeorm';
import { execute, returnsRows, type Statement, statement } from '../transaction/statement.js';
import type { ApiKeyPrincipal } from './api-key.types.js';
import type { KeyKind, ReadKey } from './key-text.policy.js';

/** What is known of a key that is good. */
interface GoodRow {
  readonly tenant_id: string | null;
  readonly service_account_id: string | null;
  readonly scopes: readonly string[];
  readonly expires_at: Date;
  /** Whether its last use is a while ago, as far as it is known. */
  readonly unseen: boolean;
}

/** A use is noted once in this time: a key that is used all the time is written sixty times an hour, not a million. */
const UNSEEN = `(k.last_used_at is null or k.last_used_at < statement_timestamp() - interval '1 minute')`;

/**
 * The row is found by its key and the secret by equality with its hash: how long that takes tells nothing of use about
 * a text of 256 random bits. The moment is that of the statement: what runs out opens nothing at once, also in a
 * transaction that goes on.
 */
const GOOD = `k.id = $2::uuid
  and (k.secret_hash = $3::bytea or (k.previous_hash = $3::bytea and k.previous_expires_at > statement_timestamp()))
  and k.revoked_at is null and k.expires_at > statement_timestamp()`;

/** Whatever has ended the owner, the row need not say so; a user who was away from `ACTIVE` since does not bring it back. */
const AUTHENTICATE: Readonly<Record<KeyKind, Statement<GoodRow>>> = {
  user: statement<GoodRow>(
    'api_key_of_user',
    `select k.tenant_id, null::uuid as service_account_id, k.scopes, k.expires_at, ${UNSEEN} as unseen
    from nest_auth_api_keys k join nest_auth_users u on u.id = k.user_id
    where k.user_id = $1::uuid and ${GOOD}
      and u.status = 'active' and u.deleted_at is null and u.activated_at <= k.created_at
      and (k.tenant_id is null or exists (
        select 1 from nest_auth_user_accesses a where a.user_id = k.user_id and a.tenant_id = k.tenant_id
          and a.status = 'active'
          and exists (select 1 from nest_auth_tenants t where t.id = a.tenant_id and t.is_active)))`,
  ),
  service_account: statement<GoodRow>(
    'api_key_of_service_account',
    `select k.tenant_id, k.service_account_id, k.scopes, k.expires_at, ${UNSEEN} as unseen
    from nest_auth_service_account_keys k
      join nest_auth_service_accounts a on a.tenant_id = k.tenant_id and a.id = k.service_account_id and a.is_active
      join nest_auth_tenants t on t.id = k.tenant_id and t.is_active
    where k.tenant_id = $1::uuid and ${GOOD}`,
  ),
};

export interface Authenticated {
  readonly principal: ApiKeyPrincipal;
  readonly unseen: boolean;
}

/** Whose a key is; null when it is not good, or no longer. */
export async function findKeyOwner(manager: EntityManager, key: ReadKey): Promise<Authenticated | null> {
  const { kind, holderId, keyId, hash } = key;
  const [row] = await execute(manager, AUTHENTICATE[kind], [holderId, keyId, hash]);
  return row === undefined ? null : { principal: principalOf(key, row), unseen: row.unseen };
}

function principalOf({ kind, holderId, keyId }: ReadKey, row: GoodRow): ApiKeyPrincipal {
  const { tenant_id: tenantId, service_account_id: serviceAccountId, expires_at: expiresAt } = row;
  const known = { type: 'api_key', keyId, scopes: Object.freeze([...row.scopes]), expiresAt } as const;
  return kind === 'user'
    ? Object.freeze({ ...known, kind, userId: holderId, serviceAccountId: null, tenantId })
    : Object.freeze({ ...known, kind, userId: null, serviceAccountId: serviceAccountId as string, tenantId: holderId });
}

const NOTE: Readonly<Record<KeyKind, Statement<{ id: string }>>> = {
  user: note('api_key_of_user_used', 'nest_auth_api_keys', 'user_id'),
  service_account: note('api_key_of_service_account_used', 'nest_auth_service_account_keys', 'tenant_id'),
};

function note(name: string, table: string, holder: string): Statement<{ id: string }> {
  return statement(
    name,
    `update ${table} as k set last_used_at = now()
    where k.${holder} = $1::uuid and k.id = $2::uuid and ${UNSEEN} returning k.id`,
    returnsRows,
  );
}

/** Notes that a key was used, unless somebody has within the last minute. */
export async function noteUse(manager: EntityManager, { kind, holderId, keyId }: ReadKey): Promise<void> {
  await execute(manager, NOTE[kind], [holderId, keyId]);
}

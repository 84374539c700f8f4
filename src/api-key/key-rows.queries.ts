import { tenantOfRealm } from '../account/user-change.queries.js';
import type { Statement } from '../transaction/statement.js';
import type { ApiKey, ApiKeyEndReason } from './api-key.types.js';
import type { KeyKind } from './key-text.policy.js';

/** A key as both kinds are read. */
export interface KeyRow {
  readonly id: string;
  readonly user_id: string | null;
  readonly service_account_id: string | null;
  readonly tenant_id: string | null;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly version: number;
  readonly created_by: string | null;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly previous_expires_at: Date | null;
  readonly last_used_at: Date | null;
  readonly revoked_at: Date | null;
  readonly revoked_reason: ApiKeyEndReason | null;
}

export function toApiKey(row: KeyRow): ApiKey {
  return {
    id: row.id,
    userId: row.user_id,
    serviceAccountId: row.service_account_id,
    tenantId: row.tenant_id,
    name: row.name,
    scopes: row.scopes,
    version: row.version,
    createdBy: row.created_by,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    previousExpiresAt: row.previous_expires_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
    revokedReason: row.revoked_reason,
  };
}

/** Whose keys are meant, as the statements have it. */
export type KeyHolder =
  /** `tenantId` undefined: all that the user has; null: those to the platform. */
  | { readonly kind: 'user'; readonly userId: string; readonly tenantId: string | null | undefined }
  | { readonly kind: 'service_account'; readonly serviceAccountId: string; readonly tenantId: string };

/** Where the keys of one kind stand, and how a statement, of which these are `$1` to `$3`, names their owner. */
export interface Side {
  readonly table: string;
  readonly owned: string;
  /** The columns of {@link KeyRow} that tell the owner. */
  readonly owner: string;
  /** What activities tell about a row. */
  readonly user: string;
  readonly tenant: string;
  readonly details: string;
}

export const SIDES: Readonly<Record<KeyKind, Side>> = {
  user: {
    table: 'nest_auth_api_keys',
    owned: 'k.user_id = $1::uuid and ($2::boolean or k.tenant_id is not distinct from $3::uuid)',
    owner: 'k.user_id, null::uuid as service_account_id, k.tenant_id, k.realm_id',
    user: 'told.user_id',
    tenant: `coalesce(told.tenant_id, ${tenantOfRealm('told.realm_id')})`,
    details: 'null::jsonb',
  },
  service_account: {
    table: 'nest_auth_service_account_keys',
    owned: 'k.tenant_id = $1::uuid and not $2::boolean and k.service_account_id = $3::uuid',
    owner: `null::uuid as user_id, k.service_account_id, k.tenant_id, null::uuid as realm_id`,
    user: 'null::uuid',
    tenant: 'told.tenant_id',
    details: `jsonb_build_object('serviceAccountId', told.service_account_id)`,
  },
};

/** The values of {@link Side.owned}. */
export function ownerValues(holder: KeyHolder): unknown[] {
  if (holder.kind === 'service_account') return [holder.tenantId, false, holder.serviceAccountId];
  return [holder.userId, holder.tenantId === undefined, holder.tenantId ?? null];
}

const COLUMNS = `k.id, k.name, k.scopes, k.version, k.created_by, k.created_at, k.expires_at, k.previous_expires_at,
  k.last_used_at, k.revoked_at, k.revoked_reason`;

/** As they stand, in the order of the members of {@link KeyRow}. */
export const rowOf = ({ owner }: Side): string => `${owner}, ${COLUMNS}`;

/** Not ended, and not run out. */
export const OPEN = 'k.revoked_at is null and k.expires_at > statement_timestamp()';

/** One text for both kinds of keys. */
export const bySide = <Row>(of: (side: Side) => Statement<Row>): Readonly<Record<KeyKind, Statement<Row>>> => ({
  user: of(SIDES.user),
  service_account: of(SIDES.service_account),
});

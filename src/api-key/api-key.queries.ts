import type { EntityManager } from 'typeorm';
import { activity, audited } from '../audit/audited-statement.js';
import { type NestAuthEventName, NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import { bySide, type KeyHolder, type KeyRow, OPEN, ownerValues, rowOf, type Side, SIDES } from './key-rows.queries.js';
import type { KeyKind } from './key-text.policy.js';

/** When a key ends: at a moment (`$1`) or after some days (`$2`), but not later than it may (`$3` days). */
const ends = (at: string, days: string): string =>
  `coalesce(${at}::timestamptz, now() + interval '1 day' * ${days}::integer)`;
const mayEnd = (end: string, maxDays: string): string =>
  `${end} > statement_timestamp() and ${end} <= now() + interval '1 day' * ${maxDays}::integer`;

/** A key that is made. */
export interface NewKey {
  readonly id: string;
  readonly hash: Buffer;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdBy: string | null;
  readonly expiresAt: Date | null;
  readonly expiresInDays: number;
  readonly maxDays: number;
}

/** What is written, and told: the columns are those of `$4` and on. */
const VALUES = `$4::uuid, $5, $6::text[], $7::bytea, $8::uuid`;

const made = (side: Side, into: string, from: string): Statement<KeyRow> =>
  audited<KeyRow>(
    undefined,
    `with ending as (select ${ends('$9', '$10')} as at),
    made as (
      insert into ${side.table} as k (${into}, id, name, scopes, secret_hash, created_by, expires_at, created_at)
      ${from} and ${mayEnd('ending.at', '$11')}
      returning ${rowOf(side)}),
    ${keyActivity(
      side,
      NestAuthEvents.API_KEY_CREATED,
      'made',
      `jsonb_build_object('name', told.name, 'scopes', to_jsonb(told.scopes), 'expiresAt', told.expires_at)`,
    )}
    select * from made`,
    returnsRows,
  );

/** Of the key in the CTE `row`; `after` is SQL over `told`. */
function keyActivity(side: Side, type: NestAuthEventName, row: string, after: string): string {
  return activity({
    type,
    from: `${row} as told`,
    userId: side.user,
    tenantId: side.tenant,
    subjectType: 'api_key',
    subjectId: 'told.id',
    after,
    details: side.details,
  });
}

/** Nobody becomes a member, or ceases to be, meanwhile: the caller holds the owner. A key is as old as its owner at most. */
const INSERT: Readonly<Record<KeyKind, Statement<KeyRow>>> = {
  user: made(
    SIDES.user,
    'user_id, realm_id, tenant_id',
    `select u.id, u.realm_id, $3::uuid, ${VALUES}, ending.at, greatest(now(), u.activated_at)
      from nest_auth_users u, ending where u.id = $1::uuid and not $2::boolean`,
  ),
  service_account: made(
    SIDES.service_account,
    'tenant_id, service_account_id',
    `select a.tenant_id, a.id, ${VALUES}, ending.at, now()
      from nest_auth_service_accounts a, ending where a.tenant_id = $1::uuid and not $2::boolean and a.id = $3::uuid`,
  ),
};

/** Undefined when the key would end too early or too late. */
export async function insertKey(manager: EntityManager, holder: KeyHolder, key: NewKey): Promise<KeyRow | undefined> {
  const { id, hash, name, scopes, createdBy, expiresAt, expiresInDays, maxDays } = key;
  const [row] = await execute(manager, INSERT[holder.kind], [
    ...ownerValues(holder),
    id,
    name,
    scopes,
    hash,
    createdBy,
    expiresAt,
    expiresInDays,
    maxDays,
  ]);
  return row;
}

const LIST = bySide<KeyRow>((side) => ({
  text: `select ${rowOf(side)} from ${side.table} k where ${side.owned} and ($4::uuid is null or k.id < $4::uuid)
    order by k.id desc limit $5`,
}));

/** The youngest first. */
export function listKeys(
  manager: EntityManager,
  holder: KeyHolder,
  beforeId: string | null,
  limit: number,
): Promise<KeyRow[]> {
  return execute(manager, LIST[holder.kind], [...ownerValues(holder), beforeId, limit]);
}

const SCOPES = bySide<Pick<KeyRow, 'tenant_id' | 'scopes'>>((side) => ({
  text: `select k.tenant_id, k.scopes from ${side.table} k where ${side.owned} and k.id = $4::uuid`,
}));

/** What a key opens, and where; undefined for none of this owner. */
export async function findScopes(
  manager: EntityManager,
  holder: KeyHolder,
  id: string,
): Promise<Pick<KeyRow, 'tenant_id' | 'scopes'> | undefined> {
  const [row] = await execute(manager, SCOPES[holder.kind], [...ownerValues(holder), id]);
  return row;
}

interface HeldRow {
  readonly version: number;
  readonly is_open: boolean;
  /** Whether the secret before this one is still good. */
  readonly overlaps: boolean;
  /** When it is to end, and whether it may; null for when it was to end already. */
  readonly ends_at: Date | null;
  readonly may_end: boolean;
  /** Until when the secret that it has now would be good. */
  readonly overlaps_until: Date;
}

/** By when a key is to end, and how long two secrets are to be good. */
export interface Renewal {
  readonly expiresAt: Date | null;
  readonly expiresInDays: number | null;
  readonly maxDays: number;
  readonly overlapSeconds: number;
}

const ASKED_END = `(${ends('$5', '$6')})`;

/** All that is a matter of time is said here: a cluster changes no row by a choice between moments. */
const HOLD = bySide<HeldRow>((side) => ({
  text: `select k.version, ${OPEN} as is_open,
      coalesce(k.previous_expires_at > statement_timestamp(), false) as overlaps, ${ASKED_END} as ends_at,
      coalesce(${mayEnd(ASKED_END, '$7')}, true) as may_end,
      statement_timestamp() + interval '1 second' * $8::integer as overlaps_until
    from ${side.table} k where ${side.owned} and k.id = $4::uuid for no key update`,
}));

/** Nobody else changes the key until the transaction ends; undefined for none of this owner. */
export async function holdKey(
  manager: EntityManager,
  holder: KeyHolder,
  id: string,
  { expiresAt, expiresInDays, maxDays, overlapSeconds }: Renewal,
): Promise<HeldRow | undefined> {
  const values = [...ownerValues(holder), id, expiresAt, expiresInDays, maxDays, overlapSeconds];
  const [row] = await execute(manager, HOLD[holder.kind], values);
  return row;
}

/** A secret that takes the place of another one. */
export interface NewSecret {
  readonly hash: Buffer;
  /** Until when the other one is good; null for not at all. */
  readonly previousExpiresAt: Date | null;
  /** Null for when the key was to end already. */
  readonly expiresAt: Date | null;
}

const ROTATE = bySide<KeyRow>((side) =>
  audited<KeyRow>(
    undefined,
    `with rotated as (
      update ${side.table} as k set secret_hash = $5::bytea, version = k.version + 1,
        previous_hash = case when $6::timestamptz is null then null else k.secret_hash end,
        previous_expires_at = $6::timestamptz, expires_at = coalesce($7::timestamptz, k.expires_at)
      where ${side.owned} and k.id = $4::uuid
      returning ${rowOf(side)}),
    ${keyActivity(
      side,
      NestAuthEvents.API_KEY_ROTATED,
      'rotated',
      `jsonb_build_object('version', told.version, 'expiresAt', told.expires_at,
        'previousExpiresAt', told.previous_expires_at)`,
    )}
    select * from rotated`,
    returnsRows,
  ),
);

/** The caller holds the key. */
export function rotateKey(
  manager: EntityManager,
  holder: KeyHolder,
  id: string,
  { hash, previousExpiresAt, expiresAt }: NewSecret,
): Promise<KeyRow> {
  return executeOne(manager, ROTATE[holder.kind], [...ownerValues(holder), id, hash, previousExpiresAt, expiresAt]);
}

import type { EntityManager } from 'typeorm';
import { audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import type { SealedSeed } from './challenge.queries.js';
import { allowedIf, HELD, stampedBy, userActivity } from './held-user.parts.js';

/** Who wants to enrol a factor. */
export interface EnrollingRow {
  readonly email: string | null;
  readonly phone: string | null;
  readonly is_enabled: boolean;
  /** Whatever its kind. */
  readonly has_factor: boolean;
}

const ENROLLING: Statement<EnrollingRow> = {
  text: `select u.email, u.phone, exists (
      select 1 from nest_auth_second_factors f where f.user_id = $1 and f.kind = 'totp' and f.enabled_at is not null)
      as is_enabled,
      exists (select 1 from nest_auth_second_factors f where f.user_id = $1 and f.enabled_at is not null) as has_factor
    from nest_auth_users u where u.id = $1 and u.deleted_at is null`,
};

/** Undefined for a user who is not there. */
export async function findEnrolling(manager: EntityManager, userId: string): Promise<EnrollingRow | undefined> {
  const [row] = await execute(manager, ENROLLING, [userId]);
  return row;
}

const BEGIN = audited<{ proven: boolean; allowed: boolean; begun: boolean }>(
  undefined,
  `with held as (
      select id, realm_id, email, phone from nest_auth_users
      where id = $1 and status = 'active' and deleted_at is null and security_stamp = $2::integer for no key update),
    ${allowedIf('$5')},
    begun as (
      insert into nest_auth_second_factors as f (user_id, kind, realm_id, key_id, sealed, security_stamp, created_at)
      select allowed.id, 'totp', allowed.realm_id, $3::text, $4::bytea, $2::integer, now() from allowed
      on conflict (user_id, kind) do update set key_id = excluded.key_id, sealed = excluded.sealed,
        security_stamp = excluded.security_stamp, created_at = excluded.created_at
        where f.enabled_at is null
      returning f.user_id),
    ${userActivity(NestAuthEvents.SECOND_FACTOR_BEGUN, 'begun join held on held.id = begun.user_id', `'kind', 'totp'`)}
    select exists (select 1 from held) as proven, exists (select 1 from allowed) as allowed,
      exists (select 1 from begun) as begun`,
  ([row]) => row?.begun === true,
);

/** Keeps a seed that does not count yet; it replaces one that never did. Not `proven`: the user has another stamp now. */
export function beginTotp(
  manager: EntityManager,
  userId: string,
  stamp: number,
  { keyId, sealed }: SealedSeed,
  isShown = false,
): Promise<{ proven: boolean; allowed: boolean; begun: boolean }> {
  return executeOne(manager, BEGIN, [userId, stamp, keyId, sealed, isShown]);
}

/**
 * That the seed `f` which the user `u` has begun can be enabled: for so long, and while nothing has changed by which
 * sessions end, such as the password or another factor. Whoever has seen a seed once may not have it enabled for ever.
 */
const stillWaits = (u: string): string => `f.enabled_at is null and f.created_at > now() - interval '1 hour'
      and f.security_stamp = ${u}.security_stamp`;

const WAITING: Statement<{ key_id: string; sealed: Buffer; epoch: number }> = {
  text: `select f.key_id, f.sealed, extract(epoch from now())::float8 as epoch
    from nest_auth_second_factors f join nest_auth_users u on u.id = f.user_id
    where f.user_id = $1 and u.id = $1 and f.kind = 'totp' and ${stillWaits('u')}`,
};

/** The seed that waits for a code of it; undefined when there is none. */
export async function findWaitingTotp(
  manager: EntityManager,
  userId: string,
): Promise<{ seed: SealedSeed; epoch: number } | undefined> {
  const [row] = await execute(manager, WAITING, [userId]);
  return row && { seed: { keyId: row.key_id, sealed: row.sealed }, epoch: row.epoch };
}

const CONFIRM = audited<{ user_id: string }>(
  undefined,
  `with ${HELD},
    enabled as (
      update nest_auth_second_factors f set enabled_at = now(), last_step = $3::bigint, last_used_at = now() from held
      where f.user_id = $1 and f.user_id = held.id and f.kind = 'totp' and ${stillWaits('held')}
        and f.sealed = $2::bytea
      returning f.user_id),
    state as (
      insert into nest_auth_second_factor_states as t (user_id, realm_id, recovery_hashes, recovery_made_at)
      select held.id, held.realm_id, $4::bytea[], now() from held join enabled on enabled.user_id = held.id
      on conflict (user_id) do update set recovery_hashes = excluded.recovery_hashes,
        recovery_made_at = excluded.recovery_made_at, failures = 0),
    ${stampedBy('enabled', '$5', `'totp'`)},
    ${userActivity(
      NestAuthEvents.SECOND_FACTOR_ENABLED,
      'enabled join held on held.id = enabled.user_id',
      `'kind', 'totp'`,
    )}
    select user_id from enabled`,
  returnsRows,
);

/** Enables the seed that was seen; false when it is not that any more. */
export async function confirmTotp(
  manager: EntityManager,
  userId: string,
  confirmed: { seed: SealedSeed; step: number; recoveryHashes: readonly Buffer[]; keepSessionId: string | null },
): Promise<boolean> {
  const { seed, step, recoveryHashes, keepSessionId } = confirmed;
  const values = [userId, seed.sealed, step, recoveryHashes, keepSessionId];
  return (await execute(manager, CONFIRM, values)).length > 0;
}

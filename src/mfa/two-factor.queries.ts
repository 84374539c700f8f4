import type { EntityManager } from 'typeorm';
import { audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, returnsRows, type Statement } from '../transaction/statement.js';
import { HELD, stampedBy, userActivity } from './held-user.parts.js';
import type { EnrolledFactor, SecondFactorKind, SecondFactors } from './second-factor.types.js';

/** What proves that the user may: a code of a step (`$2`) that was not used, or a recovery code. */
export type SpendableProof = { readonly step: number } | { readonly recoveryHash: Buffer };

const PROVEN = {
  step: `proven as (
      select f.user_id from nest_auth_second_factors f join held on held.id = f.user_id
      where f.user_id = $1 and f.kind = 'totp' and f.enabled_at is not null and f.last_step < $2::bigint for update of f)`,
  // Those that count an answer hold the challenge before the state.
  recoveryHash: `answered as (
      select c.user_id from nest_auth_second_factor_challenges c join held on held.id = c.user_id
      where c.user_id = $1 for update of c),
    proven as (
      select t.user_id from nest_auth_second_factor_states t join held on held.id = t.user_id
      where t.user_id = $1 and $2::bytea = any(t.recovery_hashes) and (select count(*) from answered) >= 0
      for update of t)`,
};

interface EndedRow {
  readonly kinds: SecondFactorKind[];
}

/** Takes everything away; `from` is the CTE that says of whom. */
const taking = (from: string): string => `challenges as (
      delete from nest_auth_second_factor_challenges c using ${from} where c.user_id = $1 and c.user_id = ${from}.user_id
      returning c.user_id),
    factors as (
      delete from nest_auth_second_factors f using ${from}
      where f.user_id = $1 and f.user_id = ${from}.user_id and (select count(*) from challenges) >= 0
      returning f.user_id, f.kind),
    ended as (
      select factors.user_id, array_agg(factors.kind order by factors.kind) as kinds from factors group by factors.user_id),
    states as (
      delete from nest_auth_second_factor_states t using ended where t.user_id = $1 and t.user_id = ended.user_id)`;

const KINDS = `'kinds', to_jsonb(ended.kinds)`;

const disabling = (proof: keyof typeof PROVEN): Statement<EndedRow> =>
  audited(
    undefined,
    `with ${HELD},
    ${PROVEN[proof]},
    ${taking('proven')},
    ${stampedBy('ended', '$3', 'null')},
    ${userActivity(NestAuthEvents.SECOND_FACTOR_DISABLED, 'ended join held on held.id = ended.user_id', KINDS)}
    select kinds from ended`,
    returnsRows,
  );

const DISABLE = { step: disabling('step'), recoveryHash: disabling('recoveryHash') };

/** The factors that are gone; null when the proof is none, or was used. */
export async function disableFactors(
  manager: EntityManager,
  userId: string,
  proof: SpendableProof,
  keepSessionId: string | null,
): Promise<SecondFactorKind[] | null> {
  const [row] =
    'step' in proof
      ? await execute(manager, DISABLE.step, [userId, proof.step, keepSessionId])
      : await execute(manager, DISABLE.recoveryHash, [userId, proof.recoveryHash, keepSessionId]);
  return row?.kinds ?? null;
}

const RESET = audited<EndedRow & { realm_id: string }>(
  undefined,
  `with held as (
      select id, realm_id, security_stamp, email, phone from nest_auth_users
      where id = $1 and deleted_at is null for no key update),
    wanted as (select held.id as user_id from held),
    ${taking('wanted')},
    stamped as (
      update nest_auth_users u set security_stamp = u.security_stamp + 1 from ended
      where u.id = $1 and u.id = ended.user_id),
    ${userActivity(
      NestAuthEvents.SECOND_FACTOR_RESET,
      'ended join held on held.id = ended.user_id',
      `${KINDS}, 'reason', $2::text`,
    )}
    select held.realm_id, coalesce(ended.kinds, '{}') as kinds from held left join ended on ended.user_id = held.id`,
  ([row]) => row !== undefined && row.kinds.length > 0,
);

/** The factors that are gone, and the realm of the user; undefined when there is no such user. */
export async function resetFactors(
  manager: EntityManager,
  userId: string,
  reason: string | null,
): Promise<{ kinds: SecondFactorKind[]; realmId: string } | undefined> {
  const [row] = await execute(manager, RESET, [userId, reason]);
  return row && { kinds: row.kinds, realmId: row.realm_id };
}

/** By a step that is used by it, or by a code that is none any more. */
const REPLACE = {
  step: `used as (
      update nest_auth_second_factors f set last_step = $2::bigint, last_used_at = now() from held
      where f.user_id = $1 and f.user_id = held.id and f.kind = 'totp' and f.enabled_at is not null
        and f.last_step < $2::bigint
      returning f.user_id),
    replaced as (
      update nest_auth_second_factor_states t set recovery_hashes = $3::bytea[], recovery_made_at = now(), failures = 0
      from used where t.user_id = $1 and t.user_id = used.user_id returning t.user_id)`,
  recoveryHash: `replaced as (
      update nest_auth_second_factor_states t set recovery_hashes = $3::bytea[], recovery_made_at = now(), failures = 0
      from held where t.user_id = $1 and t.user_id = held.id and $2::bytea = any(t.recovery_hashes) returning t.user_id)`,
};

const replacing = (proof: keyof typeof REPLACE): Statement<{ user_id: string }> =>
  audited(
    undefined,
    `with ${HELD},
    ${REPLACE[proof]},
    ${userActivity(
      NestAuthEvents.RECOVERY_CODES_REPLACED,
      'replaced join held on held.id = replaced.user_id',
      `'codesLeft', cardinality($3::bytea[])`,
    )}
    select user_id from replaced`,
    returnsRows,
  );

const REPLACE_CODES = { step: replacing('step'), recoveryHash: replacing('recoveryHash') };

/** False when the proof is none, or was used. */
export async function replaceRecoveryCodes(
  manager: EntityManager,
  userId: string,
  proof: SpendableProof,
  hashes: readonly Buffer[],
): Promise<boolean> {
  const rows =
    'step' in proof
      ? await execute(manager, REPLACE_CODES.step, [userId, proof.step, hashes])
      : await execute(manager, REPLACE_CODES.recoveryHash, [userId, proof.recoveryHash, hashes]);
  return rows.length > 0;
}

const SHOW: { [K in keyof typeof PROVEN]: Statement<{ codes_left: number | null }> } = {
  step: {
    text: `with ${HELD},
    used as (
      update nest_auth_second_factors f set last_step = $2::bigint, last_used_at = now() from held
      where f.user_id = $1 and f.user_id = held.id and f.kind = 'totp' and f.enabled_at is not null
        and f.last_step < $2::bigint
      returning f.user_id),
    forgiven as (
      update nest_auth_second_factor_states t set failures = 0 from used where t.user_id = $1 and t.user_id = used.user_id)
    select null::integer as codes_left from used`,
    changes: returnsRows,
  },
  recoveryHash: audited(
    undefined,
    `with ${HELD},
    used as (
      update nest_auth_second_factor_states t set recovery_hashes = array_remove(t.recovery_hashes, $2::bytea), failures = 0
      from held where t.user_id = $1 and t.user_id = held.id and $2::bytea = any(t.recovery_hashes)
      returning t.user_id, cardinality(t.recovery_hashes) as codes_left),
    ${userActivity(
      NestAuthEvents.RECOVERY_CODE_USED,
      'used join held on held.id = used.user_id',
      `'codesLeft', used.codes_left`,
    )}
    select codes_left from used`,
    returnsRows,
  ),
};

/** Uses it up, and holds the user; undefined when the proof is none, or was used. `codesLeft`: null for a step. */
export async function useProof(
  manager: EntityManager,
  userId: string,
  proof: SpendableProof,
): Promise<{ codesLeft: number | null } | undefined> {
  const [row] =
    'step' in proof
      ? await execute(manager, SHOW.step, [userId, proof.step])
      : await execute(manager, SHOW.recoveryHash, [userId, proof.recoveryHash]);
  return row && { codesLeft: row.codes_left };
}

interface ListedRow {
  readonly kind: SecondFactorKind;
  readonly enabled_at: Date;
  readonly last_used_at: Date | null;
  readonly codes_left: number;
}

const LIST: Statement<ListedRow> = {
  text: `select f.kind, f.enabled_at, f.last_used_at, coalesce(cardinality(t.recovery_hashes), 0) as codes_left
    from nest_auth_second_factors f left join nest_auth_second_factor_states t on t.user_id = f.user_id
    where f.user_id = $1 and f.enabled_at is not null order by f.kind`,
};

export async function listFactors(manager: EntityManager, userId: string): Promise<SecondFactors> {
  const rows = await execute(manager, LIST, [userId]);
  const factors = rows.map(({ kind, enabled_at: enabledAt, last_used_at: lastUsedAt }): EnrolledFactor => ({
    kind,
    enabledAt,
    lastUsedAt,
  }));
  return { factors, recoveryCodesLeft: rows[0]?.codes_left ?? 0 };
}

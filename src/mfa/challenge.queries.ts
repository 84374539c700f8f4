import type { EntityManager } from 'typeorm';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, executeOne, returnsRows, type Statement, statement } from '../transaction/statement.js';
import type { TriedChallenge } from './second-factor.types.js';
import type { TwoFactorSettings } from './two-factor.settings.js';

// Whatever locks several of them does it in this order: user, challenge, factor, state.

const CHALLENGE = audited<{ expires_at: Date; has_recovery: boolean }>(
  'second_factor_challenge',
  `with made as (
      insert into nest_auth_second_factor_challenges (user_id, token_hash, id, realm_id, tenant_id, security_stamp,
        expires_at)
      select u.id, $2::bytea, $3::uuid, u.realm_id, $4::uuid, $5::integer, now() + interval '1 second' * $6::integer
      from nest_auth_users u where u.id = $1
      returning user_id, id, realm_id, tenant_id, expires_at),
    ${activity({
      type: NestAuthEvents.SECOND_FACTOR_CHALLENGED,
      from: 'made',
      userId: 'made.user_id',
      tenantId: `coalesce(made.tenant_id, ${tenantOfRealm('made.realm_id')})`,
      subjectType: 'user',
      details: `jsonb_build_object('challengeId', made.id)`,
    })}
    select made.expires_at, exists (
      select 1 from nest_auth_second_factor_states t where t.user_id = $1 and cardinality(t.recovery_hashes) > 0)
      as has_recovery
    from made`,
  returnsRows,
);

export interface NewChallenge {
  readonly id: string;
  readonly userId: string;
  readonly tokenHash: Buffer;
  readonly tenantId: string | null;
  readonly stamp: number;
  readonly seconds: number;
}

/** Undefined when there is no such user, for all that others can see. */
export async function insertChallenge(
  manager: EntityManager,
  { id, userId, tokenHash, tenantId, stamp, seconds }: NewChallenge,
): Promise<{ expiresAt: Date; hasRecovery: boolean } | undefined> {
  const [row] = await execute(manager, CHALLENGE, [userId, tokenHash, id, tenantId, stamp, seconds]);
  return row && { expiresAt: row.expires_at, hasRecovery: row.has_recovery };
}

/** Now, from a part of its own: only what is immutable may stand in a condition of a change (Citus). */
const CLOCK = 'clock as (select now() as at)';
/** Parameters: how many may fail, and in how many seconds. */
const isOver = (seconds: string): string => `clock.at - t.failing_since >= interval '1 second' * ${seconds}::integer`;
const mayFail = (max: string, seconds: string): string => `(t.failures < ${max}::integer or ${isOver(seconds)})`;
const countFailure = (seconds: string): string => `update nest_auth_second_factor_states t set
        failures = case when ${isOver(seconds)} then 1 else t.failures + 1 end,
        failing_since = case when ${isOver(seconds)} then clock.at else t.failing_since end`;

/**
 * Counts an answer before it is looked at, so that many at once cannot be more than may be. `$6`: whether as a failure. A
 * challenge of another stamp opens nothing any more, so whoever still has it cannot lock the user out by it either. Of who
 * has no factor nothing can be guessed: there the answer is looked at, and is wrong.
 */
const TRY = statement<AttemptRow & ChallengeRow>(
  'second_factor_try',
  `with ${CLOCK},
    counted as (
      update nest_auth_second_factor_challenges c set attempts = c.attempts + 1 from nest_auth_users u
      where c.user_id = $1 and u.id = $1 and c.security_stamp = u.security_stamp and c.token_hash = $2
        and c.expires_at > now() and c.attempts < $3::integer
      returning c.user_id, c.id, c.realm_id, c.tenant_id, c.security_stamp),
    tried as (
      ${countFailure('$5')} from counted cross join clock
      where t.user_id = $1 and t.user_id = counted.user_id and $6::boolean and ${mayFail('$4', '$5')}
      returning t.user_id)
    select counted.id, counted.realm_id, counted.tenant_id, counted.security_stamp,
      (not $6::boolean or exists (select 1 from tried) or not exists (
        select 1 from nest_auth_second_factors e where e.user_id = $1 and e.enabled_at is not null)) as allowed, f.key_id, f.sealed,
      extract(epoch from now())::float8 as epoch
    from counted left join nest_auth_second_factors f
      on f.user_id = $1 and f.user_id = counted.user_id and f.kind = 'totp' and f.enabled_at is not null`,
  returnsRows,
);

interface ChallengeRow {
  readonly id: string;
  readonly realm_id: string;
  readonly tenant_id: string | null;
  readonly security_stamp: number;
}

interface AttemptRow {
  readonly allowed: boolean;
  /** Null without an authenticator. */
  readonly key_id: string | null;
  readonly sealed: Buffer | null;
  /** Now, in seconds, as the database has it. */
  readonly epoch: number;
}

/** What an answer is held against. */
export interface Attempt {
  /** False when too many of the user's have failed. */
  readonly isAllowed: boolean;
  readonly seed: SealedSeed | null;
  readonly epoch: number;
}

export interface SealedSeed {
  readonly keyId: string;
  readonly sealed: Buffer;
}

/** Null for a challenge that is unknown, over, or has had all its answers. */
export async function tryChallenge(
  manager: EntityManager,
  { userId, tokenHash, countsAsFailure }: { userId: string; tokenHash: Buffer; countsAsFailure: boolean },
  { challengeAttempts, maxFailures, failureSeconds }: TwoFactorSettings,
): Promise<{ challenge: TriedChallenge; attempt: Attempt } | null> {
  const limits = [challengeAttempts, maxFailures, failureSeconds];
  const [row] = await execute(manager, TRY, [userId, tokenHash, ...limits, countsAsFailure]);
  if (row === undefined) return null;
  const { id, realm_id: realmId, tenant_id: tenantId, security_stamp: stamp } = row;
  return { challenge: { id, userId, realmId, tenantId, stamp, tokenHash }, attempt: attemptOf(row) };
}

/** As {@link TRY}, of somebody who is signed in. */
const TRY_SIGNED_IN: Statement<AttemptRow> = {
  text: `with ${CLOCK},
    tried as (
      ${countFailure('$3')} from clock where t.user_id = $1 and $4::boolean and ${mayFail('$2', '$3')}
      returning t.user_id)
    select (not $4::boolean or exists (select 1 from tried)) as allowed, f.key_id, f.sealed,
      extract(epoch from now())::float8 as epoch
    from nest_auth_second_factors f where f.user_id = $1 and f.enabled_at is not null
    order by (f.kind = 'totp') desc limit 1`,
  changes: returnsRows,
};

/** Null for a user without a second factor. */
export async function tryFactor(
  manager: EntityManager,
  userId: string,
  countsAsFailure: boolean,
  { maxFailures, failureSeconds }: TwoFactorSettings,
): Promise<Attempt | null> {
  const [row] = await execute(manager, TRY_SIGNED_IN, [userId, maxFailures, failureSeconds, countsAsFailure]);
  return row === undefined ? null : attemptOf(row);
}

function attemptOf({ allowed, key_id: keyId, sealed, epoch }: AttemptRow): Attempt {
  const seed = keyId === null || sealed === null ? null : { keyId, sealed };
  return { isAllowed: allowed, seed, epoch };
}

/** The challenge `$2` of the user `$1`, who is still as when it was made (`$3`), held. */
const HELD = `held as (
      select id, email, phone from nest_auth_users
      where id = $1 and status = 'active' and deleted_at is null and security_stamp = $3::integer for no key update),
    challenge as (
      select c.user_id, c.tenant_id, held.email, held.phone from nest_auth_second_factor_challenges c
      join held on held.id = c.user_id
      where c.user_id = $1 and c.token_hash = $2 and c.expires_at > now() for update of c)`;

/** The challenge goes with what met it; a code that was not the right one leaves it for the next answer. */
const GONE = `gone as (
      delete from nest_auth_second_factor_challenges c using used
      where c.user_id = $1 and c.user_id = used.user_id and c.token_hash = $2)`;

const SPEND_STEP = statement<{ user_id: string }>(
  'second_factor_spend_step',
  `with ${HELD},
    used as (
      update nest_auth_second_factors f set last_step = $4::bigint, last_used_at = now() from challenge
      where f.user_id = $1 and f.user_id = challenge.user_id and f.kind = 'totp' and f.enabled_at is not null
        and f.last_step < $4::bigint
      returning f.user_id),
    ${GONE},
    forgiven as (
      update nest_auth_second_factor_states t set failures = 0 from used where t.user_id = $1 and t.user_id = used.user_id)
    select user_id from used`,
  returnsRows,
);

/** Uses up the step and the challenge; of many at once one has a step that is greater than the last. */
export async function spendStep(manager: EntityManager, challenge: TriedChallenge, step: number): Promise<boolean> {
  const { userId, tokenHash, stamp } = challenge;
  return (await execute(manager, SPEND_STEP, [userId, tokenHash, stamp, step])).length > 0;
}

const SPEND_RECOVERY_CODE = audited<{ codes_left: number }>(
  'second_factor_spend_recovery',
  `with ${HELD},
    used as (
      update nest_auth_second_factor_states t set recovery_hashes = array_remove(t.recovery_hashes, $4::bytea), failures = 0
      from challenge
      where t.user_id = $1 and t.user_id = challenge.user_id and $4::bytea = any(t.recovery_hashes)
      returning t.user_id, t.realm_id, challenge.tenant_id, challenge.email, challenge.phone,
        cardinality(t.recovery_hashes) as codes_left),
    ${GONE},
    ${activity({
      type: NestAuthEvents.RECOVERY_CODE_USED,
      from: 'used',
      userId: 'used.user_id',
      tenantId: `coalesce(used.tenant_id, ${tenantOfRealm('used.realm_id')})`,
      subjectType: 'user',
      details: `jsonb_strip_nulls(jsonb_build_object('email', used.email, 'phone', used.phone,
        'codesLeft', used.codes_left))`,
    })}
    select codes_left from used`,
  returnsRows,
);

/** Uses up the code and the challenge, and answers how many codes are left; null when it is none of them. */
export async function spendRecoveryCode(
  manager: EntityManager,
  { userId, tokenHash, stamp }: TriedChallenge,
  code: Buffer,
): Promise<number | null> {
  const [row] = await execute(manager, SPEND_RECOVERY_CODE, [userId, tokenHash, stamp, code]);
  return row?.codes_left ?? null;
}

const REMOVE_EXPIRED: Statement<{ removed: number }> = {
  text: `with gone as (delete from nest_auth_second_factor_challenges where expires_at <= now() returning 1)
    select count(*)::integer as removed from gone`,
  changes: ([row]) => row !== undefined && row.removed > 0,
};

/** Of people who have not come back in time; answers how many. */
export async function removeExpiredChallenges(manager: EntityManager): Promise<number> {
  const { removed } = await executeOne(manager, REMOVE_EXPIRED);
  return removed;
}

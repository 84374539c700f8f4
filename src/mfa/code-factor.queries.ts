import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import type { IssuedOneTimeSecret } from '../secret/one-time-secret.policy.js';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import type { SentCodeFactor, TriedChallenge } from './second-factor.types.js';
import { allowedIf, stampedBy } from './held-user.parts.js';
import type { TwoFactorSettings } from './two-factor.settings.js';

// Whatever locks several of them does it in this order: user, challenge, factor, state.

type CodeKind = SentCodeFactor['kind'];

/** Where codes of the kind go; null unless the user has shown that the address is theirs. */
const verifiedAddress = (kind: string, u: string): string => `case ${kind} when 'email'
        then case when ${u}.email_verified_at is not null then ${u}.email end
        else case when ${u}.phone_verified_at is not null then ${u}.phone end end`;

const ENABLE = audited<{ proven: boolean; allowed: boolean; verified: boolean; enabled: boolean; has_codes: boolean }>(
  undefined,
  `with held as (
      select u.id, u.realm_id, u.security_stamp, u.email, u.phone, u.email_verified_at, u.phone_verified_at from nest_auth_users u
      where u.id = $1 and u.status = 'active' and u.deleted_at is null and u.security_stamp = $2::integer
      for no key update),
    ${allowedIf('$6')},
    enabled as (
      insert into nest_auth_second_factors (user_id, kind, realm_id, enabled_at)
      select allowed.id, $3::text, allowed.realm_id, now() from allowed where ${verifiedAddress('$3::text', 'allowed')} is not null
      on conflict (user_id, kind) do nothing
      returning user_id),
    state as (
      insert into nest_auth_second_factor_states (user_id, realm_id, recovery_hashes)
      select held.id, held.realm_id, $4::bytea[] from held join enabled on enabled.user_id = held.id
      on conflict (user_id) do nothing
      returning user_id),
    ${stampedBy('enabled', '$5', 's.second_factor')},
    ${activity({
      type: NestAuthEvents.SECOND_FACTOR_ENABLED,
      from: 'enabled join held on held.id = enabled.user_id',
      userId: 'held.id',
      tenantId: tenantOfRealm('held.realm_id'),
      subjectType: 'user',
      details: `jsonb_strip_nulls(jsonb_build_object('email', held.email, 'phone', held.phone, 'kind', $3::text))`,
    })}
    select exists (select 1 from held) as proven, exists (select 1 from allowed) as allowed,
      exists (select 1 from held where ${verifiedAddress('$3::text', 'held')} is not null) as verified,
      exists (select 1 from enabled) as enabled, exists (select 1 from state) as has_codes`,
  ([row]) => row?.enabled === true,
);

/** Enables codes of the kind. Not `proven`: the user has another stamp now. `has_codes`: the recovery codes are these. */
export function enableCodes(
  manager: EntityManager,
  userId: string,
  wanted: {
    stamp: number;
    kind: CodeKind;
    recoveryHashes: readonly Buffer[];
    keepSessionId: string | null;
    isShown: boolean;
  },
): Promise<{ proven: boolean; allowed: boolean; verified: boolean; enabled: boolean; has_codes: boolean }> {
  const { stamp, kind, recoveryHashes, keepSessionId, isShown } = wanted;
  return executeOne(manager, ENABLE, [userId, stamp, kind, recoveryHashes, keepSessionId, isShown]);
}

const CHALLENGED: Statement<{ id: string }> = {
  text: `select id from nest_auth_second_factor_challenges where user_id = $1 and token_hash = $2 and expires_at > now()`,
};

/** The id of the challenge, by which its codes are made; null for one that is unknown or over. */
export async function findChallengeId(manager: EntityManager, userId: string, hash: Buffer): Promise<string | null> {
  const [row] = await execute(manager, CHALLENGED, [userId, hash]);
  return row?.id ?? null;
}

const ISSUE = audited<{ id: string; expires_at: Date }>(
  undefined,
  `with challenge as (
      select c.user_id, c.token_hash, u.realm_id, c.tenant_id, c.expires_at, ${verifiedAddress('$3::text', 'u')} as address
      from nest_auth_second_factor_challenges c join nest_auth_users u on u.id = c.user_id
      where c.user_id = $1 and u.id = $1 and c.token_hash = $2 and c.expires_at > now() and c.attempts < $8::integer
        and c.security_stamp = u.security_stamp and u.status = 'active' and u.deleted_at is null
        and exists (select 1 from nest_auth_second_factors f
          where f.user_id = $1 and f.kind = $3::text and f.enabled_at is not null)
      for key share of c),
    issued as (
      insert into nest_auth_second_factor_codes (user_id, challenge_hash, id, realm_id, kind, address, key_id, salt, code_hash)
      select challenge.user_id, challenge.token_hash, $4::uuid, challenge.realm_id, $3::text, challenge.address, $5::text,
        $6::bytea, $7::bytea
      from challenge where challenge.address is not null
      on conflict (user_id, challenge_hash) do update set id = excluded.id, kind = excluded.kind,
        address = excluded.address, key_id = excluded.key_id, salt = excluded.salt, code_hash = excluded.code_hash,
        created_at = excluded.created_at
      returning user_id, id, realm_id),
    ${activity({
      type: NestAuthEvents.SECOND_FACTOR_CODE_REQUESTED,
      from: 'issued join challenge on challenge.user_id = issued.user_id',
      userId: 'issued.user_id',
      tenantId: `coalesce(challenge.tenant_id, ${tenantOfRealm('issued.realm_id')})`,
      subjectType: 'user',
      details: `jsonb_build_object('kind', $3::text, 'issueId', issued.id)`,
    })}
    select issued.id, challenge.expires_at from issued join challenge on challenge.user_id = issued.user_id`,
  returnsRows,
);

/**
 * Replaces the code of the challenge by this one; undefined where the user has no such factor, or no verified address, and
 * for a challenge that takes no answer any more.
 */
export async function issueFactorCode(
  manager: EntityManager,
  { userId, tokenHash, kind }: { userId: string; tokenHash: Buffer; kind: CodeKind },
  { keyId, salt, hash }: IssuedOneTimeSecret,
  { challengeAttempts }: TwoFactorSettings,
): Promise<{ id: string; expires_at: Date } | undefined> {
  const values = [userId, tokenHash, kind, uuidv7(), keyId, salt, hash, challengeAttempts];
  const [row] = await execute(manager, ISSUE, values);
  return row;
}

const SPEND: Statement<{ user_id: string }> = {
  text: `with held as (
      select u.id, u.email, u.phone, u.email_verified_at, u.phone_verified_at from nest_auth_users u
      where u.id = $1 and u.status = 'active' and u.deleted_at is null and u.security_stamp = $3::integer
      for no key update),
    challenge as (
      select c.user_id from nest_auth_second_factor_challenges c join held on held.id = c.user_id
      where c.user_id = $1 and c.token_hash = $2 and c.expires_at > now()
        and exists (select 1 from nest_auth_second_factor_codes k
          where k.user_id = $1 and k.challenge_hash = $2 and k.kind = $4::text and k.code_hash = any($5::bytea[])
            and k.address = ${verifiedAddress('$4::text', 'held')})
      for update of c),
    used as (
      update nest_auth_second_factors f set last_used_at = now() from challenge
      where f.user_id = $1 and f.user_id = challenge.user_id and f.kind = $4::text and f.enabled_at is not null
      returning f.user_id),
    gone as (
      delete from nest_auth_second_factor_challenges c using used
      where c.user_id = $1 and c.user_id = used.user_id and c.token_hash = $2),
    forgiven as (
      update nest_auth_second_factor_states t set failures = 0 from used where t.user_id = $1 and t.user_id = used.user_id)
    select user_id from used`,
  changes: returnsRows,
};

/** Uses up the challenge, and the code with it; false when it is not the one that was sent last. */
export async function spendFactorCode(
  manager: EntityManager,
  { userId, tokenHash, stamp }: TriedChallenge,
  kind: CodeKind,
  hashes: readonly Buffer[],
): Promise<boolean> {
  return (await execute(manager, SPEND, [userId, tokenHash, stamp, kind, hashes])).length > 0;
}

/** A code that may still be used. */
export interface CodeToSend {
  readonly challenge_id: string;
  readonly kind: CodeKind;
  readonly address: string;
  readonly key_id: string;
  readonly salt: Buffer;
  readonly expires_at: Date;
}

const TO_SEND: Statement<CodeToSend> = {
  text: `select c.id as challenge_id, k.kind, k.address, k.key_id, k.salt, c.expires_at
    from nest_auth_second_factor_codes k
    join nest_auth_second_factor_challenges c on c.user_id = k.user_id and c.token_hash = k.challenge_hash
    where k.user_id = $1 and k.id = $2 and c.expires_at > now()`,
};

/** Undefined when it was used or replaced, or is over. */
export async function findCodeToSend(
  manager: EntityManager,
  userId: string,
  issueId: string,
): Promise<CodeToSend | undefined> {
  const [row] = await execute(manager, TO_SEND, [userId, issueId]);
  return row;
}

import type { EntityManager } from 'typeorm';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, executeOne, returnsRows, type Statement, statement } from '../transaction/statement.js';
import type { LockoutSettings } from './lockout.settings.js';

/** Against whom somebody tries a password, and from where. */
export interface Attempt {
  readonly subject: string;
  /** CIDR, as `networkOf` answers it. */
  readonly network: string;
}

/** Only what is immutable may stand in the change of a row that is there (Citus): so now comes in by the row proposed. */
const isOld = (row: string): string => `excluded.since - ${row}.since >= interval '1 second' * $7::integer`;
const next = (row: string): string => `case when ${isOld(row)} then 1 else ${row}.failures + 1 end`;
const since = (row: string): string => `case when ${isOld(row)} then excluded.since else ${row}.since end`;
/** How long the network waits after the attempt of this number. */
const waitAfter = (number: string): string => `case when ${number} < $3::integer then 0
  else least($5::bigint, $4::bigint << least(${number} - $3::integer, 20))::integer end`;

/** `counted` against the account, or only against the network, of which the account knows that the user has been there. */
export type Verdict = 'refused' | 'counted' | 'trusted';

/**
 * Counts an attempt before it is made, so that many at once cannot be more than may be: the counters themselves decide,
 * each on the row that it holds. That the account is full is looked up before, too, so that a network that is refused
 * for it is not delayed as well. The network is held before the account, here and wherever both are changed.
 */
const RESERVE = statement<{ verdict: Verdict }>(
  'reserve_sign_in',
  `with known as (
      select exists (select 1 from nest_auth_sessions s where s.user_id = $1 and s.ip <<= $2::cidr) as is_trusted),
    barred as (
      select t.subject from nest_auth_sign_in_totals t cross join known where t.subject = $1 and not known.is_trusted
        and t.failures >= $6::integer and now() - t.since < interval '1 second' * $7::integer),
    tried as (
      insert into nest_auth_sign_in_failures as f (subject, network, failures, since, last_at, wait_seconds)
      select $1::uuid, $2::cidr, 1, now(), now(), ${waitAfter('1')} where not exists (select 1 from barred)
      on conflict (subject, network) do update set failures = ${next('f')}, since = ${since('f')},
        last_at = excluded.last_at, wait_seconds = ${waitAfter(`(${next('f')})`)}
      where excluded.last_at - f.last_at >= interval '1 second' * f.wait_seconds
      returning f.subject),
    counted as (
      insert into nest_auth_sign_in_totals as t (subject, failures, since) select tried.subject, 1, now() from tried
      on conflict (subject) do update set failures = ${next('t')}, since = ${since('t')}
      where t.failures < $6::integer or ${isOld('t')}
      returning t.subject)
    select case when exists (select 1 from counted) then 'counted'
      when known.is_trusted and exists (select 1 from tried) then 'trusted' else 'refused' end as verdict from known`,
  ([row]) => row?.verdict !== 'refused',
);

/** Whether the attempt may be made. If so it counts as failed, whatever becomes of the process, until it is forgiven. */
export async function reserveAttempt(
  manager: EntityManager,
  { subject, network }: Attempt,
  { freeAttempts, delaySeconds, maxDelaySeconds, maxFailures, windowSeconds }: LockoutSettings,
): Promise<Verdict> {
  const limits = [freeAttempts, delaySeconds, maxDelaySeconds, maxFailures, windowSeconds];
  return (await executeOne(manager, RESERVE, [subject, network, ...limits])).verdict;
}

/** What others have tried from elsewhere goes on counting (NIST SP 800-63B). `$3`: this attempt was counted there. */
const FORGIVE = statement<{ subject: string }>(
  'forgive_sign_ins',
  `with gone as (
      delete from nest_auth_sign_in_failures where subject = $1 and network = $2::cidr returning subject, failures),
    lessened as (
      update nest_auth_sign_in_totals t set failures = greatest(t.failures - gone.failures, 0) from gone
      where t.subject = $1 and t.subject = gone.subject and $3::boolean returning t.subject)
    select subject from gone`,
  returnsRows,
);

/** Forgets the attempts from a network: the right password came from there. */
export async function forgiveAttempts(
  manager: EntityManager,
  { subject, network }: Attempt,
  verdict: Verdict,
): Promise<void> {
  await execute(manager, FORGIVE, [subject, network, verdict === 'counted']);
}

const GIVE_BACK: Statement<{ subject: string }> = {
  text: `with freed as (
      update nest_auth_sign_in_failures set failures = greatest(failures - 1, 0), wait_seconds = 0
      where subject = $1 and network = $2::cidr returning subject),
    lessened as (
      update nest_auth_sign_in_totals t set failures = greatest(t.failures - 1, 0) from freed
      where t.subject = $1 and t.subject = freed.subject and $3::boolean returning t.subject)
    select subject from freed`,
  changes: returnsRows,
};

/** Takes back one attempt that was counted and then not made. */
export async function giveBackAttempt(
  manager: EntityManager,
  { subject, network }: Attempt,
  verdict: Verdict,
): Promise<void> {
  await execute(manager, GIVE_BACK, [subject, network, verdict === 'counted']);
}

/** What is left of attempts that were forgiven goes, too, and is no news: nobody was kept out by it. */
const CLEAR = audited<{ id: string }>(
  undefined,
  `with cleared as (delete from nest_auth_sign_in_failures where subject = $1 returning failures),
    total as (
      delete from nest_auth_sign_in_totals t where t.subject = $1 and (select count(*) from cleared) >= 0
      returning t.failures),
    unlocked as (
      select u.id, u.realm_id, (select failures from total) as failures from nest_auth_users u
      where u.id = $1 and (exists (select 1 from cleared where cleared.failures > 0)
        or exists (select 1 from total where total.failures > 0))),
    ${activity({
      type: NestAuthEvents.USER_UNLOCKED,
      from: 'unlocked',
      userId: 'unlocked.id',
      tenantId: tenantOfRealm('unlocked.realm_id'),
      subjectType: 'user',
      details: `jsonb_build_object('failures', coalesce(unlocked.failures, 0))`,
    })}
    select id from unlocked`,
  returnsRows,
);

/** Forgets every attempt against a user, from wherever; false when there was none. */
export async function clearAttempts(manager: EntityManager, userId: string): Promise<boolean> {
  return (await execute(manager, CLEAR, [userId])).length > 0;
}

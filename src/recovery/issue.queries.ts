import type { EntityManager } from 'typeorm';
import { tenantOfRealm } from '../account/user-change.queries.js';
import { activity, audited } from '../audit/audited-statement.js';
import { NestAuthEvents, type NestAuthEventName } from '../events/nest-auth.events.js';
import { execute, executeOne, returnsRows, type Statement, statement } from '../transaction/statement.js';
import {
  type IssuedRow,
  type NewToken,
  SPEND,
  SPENT,
  type ShownProof,
  type SpentToken,
  spendValues,
  tokenInsert,
  tokenValues,
  USABLE,
} from './one-time-token.queries.js';

const ISSUE_DETAILS = `jsonb_build_object('issueId', issued.id, 'form', issued.form)`;

/** `for key share`: whoever takes the user away waits, or is waited for. */
const held = (column: string, condition: string): string =>
  `held as (select u.id, u.realm_id, ${column} as address, u.security_stamp from nest_auth_users u
      where u.id = $1 and ${USABLE} and ${condition} for key share)`;

const issuedActivity = (type: NestAuthEventName): string =>
  activity({
    type,
    from: 'issued join held on held.id = issued.user_id',
    userId: 'issued.user_id',
    tenantId: tenantOfRealm('held.realm_id'),
    subjectType: 'user',
    details: ISSUE_DETAILS,
  });

const verification = (login: 'email' | 'phone'): Statement<IssuedRow> =>
  audited(
    undefined,
    `with ${held(`u.${login}`, `u.${login} is not null and u.${login}_verified_at is null`)},
      issued as (${tokenInsert(`${login}_verification`, 'held.address', 'null::integer')}),
      ${issuedActivity(NestAuthEvents.VERIFICATION_REQUESTED)}
      select id, expires_at from issued`,
    returnsRows,
  );

const VERIFICATIONS = { email: verification('email'), phone: verification('phone') };

/** Undefined when there is nothing that this user could verify. */
export async function issueVerification(
  manager: EntityManager,
  login: 'email' | 'phone',
  token: NewToken,
): Promise<IssuedRow | undefined> {
  const [row] = await execute(manager, VERIFICATIONS[login], tokenValues(token));
  return row;
}

/** `$9` is the stamp under which the user has shown who they are. */
const change = (login: 'email' | 'phone', type: NestAuthEventName): Statement<IssuedRow> =>
  audited(
    undefined,
    `with ${held('$8::text', `u.status = 'active' and u.security_stamp = $9::integer`)},
      issued as (${tokenInsert(`${login}_change`, 'held.address', 'held.security_stamp')}),
      ${issuedActivity(type)}
      select id, expires_at from issued`,
    returnsRows,
  );

const CHANGES = {
  email: change('email', NestAuthEvents.EMAIL_CHANGE_REQUESTED),
  phone: change('phone', NestAuthEvents.PHONE_CHANGE_REQUESTED),
};

/** Undefined when what the user has shown does not hold any more. */
export async function issueChange(
  manager: EntityManager,
  login: 'email' | 'phone',
  token: NewToken,
  { address, stamp }: { readonly address: string; readonly stamp: number },
): Promise<IssuedRow | undefined> {
  const [row] = await execute(manager, CHANGES[login], [...tokenValues(token), address, stamp]);
  return row;
}

const HOLDER = statement<{ id: string }>(
  'holder_of_email',
  `select user_id as id from nest_auth_identities where provider_id = $2 and provider = 'email' and realm_id = $1`,
);

/** Who has this email in the realm; undefined for nobody. */
export async function findHolder(manager: EntityManager, realmId: string, email: string): Promise<string | undefined> {
  const [row] = await execute(manager, HOLDER, [realmId, email]);
  return row?.id;
}

/** A row also where nobody gets a link, so that it costs the same; then its id is null. */
interface ResetRow {
  readonly id: string | null;
}

/** `$8` is the email that was asked for, `$9` the tenant that was named; null for none. */
const RESET = audited<ResetRow>(
  'issue_password_reset',
  `with ${held(
    'u.email',
    `u.email_norm = $8::text and ($9::uuid is null or exists (
        select 1 from nest_auth_user_accesses a where a.user_id = $1 and a.tenant_id = $9 and a.status = 'active'
          and exists (select 1 from nest_auth_tenants t where t.id = a.tenant_id and t.is_active)))`,
  )},
    issued as (${tokenInsert('password_reset', 'held.address', 'held.security_stamp')}),
    ${activity({
      type: NestAuthEvents.PASSWORD_RESET_REQUESTED,
      from: '(values (1)) as asked (row) left join (issued join held on held.id = issued.user_id) on true',
      userId: 'issued.user_id',
      tenantId: `coalesce($9::uuid, ${tenantOfRealm('held.realm_id')})`,
      subjectType: 'user',
      details: ISSUE_DETAILS,
    })}
    select issued.id from (values (1)) as asked (row) left join issued on true`,
  returnsRows,
);

/** The id of the issue; null where nobody gets anything. The activity is written in either case. */
export async function issueReset(
  manager: EntityManager,
  token: NewToken,
  { email, tenantId }: { readonly email: string | null; readonly tenantId: string | null },
): Promise<string | null> {
  return (await executeOne(manager, RESET, [...tokenValues(token), email, tenantId])).id;
}

const SPEND_RESET = audited<SpentToken>(
  'spend_password_reset',
  `with ${SPEND},
    ${activity({
      type: NestAuthEvents.PASSWORD_RESET,
      from: 'spent join held on held.id = spent.user_id',
      userId: 'spent.user_id',
      tenantId: tenantOfRealm('held.realm_id'),
      subjectType: 'user',
      details: `jsonb_build_object('issueId', spent.id)`,
    })}
    ${SPENT}`,
  returnsRows,
);

/** As `spendToken`, with the activity that tells of the reset. */
export async function spendReset(manager: EntityManager, shown: ShownProof): Promise<SpentToken | undefined> {
  const [row] = await execute(manager, SPEND_RESET, spendValues(shown));
  return row;
}

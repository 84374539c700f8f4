import type { EntityManager } from 'typeorm';
import { activity, type ActivityParts, audited } from '../audit/audited-statement.js';
import { changedMetadata, moment } from '../audit/changed-values.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import type { IssuedOneTimeSecret } from '../secret/one-time-secret.policy.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { execute, executeOne, returnsRows, type Statement } from '../transaction/statement.js';
import type { PreparedInvitation } from './invitation-input.policy.js';
import type { Invitation, InvitationStatusEnum } from './invitation.types.js';

/** An invitation as statements answer it: nothing of its token, and its status by the clock of the database. */
export interface InvitationRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly email: string;
  readonly role_ids: string[];
  readonly status: InvitationStatusEnum;
  readonly invited_by: string | null;
  readonly accepted_by: string | null;
  readonly metadata: Record<string, unknown>;
  readonly issue: number;
  readonly created_at: Date;
  readonly sent_at: Date;
  readonly expires_at: Date;
  readonly ended_at: Date | null;
}

const PLAIN_COLUMNS =
  'id, tenant_id, email, role_ids, invited_by, accepted_by, metadata, issue, created_at, sent_at, expires_at, ended_at';
const LIVE = `status = 'pending' and expires_at > statement_timestamp()`;
const EFFECTIVE = `case when status = 'pending' and expires_at <= statement_timestamp() then 'expired' else status end`;

/** The columns of an {@link InvitationRow}, of the one table in a query that has columns of these names. */
export const INVITATION_COLUMNS = `${PLAIN_COLUMNS}, ${EFFECTIVE} as status`;

/** Of a CTE that has them. */
export const INVITATION_NAMES = `${PLAIN_COLUMNS}, status`;

/** The invitation of the token whose hash is `$2`, if it can be used. */
export const OF_TOKEN = `id = $1 and token_hash = $2 and ${LIVE}`;

/** What an invitation that is over has no more. */
export const OVER = 'key_id = null, salt = null, token_hash = null';

export function toInvitation(row: InvitationRow): Invitation {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    email: row.email,
    roleIds: row.role_ids,
    status: row.status,
    invitedBy: row.invited_by,
    acceptedBy: row.accepted_by,
    metadata: row.metadata,
    issue: row.issue,
    createdAt: row.created_at,
    sentAt: row.sent_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
  };
}

/** The activity about the invitations of the CTE `row`. */
export function invitationActivity(
  row: string,
  parts: Pick<ActivityParts, 'type'> & Partial<ActivityParts>,
  details = `'{}'::jsonb`,
): string {
  return activity({
    from: row,
    tenantId: `${row}.tenant_id`,
    subjectType: 'invitation',
    subjectId: `${row}.id`,
    details: `jsonb_build_object('invitedBy', ${row}.invited_by, 'issue', ${row}.issue) || ${details}`,
    ...parts,
  });
}

const SENT_VALUES = (row: string): string =>
  `jsonb_build_object('email', ${row}.email, 'roleIds', to_jsonb(${row}.role_ids), 'expiresAt', ${moment(`${row}.expires_at`)})`;

/** What was found of the place that an invitation leads to. */
export interface PlaceRow {
  readonly tenant_ok: boolean;
  readonly unknown: string[];
  readonly misplaced: string[];
}

/** Tenant and roles, held: `place` has a row when the roles can be given there. */
function placeParts(tenant: string, roleIds: string): string {
  return `tenant as (select id from nest_auth_tenants where id = ${tenant} and is_active for key share),
    wanted as (
      select id, owner_tenant_id, guard, is_active from nest_auth_roles
      where id = any(${roleIds}) order by id for key share),
    unknown as (select id from unnest(${roleIds}) as asked (id) where id not in (select id from wanted where is_active)),
    misplaced as (select id from wanted where guard = 'admin' or owner_tenant_id not in (${tenant}, '${NIL_UUID}')),
    place as (
      select id from tenant where not exists (select 1 from unknown) and not exists (select 1 from misplaced))`;
}

const PLACE_FLAGS = `exists (select 1 from tenant) as tenant_ok,
      array(select id from unknown order by id) as unknown, array(select id from misplaced order by id) as misplaced`;

type Nullable<Row> = { readonly [Key in keyof Row]: Row[Key] | null };

/** Nothing was sent unless there is an `id`. */
export type SentRow = Nullable<InvitationRow> &
  PlaceRow & {
    /** The one that waits for an answer, and whether it has waited too long. */
    readonly pending_id: string | null;
    readonly pending_is_over: boolean | null;
  };

/** Whoever loses a race for the address finds nothing, and must run again. */
const SEND = audited<SentRow>(
  'send_invitation',
  `with ${placeParts('$2::uuid', '$6::uuid[]')},
    seen as (
      select id, expires_at <= statement_timestamp() as is_over from nest_auth_invitations
      where tenant_id = $2 and email_norm = $5 and status = 'pending'),
    made as (
      insert into nest_auth_invitations (id, tenant_id, realm_id, email, email_norm, role_ids, invited_by, metadata,
        key_id, salt, token_hash, expires_at)
      select $1::uuid, place.id, $3::uuid, $4::text, $5::text, $6::uuid[], $7::uuid, $8::jsonb, $9::text, $10::bytea,
        $11::bytea, now() + interval '1 second' * $12::integer
      from place where not exists (select 1 from seen)
      on conflict do nothing
      returning ${INVITATION_COLUMNS}),
    ${invitationActivity('made', {
      type: NestAuthEvents.INVITATION_SENT,
      after: `${SENT_VALUES('made')} || ${changedMetadata('made.metadata', `'{}'::jsonb`)}`,
    })}
    select made.*, ${PLACE_FLAGS}, seen.id as pending_id, seen.is_over as pending_is_over
    from (values (1)) as one (row) left join made on true left join seen on true`,
  ([row]) => row?.id != null,
);

export interface NewInvitation extends PreparedInvitation {
  readonly id: string;
  readonly tenantId: string;
  readonly realmId: string;
  readonly invitedBy: string | null;
}

export function insertInvitation(
  manager: EntityManager,
  wanted: NewInvitation,
  { keyId, salt, hash }: IssuedOneTimeSecret,
  seconds: number,
): Promise<SentRow> {
  const { id, tenantId, realmId, email, emailNorm, roleIds, invitedBy, metadata } = wanted;
  const about = [id, tenantId, realmId, email, emailNorm, roleIds, invitedBy, JSON.stringify(metadata)];
  return executeOne(manager, SEND, [...about, keyId, salt, hash, seconds]);
}

const LAPSE: Statement<{ id: string }> = {
  text: `update nest_auth_invitations set status = 'expired', ended_at = expires_at, ${OVER}
    where id = $1 and status = 'pending' and expires_at <= statement_timestamp() returning id`,
  changes: returnsRows,
};

/** Makes room for another one in the place of an invitation that has expired. Nothing happens by that: it was over. */
export async function lapseInvitation(manager: EntityManager, id: string): Promise<void> {
  await execute(manager, LAPSE, [id]);
}

const FIND: Statement<InvitationRow> = {
  text: `select ${INVITATION_COLUMNS} from nest_auth_invitations where id = $1 and tenant_id = $2`,
};

export async function findInvitation(
  manager: EntityManager,
  id: string,
  tenantId: string,
): Promise<InvitationRow | undefined> {
  const [row] = await execute(manager, FIND, [id, tenantId]);
  return row;
}

/** Nothing was sent unless there is an `id`. */
export type ResentRow = Nullable<InvitationRow> & PlaceRow;

/**
 * As it was seen: `$3` its roles, `$9` its issue. The token of before is not known any more. Whoever loses a race finds
 * nothing, and must run again.
 */
const RESEND = audited<ResentRow>(
  undefined,
  `with ${placeParts('$2::uuid', '$3::uuid[]')},
    seen as (select expires_at, invited_by from nest_auth_invitations where id = $1 and tenant_id = $2),
    sent as (
      update nest_auth_invitations set invited_by = $4::uuid, key_id = $5, salt = $6, token_hash = $7,
        issue = issue + 1, sent_at = now(), expires_at = now() + interval '1 second' * $8::integer
      where id = $1 and tenant_id = $2 and status = 'pending' and issue = $9 and exists (select 1 from place)
      returning ${INVITATION_COLUMNS}),
    ${invitationActivity('sent', {
      type: NestAuthEvents.INVITATION_RESENT,
      from: 'sent, seen',
      before: `jsonb_build_object('expiresAt', ${moment('seen.expires_at')}, 'invitedBy', seen.invited_by)`,
      after: `jsonb_build_object('expiresAt', ${moment('sent.expires_at')}, 'invitedBy', sent.invited_by)`,
    })}
    select sent.*, ${PLACE_FLAGS} from (values (1)) as one (row) left join sent on true`,
  ([row]) => row?.id != null,
);

export function reissueInvitation(
  manager: EntityManager,
  { id, tenant_id: tenantId, role_ids: roleIds, issue }: InvitationRow,
  invitedBy: string | null,
  { keyId, salt, hash }: IssuedOneTimeSecret,
  seconds: number,
): Promise<ResentRow> {
  return executeOne(manager, RESEND, [id, tenantId, roleIds, invitedBy, keyId, salt, hash, seconds, issue]);
}

export interface RevokedRow extends InvitationRow {
  readonly changed: boolean;
}

const REVOKE = audited<RevokedRow>(
  undefined,
  `with gone as (
      update nest_auth_invitations set status = 'revoked', ended_at = now(), ${OVER}
      where id = $1 and tenant_id = $2 and status = 'pending'
      returning ${INVITATION_COLUMNS}),
    ${invitationActivity('gone', {
      type: NestAuthEvents.INVITATION_REVOKED,
      before: `jsonb_build_object('status', 'pending')`,
      after: `jsonb_build_object('status', gone.status)`,
    })}
    select ${INVITATION_NAMES}, true as changed from gone
    union all
    select ${PLAIN_COLUMNS}, status, false from nest_auth_invitations
      where id = $1 and tenant_id = $2 and not exists (select 1 from gone)`,
  ([row]) => row?.changed === true,
);

/** The row as it is then; one that is pending still was changed by somebody else meanwhile. */
export async function revokeInvitation(
  manager: EntityManager,
  id: string,
  tenantId: string,
): Promise<RevokedRow | undefined> {
  const [row] = await execute(manager, REVOKE, [id, tenantId]);
  return row;
}

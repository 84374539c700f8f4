import type { EntityManager } from 'typeorm';
import { audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { execute, returnsRows, type Statement, statement } from '../transaction/statement.js';
import {
  INVITATION_COLUMNS,
  INVITATION_NAMES,
  invitationActivity,
  type InvitationRow,
  OF_TOKEN,
  OVER,
} from './invitation.queries.js';

/** An invitation that can be accepted, as far as the row and its tenant and roles tell. */
export interface OpenInvitationRow extends InvitationRow {
  readonly email_norm: string;
  readonly realm_id: string;
  /** Null when the tenant is not active. */
  readonly tenant_name: string | null;
  /** The tenant is active, and all of the roles still can be given in it. */
  readonly is_sound: boolean;
}

/** The invitation of a token; `lock` for the row, `keep` for the tenant and the roles. */
function openInvitation(lock: string, keep: string): string {
  return `with found as (
      select ${INVITATION_COLUMNS}, email_norm, realm_id from nest_auth_invitations where ${OF_TOKEN} ${lock}),
    tenant as (
      select id, name from nest_auth_tenants where id = (select tenant_id from found) and is_active ${keep}),
    role as (
      select id from nest_auth_roles where id = any(array(select unnest(role_ids) from found)) and is_active
        and guard <> 'admin' and owner_tenant_id in ('${NIL_UUID}', (select tenant_id from found)) ${keep})
    select ${INVITATION_NAMES}, email_norm, realm_id, (select name from tenant) as tenant_name,
      exists (select 1 from tenant) and (select count(*) from role) = cardinality(role_ids) as is_sound
    from found`;
}

const FIND: Statement<OpenInvitationRow> = { text: openInvitation('', '') };

/**
 * Of many who come with one token at once, one goes on; the others wait here, and then find that it was used. Tenant and
 * roles are there until the transaction ends.
 */
const CLAIM = statement<OpenInvitationRow>('claim_invitation', openInvitation('for update', 'for key share'));

/** As {@link claimInvitation}, for a look. */
export async function findOpenInvitation(
  manager: EntityManager,
  id: string,
  tokenHash: Buffer,
): Promise<OpenInvitationRow | undefined> {
  const [row] = await execute(manager, FIND, [id, tokenHash]);
  return row;
}

/** Undefined for a token that is unknown, used, replaced or expired. */
export async function claimInvitation(
  manager: EntityManager,
  id: string,
  tokenHash: Buffer,
): Promise<OpenInvitationRow | undefined> {
  const [row] = await execute(manager, CLAIM, [id, tokenHash]);
  return row;
}

const FINISH = audited<InvitationRow>(
  'accept_invitation',
  `with accepted as (
      update nest_auth_invitations set status = 'accepted', accepted_by = $3::uuid, ended_at = now(), ${OVER}
      where id = $1 and token_hash = $2 and status = 'pending'
      returning ${INVITATION_COLUMNS}),
    ${invitationActivity(
      'accepted',
      {
        type: NestAuthEvents.INVITATION_ACCEPTED,
        userId: 'accepted.accepted_by',
        subjectId: 'accepted.id',
        before: `jsonb_build_object('status', 'pending')`,
        after: `jsonb_build_object('status', accepted.status, 'roleIds', to_jsonb(accepted.role_ids))`,
      },
      `jsonb_build_object('isNewUser', $4::boolean)`,
    )}
    select ${INVITATION_NAMES} from accepted`,
  returnsRows,
);

/** Uses the token up; undefined when somebody else has. */
export async function finishInvitation(
  manager: EntityManager,
  id: string,
  tokenHash: Buffer,
  { userId, isNewUser }: { readonly userId: string; readonly isNewUser: boolean },
): Promise<InvitationRow | undefined> {
  const [row] = await execute(manager, FINISH, [id, tokenHash, userId, isNewUser]);
  return row;
}

const DECLINE = audited<InvitationRow>(
  undefined,
  `with declined as (
      update nest_auth_invitations set status = 'declined', ended_at = now(), ${OVER}
      where ${OF_TOKEN}
      returning ${INVITATION_COLUMNS}),
    ${invitationActivity('declined', {
      type: NestAuthEvents.INVITATION_DECLINED,
      before: `jsonb_build_object('status', 'pending')`,
      after: `jsonb_build_object('status', declined.status)`,
    })}
    select ${INVITATION_NAMES} from declined`,
  returnsRows,
);

export async function declineInvitation(
  manager: EntityManager,
  id: string,
  tokenHash: Buffer,
): Promise<InvitationRow | undefined> {
  const [row] = await execute(manager, DECLINE, [id, tokenHash]);
  return row;
}

/** Whether a user may invite to a tenant: `$3` only as an active member of it, or of the platform. */
const MAY_INVITE = `exists (
    select 1 from nest_auth_user_accesses a where a.user_id = u.id and a.tenant_id = $2::uuid and a.status = 'active')
  or exists (select 1 from nest_auth_platform_accesses p where p.user_id = u.id and p.status = 'active')`;
const INVITER: Statement<{ id: string }> = {
  text: `select u.id from nest_auth_users u
    where u.id = $1 and u.status = 'active' and u.deleted_at is null and (not $3::boolean or ${MAY_INVITE}) for share of u`,
};

/** Whether the inviter may (still) invite; whoever may stays as they are until the transaction ends. */
export async function holdInviter(
  manager: EntityManager,
  userId: string,
  tenantId: string,
  mustBeMember: boolean,
): Promise<boolean> {
  const rows = await execute(manager, INVITER, [userId, tenantId, mustBeMember]);
  return rows.length > 0;
}

const IS_ACTIVE: Statement<{ id: string }> = {
  text: `select id from nest_auth_users where id = $1 and status = 'active' and deleted_at is null`,
};

export async function isActiveUser(manager: EntityManager, userId: string): Promise<boolean> {
  const rows = await execute(manager, IS_ACTIVE, [userId]);
  return rows.length > 0;
}

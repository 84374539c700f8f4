import type { EntityManager } from 'typeorm';
import { audited } from '../audit/audited-statement.js';
import { NestAuthEvents } from '../events/nest-auth.events.js';
import { execute, returnsRows, type Statement } from '../transaction/statement.js';
import {
  INVITATION_COLUMNS,
  INVITATION_NAMES,
  invitationActivity,
  type InvitationRow,
  OVER,
} from './invitation.queries.js';

const PENDING_OF: Statement<{ id: string }> = {
  text: `select id from nest_auth_invitations
    where invited_by = any($1::uuid[]) and status = 'pending' and ($2::uuid is null or tenant_id = $2) order by id`,
};

/** Ids of what waits for an answer in the name of these users; `tenantId` null for all tenants. */
export async function findPendingOf(
  manager: EntityManager,
  userIds: readonly string[],
  tenantId: string | null,
): Promise<string[]> {
  return (await execute(manager, PENDING_OF, [userIds, tenantId])).map(({ id }) => id);
}

const PENDING_TO: Statement<{ id: string }> = {
  text: `select id from nest_auth_invitations where tenant_id = $1 and email_norm = $2 and status = 'pending'`,
};

/** Ids of what was sent to this address by the tenant and waits for an answer: one, or none. */
export async function findPendingTo(manager: EntityManager, tenantId: string, emailNorm: string): Promise<string[]> {
  return (await execute(manager, PENDING_TO, [tenantId, emailNorm])).map(({ id }) => id);
}

const ADDRESS: Statement<{ email_norm: string | null }> = {
  text: 'select email_norm from nest_auth_users where id = $1',
};

export async function findAddress(manager: EntityManager, userId: string): Promise<string | null> {
  const [row] = await execute(manager, ADDRESS, [userId]);
  return row?.email_norm ?? null;
}

/** Why an invitation ends with a user: the inviter has gone, or who was invited was sent away. */
export type OrphanReason = 'inviter_left' | 'access_ended';

/** Each is a change of its own, with an activity whose id is one of `$2`. */
const REVOKE = audited<InvitationRow>(
  undefined,
  `with asked as (select id, activity_id from unnest($1::uuid[], $2::uuid[]) as pending (id, activity_id)),
    gone as (
      update nest_auth_invitations set status = 'revoked', ended_at = now(), ${OVER}
      where id = any($1::uuid[]) and status = 'pending'
      returning ${INVITATION_COLUMNS}),
    ${invitationActivity(
      'gone',
      {
        type: NestAuthEvents.INVITATION_REVOKED,
        from: 'gone join asked on asked.id = gone.id',
        id: 'asked.activity_id',
        before: `jsonb_build_object('status', 'pending')`,
        after: `jsonb_build_object('status', gone.status)`,
      },
      `jsonb_build_object('reason', $3::text)`,
    )}
    select ${INVITATION_NAMES} from gone`,
  returnsRows,
);

/** Revokes those that still wait. */
export function revokePending(
  manager: EntityManager,
  ids: readonly string[],
  activityIds: readonly string[],
  reason: OrphanReason,
): Promise<InvitationRow[]> {
  return execute(manager, REVOKE, [ids, activityIds, reason]);
}

import type { EntityManager } from 'typeorm';
import { cursorKind, encodeCursor, type Page, readIdCursor, readPage, toPage } from '../transaction/keyset.js';
import { execute, type Statement } from '../transaction/statement.js';
import { INVITATION_COLUMNS, INVITATION_NAMES, type InvitationRow, toInvitation } from './invitation.queries.js';
import type { Invitation, ListInvitationsOptions } from './invitation.types.js';

const LIMITS = { defaultLimit: 20, maxLimit: 200 } as const;

/** Planned with the values at hand, so that a condition left out costs nothing: not prepared by name. */
const LIST: Statement<InvitationRow> = {
  text: `select ${INVITATION_NAMES} from (
      select ${INVITATION_COLUMNS} from nest_auth_invitations
      where tenant_id = $1 and ($2::uuid is null or id > $2) and ($3::text is null or email_norm = $3)) as listed
    where $4::text[] is null or status = any($4) order by id limit $5 offset $6`,
};

/** One page of a tenant's invitations, in order of creation. One statement. */
export async function listInvitations(
  manager: EntityManager,
  tenantId: string,
  options: ListInvitationsOptions,
  { statuses, emailNorm }: { readonly statuses: readonly string[] | null; readonly emailNorm: string | null },
): Promise<Page<Invitation>> {
  const { limit, after, offset } = readPage(options, LIMITS);
  const kind = cursorKind('invitations', { tenantId: tenantId.toLowerCase(), statuses, emailNorm });
  const values = [tenantId, readIdCursor(kind, after), emailNorm, statuses, limit + 1, offset];
  const rows = await execute(manager, LIST, values);
  return toPage(rows, limit, toInvitation, ({ id }) => encodeCursor(kind, { id }));
}

const REMOVE_EXPIRED: Statement<{ removed: number }> = {
  text: `with gone as (
      delete from nest_auth_invitations where id = any(array(
        select id from nest_auth_invitations where expires_at < now() - interval '1 day' * $1::integer
        order by expires_at limit $2)) and expires_at < now() - interval '1 day' * $1::integer
      returning 1)
    select count(*)::integer as removed from gone`,
  changes: ([row]) => row !== undefined && row.removed > 0,
};

/** Removes invitations that expired more than so many days ago, at most `limit`; answers how many. */
export async function removeExpiredInvitations(manager: EntityManager, days: number, limit: number): Promise<number> {
  const [row] = await execute(manager, REMOVE_EXPIRED, [days, limit]);
  return row?.removed ?? 0;
}

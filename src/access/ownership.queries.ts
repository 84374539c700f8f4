import type { EntityManager } from 'typeorm';
import type { NestAuthUser } from '../account/user.entity.js';
import { toUser, userColumns, type UserRow } from '../account/user.queries.js';
import { ownersOf, ownsTenant } from '../tenant/ownership.queries.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';

/** As many owners as a list names. */
const MAX_OWNERS = 200;

const OWNERS: Statement<UserRow> = {
  text: `select ${userColumns()} from nest_auth_users where id in (${ownersOf('$1')}) order by id limit ${MAX_OWNERS}`,
};

export async function findOwners(manager: EntityManager, tenantId: string): Promise<NestAuthUser[]> {
  return (await execute(manager, OWNERS, [tenantId])).map((row) => toUser(row, manager));
}

/** What a transfer of a tenant depends on. */
export interface TransferFacts {
  readonly tenant_ok: boolean;
  /** The active roles of owners that the one who gives has. */
  readonly role_ids: readonly string[];
  /** Where the one who receives stands; null for no such user. */
  readonly to_status: string | null;
  readonly to_access: string | null;
}

const TRANSFER: Statement<TransferFacts> = {
  text: `select exists (select 1 from nest_auth_tenants where id = $1 and is_active) as tenant_ok,
      array(
        select ar.role_id from nest_auth_user_access_roles ar
        join nest_auth_roles r on r.id = ar.role_id and r.is_owner and r.is_active
        where ar.tenant_id = $1 and ar.user_id = $2 and ${ownsTenant('$2', '$1')} order by ar.role_id) as role_ids,
      (select status from nest_auth_users where id = $3 and deleted_at is null) as to_status,
      (select status from nest_auth_user_accesses where user_id = $3 and tenant_id = $1) as to_access`,
};

export function readTransfer(
  manager: EntityManager,
  tenantId: string,
  fromUserId: string,
  toUserId: string,
): Promise<TransferFacts> {
  return executeOne(manager, TRANSFER, [tenantId, fromUserId, toUserId]);
}

import type { EntityManager } from 'typeorm';
import { execute, type Statement } from '../transaction/statement.js';

/** Whether somebody could use a key now; null for what there is not. */
interface OwnerState {
  readonly user_active: boolean | null;
  readonly access_active: boolean | null;
  readonly tenant_active: boolean | null;
}

const STATE: Statement<OwnerState> = {
  text: `select (select u.status = 'active' from nest_auth_users u where u.id = $1 and u.deleted_at is null) as user_active,
    (select a.status = 'active' from nest_auth_user_accesses a where a.user_id = $1 and a.tenant_id = $2) as access_active,
    (select t.is_active from nest_auth_tenants t where t.id = $2) as tenant_active`,
};

export async function readOwnerState(
  manager: EntityManager,
  userId: string,
  tenantId: string | null,
): Promise<OwnerState> {
  const [row] = await execute(manager, STATE, [userId, tenantId]);
  return row ?? { user_active: null, access_active: null, tenant_active: null };
}

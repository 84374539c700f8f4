import type { EntityManager } from 'typeorm';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { execute, executeOne, type Statement } from '../transaction/statement.js';
import type { RegistryState } from './registry.policy.js';

const STATE: Statement<RegistryState> = {
  text: `select coalesce((
      select json_agg(json_build_object('id', id, 'name', name, 'description', description, 'category', category))
      from nest_auth_permissions where guard = $1), '[]') as permissions,
    coalesce((
      select json_agg(json_build_object('id', r.id, 'name', r.name, 'description', r.description, 'is_owner', r.is_owner,
        'permissions', array(
          select p.name from nest_auth_role_permissions rp join nest_auth_permissions p on p.id = rp.permission_id
          where rp.role_id = r.id),
        'parents', array(
          select parent.name from nest_auth_role_parents h join nest_auth_roles parent on parent.id = h.parent_id
          where h.role_id = r.id)))
      from nest_auth_roles r where r.guard = $1 and r.owner_tenant_id = '${NIL_UUID}' and r.tenant_id is null), '[]') as roles`,
};

/** The permissions of a guard, and its roles of the system. */
export function readRegistryState(manager: EntityManager, guard: string): Promise<RegistryState> {
  return executeOne(manager, STATE, [guard]);
}

/** The row that stands for all roles of the system. */
const LOCK: Statement<{ owner_tenant_id: string }> = {
  text: `select owner_tenant_id from nest_auth_role_graphs where owner_tenant_id = '${NIL_UUID}' for no key update`,
};

/** One process at a time applies what is declared; the next one finds it done. */
export async function lockRegistry(manager: EntityManager): Promise<void> {
  await execute(manager, LOCK, []);
}

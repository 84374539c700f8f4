import type { ObjectLiteral, RemoveEvent, UpdateEvent } from 'typeorm';
import type { Ownership } from '../tenant/ownership.operations.js';

/**
 * The last owner of a tenant stays when a host saves or removes an entity, too. An update by criteria names nobody, and
 * passes by like raw SQL.
 */
export async function keepOwners(
  ownership: Ownership,
  { metadata, entity, databaseEntity, manager }: UpdateEvent<ObjectLiteral>,
): Promise<void> {
  const ceases = (column: string, value: unknown): boolean =>
    databaseEntity[column] === value && entity?.[column] !== undefined && entity[column] !== value;
  if (metadata.tableName === 'nest_auth_users' && ceases('isActive', true)) {
    await ownership.assertUserMayLeave(manager, databaseEntity['id'] as string);
  } else if (metadata.tableName === 'nest_auth_user_accesses' && ceases('status', 'active')) {
    const { userId, tenantId } = databaseEntity as { userId: string; tenantId: string };
    await ownership.assertAccessMayGo(manager, userId, tenantId);
  } else if (metadata.tableName === 'nest_auth_roles' && databaseEntity['isOwner'] === true) {
    if (ceases('isActive', true) || ceases('isOwner', true)) {
      await ownership.assertRoleMayEnd(manager, databaseEntity['id'] as string);
    }
  }
}

/** As {@link keepOwners}. A role, or an access with roles, is not removed by the ORM at all. */
export async function keepOwnersOfRemoved(
  ownership: Ownership,
  { metadata, databaseEntity, entity, manager }: RemoveEvent<ObjectLiteral>,
): Promise<void> {
  const id: unknown = (databaseEntity ?? entity)?.['id'];
  if (metadata.tableName !== 'nest_auth_users' || typeof id !== 'string') return;
  await ownership.assertUserMayLeave(manager, id);
}

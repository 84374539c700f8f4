import type {
  EntityMetadata,
  EntitySubscriberInterface,
  InsertEvent,
  LoadEvent,
  ObjectLiteral,
  RemoveEvent,
  SoftRemoveEvent,
  UpdateEvent,
} from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { Ownership } from '../tenant/ownership.operations.js';
import { NestAuthBaseEntity } from '../transaction/base.entity.js';
import { rememberOrigin } from '../transaction/entity-origin.js';
import { LOGIN_PROVIDERS } from './account.types.js';
import type { LifecycleDependents } from './lifecycle-dependents.js';
import { keepOwners, keepOwnersOfRemoved } from './owner-writes.policy.js';
import { alignStatus, refusal, refuseMoments } from './status-writes.policy.js';

/** Junction tables behind many-to-many relations, and what to call instead of saving the relation. */
const JUNCTIONS: Readonly<Record<string, string>> = {
  nest_auth_user_access_roles: 'userAccess.assignRoles() or UserService.setUserAccessRoles()',
  nest_auth_platform_access_roles: 'platformAccess.assignRoles()',
  nest_auth_role_permissions: 'RoleService.setRolePermissions()',
};

/**
 * What holds when a host writes our entities through the ORM: `manager.save`, `manager.update`, query builders.
 *
 * Some columns are refused there because writing them alone would be half of a change; status and `isActive` are kept
 * in step; a save of an entity that has changed meanwhile is refused. Raw SQL passes this by and meets the constraints.
 */
export class EntityWriteSubscriber implements EntitySubscriberInterface {
  constructor(
    private readonly dependents: LifecycleDependents,
    private readonly ownership: Ownership,
  ) {}

  afterLoad(entity: ObjectLiteral, event?: LoadEvent<ObjectLiteral>): void {
    if (entity instanceof NestAuthBaseEntity && event !== undefined) rememberOrigin(entity, event.manager);
  }

  beforeInsert(event: InsertEvent<ObjectLiteral>): void {
    this.#refuseJunction(event.metadata, 'added to');
    refuseLoginIdentity(event.metadata, event.entity);
    if (event.metadata.tableName !== 'nest_auth_users') return;
    throw refusal('A user made through the ORM would have no identities; call UserService.createUser()');
  }

  async beforeUpdate(event: UpdateEvent<ObjectLiteral>): Promise<void> {
    const { metadata, entity, databaseEntity } = event;
    if (entity === undefined || !metadata.tableName.startsWith('nest_auth_')) return;
    assertFresh(entity, databaseEntity, metadata);
    refuseIdentityKey(metadata, entity, databaseEntity);
    if (metadata.tableName === 'nest_auth_users') this.#checkUser(event, entity);
    if (databaseEntity !== undefined) await keepOwners(this.ownership, event);
  }

  #checkUser({ updatedColumns, databaseEntity }: UpdateEvent<ObjectLiteral>, entity: ObjectLiteral): void {
    // Without the loaded row this is `manager.update` or a query builder, and `entity` is what will be set.
    const changed =
      databaseEntity === undefined ? Object.keys(entity) : updatedColumns.map(({ propertyName }) => propertyName);
    refuseLoginColumns(changed);
    refuseMoments(changed);
    alignStatus(entity, changed, databaseEntity);
    if (this.dependents.any && databaseEntity === undefined && entity['isActive'] === false) {
      throw refusal('This update names nobody whose sessions would have to end; call UserService.updateUserStatus()');
    }
  }

  /** Saved as inactive: what only an active user may have ends in the same transaction. */
  async afterUpdate({ metadata, entity, databaseEntity, manager }: UpdateEvent<ObjectLiteral>): Promise<void> {
    if (metadata.tableName !== 'nest_auth_users' || !this.dependents.any) return;
    if (databaseEntity?.['isActive'] === true && entity?.['isActive'] === false) {
      await this.dependents.end(manager, [databaseEntity['id'] as string]);
    }
  }

  beforeSoftRemove({ metadata }: SoftRemoveEvent<ObjectLiteral>): void {
    if (metadata.tableName !== 'nest_auth_users') return;
    throw refusal('A soft deletion also frees the logins; call UserLifecycleService.softDeleteById()');
  }

  async beforeRemove(event: RemoveEvent<ObjectLiteral>): Promise<void> {
    this.#refuseJunction(event.metadata, 'removed from');
    refuseLoginIdentity(event.metadata, event.entity);
    await keepOwnersOfRemoved(this.ownership, event);
  }

  #refuseJunction(metadata: EntityMetadata, verb: string): void {
    const instead = JUNCTIONS[metadata.tableName];
    if (instead === undefined || !metadata.isJunction) return;
    throw refusal(`Rows are not ${verb} this relation by saving it; call ${instead}`);
  }
}

/** TypeORM would write the older version back. It compares without a lock: `expectedVersion` of the services is exact. */
function assertFresh(entity: ObjectLiteral, databaseEntity: ObjectLiteral | undefined, metadata: EntityMetadata): void {
  const version = metadata.versionColumn?.propertyName;
  if (version === undefined || databaseEntity === undefined || entity[version] === undefined) return;
  if (entity[version] !== databaseEntity[version]) {
    throw new NestAuthError('STALE_VERSION', `The ${metadata.name} has changed since it was read; read it again`);
  }
}

/** The email and phone identities are made and removed with the user's own columns, or they would say something else. */
function refuseLoginIdentity({ tableName }: EntityMetadata, entity: ObjectLiteral | undefined): void {
  if (tableName !== 'nest_auth_identities' || !LOGIN_PROVIDERS.some((name) => name === entity?.['provider'])) return;
  throw refusal("This identity follows from the user's email or phone; call user.updateEmail() or user.updatePhone()");
}

/** Without the loaded row, nothing tells whose identity an update would change. */
function refuseIdentityKey(
  { tableName, primaryColumns }: EntityMetadata,
  entity: ObjectLiteral,
  databaseEntity: ObjectLiteral | undefined,
): void {
  if (tableName !== 'nest_auth_identities' || databaseEntity !== undefined) return;
  if (!primaryColumns.some(({ propertyName }) => propertyName in entity)) return;
  throw refusal('An identity is replaced, never updated; call user.updateOrCreateIdentity()');
}

function refuseLoginColumns(changed: readonly string[]): void {
  if (changed.includes('email')) {
    throw refusal(
      'An email is changed together with its identity; call user.updateEmail() or UserService.updateUser()',
    );
  }
  if (changed.includes('phone')) {
    throw refusal('A phone is changed together with its identity; call user.updatePhone() or UserService.updateUser()');
  }
}

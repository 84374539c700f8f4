import type { CreateUserContext, CreateUserInput, UpdateUserInput } from '../account/account.types.js';
import type { NestAuthUser } from '../account/user.entity.js';
import type { AccessDelta } from '../access/access.types.js';
import type { NestAuthPermission } from '../access/permission.entity.js';
import type { NestAuthRole } from '../access/role.entity.js';
import type { NestAuthTenant } from '../tenant/tenant.entity.js';

/** Names of the events, for `@OnEvent(NestAuthEvents.USER_CREATED)`. */
export const NestAuthEvents = {
  USER_REGISTERED: 'nest_auth.user.registered',
  USER_CREATED: 'nest_auth.user.created',
  USER_UPDATED: 'nest_auth.user.updated',
  USER_DELETED: 'nest_auth.user.deleted',
  USER_ACCESS_CHANGED: 'nest_auth.user_access.changed',
  USER_ACCESS_DELETED: 'nest_auth.user_access.deleted',
  PLATFORM_ACCESS_CHANGED: 'nest_auth.platform_access.changed',
  TENANT_CREATED: 'nest_auth.tenant.created',
  TENANT_UPDATED: 'nest_auth.tenant.updated',
  TENANT_DELETED: 'nest_auth.tenant.deleted',
  TENANT_BYPASSED: 'nest_auth.tenant.bypassed',
  ROLE_CREATED: 'nest_auth.role.created',
  ROLE_UPDATED: 'nest_auth.role.updated',
  ROLE_DELETED: 'nest_auth.role.deleted',
  ROLE_PERMISSIONS_CHANGED: 'nest_auth.role.permissions_changed',
  PERMISSION_CREATED: 'nest_auth.permission.created',
  PERMISSION_UPDATED: 'nest_auth.permission.updated',
  PERMISSION_DELETED: 'nest_auth.permission.deleted',
} as const;

export type NestAuthEventName = (typeof NestAuthEvents)[keyof typeof NestAuthEvents];

/** An input without its secrets: events, hooks' logs and audits never carry a password. */
export type WithoutSecrets<Input> = Omit<Input, 'password'>;

/** Something that has happened and is committed. Delivered at most once, in this process. */
export abstract class NestAuthEvent {
  /** The name under which it is emitted. */
  abstract readonly name: NestAuthEventName;
}

/** A user exists, with the access and the roles of `input`. Also announced for each row of `createUsers`. */
export class UserCreatedEvent extends NestAuthEvent {
  readonly name: NestAuthEventName = NestAuthEvents.USER_CREATED;

  constructor(
    readonly user: NestAuthUser,
    readonly input: WithoutSecrets<CreateUserInput>,
    readonly tenantId: string | null,
    readonly context: CreateUserContext = {},
  ) {
    super();
  }
}

/** A user has signed up by themselves: announced after `UserCreatedEvent` when the context's source is `signup`. */
export class UserRegisteredEvent extends UserCreatedEvent {
  override readonly name = NestAuthEvents.USER_REGISTERED;
}

/** A user has changed: fields, status, verification, metadata or identities. */
export class UserUpdatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.USER_UPDATED;

  constructor(
    readonly user: NestAuthUser,
    readonly input: UpdateUserInput,
    /** Names of the fields that have another value now; of a change of status and metadata alone, those it named. */
    readonly changed: readonly string[],
  ) {
    super();
  }
}

/** A user is gone, with identities, accesses and roles. `user` is what it was. */
export class UserDeletedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.USER_DELETED;

  constructor(readonly user: NestAuthUser) {
    super();
  }
}

/** A user's access to a tenant was made or its status changed, both with an empty delta, or its roles have changed. */
export class UserAccessChangedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.USER_ACCESS_CHANGED;

  constructor(
    readonly userId: string,
    readonly tenantId: string,
    readonly roles: AccessDelta,
  ) {
    super();
  }
}

/** A user has lost the access to a tenant. */
export class UserAccessDeletedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.USER_ACCESS_DELETED;

  constructor(
    readonly userId: string,
    readonly tenantId: string,
  ) {
    super();
  }
}

/** A user's platform access was made, or its roles have changed. */
export class PlatformAccessChangedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.PLATFORM_ACCESS_CHANGED;

  constructor(
    readonly userId: string,
    readonly roles: AccessDelta,
  ) {
    super();
  }
}

export class TenantCreatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.TENANT_CREATED;

  constructor(readonly tenant: NestAuthTenant) {
    super();
  }
}

export class TenantUpdatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.TENANT_UPDATED;

  constructor(readonly tenant: NestAuthTenant) {
    super();
  }
}

export class TenantDeletedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.TENANT_DELETED;

  constructor(readonly tenantId: string) {
    super();
  }
}

/**
 * Code has left row-level security by `TenantContext.withoutTenant`. Announced before its work begins, whatever becomes
 * of that; inside a platform transaction that was running already, after its COMMIT.
 */
export class TenantBypassedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.TENANT_BYPASSED;

  constructor(
    readonly reason: string,
    /** The tenant whose context was left; null when there was none. */
    readonly tenantId: string | null,
  ) {
    super();
  }
}

export class RoleCreatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.ROLE_CREATED;

  constructor(readonly role: NestAuthRole) {
    super();
  }
}

export class RoleUpdatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.ROLE_UPDATED;

  constructor(readonly role: NestAuthRole) {
    super();
  }
}

export class RoleDeletedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.ROLE_DELETED;

  constructor(readonly roleId: string) {
    super();
  }
}

/** The permissions of a role have changed; the delta names permissions. */
export class RolePermissionsChangedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.ROLE_PERMISSIONS_CHANGED;

  constructor(
    readonly roleId: string,
    readonly permissions: AccessDelta,
  ) {
    super();
  }
}

export class PermissionCreatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.PERMISSION_CREATED;

  constructor(readonly permission: NestAuthPermission) {
    super();
  }
}

export class PermissionUpdatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.PERMISSION_UPDATED;

  constructor(readonly permission: NestAuthPermission) {
    super();
  }
}

export class PermissionDeletedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.PERMISSION_DELETED;

  constructor(readonly permissionId: string) {
    super();
  }
}

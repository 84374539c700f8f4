import type { CreateUserContext, CreateUserInput, UpdateUserInput } from '../account/account.types.js';
import type { NestAuthUser } from '../account/user.entity.js';
import type { AccessDelta, PermissionEffect } from '../access/access.types.js';
import type { NestAuthPermission } from '../access/permission.entity.js';
import type { NestAuthRole } from '../access/role.entity.js';
import type { SessionEndReason, SignInRefusal } from '../session/session.types.js';
import type { NestAuthTenant } from '../tenant/tenant.entity.js';

/** Names of the events, for `@OnEvent(NestAuthEvents.USER_CREATED)`. */
export const NestAuthEvents = {
  USER_REGISTERED: 'nest_auth.user.registered',
  USER_CREATED: 'nest_auth.user.created',
  USER_UPDATED: 'nest_auth.user.updated',
  USER_DELETED: 'nest_auth.user.deleted',
  USER_ACTIVATED: 'nest_auth.user.activated',
  USER_REACTIVATED: 'nest_auth.user.reactivated',
  USER_DEACTIVATED: 'nest_auth.user.deactivated',
  USER_DISABLED: 'nest_auth.user.disabled',
  USER_SOFT_DELETED: 'nest_auth.user.soft_deleted',
  USER_RESTORED: 'nest_auth.user.restored',
  USER_DELETION_SCHEDULED: 'nest_auth.user.deletion_scheduled',
  USER_DELETION_CANCELED: 'nest_auth.user.deletion_canceled',
  USER_LEGAL_HOLD_SET: 'nest_auth.user.legal_hold_set',
  USER_LEGAL_HOLD_RELEASED: 'nest_auth.user.legal_hold_released',
  USER_LOGGED_IN: 'nest_auth.user.logged_in',
  USER_LOGIN_FAILED: 'nest_auth.user.login_failed',
  USER_UNLOCKED: 'nest_auth.user.unlocked',
  USER_LOGGED_OUT: 'nest_auth.user.logged_out',
  SESSION_TENANT_SWITCHED: 'nest_auth.session.tenant_switched',
  SESSIONS_REVOKED: 'nest_auth.session.revoked',
  REFRESH_TOKEN_REUSED: 'nest_auth.session.refresh_token_reused',
  USER_ACCESS_CHANGED: 'nest_auth.user_access.changed',
  USER_ACCESS_DELETED: 'nest_auth.user_access.deleted',
  USER_ACCESS_PERMISSION_CHANGED: 'nest_auth.user_access.permission_changed',
  PLATFORM_ACCESS_CHANGED: 'nest_auth.platform_access.changed',
  PLATFORM_ACCESS_PERMISSION_CHANGED: 'nest_auth.platform_access.permission_changed',
  TENANT_CREATED: 'nest_auth.tenant.created',
  TENANT_UPDATED: 'nest_auth.tenant.updated',
  TENANT_DELETED: 'nest_auth.tenant.deleted',
  TENANT_BYPASSED: 'nest_auth.tenant.bypassed',
  ROLE_CREATED: 'nest_auth.role.created',
  ROLE_UPDATED: 'nest_auth.role.updated',
  ROLE_DELETED: 'nest_auth.role.deleted',
  ROLE_PERMISSIONS_CHANGED: 'nest_auth.role.permissions_changed',
  ROLE_PARENTS_CHANGED: 'nest_auth.role.parents_changed',
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

/** A user has moved in their life. `user` is what it is now. The batches announce it too, after each chunk's COMMIT. */
export abstract class UserLifecycleEvent extends NestAuthEvent {
  constructor(readonly user: NestAuthUser) {
    super();
  }
}

/** A pending user was activated. */
export class UserActivatedEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_ACTIVATED;
}

/** An inactive user is active again. */
export class UserReactivatedEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_REACTIVATED;
}

/** An active user, or one who never came, was deactivated. */
export class UserDeactivatedEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_DEACTIVATED;
}

/** A user was disabled, for good. */
export class UserDisabledEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_DISABLED;
}

/** A disabled user was soft-deleted: nothing finds it any more, and its logins are free. */
export class UserSoftDeletedEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_SOFT_DELETED;
}

/** A soft-deleted user is there again, disabled, with its logins. */
export class UserRestoredEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_RESTORED;
}

/** A soft-deleted user will be deleted for good. */
export class UserDeletionScheduledEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_DELETION_SCHEDULED;
}

/** A soft-deleted user will not be deleted for good after all. */
export class UserDeletionCanceledEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_DELETION_CANCELED;
}

/** Nobody may delete the user any more. */
export class UserLegalHoldSetEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_LEGAL_HOLD_SET;
}

/** The user may be deleted again. */
export class UserLegalHoldReleasedEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_LEGAL_HOLD_RELEASED;
}

/** A user has signed in, by `AuthService.signIn` or as `UserLifecycleService.recordLogin` was told. */
export class UserLoggedInEvent extends UserLifecycleEvent {
  readonly name = NestAuthEvents.USER_LOGGED_IN;
}

/** A sign-in was refused. Whoever listens may count; the answer to the caller tells none of this. */
export class UserLoginFailedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.USER_LOGIN_FAILED;

  constructor(
    /** Null for a login that nobody has. */
    readonly userId: string | null,
    /** The tenant that was named; null for none. */
    readonly tenantId: string | null,
    readonly reason: SignInRefusal,
  ) {
    super();
  }
}

/** The failed sign-ins of a user are forgotten: whoever was locked out may try again. */
export class UserUnlockedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.USER_UNLOCKED;

  constructor(readonly userId: string) {
    super();
  }
}

/** A user has ended the own session. */
export class UserLoggedOutEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.USER_LOGGED_OUT;

  constructor(
    readonly userId: string,
    readonly sessionId: string,
  ) {
    super();
  }
}

/** A session goes on in another tenant. */
export class SessionTenantSwitchedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SESSION_TENANT_SWITCHED;

  constructor(
    readonly userId: string,
    readonly sessionId: string,
    readonly tenantId: string,
  ) {
    super();
  }
}

/** Sessions of a user were ended by somebody, or by what became of the user or the access. */
export class SessionsRevokedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SESSIONS_REVOKED;

  constructor(
    readonly userId: string,
    readonly sessionIds: readonly string[],
    readonly reason: SessionEndReason,
  ) {
    super();
  }
}

/** A refresh token came back after it had been used: somebody has a copy. Its session has ended. */
export class RefreshTokenReusedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.REFRESH_TOKEN_REUSED;

  constructor(
    readonly userId: string,
    readonly sessionId: string,
  ) {
    super();
  }
}

/**
 * A user's access to a tenant was made, or its status or default flag changed, all with an empty delta, or its roles
 * have changed.
 */
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

/** A permission was granted or denied to a user's access to a tenant beside its roles, or that was taken back. */
export class UserAccessPermissionChangedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.USER_ACCESS_PERMISSION_CHANGED;

  constructor(
    readonly userId: string,
    readonly tenantId: string,
    /** Its name. */
    readonly permission: string,
    /** Null when there is nothing of it any more beside the roles. */
    readonly effect: PermissionEffect | null,
    /** Null for never. */
    readonly expiresAt: Date | null,
  ) {
    super();
  }
}

/** As {@link UserAccessPermissionChangedEvent}, for a user's platform access. */
export class PlatformAccessPermissionChangedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.PLATFORM_ACCESS_PERMISSION_CHANGED;

  constructor(
    readonly userId: string,
    readonly permission: string,
    readonly effect: PermissionEffect | null,
    readonly expiresAt: Date | null,
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

/** The roles that a role inherits from have changed; the delta holds their ids. */
export class RoleParentsChangedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.ROLE_PARENTS_CHANGED;

  constructor(
    readonly roleId: string,
    readonly parents: AccessDelta,
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

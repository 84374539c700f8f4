import type { CreateUserContext, CreateUserInput, UpdateUserInput } from '../account/account.types.js';
import type { NestAuthUser } from '../account/user.entity.js';
import type { AccessDelta, PermissionEffect } from '../access/access.types.js';
import type { NestAuthPermission } from '../access/permission.entity.js';
import type { NestAuthRole } from '../access/role.entity.js';
import type { ApiKey, ApiKeyEndReason } from '../api-key/api-key.types.js';
import type { NestAuthServiceAccount } from '../api-key/service-account.entity.js';
import type { SecondFactorKind } from '../mfa/second-factor.types.js';
import type { Invitation } from '../invitation/invitation.types.js';
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
  VERIFICATION_REQUESTED: 'nest_auth.user.verification_requested',
  EMAIL_CHANGE_REQUESTED: 'nest_auth.user.email_change_requested',
  PHONE_CHANGE_REQUESTED: 'nest_auth.user.phone_change_requested',
  PASSWORD_RESET_REQUESTED: 'nest_auth.user.password_reset_requested',
  PASSWORD_RESET: 'nest_auth.user.password_reset',
  SESSION_TENANT_SWITCHED: 'nest_auth.session.tenant_switched',
  SESSIONS_REVOKED: 'nest_auth.session.revoked',
  REFRESH_TOKEN_REUSED: 'nest_auth.session.refresh_token_reused',
  SECOND_FACTOR_BEGUN: 'nest_auth.second_factor.begun',
  SECOND_FACTOR_ENABLED: 'nest_auth.second_factor.enabled',
  SECOND_FACTOR_DISABLED: 'nest_auth.second_factor.disabled',
  SECOND_FACTOR_RESET: 'nest_auth.second_factor.reset',
  SECOND_FACTOR_CHALLENGED: 'nest_auth.second_factor.challenged',
  RECOVERY_CODES_REPLACED: 'nest_auth.recovery_codes.replaced',
  RECOVERY_CODE_USED: 'nest_auth.recovery_codes.used',
  SECOND_FACTOR_CODE_REQUESTED: 'nest_auth.second_factor.code_requested',
  TRUSTED_DEVICE_ADDED: 'nest_auth.trusted_device.added',
  TRUSTED_DEVICES_REVOKED: 'nest_auth.trusted_device.revoked',
  USER_ACCESS_CHANGED: 'nest_auth.user_access.changed',
  USER_ACCESS_DELETED: 'nest_auth.user_access.deleted',
  USER_ACCESS_PERMISSION_CHANGED: 'nest_auth.user_access.permission_changed',
  PLATFORM_ACCESS_CHANGED: 'nest_auth.platform_access.changed',
  PLATFORM_ACCESS_PERMISSION_CHANGED: 'nest_auth.platform_access.permission_changed',
  INVITATION_SENT: 'nest_auth.invitation.sent',
  INVITATION_RESENT: 'nest_auth.invitation.resent',
  INVITATION_ACCEPTED: 'nest_auth.invitation.accepted',
  INVITATION_DECLINED: 'nest_auth.invitation.declined',
  INVITATION_REVOKED: 'nest_auth.invitation.revoked',
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
  API_KEY_CREATED: 'nest_auth.api_key.created',
  API_KEY_ROTATED: 'nest_auth.api_key.rotated',
  API_KEY_REVOKED: 'nest_auth.api_key.revoked',
  SERVICE_ACCOUNT_CREATED: 'nest_auth.service_account.created',
  SERVICE_ACCOUNT_ENABLED: 'nest_auth.service_account.enabled',
  SERVICE_ACCOUNT_DISABLED: 'nest_auth.service_account.disabled',
  SERVICE_ACCOUNT_DELETED: 'nest_auth.service_account.deleted',
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

/** A link or a code was made for a user; the durable subscriber that sends it derives it from the row of this issue. */
abstract class ProofRequestedEvent extends NestAuthEvent {
  constructor(
    readonly userId: string,
    /** Of the issue: another one replaces it. */
    readonly issueId: string,
  ) {
    super();
  }
}

/** A user is asked to prove the email or the phone. */
export class VerificationRequestedEvent extends ProofRequestedEvent {
  readonly name = NestAuthEvents.VERIFICATION_REQUESTED;
}

/** A user wants another email, and is asked to prove it. */
export class EmailChangeRequestedEvent extends ProofRequestedEvent {
  readonly name = NestAuthEvents.EMAIL_CHANGE_REQUESTED;
}

/** A user wants another phone number, and is asked to prove it. */
export class PhoneChangeRequestedEvent extends ProofRequestedEvent {
  readonly name = NestAuthEvents.PHONE_CHANGE_REQUESTED;
}

/** Somebody has asked for a password reset; the answer to the caller tells none of this. */
export class PasswordResetRequestedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.PASSWORD_RESET_REQUESTED;

  constructor(
    /** Null where nobody may reset a password by this email. */
    readonly userId: string | null,
    readonly issueId: string | null,
  ) {
    super();
  }
}

/** A user has set another password by the link of a reset. Announced with `UserUpdatedEvent`. */
export class PasswordResetEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.PASSWORD_RESET;

  constructor(
    readonly userId: string,
    readonly issueId: string,
  ) {
    super();
  }
}

/** A code was made for somebody who signs in; the durable subscriber that sends it derives it from the row of this issue. */
export class SecondFactorCodeRequestedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SECOND_FACTOR_CODE_REQUESTED;

  constructor(
    readonly userId: string,
    readonly kind: 'email' | 'sms',
    /** Of the issue: another one for the same challenge replaces it. */
    readonly issueId: string,
  ) {
    super();
  }
}

/** A device of the user need not show a second factor for a while. */
export class TrustedDeviceAddedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.TRUSTED_DEVICE_ADDED;

  constructor(
    readonly userId: string,
    readonly deviceId: string,
  ) {
    super();
  }
}

/** Devices of the user are trusted no longer. */
export class TrustedDevicesRevokedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.TRUSTED_DEVICES_REVOKED;

  constructor(
    readonly userId: string,
    readonly deviceIds: readonly string[],
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

/** Something about the second factor of a user. */
export abstract class SecondFactorEvent extends NestAuthEvent {
  constructor(
    readonly userId: string,
    readonly kind: SecondFactorKind,
  ) {
    super();
  }
}

/** A user has begun to enrol a second factor, which counts when a code of it was shown. */
export class SecondFactorBegunEvent extends SecondFactorEvent {
  readonly name = NestAuthEvents.SECOND_FACTOR_BEGUN;
}

/** A user has a second factor from now on. Every session but that in which it was done has ended. */
export class SecondFactorEnabledEvent extends SecondFactorEvent {
  readonly name = NestAuthEvents.SECOND_FACTOR_ENABLED;
}

/** A user has given up the own second factors; `kinds` are those that were there. Sessions as when one is enabled. */
export class SecondFactorDisabledEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SECOND_FACTOR_DISABLED;

  constructor(
    readonly userId: string,
    readonly kinds: readonly SecondFactorKind[],
  ) {
    super();
  }
}

/** Somebody else has taken away the second factors of a user, whose sessions have ended. */
export class SecondFactorResetEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SECOND_FACTOR_RESET;

  constructor(
    readonly userId: string,
    readonly kinds: readonly SecondFactorKind[],
    readonly reason: string | null,
  ) {
    super();
  }
}

/** The first factor of a user was right, and the second one is waited for. */
export class SecondFactorChallengedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SECOND_FACTOR_CHALLENGED;

  constructor(
    readonly userId: string,
    readonly challengeId: string,
    /** The tenant that the sign-in named; null for none. */
    readonly tenantId: string | null,
  ) {
    super();
  }
}

/** A user has new recovery codes, and the old ones are worth nothing. */
export class RecoveryCodesReplacedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.RECOVERY_CODES_REPLACED;

  constructor(readonly userId: string) {
    super();
  }
}

/** A recovery code of a user was used up. */
export class RecoveryCodeUsedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.RECOVERY_CODE_USED;

  constructor(
    readonly userId: string,
    /** How many there are still. */
    readonly left: number,
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

/** Something became of an invitation, which is here as it is now. Its token is in no event. */
export abstract class InvitationEvent extends NestAuthEvent {
  constructor(readonly invitation: Invitation) {
    super();
  }
}

/** An address was invited to a tenant. */
export class InvitationSentEvent extends InvitationEvent {
  readonly name = NestAuthEvents.INVITATION_SENT;
}

/** An invitation was sent again, with another token. */
export class InvitationResentEvent extends InvitationEvent {
  readonly name = NestAuthEvents.INVITATION_RESENT;
}

/** Somebody has accepted an invitation, and has access to the tenant. */
export class InvitationAcceptedEvent extends InvitationEvent {
  readonly name = NestAuthEvents.INVITATION_ACCEPTED;

  constructor(
    invitation: Invitation,
    readonly userId: string,
    /** Whether the user was made by it. */
    readonly isNewUser: boolean,
  ) {
    super(invitation);
  }
}

/** Whoever was invited does not want to come. */
export class InvitationDeclinedEvent extends InvitationEvent {
  readonly name = NestAuthEvents.INVITATION_DECLINED;
}

/** An invitation was taken back. */
export class InvitationRevokedEvent extends InvitationEvent {
  readonly name = NestAuthEvents.INVITATION_REVOKED;
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

/** A key of a user or a service account was made. Its secret is not in it. */
export class ApiKeyCreatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.API_KEY_CREATED;

  constructor(readonly apiKey: ApiKey) {
    super();
  }
}

/** A key has another secret; until `apiKey.previousExpiresAt`, if that is not null, the one before is good too. */
export class ApiKeyRotatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.API_KEY_ROTATED;

  constructor(readonly apiKey: ApiKey) {
    super();
  }
}

/** Keys of one owner have ended. `tenantId` is that of one in which they work; of a user's in several it is any of them. */
export class ApiKeysRevokedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.API_KEY_REVOKED;

  constructor(
    readonly owner: Pick<ApiKey, 'userId' | 'serviceAccountId' | 'tenantId'>,
    readonly keyIds: readonly string[],
    readonly reason: ApiKeyEndReason,
  ) {
    super();
  }
}

export class ServiceAccountCreatedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SERVICE_ACCOUNT_CREATED;

  constructor(readonly serviceAccount: NestAuthServiceAccount) {
    super();
  }
}

/** The keys of the account open what they name again. */
export class ServiceAccountEnabledEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SERVICE_ACCOUNT_ENABLED;

  constructor(readonly serviceAccount: NestAuthServiceAccount) {
    super();
  }
}

/** The keys of the account open nothing. */
export class ServiceAccountDisabledEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SERVICE_ACCOUNT_DISABLED;

  constructor(readonly serviceAccount: NestAuthServiceAccount) {
    super();
  }
}

/** A service account was removed, with its keys. */
export class ServiceAccountDeletedEvent extends NestAuthEvent {
  readonly name = NestAuthEvents.SERVICE_ACCOUNT_DELETED;

  constructor(
    readonly serviceAccountId: string,
    readonly tenantId: string,
  ) {
    super();
  }
}

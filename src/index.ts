// Wiring
export { NestAuthCitusMigrations, NestAuthMigrations, NestAuthRlsMigrations } from '../migrations/index.js';
export { NestAuthEntities } from './nest-auth.entities.js';
export { NestAuthModule } from './nest-auth.module.js';
export type {
  NestAuthModuleAsyncOptions,
  NestAuthModuleOptions,
  NestAuthOptionsFactory,
  NestAuthWiringOptions,
} from './nest-auth.options.js';

// Services
export { AccessGrants } from './access/access-grants.js';
export { AccessService } from './access/access.service.js';
export { PermissionRegistryService } from './access/permission-registry.service.js';
export { PermissionService } from './access/permission.service.js';
export { RoleService } from './access/role.service.js';
export { ActivityService } from './audit/activity.service.js';
export { type LifecycleDependent, LifecycleDependents } from './account/lifecycle-dependents.js';
export type { LegacyHashInput } from './account/imported-hash.policy.js';
export { NestAuthFormerPassword } from './account/password-history.entity.js';
export { PasswordPolicy } from './account/password-policy.service.js';
export type {
  BreachCheckOptions,
  PasswordAbout,
  PasswordIssue,
  PasswordIssueCode,
  PasswordPolicyOptions,
} from './account/password-policy.types.js';
export { PasswordService, type PasswordSettings } from './account/password.service.js';
export { LIFECYCLE_JOBS, type LifecycleJob } from './lifecycle/lifecycle-jobs.js';
export { UserLifecycleService } from './lifecycle/user-lifecycle.service.js';
export { UserStatisticsService } from './lifecycle/user-statistics.service.js';
export { AuthService } from './session/auth.service.js';
export { generateSessionKeys } from './session/session-keys.policy.js';
export { RateLimitService } from './rate-limit/rate-limit.service.js';
export { NestAuthOneTimeToken } from './recovery/one-time-token.entity.js';
export { PasswordRecoveryService } from './recovery/password-recovery.service.js';
export { RequestedProof, RequestedReset } from './recovery/recovery.types.js';
export type {
  AddressChangeInput,
  EmailChangeInput,
  PasswordChangeInput,
  PasswordResetInput,
  PasswordResetRequest,
  PhoneChangeInput,
  ProofForm,
  ProofInput,
  Reauthentication,
  RecoveryOptions,
  RecoveryPurpose,
  RequestVerificationOptions,
  RevealedProof,
} from './recovery/recovery.types.js';
export { VerificationService } from './recovery/verification.service.js';
export { SessionService } from './session/session.service.js';
export { externalAccountId } from './external/external-account.policy.js';
export { ExternalSignInService } from './external/external-sign-in.service.js';
export { EXTERNAL_FLOW_COOKIE } from './external/flow-cookie.js';
export { InvitationService } from './invitation/invitation.service.js';
export { TenantService } from './tenant/tenant.service.js';
export { UserService } from './user.service.js';
export { ApiKeyService } from './api-key/api-key.service.js';
export { ServiceAccountService } from './api-key/service-account.service.js';

// Guards
export { AccessGate } from './guard/access-gate.js';
export { AuthGuard, PermissionsGuard, PlatformGuard, RolesGuard, ServiceGuard } from './guard/auth.guard.js';
export { AuthInterceptor } from './guard/auth.interceptor.js';
export {
  CurrentAccess,
  CurrentApiKey,
  type CurrentOptions,
  CurrentService,
  CurrentTenant,
  CurrentUser,
} from './guard/current.decorators.js';
export {
  AllowApiKeys,
  Permissions,
  PlatformOnly,
  Public,
  Roles,
  ServiceOnly,
  SessionOnly,
} from './guard/guard.decorators.js';
export type {
  AccessRequirement,
  AuthPrincipal,
  GuardOptions,
  Principal,
  ServiceOptions,
  ServicePrincipal,
} from './guard/guard.types.js';
export type { NestAuthNames, OneOrMore, PermissionName, RoleName, ServiceName } from './guard/names.types.js';
export { generateServiceToken, type ServiceToken } from './guard/service-token.policy.js';

// Entities
export { NestAuthPermission } from './access/permission.entity.js';
export { NestAuthPlatformAccessPermission, NestAuthUserAccessPermission } from './access/access-permission.entities.js';
export { NestAuthRoleGraph, NestAuthRoleParent } from './access/role-parent.entities.js';
export { NestAuthPlatformAccess } from './access/platform-access.entity.js';
export { NestAuthRole } from './access/role.entity.js';
export { NestAuthUserAccess } from './access/user-access.entity.js';
export { NestAuthIdentity } from './account/identity.entity.js';
export { NestAuthUser } from './account/user.entity.js';
export { NestAuthActivitySeal } from './audit/activity-seal.entity.js';
export { NestAuthActivity } from './audit/activity.entity.js';
export { NestAuthRefreshToken } from './session/refresh-token.entity.js';
export { NestAuthRateLimit } from './rate-limit/rate-limit.entity.js';
export { NestAuthSession } from './session/session.entity.js';
export {
  NestAuthSecondFactor,
  NestAuthSecondFactorChallenge,
  NestAuthSecondFactorState,
} from './mfa/second-factor.entities.js';
export type {
  CompleteSignInInput,
  DeviceTrust,
  CompleteEnrolmentInput,
  EnableCodesOptions,
  EnabledCodes,
  EnableTwoFactorOptions,
  EnrolledFactor,
  KeepSessionOptions,
  RecoveryCodes,
  ResetTwoFactorOptions,
  RequiredEnrolment,
  SecondFactorChallenge,
  SecondFactorKind,
  SecondFactorMethod,
  SecondFactorProof,
  SecondFactors,
  SecondFactorSignIn,
  SendCodeInput,
  TwoFactorEnrolment,
} from './mfa/second-factor.types.js';
export { NestAuthSecondFactorCode } from './mfa/code-factor.entity.js';
export { SecondFactorCodeService } from './mfa/code-factor.service.js';
export { RequiredEnrolmentService } from './mfa/required-enrolment.service.js';
export { SecretRotationService } from './mfa/rotation.service.js';
export type { RotateSecretsOptions, RotateSecretsResult } from './mfa/rotation.types.js';
export { NestAuthTrustedDevice } from './mfa/trusted-device.entity.js';
export { type RemovedSecondFactors, TrustedDeviceService } from './mfa/trusted-device.service.js';
export { TwoFactorService } from './mfa/two-factor.service.js';
export type { TwoFactorOptions } from './mfa/two-factor.settings.js';
export type { SecretKey, SecretOptions } from './secret/secret.settings.js';
export { ExternalFlowPurposeEnum, NestAuthExternalFlow } from './external/external-flow.entity.js';
export { NestAuthInvitation } from './invitation/invitation.entity.js';
export { NestAuthSignInFailure, NestAuthSignInTotal } from './session/sign-in-failure.entities.js';
export { NestAuthApiKey, NestAuthServiceAccountKey } from './api-key/api-key.entities.js';
export { NestAuthServiceAccount } from './api-key/service-account.entity.js';
export { NestAuthTenant } from './tenant/tenant.entity.js';

// Vocabulary
export {
  type AccessDelta,
  type AccessExplanation,
  type AccessPath,
  type AccessReason,
  AccessStatusEnum,
  type CreatePermissionInput,
  type CreatePermissionsResult,
  type CreateRoleInput,
  type DirectPermission,
  type DirectPermissionOptions,
  type GetPermissionsOptions,
  type GetRolesOptions,
  type GrantOptions,
  type MissingLink,
  type PermissionEffect,
  type PurgeExpiredOptions,
  type PurgeExpiredResult,
  RoleGuardEnum,
  type RoleReference,
  type RoleRelations,
  type UpdatePermissionInput,
  type UpdateRoleInput,
} from './access/access.types.js';
export type { DelegationMode } from './access/access.settings.js';
export {
  type ApplyPermissionsOptions,
  definePermissions,
  type PermissionDeclaration,
  type PermissionDifference,
  type PermissionOf,
  type PermissionRegistry,
  type PermissionRegistryInput,
  type PermissionRegistryPlan,
  type RoleDeclaration,
  type RoleDifference,
  type RoleOf,
} from './access/registry.types.js';
export type { UpdateIdentityInput } from './account/account.port.js';
export {
  type CreateUserContext,
  type CreateUserInput,
  type CreateUsersOptions,
  type CreateUsersResult,
  type CreateUsersRow,
  type IdentityInput,
  type Metadata,
  type UpdateUserInput,
  UserStatusEnum,
} from './account/account.types.js';
export type { HashedPassword } from './account/hashed-password.js';
export type { CreateUserHookInput, UserChange, UserHooks } from './account/user-hooks.js';
export {
  type DeactivateActiveUserInput,
  type DeactivateInactiveUsersOptions,
  type DeactivatePendingUserInput,
  type DisableDeactivatedUsersOptions,
  type LifecycleBatchChunk,
  type LifecycleBatchOptions,
  type LifecycleBatchProgress,
  type LifecycleBatchResult,
  type LifecycleFailed,
  type LifecycleGracePeriods,
  type LifecycleOptions,
  type LifecycleSkipped,
  type LifecycleState,
  LifecycleStateEnum,
  type ScheduleDeletionOptions,
  type ScheduleDeletionsOptions,
} from './lifecycle/lifecycle.types.js';
export type { LifecycleCommand } from './lifecycle/transitions.policy.js';
export type {
  CountByRoleOptions,
  CountByTenantOptions,
  CountUsersOptions,
  RoleCount,
  TenantCount,
  UserCounts,
} from './lifecycle/user-statistics.types.js';
export type { GetUserOptions, GetUsersOptions, UserPage, UserRelations } from './account/user-list.types.js';
export { type SignUpInput, type SignUpMode, SignUpResult } from './session/sign-up.types.js';
export type { RevocationOptions } from './revocation/revocation.types.js';
export type {
  RateLimit,
  RateLimitAction,
  RateLimitCaller,
  RateLimitOptions,
  RateLimitRedisClient,
  RateLimits,
} from './rate-limit/rate-limit.types.js';
export type { LockoutOptions } from './session/lockout.settings.js';
export type {
  AccessTokenClaims,
  SignedInUser,
  PurgeEndedOptions,
  PurgeEndedResult,
  SessionEndReason,
  SessionKey,
  SessionKeyOf,
  SessionOptions,
  SessionTokens,
  SignInContext,
  DeviceContext,
  SignInInput,
  SignInRefusal,
  SignInResult,
  VerifyAccessTokenOptions,
} from './session/session.types.js';
export type {
  ApiKey,
  ApiKeyEndReason,
  ApiKeyLifetime,
  ApiKeyOfServiceAccount,
  ApiKeyOfUser,
  ApiKeyOptions,
  ApiKeyOwner,
  ApiKeyPrincipal,
  CreateApiKeyInput,
  CreateServiceAccountInput,
  IssuedApiKey,
  ListApiKeysOptions,
  ListServiceAccountsOptions,
  RotateApiKeyOptions,
  ServiceAccountPrincipal,
  UserKeyPrincipal,
} from './api-key/api-key.types.js';
export type {
  BeginExternalOptions,
  ExternalAnswer,
  ExternalBeginning,
  ExternalCallback,
  ExternalFlow,
  ExternalIdentity,
  ExternalLinkResult,
  ExternalRequest,
  ExternalSignInOptions,
  ExternalSignInResult,
  IdentityProvider,
  LinkedIdentity,
} from './external/external.types.js';
export {
  type AcceptedInvitation,
  type AcceptInvitationInput,
  type Invitation,
  type InvitationOptions,
  type InvitationPreview,
  InvitationStatusEnum,
  IssuedInvitation,
  type ListInvitationsOptions,
  type SendInvitationInput,
} from './invitation/invitation.types.js';
export {
  type CreateTenantInput,
  type GetTenantsOptions,
  NIL_UUID,
  type TenantFilter,
  type SecondFactorPolicy,
  TenantModeEnum,
  type UpdateTenantInput,
} from './tenant/tenant.types.js';

// Audit
export {
  type ActivityFilter,
  type ActivityPage,
  type ActivityPageOptions,
  type ExportActivitiesOptions,
  type LogActivityInput,
  UserActivityTypeEnum,
} from './audit/activity-log.types.js';
export type {
  ActivityPartition,
  MaintainPartitionsOptions,
  MaintainPartitionsResult,
} from './audit/activity-partitions.types.js';
export {
  type SealActivitiesOptions,
  type SealActivitiesResult,
  type SealHead,
  type SealProblem,
  SealProblemEnum,
  type VerifyActivitiesOptions,
  type VerifyActivitiesResult,
} from './audit/activity-seal.types.js';
export { type ActingKey, type Actor, ActorTypeEnum, type IdentityFacts } from './audit/activity.types.js';
export { IdentityContext } from './audit/identity-context.js';
export { IdentityContextMiddleware } from './http/identity-context.middleware.js';

// Events
export {
  InvitationAcceptedEvent,
  InvitationDeclinedEvent,
  InvitationEvent,
  InvitationResentEvent,
  InvitationRevokedEvent,
  InvitationSentEvent,
  EmailChangeRequestedEvent,
  ApiKeyCreatedEvent,
  ApiKeyRotatedEvent,
  ApiKeysRevokedEvent,
  NestAuthEvent,
  type NestAuthEventName,
  NestAuthEvents,
  PasswordResetEvent,
  PasswordResetRequestedEvent,
  PermissionCreatedEvent,
  PermissionDeletedEvent,
  PermissionUpdatedEvent,
  PhoneChangeRequestedEvent,
  PlatformAccessChangedEvent,
  PlatformAccessPermissionChangedEvent,
  RefreshTokenReusedEvent,
  RoleCreatedEvent,
  RoleDeletedEvent,
  RoleParentsChangedEvent,
  RolePermissionsChangedEvent,
  RoleUpdatedEvent,
  ServiceAccountCreatedEvent,
  ServiceAccountDeletedEvent,
  ServiceAccountDisabledEvent,
  ServiceAccountEnabledEvent,
  RecoveryCodesReplacedEvent,
  RecoveryCodeUsedEvent,
  SecondFactorBegunEvent,
  SecondFactorChallengedEvent,
  SecondFactorCodeRequestedEvent,
  SecondFactorDisabledEvent,
  SecondFactorEnabledEvent,
  SecondFactorEvent,
  SecondFactorResetEvent,
  TrustedDeviceAddedEvent,
  TrustedDevicesRevokedEvent,
  SessionsRevokedEvent,
  SessionTenantSwitchedEvent,
  TenantBypassedEvent,
  TenantCreatedEvent,
  TenantDeletedEvent,
  TenantUpdatedEvent,
  UserAccessChangedEvent,
  UserAccessPermissionChangedEvent,
  UserAccessDeletedEvent,
  UserActivatedEvent,
  UserCreatedEvent,
  UserDeactivatedEvent,
  UserDeletedEvent,
  UserDeletionCanceledEvent,
  UserDeletionScheduledEvent,
  UserDisabledEvent,
  UserLegalHoldReleasedEvent,
  UserLegalHoldSetEvent,
  UserLifecycleEvent,
  UserLoggedInEvent,
  UserLoggedOutEvent,
  UserLoginFailedEvent,
  UserReactivatedEvent,
  UserRegisteredEvent,
  UserRestoredEvent,
  UserSoftDeletedEvent,
  UserUnlockedEvent,
  UserUpdatedEvent,
  VerificationRequestedEvent,
} from './events/nest-auth.events.js';

// Scheduled jobs
export { JobHistoryService, type JobRunsOptions } from './job/job-history.service.js';
export { type Job, type JobCounts, type JobRun, type JobRunRecord, JobStatusEnum } from './job/job.types.js';
export type { SlotOutcome } from './job/job.runner.js';

// Durable subscribers and the feed
export type {
  DeliveryContext,
  DurableOptions,
  IdentityEvent,
  IdentityEventHandler,
  SubscriberSettings,
} from './feed/feed.types.js';
export type {
  DeadLetter,
  DeadLetterPage,
  FeedOptions,
  FeedPage,
  ReplayStart,
  SubscriptionState,
} from './feed/feed.operations.js';
export { IdentityFeedService } from './feed/identity-feed.service.js';
export { OnIdentityEvent } from './feed/subscriber.decorator.js';

// Webhooks
export { type ReceivedWebhook, verifyWebhook } from './webhook/webhook.signature.js';
export type { WebhookOptions } from './webhook/webhook.types.js';

// Messages
export { combineSenders } from './delivery/combined.sender.js';
export type { DeliveryLinks, DeliveryOptions } from './delivery/delivery.types.js';
export type {
  CodeKind,
  CodeNotification,
  LinkKind,
  LinkNotification,
  NoticeKind,
  NoticeNotification,
  Notification,
  NotificationChannel,
  NotificationKind,
  NotificationOf,
  NotificationSender,
} from './delivery/notification.types.js';
export { PostponedError, UndeliverableError } from './feed/undeliverable.error.js';

// Errors
export {
  type CommitOutcome,
  CommitOutcomeUnknownError,
  SecondFactorEnrolmentRequiredError,
  SecondFactorRequiredError,
  isNestAuthError,
  NEST_AUTH_ERRORS,
  NestAuthError,
  type NestAuthErrorCode,
  type NestAuthErrorDetails,
  type ValidationIssue,
} from './errors/nest-auth.error.js';
export { NestAuthExceptionFilter } from './http/nest-auth-exception.filter.js';

// Isolation
export type { RlsOptions, TenantBypass } from './isolation/isolation.types.js';
export { TenantContext } from './isolation/tenant-context.js';
export { type TenantTableOptions, type TenantTableSql, tenantTableSql } from './isolation/tenant-table.js';

// Transactions
export { migrate, type MigrateOptions } from './transaction/migrate.js';
export { runOutsideTransaction } from './transaction/frame.js';
export type { Page, PageOptions } from './transaction/keyset.js';
export type {
  EscapeMode,
  IsolationLevel,
  NestedMode,
  RunInTransactionOptions,
  TransactionalManager,
} from './transaction/transaction.types.js';

// Observability
export type { TransactionFailure } from './transaction/failure-log.js';
export type { HealthReading, HealthSource } from './transaction/health-sources.js';
export type { PoolState } from './transaction/pool-state.js';
export type {
  NestAuthObserver,
  ObservedSource,
  TransactionAttempt,
  TransactionEnd,
  TransactionOpener,
} from './transaction/transaction-observer.js';

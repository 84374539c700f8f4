// Wiring
export { NestAuthMigrations, NestAuthRlsMigrations } from '../migrations/index.js';
export { NestAuthEntities } from './nest-auth.entities.js';
export { NestAuthModule } from './nest-auth.module.js';
export type {
  NestAuthModuleAsyncOptions,
  NestAuthModuleOptions,
  NestAuthOptionsFactory,
  NestAuthWiringOptions,
} from './nest-auth.options.js';

// Services
export { AccessService } from './access/access.service.js';
export { PermissionService } from './access/permission.service.js';
export { RoleService } from './access/role.service.js';
export { PasswordService, type PasswordSettings } from './account/password.service.js';
export { TenantService } from './tenant/tenant.service.js';
export { UserService } from './user.service.js';

// Entities
export { NestAuthPermission } from './access/permission.entity.js';
export { NestAuthPlatformAccess } from './access/platform-access.entity.js';
export { NestAuthRole } from './access/role.entity.js';
export { NestAuthUserAccess } from './access/user-access.entity.js';
export { NestAuthIdentity } from './account/identity.entity.js';
export { NestAuthUser } from './account/user.entity.js';
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
  type GetPermissionsOptions,
  type GetRolesOptions,
  RoleGuardEnum,
  type RoleRelations,
  type UpdatePermissionInput,
  type UpdateRoleInput,
} from './access/access.types.js';
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
export type { GetUserOptions, GetUsersOptions, UserPage, UserRelations } from './account/user-list.types.js';
export {
  type CreateTenantInput,
  type GetTenantsOptions,
  NIL_UUID,
  type TenantFilter,
  TenantModeEnum,
  type UpdateTenantInput,
} from './tenant/tenant.types.js';

// Events
export {
  NestAuthEvent,
  type NestAuthEventName,
  NestAuthEvents,
  PermissionCreatedEvent,
  PermissionDeletedEvent,
  PermissionUpdatedEvent,
  PlatformAccessChangedEvent,
  RoleCreatedEvent,
  RoleDeletedEvent,
  RolePermissionsChangedEvent,
  RoleUpdatedEvent,
  TenantBypassedEvent,
  TenantCreatedEvent,
  TenantDeletedEvent,
  TenantUpdatedEvent,
  UserAccessChangedEvent,
  UserAccessDeletedEvent,
  UserCreatedEvent,
  UserDeletedEvent,
  UserRegisteredEvent,
  UserUpdatedEvent,
} from './events/nest-auth.events.js';

// Errors
export {
  type CommitOutcome,
  CommitOutcomeUnknownError,
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

import { NestAuthPlatformAccessPermission, NestAuthUserAccessPermission } from './access/access-permission.entities.js';
import {
  NestAuthPlatformAccessRole,
  NestAuthRolePermission,
  NestAuthUserAccessRole,
} from './access/access-role.entities.js';
import { NestAuthPermission } from './access/permission.entity.js';
import { NestAuthPlatformAccess } from './access/platform-access.entity.js';
import { NestAuthRoleGraph, NestAuthRoleParent } from './access/role-parent.entities.js';
import { NestAuthRole } from './access/role.entity.js';
import { NestAuthUserAccess } from './access/user-access.entity.js';
import { NestAuthApiKey, NestAuthServiceAccountKey } from './api-key/api-key.entities.js';
import { NestAuthServiceAccount } from './api-key/service-account.entity.js';
import { NestAuthIdentity } from './account/identity.entity.js';
import { NestAuthFormerPassword } from './account/password-history.entity.js';
import { NestAuthUser } from './account/user.entity.js';
import { NestAuthActivitySeal } from './audit/activity-seal.entity.js';
import { NestAuthActivity } from './audit/activity.entity.js';
import { NestAuthExternalFlow } from './external/external-flow.entity.js';
import { NestAuthDeadLetter, NestAuthSubscription } from './feed/subscription.entity.js';
import { NestAuthInvitation } from './invitation/invitation.entity.js';
import { NestAuthJobRun } from './job/job-run.entity.js';
import {
  NestAuthSecondFactor,
  NestAuthSecondFactorChallenge,
  NestAuthSecondFactorState,
} from './mfa/second-factor.entities.js';
import { NestAuthSecondFactorCode } from './mfa/code-factor.entity.js';
import { NestAuthTrustedDevice } from './mfa/trusted-device.entity.js';
import { NestAuthOneTimeToken } from './recovery/one-time-token.entity.js';
import { NestAuthRateLimit } from './rate-limit/rate-limit.entity.js';
import { NestAuthRefreshToken } from './session/refresh-token.entity.js';
import { NestAuthSession } from './session/session.entity.js';
import { NestAuthSignInFailure, NestAuthSignInTotal } from './session/sign-in-failure.entities.js';
import { NestAuthTenant } from './tenant/tenant.entity.js';

/** Every entity of the package. Give them to the host's DataSource: `entities: [...NestAuthEntities, AppUser]`. */
export const NestAuthEntities = [
  NestAuthTenant,
  NestAuthUser,
  NestAuthIdentity,
  NestAuthPermission,
  NestAuthRole,
  NestAuthRolePermission,
  NestAuthRoleParent,
  NestAuthRoleGraph,
  NestAuthUserAccess,
  NestAuthUserAccessRole,
  NestAuthUserAccessPermission,
  NestAuthPlatformAccess,
  NestAuthPlatformAccessRole,
  NestAuthPlatformAccessPermission,
  NestAuthActivity,
  NestAuthActivitySeal,
  NestAuthSubscription,
  NestAuthDeadLetter,
  NestAuthJobRun,
  NestAuthSession,
  NestAuthRefreshToken,
  NestAuthExternalFlow,
  NestAuthSecondFactor,
  NestAuthSecondFactorState,
  NestAuthSecondFactorChallenge,
  NestAuthTrustedDevice,
  NestAuthSecondFactorCode,
  NestAuthInvitation,
  NestAuthApiKey,
  NestAuthServiceAccount,
  NestAuthServiceAccountKey,
  NestAuthSignInFailure,
  NestAuthSignInTotal,
  NestAuthRateLimit,
  NestAuthOneTimeToken,
  NestAuthFormerPassword,
] as const;

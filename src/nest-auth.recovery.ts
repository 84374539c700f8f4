import type { InjectionToken, Provider } from '@nestjs/common';
import { PasswordHistory } from './account/password-history.operations.js';
import { PasswordPolicy } from './account/password-policy.service.js';
import { PasswordService } from './account/password.service.js';
import { UserOperations } from './account/user.operations.js';
import { EventPublisher } from './events/event-publisher.js';
import { TwoFactorOperations } from './mfa/two-factor.operations.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { OneTimeTokenOperations } from './recovery/one-time-token.operations.js';
import { PasswordRecoveryOperations } from './recovery/password-recovery.operations.js';
import { ReauthenticationOperations } from './recovery/reauthentication.operations.js';
import { RecoveryDependents } from './recovery/recovery-dependents.js';
import { PhoneChangeNotifications, RecoveryNotifications } from './recovery/recovery.notifications.js';
import { VerificationOperations } from './recovery/verification.operations.js';
import { SecretSettings } from './secret/secret.settings.js';
import { AuthOperations } from './session/auth.operations.js';
import { LockoutOperations } from './session/lockout.operations.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What verification and recovery are made of; `settings` is the token of the module's settings. */
export function recoveryProviders(settings: InjectionToken): Provider[] {
  return [
    RecoveryDependents,
    {
      provide: OneTimeTokenOperations,
      inject: [TransactionHost, SecretSettings, settings],
      useFactory: (host: TransactionHost, secrets: SecretSettings, { recovery }: NestAuthSettings) =>
        new OneTimeTokenOperations(host, secrets, recovery),
    },
    {
      provide: ReauthenticationOperations,
      inject: [TransactionHost, AuthOperations, LockoutOperations, PasswordService, settings],
      useFactory: (
        host: TransactionHost,
        auth: AuthOperations,
        lockout: LockoutOperations,
        passwords: PasswordService,
        { recovery }: NestAuthSettings,
      ) => new ReauthenticationOperations(host, auth, lockout, passwords, recovery),
    },
    {
      provide: VerificationOperations,
      inject: [
        TransactionHost,
        EventPublisher,
        UserOperations,
        OneTimeTokenOperations,
        ReauthenticationOperations,
        TwoFactorOperations,
      ],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        users: UserOperations,
        tokens: OneTimeTokenOperations,
        reauthentication: ReauthenticationOperations,
        secondFactor: TwoFactorOperations,
      ) => new VerificationOperations(host, events, users, tokens, reauthentication, secondFactor),
    },
    {
      provide: PasswordRecoveryOperations,
      inject: [
        TransactionHost,
        EventPublisher,
        UserOperations,
        PasswordService,
        PasswordPolicy,
        PasswordHistory,
        LockoutOperations,
        OneTimeTokenOperations,
        ReauthenticationOperations,
        RecoveryDependents,
      ],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        users: UserOperations,
        passwords: PasswordService,
        policy: PasswordPolicy,
        history: PasswordHistory,
        lockout: LockoutOperations,
        tokens: OneTimeTokenOperations,
        reauthentication: ReauthenticationOperations,
        dependents: RecoveryDependents,
      ) =>
        new PasswordRecoveryOperations(
          host,
          events,
          users,
          passwords,
          policy,
          history,
          lockout,
          tokens,
          reauthentication,
          dependents,
        ),
    },
    {
      provide: RecoveryNotifications,
      inject: [OneTimeTokenOperations],
      useFactory: (tokens: OneTimeTokenOperations) => new RecoveryNotifications(tokens),
    },
    PhoneChangeNotifications,
  ];
}

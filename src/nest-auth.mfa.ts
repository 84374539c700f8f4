import type { InjectionToken, Provider } from '@nestjs/common';
import { EventPublisher } from './events/event-publisher.js';
import { ChallengeOperations } from './mfa/challenge.operations.js';
import { SecondFactorNotifications } from './mfa/mfa.notifications.js';
import { TwoFactorOperations } from './mfa/two-factor.operations.js';
import { TwoFactorSettings } from './mfa/two-factor.settings.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { ReauthenticationOperations } from './recovery/reauthentication.operations.js';
import { SecretSettings } from './secret/secret.settings.js';
import { AuthOperations } from './session/auth.operations.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What second factors are made of; `settings` is the token of the module's settings. */
export function mfaProviders(settings: InjectionToken): Provider[] {
  return [
    { provide: TwoFactorSettings, inject: [settings], useFactory: ({ twoFactor }: NestAuthSettings) => twoFactor },
    {
      provide: ChallengeOperations,
      inject: [TransactionHost, EventPublisher, AuthOperations, SecretSettings, TwoFactorSettings],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        auth: AuthOperations,
        secrets: SecretSettings,
        twoFactor: TwoFactorSettings,
      ) => {
        const challenges = new ChallengeOperations(host, events, auth, secrets, twoFactor);
        auth.demandBy(challenges);
        return challenges;
      },
    },
    {
      provide: TwoFactorOperations,
      inject: [
        TransactionHost,
        EventPublisher,
        AuthOperations,
        ReauthenticationOperations,
        SecretSettings,
        TwoFactorSettings,
      ],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        auth: AuthOperations,
        firstFactor: ReauthenticationOperations,
        secrets: SecretSettings,
        twoFactor: TwoFactorSettings,
      ) => new TwoFactorOperations(host, events, auth, firstFactor, secrets, twoFactor),
    },
    { provide: SecondFactorNotifications, useFactory: () => new SecondFactorNotifications() },
  ];
}

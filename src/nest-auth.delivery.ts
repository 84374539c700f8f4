import type { InjectionToken, OnApplicationShutdown, Provider } from '@nestjs/common';
import type { NotificationSource } from './delivery/notification.types.js';
import { CodeFactorNotifications } from './mfa/code-factor.notifications.js';
import { SecondFactorNotifications } from './mfa/mfa.notifications.js';
import { InvitationNotifications } from './invitation/invitation.notifications.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { PhoneChangeNotifications, RecoveryNotifications } from './recovery/recovery.notifications.js';

const CLOSING = Symbol('NestAuthSenderClosing');

/** What each room says about its events: whom to send what. */
export class NotificationSources {
  constructor(readonly sources: readonly NotificationSource[]) {}
}

/** What sending messages is made of; `settings` is the token of the module's settings. */
export function deliveryProviders(settings: InjectionToken): Provider[] {
  return [
    {
      provide: NotificationSources,
      inject: [
        RecoveryNotifications,
        PhoneChangeNotifications,
        InvitationNotifications,
        SecondFactorNotifications,
        CodeFactorNotifications,
      ],
      useFactory: (...sources: NotificationSource[]) => new NotificationSources(sources),
    },
    { provide: CLOSING, inject: [settings], useFactory: closing },
  ];
}

/** After the workers, which stop before: nothing is sent any more. */
function closing({ delivery: { sender } }: NestAuthSettings): OnApplicationShutdown {
  return { onApplicationShutdown: async () => void (await sender?.close?.()) };
}

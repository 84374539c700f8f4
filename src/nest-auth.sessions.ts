import type { InjectionToken, Provider } from '@nestjs/common';
import { LifecycleDependents } from './account/lifecycle-dependents.js';
import { PasswordService } from './account/password.service.js';
import { AccessDependents } from './access/access-dependents.js';
import { EventPublisher } from './events/event-publisher.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { AccessTokenSigner } from './session/access-token.signer.js';
import { AuthOperations } from './session/auth.operations.js';
import { SessionOperations } from './session/session.operations.js';
import { SessionSettings } from './session/session.settings.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What signing in is made of; `settings` is the token of the module's settings. */
export function sessionProviders(settings: InjectionToken): Provider[] {
  return [
    { provide: SessionSettings, inject: [settings], useFactory: ({ session }: NestAuthSettings) => session },
    {
      provide: AccessTokenSigner,
      inject: [SessionSettings],
      useFactory: (session: SessionSettings) => new AccessTokenSigner(session),
    },
    {
      provide: SessionOperations,
      inject: [TransactionHost, EventPublisher, SessionSettings, LifecycleDependents, AccessDependents],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        session: SessionSettings,
        users: LifecycleDependents,
        accesses: AccessDependents,
      ) => {
        const sessions = new SessionOperations(host, events, session);
        sessions.register(users, accesses);
        return sessions;
      },
    },
    {
      provide: AuthOperations,
      inject: [TransactionHost, EventPublisher, PasswordService, AccessTokenSigner, SessionSettings],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        passwords: PasswordService,
        signer: AccessTokenSigner,
        session: SessionSettings,
      ) => new AuthOperations(host, events, passwords, signer, session),
    },
  ];
}

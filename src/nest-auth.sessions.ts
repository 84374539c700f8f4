import type { InjectionToken, Provider } from '@nestjs/common';
import { CreateUserOperations } from './account/create-user.operations.js';
import { LifecycleDependents } from './account/lifecycle-dependents.js';
import { PasswordPolicy } from './account/password-policy.service.js';
import { PasswordService } from './account/password.service.js';
import { AccessDependents } from './access/access-dependents.js';
import { EventPublisher } from './events/event-publisher.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { SecretSettings } from './secret/secret.settings.js';
import { AccessTokenSigner } from './session/access-token.signer.js';
import { AuthOperations } from './session/auth.operations.js';
import { RateLimitSettings } from './rate-limit/rate-limit.settings.js';
import { LockoutOperations } from './session/lockout.operations.js';
import { PurgeOperations } from './session/purge.operations.js';
import { SessionOperations } from './session/session.operations.js';
import { SessionSettings } from './session/session.settings.js';
import { SignUpOperations } from './session/sign-up.operations.js';
import { Tenancy } from './tenant/tenancy.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What signing in is made of; `settings` is the token of the module's settings. */
export function sessionProviders(settings: InjectionToken): Provider[] {
  return [
    { provide: SecretSettings, inject: [settings], useFactory: ({ secrets }: NestAuthSettings) => secrets },
    { provide: SessionSettings, inject: [settings], useFactory: ({ session }: NestAuthSettings) => session },
    {
      provide: AccessTokenSigner,
      inject: [SessionSettings],
      useFactory: (session: SessionSettings) => new AccessTokenSigner(session),
    },
    {
      provide: SessionOperations,
      inject: [TransactionHost, EventPublisher, settings, LifecycleDependents, AccessDependents],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        { session, twoFactor }: NestAuthSettings,
        users: LifecycleDependents,
        accesses: AccessDependents,
      ) => {
        const sessions = new SessionOperations(host, events, session, twoFactor.platform);
        sessions.register(users, accesses);
        return sessions;
      },
    },
    {
      provide: AuthOperations,
      inject: [TransactionHost, EventPublisher, PasswordService, AccessTokenSigner, settings, LockoutOperations],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        passwords: PasswordService,
        signer: AccessTokenSigner,
        { session, twoFactor }: NestAuthSettings,
        lockout: LockoutOperations,
      ) => new AuthOperations(host, events, passwords, signer, session, lockout, twoFactor.platform),
    },
    {
      provide: PurgeOperations,
      inject: [TransactionHost, settings],
      useFactory: (host: TransactionHost, { session, lockout }: NestAuthSettings) =>
        new PurgeOperations(host, session, lockout),
    },
    {
      provide: RateLimitSettings,
      inject: [settings],
      useFactory: ({ rateLimits }: NestAuthSettings) => rateLimits,
    },
    {
      provide: SignUpOperations,
      inject: [
        TransactionHost,
        CreateUserOperations,
        PasswordService,
        PasswordPolicy,
        AuthOperations,
        Tenancy,
        SessionSettings,
      ],
      useFactory: (
        host: TransactionHost,
        creations: CreateUserOperations,
        passwords: PasswordService,
        policy: PasswordPolicy,
        auth: AuthOperations,
        tenancy: Tenancy,
        session: SessionSettings,
      ) => new SignUpOperations(host, creations, passwords, policy, auth, tenancy, session),
    },
    {
      provide: LockoutOperations,
      inject: [TransactionHost, EventPublisher, settings],
      useFactory: (host: TransactionHost, events: EventPublisher, { lockout }: NestAuthSettings) =>
        new LockoutOperations(host, events, lockout),
    },
  ];
}

import type { InjectionToken, Provider } from '@nestjs/common';
import { AccessDependents } from './access/access-dependents.js';
import { AccessOperations } from './access/access.operations.js';
import { AccessSettings } from './access/access.settings.js';
import { Delegation } from './access/delegation.operations.js';
import { CreateUserOperations } from './account/create-user.operations.js';
import { HookRunner } from './account/hook-runner.js';
import { LifecycleDependents } from './account/lifecycle-dependents.js';
import { UserOperations } from './account/user.operations.js';
import { EventPublisher } from './events/event-publisher.js';
import { AcceptInvitationOperations } from './invitation/accept-invitation.operations.js';
import { InvitationNotifications } from './invitation/invitation.notifications.js';
import { InvitationOperations } from './invitation/invitation.operations.js';
import { InvitationSettings } from './invitation/invitation.settings.js';
import { InviterOperations } from './invitation/inviter.operations.js';
import { OrphanedInvitationOperations } from './invitation/orphaned-invitation.operations.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { SecretSettings } from './secret/secret.settings.js';
import { Ownership } from './tenant/ownership.operations.js';
import { Tenancy } from './tenant/tenancy.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What invitations are made of; `settings` is the token of the module's settings. */
export function invitationProviders(settings: InjectionToken): Provider[] {
  return [
    { provide: InvitationSettings, inject: [settings], useFactory: ({ invitations }: NestAuthSettings) => invitations },
    {
      provide: InviterOperations,
      inject: [Delegation, AccessSettings],
      useFactory: (delegation: Delegation, access: AccessSettings) => new InviterOperations(delegation, access),
    },
    {
      provide: InvitationOperations,
      inject: [
        EventPublisher,
        SecretSettings,
        InvitationSettings,
        InviterOperations,
        LifecycleDependents,
        AccessDependents,
      ],
      useFactory: (
        events: EventPublisher,
        secrets: SecretSettings,
        invitations: InvitationSettings,
        inviters: InviterOperations,
        users: LifecycleDependents,
        accesses: AccessDependents,
      ) => {
        // Without a key there is none to end, and the end of a user stays one statement.
        if (secrets.isInUse) new OrphanedInvitationOperations(events).register(users, accesses);
        return new InvitationOperations(events, secrets, invitations, inviters);
      },
    },
    {
      provide: AcceptInvitationOperations,
      inject: [
        TransactionHost,
        EventPublisher,
        Tenancy,
        HookRunner,
        UserOperations,
        InviterOperations,
        AccessDependents,
        Ownership,
        AccessSettings,
        settings,
      ],
      useFactory: makeAcceptances,
    },
    {
      provide: InvitationNotifications,
      inject: [SecretSettings],
      useFactory: (secrets: SecretSettings) => new InvitationNotifications(secrets),
    },
  ];
}

/** Users and accesses are made as everywhere, but for asking whoever acts: it is the inviter who was asked. */
function makeAcceptances(
  host: TransactionHost,
  events: EventPublisher,
  tenancy: Tenancy,
  hooks: HookRunner,
  users: UserOperations,
  inviters: InviterOperations,
  dependents: AccessDependents,
  ownership: Ownership,
  { guards }: AccessSettings,
  { defaultRegion }: NestAuthSettings,
): AcceptInvitationOperations {
  const asked = new Delegation(host, tenancy, new AccessSettings(guards, 'off'));
  const creations = new CreateUserOperations(host, events, tenancy, hooks, asked, defaultRegion);
  const access = new AccessOperations(host, events, tenancy, dependents, ownership, asked);
  return new AcceptInvitationOperations(events, inviters, creations, users, access);
}

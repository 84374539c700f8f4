import type { InjectionToken, Provider } from '@nestjs/common';
import { AccessDependents } from './access/access-dependents.js';
import { Delegation } from './access/delegation.operations.js';
import { LifecycleDependents } from './account/lifecycle-dependents.js';
import { ApiKeyOperations } from './api-key/api-key.operations.js';
import { ApiKeySettings } from './api-key/api-key.settings.js';
import { EventPublisher } from './events/event-publisher.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { RecoveryDependents } from './recovery/recovery-dependents.js';
import { Tenancy } from './tenant/tenancy.js';

/** What API keys are made of; `settings` is the token of the module's settings. */
export function apiKeyProviders(settings: InjectionToken): Provider[] {
  return [
    { provide: ApiKeySettings, inject: [settings], useFactory: ({ apiKeys }: NestAuthSettings) => apiKeys },
    {
      provide: ApiKeyOperations,
      inject: [
        EventPublisher,
        Tenancy,
        Delegation,
        ApiKeySettings,
        LifecycleDependents,
        AccessDependents,
        RecoveryDependents,
      ],
      useFactory: (
        events: EventPublisher,
        tenancy: Tenancy,
        delegation: Delegation,
        apiKeys: ApiKeySettings,
        users: LifecycleDependents,
        accesses: AccessDependents,
        recoveries: RecoveryDependents,
      ) => {
        const keys = new ApiKeyOperations(events, tenancy, delegation, apiKeys);
        keys.register(users, accesses, recoveries);
        return keys;
      },
    },
  ];
}

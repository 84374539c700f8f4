import type { InjectionToken, Provider } from '@nestjs/common';
import { Delegation } from './access/delegation.operations.js';
import { BulkCreateOperations } from './account/bulk-create.operations.js';
import { CreateUserOperations } from './account/create-user.operations.js';
import { HookRunner } from './account/hook-runner.js';
import { IdentityOperations } from './account/identity.operations.js';
import { LifecycleDependents } from './account/lifecycle-dependents.js';
import { PasswordHistory } from './account/password-history.operations.js';
import { PasswordPolicy } from './account/password-policy.service.js';
import { PasswordService } from './account/password.service.js';
import { UserFinder } from './account/user-finder.js';
import { UserOperations } from './account/user.operations.js';
import { EventPublisher } from './events/event-publisher.js';
import { BatchOperations } from './lifecycle/batch.operations.js';
import { LifecycleOperations } from './lifecycle/lifecycle.operations.js';
import { LifecycleSettings } from './lifecycle/lifecycle.settings.js';
import type { NestAuthSettings } from './nest-auth.settings.js';
import { Ownership } from './tenant/ownership.operations.js';
import { Tenancy } from './tenant/tenancy.js';
import { registerPort } from './transaction/entity-ports.js';
import { TransactionHost } from './transaction/transaction-host.js';

/** What users, and their life, are made of; `settings` is the token of the module's settings. */
export function userProviders(settings: InjectionToken): Provider[] {
  return [
    {
      provide: Ownership,
      inject: [TransactionHost],
      useFactory: (host: TransactionHost) => new Ownership(host),
    },
    {
      provide: HookRunner,
      inject: [TransactionHost, settings],
      useFactory: (host: TransactionHost, { hooks }: NestAuthSettings) => new HookRunner(host, hooks),
    },
    {
      provide: CreateUserOperations,
      inject: [TransactionHost, EventPublisher, Tenancy, HookRunner, Delegation, settings],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        tenancy: Tenancy,
        hooks: HookRunner,
        delegation: Delegation,
        { defaultRegion }: NestAuthSettings,
      ) => new CreateUserOperations(host, events, tenancy, hooks, delegation, defaultRegion),
    },
    {
      provide: PasswordPolicy,
      inject: [TransactionHost, settings],
      useFactory: (host: TransactionHost, { passwordPolicy }: NestAuthSettings) =>
        new PasswordPolicy(host, passwordPolicy),
    },
    {
      provide: PasswordHistory,
      inject: [TransactionHost, PasswordService, settings],
      useFactory: (host: TransactionHost, passwords: PasswordService, { passwordPolicy }: NestAuthSettings) =>
        new PasswordHistory(host, passwords, passwordPolicy.history),
    },
    {
      provide: UserOperations,
      inject: [EventPublisher, HookRunner, LifecycleDependents, Ownership, settings],
      useFactory: (
        events: EventPublisher,
        hooks: HookRunner,
        dependents: LifecycleDependents,
        ownership: Ownership,
        { defaultRegion }: NestAuthSettings,
      ) => new UserOperations(events, hooks, dependents, ownership, defaultRegion),
    },
    {
      provide: IdentityOperations,
      inject: [TransactionHost, UserOperations, PasswordService, PasswordPolicy, PasswordHistory, settings],
      useFactory: (
        host: TransactionHost,
        users: UserOperations,
        passwords: PasswordService,
        policy: PasswordPolicy,
        history: PasswordHistory,
        { defaultRegion }: NestAuthSettings,
      ) => {
        const identities = new IdentityOperations(host, users, passwords, policy, history, defaultRegion);
        registerPort(host.dataSource, 'account', identities);
        return identities;
      },
    },
    {
      provide: BulkCreateOperations,
      inject: [TransactionHost, CreateUserOperations, IdentityOperations],
      useFactory: (host: TransactionHost, creations: CreateUserOperations, identities: IdentityOperations) =>
        new BulkCreateOperations(host, creations, identities),
    },
    {
      provide: UserFinder,
      inject: [Tenancy, settings],
      useFactory: (tenancy: Tenancy, { defaultRegion }: NestAuthSettings) => new UserFinder(tenancy, defaultRegion),
    },
    {
      provide: LifecycleSettings,
      inject: [settings],
      useFactory: ({ lifecycle }: NestAuthSettings) => lifecycle,
    },
    {
      provide: LifecycleOperations,
      inject: [TransactionHost, EventPublisher, HookRunner, LifecycleDependents, Ownership],
      useFactory: (
        host: TransactionHost,
        events: EventPublisher,
        hooks: HookRunner,
        dependents: LifecycleDependents,
        ownership: Ownership,
      ) => new LifecycleOperations(host, events, hooks, dependents, ownership),
    },
    {
      provide: BatchOperations,
      inject: [TransactionHost, LifecycleOperations],
      useFactory: (host: TransactionHost, lifecycle: LifecycleOperations) => new BatchOperations(host, lifecycle),
    },
  ];
}

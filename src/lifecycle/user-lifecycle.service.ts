import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { tenantNotFound } from '../account/user-refusals.policy.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { assertUuid } from '../errors/input.js';
import { EventPublisher } from '../events/event-publisher.js';
import { TenantUpdatedEvent } from '../events/nest-auth.events.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { BatchOperations, type Sweep } from './batch.operations.js';
import {
  checkBatchOptions,
  checkGraceInput,
  checkGracePeriods,
  checkReason,
  checkScheduleOptions,
} from './lifecycle-input.policy.js';
import { LifecycleOperations } from './lifecycle.operations.js';
import { LifecycleSettings } from './lifecycle.settings.js';
import type {
  DeactivateActiveUserInput,
  DeactivateInactiveUsersOptions,
  DeactivatePendingUserInput,
  DisableDeactivatedUsersOptions,
  LifecycleBatchOptions,
  LifecycleBatchResult,
  LifecycleGracePeriods,
  ScheduleDeletionOptions,
  ScheduleDeletionsOptions,
} from './lifecycle.types.js';
import { readTenantPeriods, writeTenantPeriods } from './tenant-periods.queries.js';
import type { LifecycleCommand } from './transitions.policy.js';

/**
 * The life of a user: pending, active, inactive, disabled, soft-deleted, scheduled for deletion, gone.
 *
 * Every method takes the manager last, as those of `UserService`. A transition is one statement, in which the database
 * judges where the user stands and whether a grace period is over, by its own clock; with `user` hooks, and where
 * something ends that only an active user has, it is a transaction. Of several calls at once one wins. A user who is
 * there already is a refusal (`USER_ALREADY_ACTIVE`, …); a refusal writes nothing and leaves the caller's transaction
 * usable. All throw `USER_NOT_FOUND`, and `VALIDATION_FAILED` for ids that are no UUIDs.
 */
@Injectable()
export class UserLifecycleService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: LifecycleOperations,
    private readonly batches: BatchOperations,
    private readonly settings: LifecycleSettings,
    private readonly events: EventPublisher,
  ) {}

  /**
   * Activates a pending user.
   *
   * @throws `USER_ALREADY_ACTIVE`, `USER_NOT_PENDING`, `USER_DISABLED`, `USER_SOFT_DELETED`,
   *   `USER_SCHEDULED_FOR_DELETION`.
   */
  activateById(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('activate', id, manager);
  }

  /**
   * Activates an inactive user again.
   *
   * @throws `USER_ALREADY_ACTIVE`, `USER_NOT_INACTIVE`, `USER_DISABLED`, `USER_SOFT_DELETED`,
   *   `USER_SCHEDULED_FOR_DELETION`.
   */
  reactivateById(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('reactivate', id, manager);
  }

  /**
   * Deactivates an active user, until `reactivateById`; ends what only an active user has.
   *
   * @throws `USER_ALREADY_INACTIVE`, `USER_NOT_ACTIVE`, `USER_DISABLED`, `USER_SOFT_DELETED`,
   *   `USER_SCHEDULED_FOR_DELETION`.
   */
  deactivateById(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('deactivate', id, manager);
  }

  /**
   * Deactivates a user who was created a grace period ago and has never been activated.
   *
   * @throws `GRACE_PERIOD_NOT_OVER`, `USER_NOT_PENDING`, `USER_ALREADY_INACTIVE`, `USER_DISABLED`, `USER_SOFT_DELETED`,
   *   `USER_SCHEDULED_FOR_DELETION`.
   */
  async deactivatePendingUser(input: DeactivatePendingUserInput, manager?: EntityManager): Promise<NestAuthUser> {
    checkGraceInput(input, 'gracePeriodInDays', 'days');
    return this.#moveAfter('deactivatePending', input.id, input.gracePeriodInDays, 'pendingDays', manager);
  }

  /**
   * Deactivates a user who has neither signed in nor been activated for a grace period.
   *
   * @throws `USER_STILL_ACTIVE`, `USER_NOT_ACTIVE`, `USER_ALREADY_INACTIVE`, `USER_DISABLED`, `USER_SOFT_DELETED`,
   *   `USER_SCHEDULED_FOR_DELETION`.
   */
  async deactivateActiveUser(input: DeactivateActiveUserInput, manager?: EntityManager): Promise<NestAuthUser> {
    checkGraceInput(input, 'gracePeriodInMonths', 'months');
    return this.#moveAfter('deactivateActive', input.id, input.gracePeriodInMonths, 'inactiveMonths', manager);
  }

  /**
   * Disables a user, for good: what follows is deletion. Ends what only an active user has.
   *
   * @throws `USER_ALREADY_DISABLED`, `USER_SOFT_DELETED`, `USER_SCHEDULED_FOR_DELETION`.
   */
  disableById(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('disable', id, manager);
  }

  /**
   * Soft-deletes a disabled user: no look-up finds it any more, and its email, phone and provider accounts are free at
   * once. Two statements in one transaction.
   *
   * @throws `USER_NOT_DISABLED`, `USER_ON_LEGAL_HOLD`, `USER_SOFT_DELETED`, `USER_SCHEDULED_FOR_DELETION`.
   */
  softDeleteById(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('softDelete', id, manager);
  }

  /**
   * Brings a soft-deleted user back, disabled, with its email, phone, provider accounts, accesses and roles.
   *
   * @throws `EMAIL_ALREADY_EXISTS`, `PHONE_ALREADY_EXISTS`, `IDENTITY_ALREADY_EXISTS` when somebody has one of them by
   *   now; `USER_NOT_SOFT_DELETED`, `USER_SCHEDULED_FOR_DELETION`.
   */
  restoreById(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('restore', id, manager);
  }

  /**
   * Schedules a soft-deleted user for deletion, after the grace period.
   *
   * @throws `USER_NOT_SOFT_DELETED`, `USER_ON_LEGAL_HOLD`, `USER_SCHEDULED_FOR_DELETION`.
   */
  async scheduleForDeletionById(
    id: string,
    options: ScheduleDeletionOptions = {},
    manager?: EntityManager,
  ): Promise<NestAuthUser> {
    checkScheduleOptions(options);
    return this.#moveAfter('schedule', id, options.gracePeriodInDays, 'deletionDays', manager);
  }

  /**
   * Takes the schedule back: the user is soft-deleted again.
   *
   * @throws `USER_NOT_SCHEDULED_FOR_DELETION`.
   */
  cancelDeletionById(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('cancel', id, manager);
  }

  /**
   * Deletes a disabled user, or one whose scheduled deletion has come, with identities, accesses and roles. Answers what
   * the user was. One statement, in a savepoint when a transaction is joined; with hooks a transaction.
   *
   * @throws `USER_NOT_DISABLED`, `USER_NOT_SCHEDULED_FOR_DELETION` for one who is soft-deleted,
   *   `SCHEDULED_DELETION_NOT_REACHED`, `USER_ON_LEGAL_HOLD`, `USER_IN_USE` when a row of the host refers to the user.
   */
  deleteById(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('delete', id, manager);
  }

  /**
   * Keeps the user from being deleted, softly or for good, by any method and any batch, until it is released.
   *
   * @throws `USER_ON_LEGAL_HOLD` when there is one already.
   */
  async setLegalHold(id: string, reason: string, manager?: EntityManager): Promise<NestAuthUser> {
    assertUuid('id', id);
    checkReason(reason);
    const order = { command: 'setLegalHold', tenants: false, skipLocked: false, value: reason } as const;
    return this.operations.moveOne(order, id, manager);
  }

  /**
   * Lets the user be deleted again.
   *
   * @throws `USER_NOT_ON_LEGAL_HOLD`.
   */
  releaseLegalHold(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('releaseLegalHold', id, manager);
  }

  /**
   * Notes that an active user has signed in: the months without a sign-in begin anew. The version stays.
   *
   * @throws `USER_NOT_ACTIVE`, `USER_DISABLED`, `USER_SOFT_DELETED`, `USER_SCHEDULED_FOR_DELETION`.
   */
  recordLogin(id: string, manager?: EntityManager): Promise<NestAuthUser> {
    return this.#move('recordLogin', id, manager);
  }

  /**
   * Deactivates every pending user who has not come, and every active one who has not signed in, for the grace period.
   * As all batches: a chunk a transaction unless one is joined; whoever cannot be changed is in `failed` and stops
   * nobody else; killed, it is run again; two at once do not get in each other's way.
   */
  async deactivateInactiveUsers(
    options: DeactivateInactiveUsersOptions = {},
    manager?: EntityManager,
  ): Promise<LifecycleBatchResult> {
    checkBatchOptions(options, { pendingGracePeriodInDays: 'days', activeGracePeriodInMonths: 'months' });
    const { graces } = this.settings;
    const { pendingGracePeriodInDays: days = graces.pendingDays } = options;
    const { activeGracePeriodInMonths: months = graces.inactiveMonths } = options;
    return this.#batch(options, manager, [
      { command: 'deactivatePending', status: 'pending', period: days },
      { command: 'deactivateActive', status: 'active', period: months },
    ]);
  }

  /** Disables every user who was deactivated a grace period ago. As {@link deactivateInactiveUsers}. */
  async disableDeactivatedUsers(
    options: DisableDeactivatedUsersOptions = {},
    manager?: EntityManager,
  ): Promise<LifecycleBatchResult> {
    checkBatchOptions(options, { gracePeriodInMonths: 'months' });
    const { gracePeriodInMonths: period = this.settings.graces.disableMonths } = options;
    return this.#batch(options, manager, [{ command: 'disableDeactivated', status: 'inactive', period }]);
  }

  /** Soft-deletes every disabled user; one on legal hold is skipped. As {@link deactivateInactiveUsers}. */
  async softDeleteDisabledUsers(
    options: LifecycleBatchOptions = {},
    manager?: EntityManager,
  ): Promise<LifecycleBatchResult> {
    checkBatchOptions(options, {});
    return this.#batch(options, manager, [{ command: 'softDelete', status: 'disabled' }]);
  }

  /** Schedules every soft-deleted user for deletion; one on legal hold is skipped. As {@link deactivateInactiveUsers}. */
  async scheduleSoftDeletedUsersForDeletion(
    options: ScheduleDeletionsOptions = {},
    manager?: EntityManager,
  ): Promise<LifecycleBatchResult> {
    checkBatchOptions(options, { gracePeriodInDays: 'days' });
    const { gracePeriodInDays: period = this.settings.graces.deletionDays } = options;
    return this.#batch(options, manager, [{ command: 'schedule', status: 'disabled', period }]);
  }

  /**
   * Deletes every user whose scheduled deletion has come. One on legal hold is skipped; one whom a row of the host
   * refers to is in `failed` with `USER_IN_USE`. As {@link deactivateInactiveUsers}.
   */
  async deleteScheduledUsers(
    options: LifecycleBatchOptions = {},
    manager?: EntityManager,
  ): Promise<LifecycleBatchResult> {
    checkBatchOptions(options, {});
    return this.#batch(options, manager, [{ command: 'delete', status: 'scheduled_deletion' }]);
  }

  /**
   * Gives a tenant grace periods of its own; null takes them back. A user in several tenants gets the longest.
   *
   * @throws `TENANT_NOT_FOUND`.
   */
  async setTenantGracePeriods(
    tenantId: string,
    periods: LifecycleGracePeriods | null,
    manager?: EntityManager,
  ): Promise<void> {
    assertUuid('tenantId', tenantId);
    if (periods !== null) checkGracePeriods(periods);
    await this.transactions.operate(manager, async (m) => {
      const written = await writeTenantPeriods(m, tenantId, periods);
      if (written === null) throw tenantNotFound();
      if (written.changed) this.events.publish(m, new TenantUpdatedEvent(written.tenant));
    });
  }

  /** The tenant's own grace periods, or null. Throws `TENANT_NOT_FOUND`. */
  async getTenantGracePeriods(tenantId: string, manager?: EntityManager): Promise<LifecycleGracePeriods | null> {
    assertUuid('tenantId', tenantId);
    return this.transactions.operate(manager, async (m) => {
      const periods = await readTenantPeriods(m, tenantId);
      if (periods === undefined) throw tenantNotFound();
      return periods;
    });
  }

  async #move(command: LifecycleCommand, id: string, manager: EntityManager | undefined): Promise<NestAuthUser> {
    assertUuid('id', id);
    return this.operations.moveOne({ command, tenants: false, skipLocked: false }, id, manager);
  }

  /** A period that the call names is the one; else the longest of the user's tenants. */
  async #moveAfter(
    command: LifecycleCommand,
    id: string,
    period: number | undefined,
    otherwise: keyof LifecycleGracePeriods,
    manager: EntityManager | undefined,
  ): Promise<NestAuthUser> {
    assertUuid('id', id);
    const value = period ?? this.settings.graces[otherwise];
    return this.operations.moveOne({ command, tenants: period === undefined, skipLocked: false, value }, id, manager);
  }

  #batch(
    options: LifecycleBatchOptions,
    manager: EntityManager | undefined,
    sweeps: readonly Sweep[],
  ): Promise<LifecycleBatchResult> {
    const { chunkSize = this.settings.chunkSize } = options;
    return this.batches.run(sweeps, { ...options, chunkSize }, manager);
  }
}

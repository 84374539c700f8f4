import type { NestAuthUser } from '../account/user.entity.js';
import {
  type NestAuthEvent,
  UserActivatedEvent,
  UserDeactivatedEvent,
  UserDeletedEvent,
  UserDeletionCanceledEvent,
  UserDeletionScheduledEvent,
  UserDisabledEvent,
  UserLegalHoldReleasedEvent,
  UserLegalHoldSetEvent,
  UserLoggedInEvent,
  UserReactivatedEvent,
  UserRestoredEvent,
  UserSoftDeletedEvent,
} from '../events/nest-auth.events.js';
import type { LifecycleCommand } from './transitions.policy.js';

const EVENTS: Readonly<Record<LifecycleCommand, new (user: NestAuthUser) => NestAuthEvent>> = {
  activate: UserActivatedEvent,
  reactivate: UserReactivatedEvent,
  deactivate: UserDeactivatedEvent,
  deactivatePending: UserDeactivatedEvent,
  deactivateActive: UserDeactivatedEvent,
  disable: UserDisabledEvent,
  disableDeactivated: UserDisabledEvent,
  softDelete: UserSoftDeletedEvent,
  restore: UserRestoredEvent,
  schedule: UserDeletionScheduledEvent,
  cancel: UserDeletionCanceledEvent,
  delete: UserDeletedEvent,
  setLegalHold: UserLegalHoldSetEvent,
  releaseLegalHold: UserLegalHoldReleasedEvent,
  recordLogin: UserLoggedInEvent,
};

/** What is announced of a command that was carried out. */
export function eventOf(command: LifecycleCommand, user: NestAuthUser): NestAuthEvent {
  return new EVENTS[command](user);
}

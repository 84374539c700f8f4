import type { LifecycleBatchOptions, LifecycleBatchResult } from './lifecycle.types.js';
import type { UserLifecycleService } from './user-lifecycle.service.js';

/** A batch that somebody runs at regular times. */
export interface LifecycleJob {
  /** Unique, and stays: runs are remembered by it. */
  readonly name: string;
  /** Harmless when it runs again, or twice at once. */
  run(lifecycle: UserLifecycleService, options: LifecycleBatchOptions): Promise<LifecycleBatchResult>;
}

/** Every batch of the lifecycle, in the order in which a user meets them; for a scheduler. */
export const LIFECYCLE_JOBS: readonly LifecycleJob[] = [
  { name: 'deactivate-inactive-users', run: (lifecycle, options) => lifecycle.deactivateInactiveUsers(options) },
  { name: 'disable-deactivated-users', run: (lifecycle, options) => lifecycle.disableDeactivatedUsers(options) },
  { name: 'soft-delete-disabled-users', run: (lifecycle, options) => lifecycle.softDeleteDisabledUsers(options) },
  {
    name: 'schedule-soft-deleted-users-for-deletion',
    run: (lifecycle, options) => lifecycle.scheduleSoftDeletedUsersForDeletion(options),
  },
  { name: 'delete-scheduled-users', run: (lifecycle, options) => lifecycle.deleteScheduledUsers(options) },
];

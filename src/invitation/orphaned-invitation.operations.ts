import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import type { AccessDependents } from '../access/access-dependents.js';
import type { LifecycleDependents } from '../account/lifecycle-dependents.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { InvitationRevokedEvent } from '../events/nest-auth.events.js';
import { toInvitation } from './invitation.queries.js';
import { findPendingOf, revokePending } from './orphaned-invitation.queries.js';

const NAME = 'invitations';

/**
 * Invitations end with who answers for them: with the inviter, and with the inviter's membership. What row-level security
 * hides meanwhile is not ended, and cannot be accepted either.
 */
export class OrphanedInvitationOperations {
  constructor(private readonly events: EventPublisher) {}

  register(users: LifecycleDependents, accesses: AccessDependents): void {
    users.register({ name: NAME, end: (manager, userIds) => this.#end(manager, userIds, null) });
    accesses.register({ name: NAME, end: (manager, userId, tenantId) => this.#end(manager, [userId], tenantId) });
  }

  /** One statement for inviters of nothing. They are held, so that nothing is sent in their names meanwhile. */
  async #end(manager: EntityManager, userIds: readonly string[], tenantId: string | null): Promise<void> {
    const ids = await findPendingOf(manager, userIds, tenantId);
    if (ids.length === 0) return;
    const activityIds = ids.map(() => uuidv7());
    for (const row of await revokePending(manager, ids, activityIds)) {
      this.events.publish(manager, new InvitationRevokedEvent(toInvitation(row)));
    }
  }
}

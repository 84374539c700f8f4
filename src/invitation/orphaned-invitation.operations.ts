import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import type { AccessDependents } from '../access/access-dependents.js';
import type { LifecycleDependents } from '../account/lifecycle-dependents.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { InvitationRevokedEvent } from '../events/nest-auth.events.js';
import { toInvitation } from './invitation.queries.js';
import {
  findAddress,
  findPendingOf,
  findPendingTo,
  type OrphanReason,
  revokePending,
} from './orphaned-invitation.queries.js';

const NAME = 'invitations';

/**
 * Invitations end with who answers for them: with the inviter, and with the inviter's membership. And what a member was
 * sent before does not lead back in who was taken out. What row-level security hides meanwhile is not ended, and cannot
 * be accepted either.
 */
export class OrphanedInvitationOperations {
  constructor(private readonly events: EventPublisher) {}

  register(users: LifecycleDependents, accesses: AccessDependents): void {
    users.register({ name: NAME, end: (manager, userIds) => this.#endOf(manager, userIds, null) });
    accesses.register({
      name: NAME,
      end: async (manager, userId, tenantId) => {
        await this.#endOf(manager, [userId], tenantId);
        const address = await findAddress(manager, userId);
        if (address !== null) await this.#end(manager, await findPendingTo(manager, tenantId, address), 'access_ended');
      },
    });
  }

  /** One statement for inviters of nothing. They are held, so that nothing is sent in their names meanwhile. */
  async #endOf(manager: EntityManager, userIds: readonly string[], tenantId: string | null): Promise<void> {
    await this.#end(manager, await findPendingOf(manager, userIds, tenantId), 'inviter_left');
  }

  async #end(manager: EntityManager, ids: readonly string[], reason: OrphanReason): Promise<void> {
    if (ids.length === 0) return;
    const activityIds = ids.map(() => uuidv7());
    for (const row of await revokePending(manager, ids, activityIds, reason)) {
      this.events.publish(manager, new InvitationRevokedEvent(toInvitation(row)));
    }
  }
}

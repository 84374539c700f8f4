import type { EntityManager } from 'typeorm';
import { AccessSettings } from '../access/access.settings.js';
import type { Delegation } from '../access/delegation.operations.js';
import { ActorTypeEnum } from '../audit/activity.types.js';
import { IdentityContext } from '../audit/identity-context.js';
import { isUuid } from '../errors/input.js';
import { inviterMayNot } from './invitation-refusals.policy.js';
import { holdInviter } from './accept-invitation.queries.js';

/** Who answers for an invitation: by what that person may give it is judged, when it is sent and when it is accepted. */
export class InviterOperations {
  constructor(
    private readonly delegation: Delegation,
    private readonly settings: AccessSettings,
  ) {}

  /** The user who acts; null when nobody does, or something that is no user. */
  get actorId(): string | null {
    const { actor } = IdentityContext.current;
    return actor?.type === ActorTypeEnum.USER ? (actor.id ?? null) : null;
  }

  /**
   * Throws `GRANT_NOT_HELD` for a service account: nobody could be judged again when the invitation is accepted, and it
   * would outlive the key.
   */
  assertAnswerable(): void {
    const { actor, apiKey } = IdentityContext.current;
    if (apiKey !== undefined && actor?.type !== ActorTypeEnum.USER) throw inviterMayNot();
  }

  /**
   * Throws `GRANT_NOT_HELD` unless the inviter may (still) give the roles. The inviter and what the right comes from stay
   * as they are until the transaction ends; `manager` must be a transaction's.
   */
  async assertMayInvite(
    manager: EntityManager,
    inviterId: string | null,
    { tenantId, roleIds }: { readonly tenantId: string; readonly roleIds: readonly string[] },
  ): Promise<void> {
    if (inviterId === null) return;
    const mustBeMember = this.settings.delegation === 'enforced';
    if (!isUuid(inviterId)) throw inviterMayNot();
    // As the inviter, whoever acts now: that may be the person who was invited. If it is the inviter, by a key too.
    await IdentityContext.run({ actor: { type: ActorTypeEnum.USER, id: inviterId } }, () =>
      this.delegation.assertMayGrant(manager, { tenantId }, { roleIds }),
    );
    if (!(await holdInviter(manager, inviterId, tenantId, mustBeMember))) throw inviterMayNot();
  }
}

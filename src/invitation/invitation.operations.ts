import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { assertMayHaveAccess, assertRolesFit } from '../access/access-refusals.policy.js';
import type { EventPublisher } from '../events/event-publisher.js';
import {
  InvitationDeclinedEvent,
  InvitationResentEvent,
  InvitationRevokedEvent,
  InvitationSentEvent,
} from '../events/nest-auth.events.js';
import { issueToken, type IssuedOneTimeSecret, tokenOf } from '../secret/one-time-secret.policy.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import { untilDecided } from '../transaction/optimistic.js';
import { declineInvitation } from './accept-invitation.queries.js';
import { readInvitationToken } from './invitation-input.policy.js';
import { alreadyPending, invitationInvalid, invitationNotFound, notPending } from './invitation-refusals.policy.js';
import {
  findInvitation,
  insertInvitation,
  type InvitationRow,
  lapseInvitation,
  type NewInvitation,
  type PlaceRow,
  reissueInvitation,
  revokeInvitation,
  toInvitation,
} from './invitation.queries.js';
import type { InvitationSettings } from './invitation.settings.js';
import { type Invitation, InvitationStatusEnum, IssuedInvitation } from './invitation.types.js';
import type { InviterOperations } from './inviter.operations.js';

/** What is sent, but for what the operation itself decides. */
export type WantedInvitation = Omit<NewInvitation, 'id'>;

/** The rules of invitations, but for accepting them. */
export class InvitationOperations {
  constructor(
    private readonly events: EventPublisher,
    private readonly secrets: SecretSettings,
    private readonly settings: InvitationSettings,
    private readonly inviters: InviterOperations,
  ) {}

  /** One statement, and those by which an inviter is judged; with an inviter `manager` must be a transaction's. */
  async send(manager: EntityManager, wanted: WantedInvitation): Promise<IssuedInvitation> {
    this.inviters.assertAnswerable();
    await this.inviters.assertMayInvite(manager, wanted.invitedBy, wanted);
    const invitation = { ...wanted, id: uuidv7() };
    const secret = issueToken(this.secrets, 'invitation', invitation.id);
    const row = await untilDecided(async () => {
      const found = await insertInvitation(manager, invitation, secret, this.settings.expiresInSeconds);
      if (found.id !== null) return found;
      assertPlace(found);
      if (found.pending_id === null) return undefined;
      if (found.pending_is_over !== true) throw alreadyPending(found.pending_id);
      await lapseInvitation(manager, found.pending_id);
      return undefined;
    });
    const sent = toInvitation(row as InvitationRow);
    this.events.publish(manager, new InvitationSentEvent(sent));
    return this.#issued(sent, secret);
  }

  /** `manager` must be a transaction's. Whoever sends it again answers for it from then on. */
  async resend(manager: EntityManager, id: string, tenantId: string): Promise<IssuedInvitation> {
    this.inviters.assertAnswerable();
    const secret = issueToken(this.secrets, 'invitation', id.toLowerCase());
    const row = await untilDecided(async () => {
      const seen = await findInvitation(manager, id, tenantId);
      if (seen === undefined) throw invitationNotFound('resendInvitation');
      if (seen.ended_at !== null) throw notPending('resendInvitation');
      const inviterId = this.inviters.actorId ?? seen.invited_by;
      await this.inviters.assertMayInvite(manager, inviterId, { tenantId, roleIds: seen.role_ids });
      const sent = await reissueInvitation(manager, seen, inviterId, secret, this.settings.expiresInSeconds);
      if (sent.id === null) assertPlace(sent);
      return sent.id === null ? undefined : sent;
    });
    const resent = toInvitation(row as InvitationRow);
    this.events.publish(manager, new InvitationResentEvent(resent));
    return this.#issued(resent, secret);
  }

  async revoke(manager: EntityManager, id: string, tenantId: string): Promise<Invitation> {
    const row = await untilDecided(async () => {
      const found = await revokeInvitation(manager, id, tenantId);
      if (found === undefined) throw invitationNotFound('revokeInvitation');
      return found.status === InvitationStatusEnum.PENDING ? undefined : found;
    });
    if (!row.changed && row.status !== InvitationStatusEnum.REVOKED && row.status !== InvitationStatusEnum.EXPIRED)
      throw notPending('revokeInvitation');
    const revoked = toInvitation(row);
    if (row.changed) this.events.publish(manager, new InvitationRevokedEvent(revoked));
    return revoked;
  }

  async decline(manager: EntityManager, token: string): Promise<Invitation> {
    const { id, hash } = readInvitationToken(token);
    const row = await declineInvitation(manager, id, hash);
    if (row === undefined) throw invitationInvalid();
    const declined = toInvitation(row);
    this.events.publish(manager, new InvitationDeclinedEvent(declined));
    return declined;
  }

  #issued(invitation: Invitation, secret: IssuedOneTimeSecret): IssuedInvitation {
    return new IssuedInvitation(invitation, tokenOf(this.secrets, 'invitation', invitation.id, secret) as string);
  }
}

function assertPlace({ tenant_ok, unknown, misplaced }: PlaceRow): void {
  assertMayHaveAccess({ user_ok: true, tenant_ok, realm_ok: true });
  assertRolesFit({ unknown, misplaced });
}

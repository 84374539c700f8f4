import type { EntityManager } from 'typeorm';
import type { AccessOperations } from '../access/access.operations.js';
import { AccessStatusEnum } from '../access/access.types.js';
import { UserStatusEnum } from '../account/account.types.js';
import type { CreateUserOperations, Creation } from '../account/create-user.operations.js';
import { CONFLICT_ATTEMPTS } from '../account/login-conflict.queries.js';
import { normaliseEmail } from '../account/contact.policy.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { lostEveryRace } from '../account/user-refusals.policy.js';
import type { UserOperations } from '../account/user.operations.js';
import { lockUser } from '../account/user.queries.js';
import { isNestAuthError, type NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { InvitationAcceptedEvent } from '../events/nest-auth.events.js';
import { findUserOfIdentity } from '../external/external-user.queries.js';
import {
  claimInvitation,
  findOpenInvitation,
  finishInvitation,
  isActiveUser,
  type OpenInvitationRow,
} from './accept-invitation.queries.js';
import { readInvitationToken } from './invitation-input.policy.js';
import {
  addressTaken,
  emailUnverified,
  hasAccount,
  invitationInvalid,
  inviterMayNot,
  notForUser,
  userNotActive,
} from './invitation-refusals.policy.js';
import { toInvitation } from './invitation.queries.js';
import type { AcceptedInvitation, AcceptInvitationInput, InvitationPreview } from './invitation.types.js';
import type { InviterOperations } from './inviter.operations.js';

/** Somebody who accepts: the token as it is stored, and the password as it will be. */
export interface Acceptance {
  readonly userId: AcceptInvitationInput['userId'] | undefined;
  readonly metadata: AcceptInvitationInput['metadata'] | undefined;
  /** What was found by the token. */
  readonly seen: OpenInvitationRow;
  readonly hash: Buffer;
  readonly passwordHash: string | null;
}

/** What joining says of a tenant or a role that is not active. */
const CLOSED = ['TENANT_NOT_FOUND', 'ROLE_NOT_FOUND'] as const;

/** The user whom the invitation has made or found. */
interface Joined {
  readonly user: NestAuthUser;
  readonly isNewUser: boolean;
}

/**
 * The rules of accepting. `creations` and `access` are not held to what whoever acts may give: the person invited holds
 * nothing yet, and it is the inviter who is asked.
 */
export class AcceptInvitationOperations {
  constructor(
    private readonly events: EventPublisher,
    private readonly inviters: InviterOperations,
    private readonly creations: CreateUserOperations,
    private readonly users: UserOperations,
    private readonly access: AccessOperations,
  ) {}

  /** The invitation of a token, as far as a look at it tells; `INVITATION_INVALID` for none. */
  async find(manager: EntityManager, id: string, hash: Buffer): Promise<OpenInvitationRow> {
    const row = await findOpenInvitation(manager, id, hash);
    if (row === undefined) throw invitationInvalid();
    if (!row.is_sound) throw unsound();
    return row;
  }

  async preview(manager: EntityManager, token: string): Promise<InvitationPreview> {
    const { id, hash } = readInvitationToken(token);
    const row = await this.find(manager, id, hash);
    const inviterIsThere = row.invited_by === null || (await isActiveUser(manager, row.invited_by));
    if (!inviterIsThere) throw invitationInvalid(inviterMayNot());
    const known = await findUserOfIdentity(manager, addressOf(row));
    return { invitation: toInvitation(row), tenantName: row.tenant_name as string, hasAccount: known !== null };
  }

  /** `manager` must be a transaction's. Refusals come before anything is written. */
  async accept(manager: EntityManager, acceptance: Acceptance): Promise<AcceptedInvitation> {
    // The inviter first, as who leaves does it: invitations end with their inviter. Whoever sends one again makes
    // another token, so of this one the inviter is who was seen.
    await this.#assertInviterHolds(manager, acceptance.seen);
    const claimed = await claimInvitation(manager, acceptance.seen.id, acceptance.hash);
    if (claimed === undefined) throw invitationInvalid();
    if (!claimed.is_sound) throw unsound();
    const { user, isNewUser } = await this.#join(manager, claimed, acceptance).catch(async (error: unknown) => {
      throw (await this.#isClosed(manager, acceptance, error)) ? unsound(error) : error;
    });
    const access = await this.access.findUserAccess(manager, user.id, claimed.tenant_id);
    const row = await finishInvitation(manager, claimed.id, acceptance.hash, { userId: user.id, isNewUser });
    if (row === undefined || access === null) throw invitationInvalid();
    const invitation = toInvitation(row);
    this.events.publish(manager, new InvitationAcceptedEvent(invitation, user.id, isNewUser));
    return { invitation, user, access, isNewUser };
  }

  /** Nobody outside is told what became of the inviter. */
  async #assertInviterHolds(manager: EntityManager, seen: OpenInvitationRow): Promise<void> {
    if (seen.invited_by !== null) await this.#holdJoinerBefore(manager, seen.invited_by, seen);
    const given = { tenantId: seen.tenant_id, roleIds: seen.role_ids };
    await this.inviters.assertMayInvite(manager, seen.invited_by, given).catch((error: unknown) => {
      throw isNestAuthError(error, 'GRANT_NOT_HELD') ? invitationInvalid(error) : error;
    });
  }

  /**
   * Holds who has the address already, unless that one comes after the inviter: of two users the first by id is held
   * first. Without, people who have invited each other, or themselves, and accept at once would wait for each other.
   */
  async #holdJoinerBefore(manager: EntityManager, inviterId: string, seen: OpenInvitationRow): Promise<void> {
    const known = await findUserOfIdentity(manager, addressOf(seen));
    if (known !== null && known.id <= inviterId) await lockUser(manager, known.id);
  }

  /** Held, a tenant or a role cannot go, but it can be closed: then that is the reason, and the same answer as before. */
  async #isClosed(manager: EntityManager, { seen, hash }: Acceptance, error: unknown): Promise<boolean> {
    if (!CLOSED.some((code) => isNestAuthError(error, code))) return false;
    return (await claimInvitation(manager, seen.id, hash))?.is_sound === false;
  }

  async #join(manager: EntityManager, claimed: OpenInvitationRow, acceptance: Acceptance): Promise<Joined> {
    for (let attempt = 0; attempt < CONFLICT_ATTEMPTS; attempt += 1) {
      const joined = await this.#tryJoin(manager, claimed, acceptance);
      if (joined !== null) return joined;
    }
    throw lostEveryRace();
  }

  /** Null when somebody has taken or left the address meanwhile. */
  async #tryJoin(manager: EntityManager, claimed: OpenInvitationRow, acceptance: Acceptance): Promise<Joined | null> {
    const known = await findUserOfIdentity(manager, addressOf(claimed));
    if (acceptance.userId != null && known?.id !== acceptance.userId.toLowerCase()) throw notForUser();
    if (known === null) return this.#create(manager, claimed, acceptance);
    const held = await lockUser(manager, known.id);
    if (held === null || held.emailNorm !== claimed.email_norm) return null;
    assertMayJoin(held.user, acceptance);
    await this.#give(manager, held.user.id, claimed);
    return { user: held.user, isNewUser: false };
  }

  async #create(manager: EntityManager, claimed: OpenInvitationRow, acceptance: Acceptance): Promise<Joined | null> {
    const creation = this.#planned(claimed, acceptance);
    const made = await this.creations.create(manager, creation).catch((error: unknown) => {
      if (!isNestAuthError(error, 'EMAIL_ALREADY_EXISTS')) throw error;
      // What code of the host has written for a user who was not made must go, too: with the transaction, which whoever
      // has opened it tries again.
      if (this.creations.needsTransaction) throw addressTaken(error);
      return null;
    });
    if (made === null) return null;
    // Hooks may have given the user another email, or none: that one is proven by nothing.
    if (!isEmail(made.email, claimed.email_norm)) return { user: made, isNewUser: true };
    return { user: await this.users.verify(manager, made.id, 'email', true, made.email), isNewUser: true };
  }

  #planned(claimed: OpenInvitationRow, { metadata, passwordHash }: Acceptance): Creation {
    const input = { email: claimed.email, roleIds: claimed.role_ids, ...(metadata === undefined ? {} : { metadata }) };
    const planned = this.creations.plan(input, passwordHash, claimed.tenant_id, { source: 'invitation' }, false);
    const invitation = { id: claimed.id, metadata: claimed.metadata };
    const actor = claimed.invited_by === null ? {} : { actorId: claimed.invited_by };
    return { ...planned, context: { source: 'invitation', ...actor, invitation } };
  }

  async #give(manager: EntityManager, userId: string, claimed: OpenInvitationRow): Promise<void> {
    const { tenant_id: tenantId, role_ids: roleIds } = claimed;
    const before = await this.access.findUserAccess(manager, userId, tenantId);
    // Whoever was suspended is not let in again by a letter.
    if (before !== null && before.status !== AccessStatusEnum.ACTIVE) throw suspended();
    if (roleIds.length > 0) await this.access.roles.addUserAccessRoles(manager, userId, tenantId, roleIds);
    else if (before === null) await this.access.ensureUserAccess(manager, userId, tenantId);
  }
}

/** An address that is not verified may be typed in by anybody: it is worth nothing here. */
function assertMayJoin(user: NestAuthUser, { metadata, passwordHash }: Acceptance): void {
  if (user.status !== UserStatusEnum.ACTIVE) throw userNotActive(user.id);
  if (user.emailVerifiedAt === null) throw emailUnverified();
  const given = { password: passwordHash ?? undefined, metadata };
  const fields = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (fields.length > 0) throw hasAccount(fields);
}

function isEmail(typed: string | null, norm: string): boolean {
  const normalised = typed === null ? null : normaliseEmail(typed);
  return normalised !== null && 'value' in normalised && normalised.value === norm;
}

function addressOf({ realm_id: realmId, email_norm: providerId }: OpenInvitationRow) {
  return { realmId, provider: 'email', providerId };
}

function unsound(cause?: unknown): NestAuthError {
  return invitationInvalid(new Error('The tenant, or a role, is not there or not active', { cause }));
}

function suspended(): NestAuthError {
  return invitationInvalid(new Error('The access to the tenant is suspended'));
}

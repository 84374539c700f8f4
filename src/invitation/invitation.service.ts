import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { aboutUser } from '../account/password-about.policy.js';
import { IdentityOperations } from '../account/identity.operations.js';
import { IdentityContext } from '../audit/identity-context.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { SecretSettings } from '../secret/secret.settings.js';
import { Tenancy } from '../tenant/tenancy.js';
import type { Page } from '../transaction/keyset.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { AcceptInvitationOperations } from './accept-invitation.operations.js';
import {
  assertKey,
  checkAccept,
  checkList,
  prepareSend,
  readInvitationToken,
  tokenOfInput,
} from './invitation-input.policy.js';
import { listInvitations, removeExpiredInvitations } from './invitation-list.queries.js';
import { InvitationOperations } from './invitation.operations.js';
import { InvitationSettings } from './invitation.settings.js';
import type {
  AcceptedInvitation,
  AcceptInvitationInput,
  Invitation,
  InvitationPreview,
  IssuedInvitation,
  ListInvitationsOptions,
  SendInvitationInput,
} from './invitation.types.js';
import { InviterOperations } from './inviter.operations.js';

const CHUNK = 1_000;

/**
 * People who are invited to a tenant by email, whether or not they have an account. Needs the option `secrets.keys`.
 *
 * An invitation is worth what its inviter may give at the moment in which it is accepted. Sending, sending again,
 * revoking and listing belong to the tenant, and ask nobody for a right but that to give the roles; the caller does.
 * Whoever has a token proves who they are by it: with row-level security those calls belong to no tenant, as in
 * `AuthService`.
 */
@Injectable()
export class InvitationService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: InvitationOperations,
    private readonly acceptances: AcceptInvitationOperations,
    private readonly inviters: InviterOperations,
    private readonly identities: IdentityOperations,
    private readonly limits: RateLimitService,
    private readonly secrets: SecretSettings,
    private readonly settings: InvitationSettings,
    private readonly tenancy: Tenancy,
    private readonly tenants: TenantContext,
  ) {}

  /**
   * Invites an address to a tenant. The message leaves after COMMIT; `reveal()` of the answer has the token for code that
   * delivers by itself. It says nothing of whether somebody has an account with the address.
   *
   * The user who acts, by `IdentityContext`, or who is named by `invitedBy`, answers for it: an active member of the
   * tenant or of the platform, who holds what the roles grant. Without either it is the application's.
   *
   * Transaction: one statement; with an inviter several, in one transaction. Announces `InvitationSentEvent`. Of two calls
   * at once for one address one is refused. An invitation that has expired is in nobody's way.
   * Errors: `INVITATION_ALREADY_PENDING` (its id is in `details.ids`: send that one again), `GRANT_NOT_HELD`,
   * `RATE_LIMITED`, `TENANT_NOT_FOUND`, `ROLE_NOT_FOUND`, `ROLE_SCOPE_MISMATCH`, `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async sendInvitation(input: SendInvitationInput, manager?: EntityManager): Promise<IssuedInvitation> {
    const { actorId } = this.inviters;
    const prepared = prepareSend(input, actorId);
    const tenantId = this.tenancy.named(input.tenantId);
    void this.secrets.ids;
    const invitedBy = actorId ?? input.invitedBy ?? null;
    const wanted = { ...prepared, tenantId, realmId: this.tenancy.realmOf(tenantId), invitedBy };
    const pinned = this.transactions.pin(manager);
    await this.#limit(tenantId, invitedBy);
    return this.transactions.perform(invitedBy !== null, pinned, (m) => this.operations.send(m, wanted));
  }

  /**
   * Sends a pending invitation again, also one that has expired: with a new token and the whole time. The token of before
   * is unknown from then on.
   *
   * The user who acts answers for it from then on, as in {@link sendInvitation}; without one, who did before.
   *
   * Transaction: several statements in one. Announces `InvitationResentEvent`.
   * Errors: `INVITATION_NOT_FOUND`, also for another tenant's; `INVITATION_NOT_PENDING`, and the others of
   * {@link sendInvitation}.
   */
  async resendInvitation(id: string, tenantId: string, manager?: EntityManager): Promise<IssuedInvitation> {
    assertKey(id, tenantId);
    const named = this.tenancy.named(tenantId);
    void this.secrets.ids;
    const pinned = this.transactions.pin(manager);
    await this.#limit(named, this.inviters.actorId);
    return this.transactions.atomic(pinned, (m) => this.operations.resend(m, id, named));
  }

  /**
   * Takes a pending invitation back. One statement; idempotent. Announces `InvitationRevokedEvent`.
   *
   * Errors: `INVITATION_NOT_FOUND`, also for another tenant's; `INVITATION_NOT_PENDING` when it was accepted or declined;
   * `VALIDATION_FAILED`.
   */
  async revokeInvitation(id: string, tenantId: string, manager?: EntityManager): Promise<Invitation> {
    assertKey(id, tenantId);
    const named = this.tenancy.named(tenantId);
    return this.transactions.operate(manager, (m) => this.operations.revoke(m, id, named));
  }

  /**
   * Invitations of a tenant in order of creation: 20, or `limit`, at most 200. One statement, at the primary or, with
   * `replica: true`, where that may be old. Nothing in it leads to a token.
   *
   * Errors: `VALIDATION_FAILED`.
   */
  async listInvitations(options: ListInvitationsOptions, manager?: EntityManager): Promise<Page<Invitation>> {
    const filter = checkList(options);
    const named = this.tenancy.named(options.tenantId);
    return this.transactions.browse(options, manager, (m) => listInvitations(m, named, options, filter));
  }

  /**
   * What the page behind the link shows. At most three statements that only read; nothing is used up.
   *
   * Errors: `INVITATION_INVALID` alike for a token that is unknown, expired, used or replaced, and when tenant, roles or
   * inviter are not there or not active any more; `RATE_LIMITED`.
   */
  async getInvitationByToken(token: string, manager?: EntityManager): Promise<InvitationPreview> {
    const pinned = this.transactions.pin(manager);
    await this.#limitStranger();
    return this.tenants.asPlatform(() => this.transactions.operate(pinned, (m) => this.acceptances.preview(m, token)));
  }

  /**
   * Accepts an invitation: makes the user, whose email is verified by the token, or gives the one who has the address
   * access and roles; either way once. Nobody is signed in.
   *
   * The hooks of the application run in the same transaction, with the context `{ source: 'invitation', invitation }`.
   * Somebody with an account must have verified the address: without, the account may be one that a stranger has made in
   * advance. A password and metadata are for a user who is made.
   *
   * Transaction: a look-up, then the password without any connection, then one transaction that holds the invitation,
   * judges tenant, roles and inviter again, and writes all or nothing. Of many calls at once one succeeds. In a
   * transaction of the caller a connection is held while the password is hashed; pass one from `PasswordService.hash`.
   * After a lost answer the token is used: `INVITATION_INVALID`, and the person signs in. Announces
   * `InvitationAcceptedEvent`, after `UserCreatedEvent` and `UserUpdatedEvent`, or `UserAccessChangedEvent`.
   * Tenancy: the tenant is that of the invitation; in `ISOLATED` the account is one of that tenant.
   * Errors: `INVITATION_INVALID` as in {@link getInvitationByToken}, also when the inviter does not hold the roles any
   * more, or the person's access is suspended; `INVITATION_NOT_FOR_USER`, `INVITATION_EMAIL_UNVERIFIED`,
   * `USER_NOT_ACTIVE`, `EMAIL_ALREADY_EXISTS` for what is for a new user, `PASSWORD_REFUSED`, `HASHING_BUSY`,
   * `RATE_LIMITED`, `VALIDATION_FAILED`, and what hooks throw; with hooks, in a transaction of the caller,
   * `TRANSACTION_CONFLICT` when an account with the address is made at the same moment: try that again as a whole.
   */
  async acceptInvitation(input: AcceptInvitationInput, manager?: EntityManager): Promise<AcceptedInvitation> {
    checkAccept(input);
    const pinned = this.transactions.pin(manager);
    await this.#limitStranger();
    const { id, hash } = readInvitationToken(input.token);
    return this.tenants.asPlatform(async () => {
      // Nobody makes this work hash passwords by tokens that are none.
      const seen = await this.transactions.operate(pinned, (m) => this.acceptances.find(m, id, hash));
      const { password, userId, metadata } = input;
      const passwordHash = await this.identities.hashOf(password, aboutUser({ email: seen.email, metadata }), pinned);
      const acceptance = { seen, hash, passwordHash, userId, metadata };
      return this.transactions.atomic(pinned, (m) => this.acceptances.accept(m, acceptance));
    });
  }

  /**
   * Declines an invitation by its token. One statement. Announces `InvitationDeclinedEvent`.
   *
   * Errors: `INVITATION_INVALID`, also when it was declined before; `RATE_LIMITED`, `VALIDATION_FAILED`.
   */
  async declineInvitation(input: { readonly token: string }, manager?: EntityManager): Promise<Invitation> {
    const token = tokenOfInput(input);
    const pinned = this.transactions.pin(manager);
    await this.#limitStranger();
    return this.tenants.asPlatform(() => this.transactions.operate(pinned, (m) => this.operations.decline(m, token)));
  }

  /**
   * Removes invitations that expired longer than `invitations.keepExpiredDays` ago, whatever became of them; answers how
   * many. A statement for each thousand; what is gone is not there again after a kill. The activity log keeps what happened.
   */
  async removeExpiredInvitations(manager?: EntityManager): Promise<number> {
    const { keepExpiredDays } = this.settings;
    const pinned = this.transactions.pin(manager);
    return this.tenants.asPlatform(async () => {
      let removed = 0;
      for (let gone = CHUNK; gone === CHUNK;) {
        gone = await this.transactions.operate(pinned, (m) => removeExpiredInvitations(m, keepExpiredDays, CHUNK));
        removed += gone;
      }
      return removed;
    });
  }

  #limit(tenantId: string, userId: string | null): Promise<void> {
    return this.limits.consume('invitation', { tenantId, userId: userId ?? undefined, ip: IdentityContext.current.ip });
  }

  #limitStranger(): Promise<void> {
    return this.limits.consume('invitation', { ip: IdentityContext.current.ip });
  }
}

import type { NestAuthUserAccess } from '../access/user-access.entity.js';
import type { Metadata } from '../account/account.types.js';
import type { HashedPassword } from '../account/hashed-password.js';
import type { NestAuthUser } from '../account/user.entity.js';
import type { PageOptions } from '../transaction/keyset.js';

/** What becomes of an invitation. Only a pending one can be accepted; one whose time is over is `expired`. */
export enum InvitationStatusEnum {
  PENDING = 'pending',
  ACCEPTED = 'accepted',
  DECLINED = 'declined',
  REVOKED = 'revoked',
  EXPIRED = 'expired',
}

export interface InvitationOptions {
  /** Seconds until an invitation expires, from when it was last sent; at most 90 days. @default 604800 (7 days) */
  readonly expiresInSeconds?: number;
  /** Whole days for which an invitation is kept after it has expired, whatever became of it. @default 30 */
  readonly keepExpiredDays?: number;
}

/** An invitation as everybody may see it who may see the tenant: without anything of its token. */
export interface Invitation {
  readonly id: string;
  readonly tenantId: string;
  /** As it was typed; the message goes there. */
  readonly email: string;
  readonly roleIds: readonly string[];
  /** As the database's clock says it. */
  readonly status: InvitationStatusEnum;
  /** Who answers for it: who sent it, or sent it again; null for the application itself. */
  readonly invitedBy: string | null;
  /** Who has accepted it. */
  readonly acceptedBy: string | null;
  /** The application's own, handed to hooks by `context.invitation`. */
  readonly metadata: Metadata;
  /** How often it was sent. */
  readonly issue: number;
  readonly createdAt: Date;
  readonly sentAt: Date;
  readonly expiresAt: Date;
  /** When it was accepted, declined or revoked. */
  readonly endedAt: Date | null;
}

export interface SendInvitationInput {
  readonly email: string;
  readonly tenantId: string;
  /** Roles in the tenant that the person is given; without, a member without roles. @default [] */
  readonly roleIds?: readonly string[];
  /**
   * For code that acts for nobody: the user who answers for the invitation. When a user acts, by `IdentityContext`, it is
   * that one. @default nobody: the application itself
   */
  readonly invitedBy?: string | null;
  readonly metadata?: Metadata;
}

export interface AcceptInvitationInput {
  readonly token: string;
  /** Who is signed in; refused unless the invitation went to the address of this user. */
  readonly userId?: string | null;
  /** Of the user who is made; not for somebody who has an account. @default none: the person signs in by other ways */
  readonly password?: string | HashedPassword | null;
  /** Of the user who is made. */
  readonly metadata?: Metadata;
}

/** What the invited person has after accepting. Nobody is signed in by it. */
export interface AcceptedInvitation {
  readonly invitation: Invitation;
  readonly user: NestAuthUser;
  readonly access: NestAuthUserAccess;
  /** Whether the user was made by it. */
  readonly isNewUser: boolean;
}

/** What the page behind the link shows. */
export interface InvitationPreview {
  readonly invitation: Invitation;
  readonly tenantName: string;
  /** Whether somebody has an account with the address: then nothing needs to be chosen. */
  readonly hasAccount: boolean;
}

/** Which invitations, and how many. In order of creation. */
export interface ListInvitationsOptions extends PageOptions {
  readonly tenantId: string;
  readonly status?: InvitationStatusEnum | readonly InvitationStatusEnum[];
  /** Of this address, in any spelling. */
  readonly email?: string;
}

/** An invitation with a new token. JSON of it does not have the token. */
export class IssuedInvitation {
  readonly #token: string;

  constructor(
    readonly invitation: Invitation,
    token: string,
  ) {
    this.#token = token;
  }

  /**
   * The token, for trusted code that delivers it by itself. Whoever has it can accept in the name of the address: it
   * belongs into no answer, log or event.
   */
  reveal(): { readonly token: string } {
    return { token: this.#token };
  }
}

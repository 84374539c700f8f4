import type { SecondFactorProof } from '../mfa/second-factor.types.js';
import type { OneTimePurpose } from '../secret/one-time-secret.policy.js';

/** What a link or a code of a user is for. */
export type RecoveryPurpose = Extract<
  OneTimePurpose,
  'email_verification' | 'phone_verification' | 'email_change' | 'phone_change' | 'password_reset'
>;

/** How somebody proves an address: by following a link, or by typing a code. */
export type ProofForm = 'link' | 'code';

/** What was made; whoever has it is taken for the holder of the address. */
export type RevealedProof = { readonly token: string } | { readonly code: string };

/**
 * A link or a code that was asked for. It is sent by a durable subscriber, and is in no answer: as JSON this says until
 * when it is good, and nothing else.
 */
export class RequestedProof {
  readonly #reveal: () => RevealedProof | null;

  constructor(
    /** Null when nothing was made, because there is nothing to prove. */
    readonly expiresAt: Date | null,
    reveal: () => RevealedProof | null,
  ) {
    this.#reveal = reveal;
  }

  /** What was made; null when nothing was. For trusted code that sends it by itself; never for an answer. */
  reveal(): RevealedProof | null {
    return this.#reveal();
  }
}

/** A password reset that was asked for. As JSON it says to everybody the same: nothing. */
export class RequestedReset {
  readonly #reveal: () => { readonly token: string; readonly userId: string } | null;

  constructor(reveal: () => { readonly token: string; readonly userId: string } | null) {
    this.#reveal = reveal;
  }

  /** What was made, and for whom; null when nothing was. For trusted code that sends it by itself; never for an answer. */
  reveal(): { readonly token: string; readonly userId: string } | null {
    return this.#reveal();
  }
}

/** With what somebody proves an address: the token of a link, or a code together with whose it is. */
export type ProofInput =
  | { readonly token: string; readonly userId?: undefined; readonly code?: undefined }
  | { readonly userId: string; readonly code: string; readonly token?: undefined };

export interface RequestVerificationOptions {
  /** @default 'link' */
  readonly by?: ProofForm | undefined;
}

/** How somebody who is signed in shows again who they are. */
export interface Reauthentication {
  readonly userId: string;
  /** Required of a user who has a password. */
  readonly currentPassword?: string | undefined;
  /**
   * Of a user who has none: the session, which must have begun within `recovery.recentSignInMinutes`.
   */
  readonly sessionId?: string | undefined;
}

/**
 * Who somebody shows to be for another address. `code` or `recoveryCode` is needed of a user who has a second factor: codes
 * may go to the address by then, so the password alone must not be enough to change it.
 */
export interface AddressChangeInput extends Reauthentication, SecondFactorProof {}

export interface EmailChangeInput extends AddressChangeInput {
  /** The new one. */
  readonly email: string;
}

export interface PhoneChangeInput extends AddressChangeInput {
  /** The new one, in E.164, or national with the option `phone.defaultRegion`. */
  readonly phone: string;
}

export interface PasswordResetRequest {
  readonly email: string;
  /** In `ISOLATED` tenancy a part of the login, and required. Elsewhere whoever is no active member gets nothing. */
  readonly tenantId?: string | null | undefined;
  /** A user of the platform, whom `ISOLATED` tenancy looks for outside of every tenant. @default false */
  readonly platform?: boolean | undefined;
}

export interface PasswordResetInput {
  readonly token: string;
  /** The new one. */
  readonly password: string;
}

export interface PasswordChangeInput {
  readonly userId: string;
  readonly currentPassword: string;
  readonly newPassword: string;
  /** The session that goes on: that in which the password is changed. @default none */
  readonly keepSessionId?: string | undefined;
}

/** Links and codes. */
export interface RecoveryOptions {
  /** Minutes in which a link verifies an email. @default 1440 (a day) */
  readonly verificationMinutes?: number;
  /** Minutes in which a link confirms another email. @default 60 */
  readonly emailChangeMinutes?: number;
  /** Minutes in which a link resets a password. @default 30 */
  readonly passwordResetMinutes?: number;
  /** Minutes in which a code can be used; at most 10. @default 10 */
  readonly codeMinutes?: number;
  /** How often one code may be tried; at most 10. @default 5 */
  readonly codeAttempts?: number;
  /** How old a session may be, in minutes, that stands for the password of a user who has none. @default 10 */
  readonly recentSignInMinutes?: number;
}

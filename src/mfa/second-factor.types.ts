import type { EntityManager } from 'typeorm';
import type { SignInResult } from '../session/session.types.js';

/** What a user can have enrolled. */
export type SecondFactorKind = 'totp' | 'email' | 'sms';

/** With what a challenge can be met. */
export type SecondFactorMethod = SecondFactorKind | 'recovery_code';

/** What is asked of somebody whose password was right; `completeSignIn` takes the token with what is shown. */
export interface SecondFactorChallenge {
  /** For one sign-in. Whoever has it has shown the first factor, and can do nothing else with it. */
  readonly token: string;
  readonly methods: readonly SecondFactorMethod[];
  readonly expiresAt: Date;
}

/** `code` or `recoveryCode` is needed of a user who has a second factor already: the password alone adds none to it. */
export interface EnableTwoFactorOptions extends SecondFactorProof {
  /** Needed of a user who has a password. */
  readonly currentPassword?: string | undefined;
  /** Of a user who has none: a session, which must have begun within `recovery.recentSignInMinutes`. */
  readonly sessionId?: string | undefined;
  /** The account's name in the authenticator. @default the user's email, else the phone number, else the id */
  readonly label?: string | undefined;
}

/** What the authenticator needs. Told here and nowhere again. */
export interface TwoFactorEnrolment {
  /** In base32, to be typed in. */
  readonly secret: string;
  /** `otpauth://…`, for a link or a QR code. */
  readonly uri: string;
  /** The uri as a QR code, in SVG. */
  readonly qrCode: string;
}

export interface KeepSessionOptions {
  /** The session in which it is done: it goes on, with its next refresh. @default none; every session ends */
  readonly keepSessionId?: string | undefined;
}

export interface RecoveryCodes {
  /** Ten, each for one use; told here and nowhere again. */
  readonly recoveryCodes: readonly string[];
}

/** One of the two: a code of the authenticator, or a recovery code. */
export interface SecondFactorProof {
  readonly code?: string | undefined;
  readonly recoveryCode?: string | undefined;
}

export interface CompleteSignInInput extends SecondFactorProof {
  /** `challenge.token` of `SecondFactorRequiredError`. */
  readonly challengeToken: string;
  /** What `code` is of. @default 'totp' */
  readonly method?: SecondFactorKind | undefined;
  /** Whether this device shall not be asked again for a while. @default false */
  readonly trustDevice?: boolean | undefined;
}

/** What is kept by the device, to be passed to the next sign-in. */
export interface DeviceTrust {
  readonly token: string;
  readonly expiresAt: Date;
}

export interface SecondFactorSignIn extends SignInResult {
  /** Null unless `trustDevice` was asked for. */
  readonly trustedDevice: DeviceTrust | null;
}

export interface CompleteEnrolmentInput {
  /** `challenge.token` of `SecondFactorEnrolmentRequiredError`. */
  readonly challengeToken: string;
  /** Of the authenticator that `beginEnrolment` was for. */
  readonly code: string;
  /** As at {@link CompleteSignInInput}. @default false */
  readonly trustDevice?: boolean | undefined;
}

/** Somebody is signed in, and has a second factor from now on. */
export interface RequiredEnrolment extends SecondFactorSignIn, RecoveryCodes {}

export interface EnableCodesOptions extends Omit<EnableTwoFactorOptions, 'label'>, KeepSessionOptions {}

export interface EnabledCodes {
  /** Ten, each for one use, told here and nowhere again; null for somebody who has some already. */
  readonly recoveryCodes: readonly string[] | null;
}

export interface SendCodeInput {
  /** `challenge.token` of `SecondFactorRequiredError`. */
  readonly challengeToken: string;
  readonly kind: SentCodeFactor['kind'];
}

/** A second factor, without its secret. */
export interface EnrolledFactor {
  readonly kind: SecondFactorKind;
  readonly enabledAt: Date;
  readonly lastUsedAt: Date | null;
}

export interface SecondFactors {
  readonly factors: readonly EnrolledFactor[];
  readonly recoveryCodesLeft: number;
}

export interface ResetTwoFactorOptions {
  /** For the activity log. */
  readonly reason?: string | undefined;
}

/** A challenge to which something was answered; the attempt is counted by then. */
export interface TriedChallenge {
  readonly id: string;
  readonly userId: string;
  readonly realmId: string;
  /** The tenant that the sign-in named; null for none. */
  readonly tenantId: string | null;
  /** The user's security stamp under which the first factor was shown. */
  readonly stamp: number;
  readonly tokenHash: Buffer;
}

/**
 * A second factor that is sent as a code. Registered by `ChallengeOperations.acceptCodes`, and found in
 * `nest_auth_second_factors` by its kind as the others are.
 */
export interface SentCodeFactor {
  readonly kind: Exclude<SecondFactorKind, 'totp'>;
  /**
   * Uses up the code and the challenge together, or neither, by one conditional statement that holds the user, the
   * challenge, the factor and the state in this order. False when the code is not the one that was sent.
   */
  spend(manager: EntityManager, challenge: TriedChallenge, code: string): Promise<boolean>;
}

/** Devices that need not show it for a while. Registered by `ChallengeOperations.trustDevicesBy`. */
export interface DeviceTrusting {
  /** After the session is open, on the caller's manager. Null when the tenant of the session, or the platform, trusts none. */
  trust(
    manager: EntityManager | undefined,
    signedIn: {
      readonly userId: string;
      readonly realmId: string;
      readonly tenantId: string | null;
      readonly stamp: number;
    },
  ): Promise<DeviceTrust | null>;
}

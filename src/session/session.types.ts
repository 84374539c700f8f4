import type { NestAuthUser } from '../account/user.entity.js';
import type { SignUpMode } from './sign-up.types.js';

/** With what somebody signs in: an email or a phone number, and the password. */
export interface SignInInput {
  readonly email?: string | undefined;
  readonly phone?: string | undefined;
  readonly password: string;
  /** In `ISOLATED` tenancy a part of the login, and required. Elsewhere: whoever is no active member is refused. */
  readonly tenantId?: string | null | undefined;
  /**
   * A user of the platform, whom `ISOLATED` tenancy looks for outside of every tenant; instead of `tenantId`. Elsewhere
   * it means nothing. What somebody may do there is asked for afterwards, as always.
   * @default false
   */
  readonly platform?: boolean | undefined;
}

/** From where. @default what `IdentityContext` says */
export interface SignInContext {
  readonly ip?: string | undefined;
  readonly userAgent?: string | undefined;
}

/** From where, and from which device. */
export interface DeviceContext extends SignInContext {
  /**
   * `trustedDevice.token` of `TwoFactorService.completeSignIn`, as the device has kept it: it stands for a second factor
   * where the tenant trusts devices, and for nothing else. One that is not good, or no longer, counts for nothing.
   */
  readonly deviceToken?: string | undefined;
}

/** What a client keeps. Only here are the tokens themselves: nothing of them is stored. */
export interface SessionTokens {
  readonly accessToken: string;
  readonly accessTokenExpiresAt: Date;
  /** For one use: `refresh` answers the next one. */
  readonly refreshToken: string;
  readonly userId: string;
  readonly sessionId: string;
  /** The tenant that the session is in; null for none. */
  readonly tenantId: string | null;
  /** However often it is refreshed, the session ends then. */
  readonly sessionExpiresAt: Date;
}

export interface SignInResult extends SessionTokens {
  readonly user: NestAuthUser;
}

/** What an access token says. */
export interface AccessTokenClaims {
  readonly userId: string;
  readonly sessionId: string;
  readonly tenantId: string | null;
  /** The user's security stamp when it was issued. */
  readonly stamp: number;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

export interface VerifyAccessTokenOptions {
  /** Asks the database, too, whether the session goes on: one statement. @default false */
  readonly fresh?: boolean | undefined;
}

/** Who is signed in, as the database says it now. */
export interface SignedInUser {
  readonly user: NestAuthUser;
  readonly sessionId: string;
  readonly tenantId: string | null;
}

/** A session by its key. `AccessTokenClaims` are one. */
export interface SessionKeyOf {
  readonly userId: string;
  readonly sessionId: string;
}

/** Why a sign-in was refused; for the activity log and for listeners, never for the caller. */
export type SignInRefusal =
  | 'unknown_login'
  | 'no_password'
  | 'wrong_password'
  | 'user_not_active'
  | 'no_access_to_tenant'
  /** Too many have failed: the password was not looked at. */
  | 'locked'
  /** The code was wrong, or was taken before. */
  | 'wrong_second_factor'
  /** Too many codes were wrong: this one was not looked at. */
  | 'second_factor_locked'
  | 'unknown_identity'
  | 'link_required';

/** Why a session was ended; one that has run out, or is over with what it depends on, has none. */
export type SessionEndReason =
  | 'signed_out'
  | 'revoked'
  | 'refresh_token_reused'
  | 'user_not_active'
  | 'access_ended'
  | 'password_changed';

/** How `SessionService.purgeEnded` goes about it. */
export interface PurgeEndedOptions {
  /** Sessions a window; of counters the rows a statement. @default 500 */
  readonly chunkSize?: number;
  /** Stops after the current window. */
  readonly signal?: AbortSignal;
  /** Told after each window what is gone so far. */
  readonly onProgress?: (counts: Omit<PurgeEndedResult, 'isComplete'>) => void;
}

export interface PurgeEndedResult {
  readonly sessions: number;
  /** Used refresh tokens of sessions that stay. */
  readonly tokens: number;
  /** Of failed sign-ins and rate limits. */
  readonly counters: number;
  /** False when it was told to stop. */
  readonly isComplete: boolean;
}

/** A JSON Web Key (RFC 7517) of Ed25519 or P-256; with `d` the private one, which can sign. */
export interface SessionKey {
  /** Names the key in the header of a token. */
  readonly kid: string;
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y?: string;
  readonly d?: string;
}

/** Sessions and their tokens. */
export interface SessionOptions {
  /**
   * Keys of access tokens, newest first: the first signs and must be private, all verify. `generateSessionKeys()` makes
   * one. Every process has the same.
   * @default [] nobody can sign in: `AuthService` throws `INVALID_OPTIONS`
   */
  readonly keys?: readonly SessionKey[];
  /** `iss` of access tokens. @default 'nest-auth-identity' */
  readonly issuer?: string;
  /** `aud` of access tokens. @default 'nest-auth-identity' */
  readonly audience?: string;
  /** Seconds an access token lives, and how long one is accepted after its session has ended. @default 300 */
  readonly accessTokenSeconds?: number;
  /** Seconds in which a used refresh token answers the same successor again; 0 for never. @default 10 */
  readonly reuseWindowSeconds?: number;
  /** Minutes without a refresh after which a session ends. @default 10080 (7 days) */
  readonly idleMinutes?: number;
  /** Minutes after which a session ends, whatever happens. @default 43200 (30 days) */
  readonly maxMinutes?: number;
  /** Days that a session is kept when it has ended, for `SessionService.purgeEnded`. @default 30 */
  readonly keepEndedDays?: number;
  /**
   * Who may make an account by `AuthService.signUp`: nobody; everybody, to be activated by something else; everybody,
   * who is signed in at once. `open` tells whether a login is taken.
   * @default 'closed'
   */
  readonly signUp?: SignUpMode;
}

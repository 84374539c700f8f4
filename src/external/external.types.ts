import type { SignInResult } from '../session/session.types.js';

/** What a provider is asked to begin. */
export interface ExternalRequest {
  /** Must come back in the callback as the parameter `state`. */
  readonly state: string;
}

/** Where the browser is sent. */
export interface ExternalBeginning {
  readonly url: string;
  /** What the provider needs again at the end, such as nonce and PKCE verifier. Stored encrypted, and seen by nobody. */
  readonly private: Readonly<Record<string, string>>;
}

/** What came back by way of the browser. */
export interface ExternalCallback {
  /** The parameters; `state` has been compared already. */
  readonly params: URLSearchParams;
  readonly state: string;
}

/** Who somebody is at a provider. */
export interface ExternalIdentity {
  /** Who says so, such as `https://accounts.example.com`; without spaces and `#`, at most 200 characters. */
  readonly issuer: string;
  /** The stable id of the account at the issuer, never an email; at most 255 characters. */
  readonly subject: string;
  readonly email?: string | undefined;
  /** Only `true` counts. */
  readonly emailVerified: boolean;
  readonly name?: string | undefined;
  /** Whatever else the provider tells. Not stored. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * Somebody else who says who a person is. `openIdConnect()` of `nest-auth-identity/oidc` makes one; implement it for
 * what speaks no OpenID Connect.
 *
 * Both methods are called outside of any transaction and while no connection is held. What they throw ends the sign-in:
 * a `NestAuthError` as it is, anything else as `PROVIDER_UNAVAILABLE`.
 */
export interface IdentityProvider {
  /** Lower-case letters, digits, `_` and `-`. A part of the key of its accounts: keep it. */
  readonly name: string;
  /** Whether accounts that nobody has linked become users. @default false */
  readonly signUp?: boolean | undefined;
  /**
   * Whether the provider is believed when it says that an email is verified. Only for providers that verify by
   * themselves, for every account. Otherwise its emails are ignored.
   * @default false
   */
  readonly trustsEmail?: boolean | undefined;
  /**
   * Whether an account is linked by itself to the user with the same email, where both sides have verified it. Needs
   * `trustsEmail`.
   * @default false
   */
  readonly linkVerifiedEmail?: boolean | undefined;
  /** Where to send the browser. */
  begin(request: ExternalRequest): Promise<ExternalBeginning>;
  /** Who has come back. `secrets` is what `begin` answered as `private`. */
  complete(callback: ExternalCallback, secrets: Readonly<Record<string, string>>): Promise<ExternalIdentity>;
}

/** Signing in by providers. */
export interface ExternalSignInOptions {
  /**
   * Where a person may be sent after a sign-in: absolute URLs, or paths of this application. One that ends with `/`
   * stands for everything below it. Nothing is taken from the `Host` of a request.
   * @default [] `redirectTo` is refused
   */
  readonly redirectTargets?: readonly string[];
  /** Seconds a person may take at the provider; at most 600. @default 600 */
  readonly flowSeconds?: number;
  /** Milliseconds a provider may take to answer, over all its requests for one call. @default 10000 */
  readonly providerTimeoutMs?: number;
}

/** How a sign-in by a provider begins. */
export interface BeginExternalOptions {
  /** As for `signIn`: in `ISOLATED` tenancy required; elsewhere whoever is no active member is refused. */
  readonly tenantId?: string | null | undefined;
  /** Where to go afterwards: one of `externalSignIn.redirectTargets`. Handed back at the end. */
  readonly redirectTo?: string | undefined;
}

/** A sign-in, or a link, that has begun. */
export interface ExternalFlow {
  /** Where to send the browser. */
  readonly url: string;
  /** Stays in this browser, in a cookie as `EXTERNAL_FLOW_COOKIE` describes it, and comes back at the end. */
  readonly flowToken: string;
  readonly expiresAt: Date;
}

/** How the browser comes back from a provider. */
export interface ExternalAnswer {
  /** The provider whose callback it is, by the route. */
  readonly provider: string;
  /** The URL or the path that was called, with its query; only the query is read. */
  readonly url: string;
  /** From the cookie; undefined when there is none. */
  readonly flowToken: string | undefined;
}

export interface ExternalSignInResult extends SignInResult {
  /** Where the person wanted to go; null when nothing was said. */
  readonly redirectTo: string | null;
  /** `created`: the user was made by this sign-in; `linked`: the account was added to a user; else `known`. */
  readonly account: 'known' | 'created' | 'linked';
  readonly external: ExternalIdentity;
}

/** An account at a provider that belongs to a user. */
export interface LinkedIdentity {
  readonly provider: string;
  /** The key of the account: `externalAccountId(issuer, subject)`. */
  readonly providerId: string;
  readonly createdAt: Date;
}

export interface ExternalLinkResult {
  readonly identity: LinkedIdentity;
  readonly redirectTo: string | null;
}

import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type IdentityFacts } from '../audit/activity.types.js';
import { IdentityContext } from '../audit/identity-context.js';
import { assertUuid, InputIssues } from '../errors/input.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { Tenancy } from '../tenant/tenancy.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { AccessTokenSigner, invalidAccessToken } from './access-token.signer.js';
import { AuthOperations } from './auth.operations.js';
import { findCurrentUser } from './live-session.queries.js';
import { readRefreshToken } from './refresh-token.policy.js';
import { findSessionOfToken } from './refresh.queries.js';
import { SessionOperations } from './session.operations.js';
import { SessionSettings } from './session.settings.js';
import type {
  AccessTokenClaims,
  CurrentUser,
  SessionKey,
  SessionKeyOf,
  SessionTokens,
  SignInContext,
  SignInInput,
  SignInResult,
  VerifyAccessTokenOptions,
} from './session.types.js';
import { prepareSignIn } from './sign-in-input.policy.js';

/**
 * Signing in, and what goes on from there. Needs the option `session.keys`; without, what needs a key throws
 * `INVALID_OPTIONS`.
 *
 * Who calls proves who they are by a secret and not by an id. So with row-level security on these calls belong to no
 * tenant: they need no `TenantContext`, and are refused with `TENANT_CONTEXT_MISMATCH` inside a transaction of a tenant.
 */
@Injectable()
export class AuthService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: AuthOperations,
    private readonly sessions: SessionOperations,
    private readonly signer: AccessTokenSigner,
    private readonly settings: SessionSettings,
    private readonly tenancy: Tenancy,
    private readonly tenants: TenantContext,
  ) {}

  /**
   * Signs a user in by email or phone, and password.
   *
   * Whoever cannot come in gets one answer at one cost: an unknown login, a wrong password, a user without one, one who
   * is not active, and one who is no active member of the tenant that was named. Why is in the activity log.
   *
   * Transaction: a look-up, then the password without any connection, then one statement for session, token,
   * `lastLoginAt` and activity, which judges status, password and membership again. A hash of older parameters is
   * replaced afterwards. In a transaction of the caller a connection is held meanwhile, and what a refusal writes is
   * rolled back with it: sign in outside of transactions. Announces `UserLoggedInEvent` or `UserLoginFailedEvent`.
   * Tenancy: in `ISOLATED` the tenant is a part of the login. Elsewhere without one: the default access, or none.
   * Errors: `INVALID_CREDENTIALS`, `TENANT_REQUIRED`, `TENANT_NOT_FOUND` for an id that the tenancy mode cannot have,
   * `HASHING_BUSY`, `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async signIn(input: SignInInput, context: SignInContext = {}, manager?: EntityManager): Promise<SignInResult> {
    // Before anything is done: a password that was verified for nothing has told something.
    void this.settings.keys;
    const wanted = prepareSignIn(input, this.tenancy, this.settings.defaultRegion);
    const pinned = this.transactions.pin(manager);
    return IdentityContext.run(factsOf(context), () =>
      this.tenants.asPlatform(() => this.operations.signIn(pinned, wanted)),
    );
  }

  /**
   * Uses a refresh token: answers new tokens of the same session. The token is used up.
   *
   * Transaction: one statement. Of several calls at once with one token one makes the successor, and all of them get
   * it, as does whoever comes within `session.reuseWindowSeconds`. After that the token is a copy: its session ends,
   * with an activity and `RefreshTokenReusedEvent`.
   * Errors: `REFRESH_TOKEN_INVALID`, `INVALID_OPTIONS`.
   */
  async refresh(refreshToken: string, manager?: EntityManager): Promise<SessionTokens> {
    return this.#continue(refreshToken, null, manager);
  }

  /**
   * Uses a refresh token, and takes its session to another tenant: access tokens of before are refused where the
   * database is asked.
   *
   * Transaction: one statement. Announces `SessionTenantSwitchedEvent`. Otherwise as {@link refresh}.
   * Errors: `ACCESS_NOT_FOUND` when the user is no active member there, which leaves the token as it is;
   * `REFRESH_TOKEN_INVALID`, `TENANT_NOT_FOUND`, `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async switchTenant(refreshToken: string, tenantId: string, manager?: EntityManager): Promise<SessionTokens> {
    return this.#continue(refreshToken, this.tenancy.named(tenantId).toLowerCase(), manager);
  }

  /**
   * Ends a session: that of a refresh token, used or not, or one by its key, such as verified claims. Answers whether
   * there was one to end.
   *
   * Transaction: one statement, with a refresh token two. Announces `UserLoggedOutEvent`. Repeating it changes nothing.
   * Errors: `VALIDATION_FAILED` for ids that are no UUIDs.
   */
  async signOut(session: string | SessionKeyOf, manager?: EntityManager): Promise<boolean> {
    const read = typeof session === 'string' ? readRefreshToken(session) : null;
    if (typeof session !== 'string') assertKey(session);
    else if (read === null) return false;
    return this.tenants.asPlatform(() =>
      this.transactions.operate(manager, async (m) => {
        const key = typeof session === 'string' ? read && (await findSessionOfToken(m, read)) : session;
        return key !== null && this.sessions.signOut(m, key);
      }),
    );
  }

  /**
   * Whose an access token is. Without `fresh` nobody is asked but the keys: whatever has ended since, the token is good
   * until it expires, at most `session.accessTokenSeconds`. With it the session, the user, the access and the tenant are
   * asked for in one statement.
   *
   * Errors: `ACCESS_TOKEN_INVALID`, `INVALID_OPTIONS`.
   */
  async verifyAccessToken(
    token: string,
    { fresh = false }: VerifyAccessTokenOptions = {},
    manager?: EntityManager,
  ): Promise<AccessTokenClaims> {
    const claims = await this.signer.verify(token);
    if (fresh) await this.#current(claims, manager);
    return claims;
  }

  /**
   * Whose an access token is, for a guard: refused when the session, the user, the access or the tenant has ended.
   *
   * Errors: `ACCESS_TOKEN_INVALID`, `INVALID_OPTIONS`.
   */
  async authenticate(token: string, manager?: EntityManager): Promise<AccessTokenClaims> {
    return this.verifyAccessToken(token, { fresh: true }, manager);
  }

  /**
   * Who is signed in, by an access token or by claims that were verified before; as the database says it now. One
   * statement.
   *
   * Errors: `ACCESS_TOKEN_INVALID`, also when the session has ended; `INVALID_OPTIONS`.
   */
  async me(token: string | AccessTokenClaims, manager?: EntityManager): Promise<CurrentUser> {
    const claims = typeof token === 'string' ? await this.signer.verify(token) : token;
    return this.#current(claims, manager);
  }

  /** The public keys, for others who verify: the answer of `/.well-known/jwks.json`. Errors: `INVALID_OPTIONS`. */
  jwks(): { keys: SessionKey[] } {
    return this.signer.jwks();
  }

  async #continue(token: string, tenantId: string | null, manager?: EntityManager): Promise<SessionTokens> {
    const pinned = this.transactions.pin(manager);
    const { userId, issuing, refreshToken } = await this.tenants.asPlatform(() =>
      this.sessions.continue(pinned, token, tenantId),
    );
    return this.operations.issue(userId, issuing, refreshToken);
  }

  async #current(claims: AccessTokenClaims, manager?: EntityManager): Promise<CurrentUser> {
    assertKey(claims);
    const user = await this.tenants.asPlatform(() =>
      this.transactions.operate(manager, (m) => findCurrentUser(m, claims)),
    );
    if (user === null) throw invalidAccessToken();
    return { user, sessionId: claims.sessionId, tenantId: claims.tenantId };
  }
}

function assertKey({ userId, sessionId }: SessionKeyOf): void {
  assertUuid('userId', userId);
  assertUuid('sessionId', sessionId);
}

function factsOf(context: SignInContext): IdentityFacts {
  const issues = new InputIssues();
  issues.fields(context, ['ip', 'userAgent']);
  issues.refuse('The context of the sign-in cannot be used');
  const { ip, userAgent } = context;
  return { ...(ip === undefined ? {} : { ip }), ...(userAgent === undefined ? {} : { userAgent }) };
}

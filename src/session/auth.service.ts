import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type IdentityFacts } from '../audit/activity.types.js';
import { IdentityContext } from '../audit/identity-context.js';
import { assertUuid, InputIssues } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { Tenancy } from '../tenant/tenancy.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { AccessTokenSigner, invalidAccessToken } from './access-token.signer.js';
import { AuthOperations } from './auth.operations.js';
import { findCurrentUser } from './live-session.queries.js';
import { LiveSessionReader } from './live-session.reader.js';
import { LockoutOperations } from './lockout.operations.js';
import { readRefreshToken } from './refresh-token.policy.js';
import { findSessionOfToken } from './refresh.queries.js';
import { SessionOperations } from './session.operations.js';
import { SessionSettings } from './session.settings.js';
import type {
  AccessTokenClaims,
  DeviceContext,
  SignedInUser,
  SessionKey,
  SessionKeyOf,
  SessionTokens,
  SignInContext,
  SignInInput,
  SignInResult,
  VerifyAccessTokenOptions,
} from './session.types.js';
import { deviceOf, prepareSignIn } from './sign-in-input.policy.js';
import { SignUpOperations, signUpClosed } from './sign-up.operations.js';
import type { SignUpInput, SignUpResult } from './sign-up.types.js';

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
    private readonly lockout: LockoutOperations,
    private readonly registration: SignUpOperations,
    private readonly limits: RateLimitService,
    private readonly live: LiveSessionReader,
  ) {}

  /**
   * Signs a user in by email or phone, and password.
   *
   * Whoever cannot come in gets one answer at one cost: an unknown login, a wrong password, a user without one, one who
   * is not active, and one who is no active member of the tenant that was named. Why is in the activity log. Whoever has a
   * second factor, or needs one there, gets a challenge; `context.deviceToken` may stand for it: docs/second-factor.md.
   *
   * Transaction: a look-up, then the password without any connection, then one statement for session, token,
   * `lastLoginAt` and activity, which judges status, password and membership again. A hash of older parameters is
   * replaced afterwards. In a transaction of the caller a connection is held meanwhile, and what a refusal writes is
   * rolled back with it: sign in outside of transactions. Announces `UserLoggedInEvent` or `UserLoginFailedEvent`.
   * Tenancy: in `ISOLATED` the tenant is a part of the login, or `platform` says that there is none. Elsewhere without
   * one: the default access, or none.
   * Errors: `INVALID_CREDENTIALS`, `RATE_LIMITED`, `TENANT_REQUIRED`, `TENANT_NOT_FOUND` for an id that the tenancy mode cannot have,
   * `SECOND_FACTOR_REQUIRED`, `SECOND_FACTOR_ENROLMENT_REQUIRED`, `HASHING_BUSY`, `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async signIn(input: SignInInput, context: DeviceContext = {}, manager?: EntityManager): Promise<SignInResult> {
    // Before anything is done: a password that was verified for nothing has told something.
    void this.settings.keys;
    const { deviceHash, ...from } = deviceOf(context);
    const wanted = prepareSignIn(input, deviceHash, this.tenancy, this.settings.defaultRegion);
    const pinned = this.transactions.pin(manager);
    return IdentityContext.run(factsOf(from), async () => {
      await this.#limit('signIn');
      return this.tenants.asPlatform(() => this.operations.signIn(pinned, wanted));
    });
  }

  /**
   * Makes an account by email or phone, and password, as the option `session.signUp` says.
   *
   * With `pending` the user waits to be activated, and a taken login gets the same answer after the same time, half a
   * second unless the process is busy or in a transaction; `createdUser()` of the result tells trusted code. With `open`
   * the user is signed in, and a taken login is refused by name. Nothing in the input grants anything: no role, status
   * or id is read from it.
   *
   * Transaction: the password is judged by `PasswordPolicy` and hashed first; then as `createUser`, with the hooks of the application and its context
   * `{ source: 'signup' }`; then, with `open`, one statement for the session. Call it outside of transactions: where the
   * tenant demands a second factor the user stays, who enrols by the challenge of the error. In a transaction of the caller
   * the error has no challenge, and the user is there for whoever commits it, and enrols at the first sign-in.
   * Announces `UserCreatedEvent`, `UserRegisteredEvent`, and `UserLoggedInEvent`.
   * Tenancy: in `ISOLATED` with `tenantId`, elsewhere without.
   * Errors: `SIGN_UP_CLOSED`, `RATE_LIMITED`, `VALIDATION_FAILED`, `TENANT_REQUIRED`, `TENANT_NOT_FOUND`, `HASHING_BUSY`,
   * `PASSWORD_REFUSED`, `PASSWORD_CHECK_UNAVAILABLE`, `INVALID_OPTIONS`; with `open` `EMAIL_ALREADY_EXISTS`, `PHONE_ALREADY_EXISTS`
   * and `SECOND_FACTOR_ENROLMENT_REQUIRED`.
   */
  async signUp(input: SignUpInput, context: SignInContext = {}, manager?: EntityManager): Promise<SignUpResult> {
    if (this.settings.signUp === 'closed') throw signUpClosed();
    void this.settings.keys;
    const planned = this.registration.plan(input);
    const pinned = this.transactions.pin(manager);
    return IdentityContext.run(factsOf(context), async () => {
      await this.#limit('signUp');
      return this.tenants.asPlatform(() => this.registration.signUp(pinned, planned, input.password));
    });
  }

  /**
   * Uses a refresh token: answers new tokens of the same session. The token is used up.
   *
   * Transaction: one statement. Of several calls at once with one token one makes the successor, and all of them get
   * it, as does whoever comes within `session.reuseWindowSeconds`. After that the token is a copy: its session ends,
   * with an activity and `RefreshTokenReusedEvent`.
   * Errors: `REFRESH_TOKEN_INVALID`, `RATE_LIMITED`, `INVALID_OPTIONS`.
   */
  async refresh(refreshToken: string, manager?: EntityManager): Promise<SessionTokens> {
    return this.#continue(refreshToken, null, manager);
  }

  /**
   * Uses a refresh token, and takes its session to another tenant: access tokens of before are refused where the
   * database is asked.
   *
   * Transaction: one statement. Announces `SessionTenantSwitchedEvent`. Otherwise as {@link refresh}.
   * Errors: `ACCESS_NOT_FOUND` when the user is no active member there, and `SECOND_FACTOR_REQUIRED`, without a challenge,
   * when the session has not shown what the tenant demands, which both leave the token as it is;
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
    options: VerifyAccessTokenOptions = {},
    manager?: EntityManager,
  ): Promise<AccessTokenClaims> {
    const issues = new InputIssues();
    issues.fields(options, ['fresh']);
    issues.refuse('The access token cannot be verified like that');
    const claims = await this.signer.verify(token);
    if (options.fresh === true) await this.#current(claims, manager);
    return claims;
  }

  /**
   * Whose an access token is, for a guard: refused when the session, the user, the access or the tenant has ended, which
   * another process sees within `revocation.maxStaleMs` and this one at once.
   *
   * No statement for what was asked before and still holds; one otherwise, and always with a manager or in a transaction.
   * Errors: `ACCESS_TOKEN_INVALID`, `INVALID_OPTIONS`.
   */
  async authenticate(token: string, manager?: EntityManager): Promise<AccessTokenClaims> {
    const claims = await this.signer.verify(token);
    if (!(await this.tenants.asPlatform(() => this.live.isLive(claims, manager)))) throw invalidAccessToken();
    return claims;
  }

  /**
   * Who is signed in, by an access token or by claims that were verified before; as the database says it now. One
   * statement.
   *
   * Errors: `ACCESS_TOKEN_INVALID`, also when the session has ended; `INVALID_OPTIONS`.
   */
  async me(token: string | AccessTokenClaims, manager?: EntityManager): Promise<SignedInUser> {
    const claims = typeof token === 'string' ? await this.signer.verify(token) : token;
    return this.#current(claims, manager);
  }

  /** The public keys, for others who verify: the answer of `/.well-known/jwks.json`. Errors: `INVALID_OPTIONS`. */
  jwks(): { keys: SessionKey[] } {
    return this.signer.jwks();
  }

  /**
   * Forgets the failed sign-ins of a user, so that whoever was locked out by them may try again; answers whether there
   * were any. It asks nobody for a right; the caller does.
   *
   * Transaction: one statement, with an activity. Announces `UserUnlockedEvent`. Repeating it changes nothing.
   * Tenancy: with row-level security only the platform may, inside `TenantContext.withoutTenant`.
   * Errors: `VALIDATION_FAILED`, `TENANT_CONTEXT_MISMATCH`.
   */
  async unlock(userId: string, manager?: EntityManager): Promise<boolean> {
    assertUuid('userId', userId);
    if (this.tenants.tenantId !== null)
      throw new NestAuthError('TENANT_CONTEXT_MISMATCH', 'Unlock users inside TenantContext.withoutTenant');
    return this.transactions.operate(manager, (m) => this.lockout.clear(m, userId));
  }

  /** Before anything is done that costs. */
  #limit(action: 'signIn' | 'signUp' | 'refresh'): Promise<void> {
    return this.limits.consume(action, { ip: IdentityContext.current.ip });
  }

  async #continue(token: string, tenantId: string | null, manager?: EntityManager): Promise<SessionTokens> {
    const pinned = this.transactions.pin(manager);
    await this.#limit('refresh');
    const { userId, issuing, refreshToken } = await this.tenants.asPlatform(() =>
      this.sessions.continue(pinned, token, tenantId),
    );
    return this.operations.issue(userId, issuing, refreshToken);
  }

  async #current(claims: AccessTokenClaims, manager?: EntityManager): Promise<SignedInUser> {
    assertKey(claims);
    const user = await this.tenants.asPlatform(() =>
      this.transactions.operate(manager, (m) => findCurrentUser(m, claims)),
    );
    if (user === null) throw invalidAccessToken();
    return { user, sessionId: claims.sessionId, tenantId: claims.tenantId };
  }
}

function assertKey(key: SessionKeyOf | null | undefined): void {
  assertUuid('userId', key?.userId);
  assertUuid('sessionId', key?.sessionId);
}

/** The facts that a caller gives about a sign-in. */
export function factsOf(context: SignInContext): IdentityFacts {
  const issues = new InputIssues();
  issues.fields(context, ['ip', 'userAgent']);
  const { ip, userAgent } = context;
  if (userAgent !== undefined && typeof userAgent !== 'string') issues.add('userAgent', 'must be a string');
  issues.refuse('The context of the sign-in cannot be used');
  return { ...(ip === undefined ? {} : { ip }), ...(userAgent === undefined ? {} : { userAgent }) };
}

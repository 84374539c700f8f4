import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { IdentityContext } from '../audit/identity-context.js';
import { assertUuid, InputIssues } from '../errors/input.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { factsOf } from '../session/auth.service.js';
import { SessionSettings } from '../session/session.settings.js';
import type { DeviceContext, SessionKeyOf } from '../session/session.types.js';
import { deviceOf } from '../session/sign-in-input.policy.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { ExternalFlowOperations } from './external-flow.operations.js';
import { removeExpiredFlows } from './external-flow.queries.js';
import { ExternalLinkOperations } from './external-link.operations.js';
import { findLinkedIdentities } from './external-link.queries.js';
import { ExternalSignInOperations } from './external-sign-in.operations.js';
import { ExternalSettings } from './external.settings.js';
import type {
  BeginExternalOptions,
  ExternalAnswer,
  ExternalFlow,
  ExternalLinkResult,
  ExternalSignInResult,
  LinkedIdentity,
} from './external.types.js';

/**
 * Signing in by somebody else, such as a provider of OpenID Connect; and the accounts there that belong to users. Needs
 * the options `identityProviders` and `session.keys`.
 *
 * What was begun in a browser is completed in it, once: the token of a flow stays in a cookie, and a callback without it
 * is worth nothing. Providers are asked while no connection is held; in a transaction of the caller one is, so call
 * outside of transactions. With row-level security signing in and linking belong to no tenant, as in `AuthService`.
 */
@Injectable()
export class ExternalSignInService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly flows: ExternalFlowOperations,
    private readonly signIns: ExternalSignInOperations,
    private readonly links: ExternalLinkOperations,
    private readonly settings: ExternalSettings,
    private readonly sessions: SessionSettings,
    private readonly tenants: TenantContext,
  ) {}

  /** The names of the configured providers. */
  getProviders(): string[] {
    return this.settings.names;
  }

  /**
   * Begins a sign-in: answers where to send the browser, and the token that stays in it.
   *
   * Transaction: the provider, which may have to be asked for its endpoints; then one statement. Nobody is announced.
   * Tenancy: the tenant is fixed here; in `ISOLATED` it is required, as a part of who somebody is.
   * Errors: `PROVIDER_NOT_FOUND`, `PROVIDER_UNAVAILABLE`, `TENANT_REQUIRED`, `TENANT_NOT_FOUND`, `VALIDATION_FAILED` also
   * for a `redirectTo` that is not in `externalSignIn.redirectTargets`.
   */
  async beginSignIn(
    provider: string,
    options: BeginExternalOptions = {},
    manager?: EntityManager,
  ): Promise<ExternalFlow> {
    const pinned = this.transactions.pin(manager);
    return this.flows.begin(pinned, provider, options, null);
  }

  /**
   * Completes a sign-in: opens a session for whoever the account at the provider belongs to, as `AuthService.signIn` does.
   *
   * An account that nobody has becomes a user where the provider has `signUp`; its email counts only where the provider
   * is trusted and has verified it (`trustsEmail`). Is that email a user's already, the account is linked with
   * `linkVerifiedEmail` if that user has verified it, too; else `LINK_REQUIRED`. Whoever may not come in gets
   * `INVALID_CREDENTIALS` for all reasons; why is in the activity log.
   *
   * Transaction: one statement uses the flow up, whatever comes of it; then the provider; then, for a known account, a
   * look-up and one statement as in `signIn`. A user is made, verified, linked and signed in by one transaction, with the
   * hooks of the host in it. Of many calls at once with one token one succeeds. Announces `UserLoggedInEvent` or
   * `UserLoginFailedEvent`, and `UserCreatedEvent` or `UserUpdatedEvent`.
   * Errors: `EXTERNAL_SIGN_IN_INVALID`, `EXTERNAL_SIGN_IN_DENIED`, `LINK_REQUIRED`, `INVALID_CREDENTIALS`,
   * `SECOND_FACTOR_REQUIRED`, `SECOND_FACTOR_ENROLMENT_REQUIRED`, `PROVIDER_NOT_FOUND`, `PROVIDER_UNAVAILABLE`, `VALIDATION_FAILED`, and what hooks throw.
   * In a transaction of the caller `SECOND_FACTOR_ENROLMENT_REQUIRED` of a user whom the call has made has no challenge: that
   * user enrols at the next sign-in, after COMMIT.
   */
  async completeSignIn(
    answer: ExternalAnswer,
    context: DeviceContext = {},
    manager?: EntityManager,
  ): Promise<ExternalSignInResult> {
    void this.sessions.keys;
    const { deviceHash, ...from } = deviceOf(context);
    const pinned = this.transactions.pin(manager);
    return IdentityContext.run(factsOf(from), async () => {
      const proven = await this.flows.prove(pinned, answer, null);
      return this.tenants.asPlatform(() => this.signIns.signIn(pinned, proven, deviceHash));
    });
  }

  /**
   * Begins to link an account to the user of a session, such as verified claims are one. As {@link beginSignIn}, without
   * a tenant.
   */
  async beginLink(
    provider: string,
    session: SessionKeyOf,
    options: Omit<BeginExternalOptions, 'tenantId'> = {},
    manager?: EntityManager,
  ): Promise<ExternalFlow> {
    const key = keyOf(session);
    const pinned = this.transactions.pin(manager);
    return this.flows.begin(pinned, provider, options, key);
  }

  /**
   * Links the account to the user of the session in which that was begun. Email and verification stay as they are.
   *
   * Transaction: one statement uses the flow up; then the provider; then one transaction, with the hooks of the host.
   * Announces `UserUpdatedEvent`. For an account that the user has already it changes nothing.
   * Errors: `IDENTITY_ALREADY_EXISTS` when it is another user's, `ACCESS_TOKEN_INVALID` when the session is over;
   * `EXTERNAL_SIGN_IN_INVALID` also for another session, and the others of {@link completeSignIn}.
   */
  async completeLink(
    answer: ExternalAnswer,
    session: SessionKeyOf,
    manager?: EntityManager,
  ): Promise<ExternalLinkResult> {
    const key = keyOf(session);
    const pinned = this.transactions.pin(manager);
    const proven = await this.flows.prove(pinned, answer, key);
    return this.tenants.asPlatform(() => this.transactions.atomic(pinned, (m) => this.links.link(m, proven)));
  }

  /**
   * Takes an account away from a user; answers whether it was theirs. Sessions stay: see `SessionService`.
   *
   * Transaction: several statements, with the hooks of the host. Announces `UserUpdatedEvent`. Repeating it changes
   * nothing. It asks nobody for a right; the caller does. Of two calls at once that would take the last way in, one is
   * refused.
   * Errors: `LAST_SIGN_IN_METHOD` when the user has no password, and no other account at a configured provider;
   * `USER_NOT_FOUND`, `VALIDATION_FAILED`.
   */
  async unlink(userId: string, provider: string, providerId: string, manager?: EntityManager): Promise<boolean> {
    assertUuid('userId', userId);
    const issues = new InputIssues();
    issues.text('provider', provider, { max: 64 });
    issues.text('providerId', providerId, { max: 255 });
    issues.refuse('The account cannot be unlinked');
    return this.transactions.atomic(manager, (m) => this.links.unlink(m, userId, { provider, providerId }));
  }

  /** The accounts at providers that belong to a user, the oldest first. One statement. Errors: `VALIDATION_FAILED`. */
  async getLinkedIdentities(userId: string, manager?: EntityManager): Promise<LinkedIdentity[]> {
    assertUuid('userId', userId);
    return this.transactions.operate(manager, (m) => findLinkedIdentities(m, userId));
  }

  /** Removes what people have begun and not completed in time; answers how much that was. One statement. */
  async removeExpiredFlows(manager?: EntityManager): Promise<number> {
    return this.tenants.asPlatform(() => this.transactions.operate(manager, removeExpiredFlows));
  }
}

function keyOf(session: SessionKeyOf): SessionKeyOf {
  assertUuid('userId', session?.userId);
  assertUuid('sessionId', session?.sessionId);
  // Claims have both in lower case; whoever passes something else is not to be taken for another.
  return { userId: session.userId.toLowerCase(), sessionId: session.sessionId.toLowerCase() };
}

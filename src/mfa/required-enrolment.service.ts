import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { IdentityContext } from '../audit/identity-context.js';
import { InputIssues } from '../errors/input.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { factsOf } from '../session/auth.service.js';
import { SessionSettings } from '../session/session.settings.js';
import type { SignInContext } from '../session/session.types.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { RequiredEnrolmentOperations } from './required-enrolment.operations.js';
import type { CompleteEnrolmentInput, RequiredEnrolment, TwoFactorEnrolment } from './second-factor.types.js';

/**
 * Enrols the first second factor of somebody whose sign-in was answered by `SecondFactorEnrolmentRequiredError`: because
 * the tenant's `secondFactorPolicy`, or `twoFactor.platform`, demands one.
 *
 * The challenge of that error is for this and for nothing else (OWASP ASVS 6.5.5, 6.6.2): it expires after
 * `twoFactor.challengeSeconds`, takes `twoFactor.challengeAttempts` answers, and is over as soon as the user has a second
 * factor by whichever way. With row-level security these calls belong to no tenant, as in `TwoFactorService`.
 */
@Injectable()
export class RequiredEnrolmentService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: RequiredEnrolmentOperations,
    private readonly sessions: SessionSettings,
    private readonly tenants: TenantContext,
    private readonly limits: RateLimitService,
  ) {}

  /**
   * Begins to enrol an authenticator: answers what it needs, once. It may be begun anew until it is completed.
   *
   * Transaction: a look-up and one statement. Announces `SecondFactorBegunEvent`.
   * Errors: `SECOND_FACTOR_INVALID` for a challenge that is unknown, over, or of somebody who has a second factor;
   * `RATE_LIMITED`, `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async beginEnrolment(
    input: Pick<CompleteEnrolmentInput, 'challengeToken'>,
    context: SignInContext = {},
    manager?: EntityManager,
  ): Promise<TwoFactorEnrolment> {
    checkToken(input);
    return this.#limited(context, () => this.operations.begin(this.transactions.pin(manager), input.challengeToken));
  }

  /**
   * Enables the authenticator by a code of it, and opens the session that was asked for; answers its tokens and ten
   * recovery codes, once. Sessions of before end.
   *
   * Transaction: one statement counts the answer in a transaction of its own; then one transaction for the challenge, the
   * factor and the session. Of many at once one succeeds. Announces `SecondFactorEnabledEvent` and `UserLoggedInEvent`.
   * Errors: as {@link beginEnrolment}, also for a wrong code; `SECRET_UNREADABLE`.
   */
  async completeEnrolment(
    input: CompleteEnrolmentInput,
    context: SignInContext = {},
    manager?: EntityManager,
  ): Promise<RequiredEnrolment> {
    // Before anything is used up.
    void this.sessions.keys;
    checkCompletion(input);
    return this.#limited(context, () => this.operations.complete(this.transactions.pin(manager), input));
  }

  async #limited<T>(context: SignInContext, fn: () => Promise<T>): Promise<T> {
    return IdentityContext.run(factsOf(context), async () => {
      await this.limits.consume('secondFactor', { ip: IdentityContext.current.ip });
      return this.tenants.asPlatform(fn);
    });
  }
}

function checkToken(input: Pick<CompleteEnrolmentInput, 'challengeToken'>): void {
  const issues = new InputIssues();
  issues.fields(input, ['challengeToken']);
  if (typeof input.challengeToken !== 'string') issues.add('challengeToken', 'must be a string');
  issues.refuse('The second factor cannot be enrolled');
}

function checkCompletion(input: CompleteEnrolmentInput): void {
  const issues = new InputIssues();
  issues.fields(input, ['challengeToken', 'code', 'trustDevice']);
  if (typeof input.challengeToken !== 'string') issues.add('challengeToken', 'must be a string');
  if (typeof input.code !== 'string') issues.add('code', 'must be a string');
  if (input.trustDevice !== undefined) issues.boolean('trustDevice', input.trustDevice);
  issues.refuse('The second factor cannot be enrolled');
}

import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { IdentityContext } from '../audit/identity-context.js';
import { InputIssues } from '../errors/input.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { factsOf } from '../session/auth.service.js';
import type { SignInContext } from '../session/session.types.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { CodeFactorOperations } from './code-factor.operations.js';
import type { EnableCodesOptions, EnabledCodes, SendCodeInput, SentCodeFactor } from './second-factor.types.js';
import { readUserId } from './two-factor-input.policy.js';

const KINDS: readonly SentCodeFactor['kind'][] = ['email', 'sms'];

/**
 * Codes by email or SMS as a second factor: off unless `twoFactor.methods` names them. They are weaker than an
 * authenticator: whoever reads the messages, or has the number moved, has them (NIST SP 800-63B, 5.1.3). Needs
 * `secrets.keys` and `delivery`.
 *
 * A code goes to an address that the user has verified, for one sign-in, and is good as long as its challenge is. With
 * row-level security these calls belong to no tenant, as in `TwoFactorService`.
 */
@Injectable()
export class SecondFactorCodeService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: CodeFactorOperations,
    private readonly tenants: TenantContext,
    private readonly limits: RateLimitService,
  ) {}

  /**
   * Makes codes to the verified email, or phone number, a second factor of the user. Answers ten recovery codes, once,
   * unless the user has some. Every session ends, but for the one that is named; as in `verifyTwoFactorSetup`.
   *
   * Transaction: the password is verified without any connection, and counts like one at a sign-in; then one statement.
   * Announces `SecondFactorEnabledEvent`. Of many at once one succeeds. Rule: OWASP ASVS 7.5.1.
   * Of a user who has a second factor already it takes a proof of that, too, which is used up in the same transaction: the
   * password alone adds none.
   *
   * Errors: `ADDRESS_NOT_VERIFIED`, `SECOND_FACTOR_INVALID`, `INVALID_CREDENTIALS`, `REAUTHENTICATION_REQUIRED`, `SECOND_FACTOR_ALREADY_ENABLED`,
   * `SECOND_FACTOR_NOT_ENABLED`, `RATE_LIMITED`, `HASHING_BUSY`, `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async enableSecondFactorCodes(
    userId: string,
    kind: SentCodeFactor['kind'],
    options: EnableCodesOptions = {},
    manager?: EntityManager,
  ): Promise<EnabledCodes> {
    const id = readUserId(userId);
    checkEnable(kind, options);
    const pinned = this.transactions.pin(manager);
    await this.limits.consume('secondFactor', { ip: IdentityContext.current.ip, userId: id });
    return this.tenants.asPlatform(() => this.operations.enable(pinned, id, kind, options));
  }

  /**
   * Sends a code for a sign-in that waits for one, to be passed to `completeSignIn` with its `method`; answers until when
   * it is good. Another one for the same challenge replaces it.
   *
   * Transaction: a look-up, then one statement in a transaction of its own; the message leaves after its COMMIT. Announces
   * `SecondFactorCodeRequestedEvent`. The code is in no answer, event or activity.
   * Errors: `SECOND_FACTOR_INVALID` for a challenge that is over, or takes no answer any more, a user who has no such factor, and an address that is
   * verified no more; `RATE_LIMITED`, `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async sendSecondFactorCode(
    input: SendCodeInput,
    context: SignInContext = {},
    manager?: EntityManager,
  ): Promise<{ readonly expiresAt: Date }> {
    checkSend(input);
    const pinned = this.transactions.pin(manager);
    return IdentityContext.run(factsOf(context), async () => {
      await this.limits.consume('secondFactor', { ip: IdentityContext.current.ip });
      const waiting = await this.tenants.asPlatform(() => this.operations.waiting(pinned, input));
      // Not before: whoever has no challenge of the user must not use up what the user may do.
      await this.limits.consume('secondFactor', { userId: waiting.userId });
      return { expiresAt: await this.tenants.asPlatform(() => this.operations.send(pinned, waiting)) };
    });
  }
}

function checkEnable(kind: unknown, options: EnableCodesOptions): void {
  const issues = new InputIssues();
  checkKind(issues, kind);
  issues.fields(options, ['currentPassword', 'sessionId', 'keepSessionId', 'code', 'recoveryCode']);
  const { currentPassword, sessionId, keepSessionId } = options;
  if (currentPassword !== undefined && typeof currentPassword !== 'string')
    issues.add('currentPassword', 'must be a string');
  if (sessionId !== undefined) issues.uuid('sessionId', sessionId);
  if (keepSessionId !== undefined) issues.uuid('keepSessionId', keepSessionId);
  issues.refuse('The second factor cannot be enrolled');
}

function checkSend(input: SendCodeInput): void {
  const issues = new InputIssues();
  issues.fields(input, ['challengeToken', 'kind']);
  if (typeof input.challengeToken !== 'string') issues.add('challengeToken', 'must be a string');
  checkKind(issues, input.kind);
  issues.refuse('The code cannot be sent');
}

function checkKind(issues: InputIssues, kind: unknown): void {
  if (!KINDS.some((known) => known === kind)) issues.add('kind', `must be one of ${KINDS.join(', ')}`);
}

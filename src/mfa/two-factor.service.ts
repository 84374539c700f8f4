import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { IdentityContext } from '../audit/identity-context.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { factsOf } from '../session/auth.service.js';
import { SessionSettings } from '../session/session.settings.js';
import type { SignInContext } from '../session/session.types.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { ChallengeOperations } from './challenge.operations.js';
import type {
  CompleteSignInInput,
  EnableTwoFactorOptions,
  KeepSessionOptions,
  RecoveryCodes,
  ResetTwoFactorOptions,
  SecondFactorProof,
  SecondFactors,
  SecondFactorSignIn,
  TwoFactorEnrolment,
} from './second-factor.types.js';
import {
  checkCode,
  checkCompletion,
  checkEnable,
  checkProof,
  readKeepSession,
  readReset,
  readUserId,
} from './two-factor-input.policy.js';
import { TwoFactorOperations } from './two-factor.operations.js';
import { listFactors } from './two-factor.queries.js';

/**
 * Second factors: one-time codes of an authenticator (TOTP, RFC 6238), and recovery codes. Needs the option
 * `secrets.keys`, and the packages `otplib` and `qrcode`.
 *
 * Who enrols, shows or gives up a factor proves it by a secret and not by an id. So with row-level security those calls
 * belong to no tenant, as in `AuthService`; an answer is counted outside of the caller's transaction, on a second
 * connection. The step of a code is judged by the database's clock.
 */
@Injectable()
export class TwoFactorService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: TwoFactorOperations,
    private readonly challenges: ChallengeOperations,
    private readonly sessions: SessionSettings,
    private readonly tenants: TenantContext,
    private readonly limits: RateLimitService,
  ) {}

  /**
   * Begins to enrol an authenticator: answers what it needs, once. Nothing is asked for at a sign-in until
   * {@link verifyTwoFactorSetup} has seen a code of it; until then it may be begun anew.
   *
   * Transaction: the password is verified without any connection, and counts like one at a sign-in; then a look-up and one
   * statement. Announces `SecondFactorBegunEvent`. Rule: OWASP ASVS 7.5.1.
   * Of a user who has a second factor already it takes a proof of that, too, which is used up in the same transaction: the
   * password alone adds none.
   *
   * Errors: `INVALID_CREDENTIALS`, `REAUTHENTICATION_REQUIRED`, `SECOND_FACTOR_ALREADY_ENABLED`, `SECOND_FACTOR_INVALID`, `USER_NOT_FOUND`,
   * `RATE_LIMITED`, `HASHING_BUSY`, `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async enableTwoFactor(
    userId: string,
    options: EnableTwoFactorOptions = {},
    manager?: EntityManager,
  ): Promise<TwoFactorEnrolment> {
    const id = readUserId(userId);
    checkEnable(options);
    const pinned = this.transactions.pin(manager);
    return this.#asOwner(id, () => this.operations.enable(pinned, id, options));
  }

  /**
   * Enables the authenticator by a code of it, and answers ten recovery codes, once. Every session of the user ends, but
   * for the one that is named; of that the access token ends, too, and its next refresh goes on.
   *
   * Transaction: a look-up, then one statement. Announces `SecondFactorEnabledEvent`. Of many at once one succeeds. Call it
   * outside of transactions: a code is judged by when that began.
   * Errors: `SECOND_FACTOR_INVALID`, `SECOND_FACTOR_NOT_ENABLED`, `SECRET_UNREADABLE`, `RATE_LIMITED`,
   * `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async verifyTwoFactorSetup(
    userId: string,
    code: string,
    options: KeepSessionOptions = {},
    manager?: EntityManager,
  ): Promise<RecoveryCodes> {
    const id = readUserId(userId);
    checkCode(code);
    const keepSessionId = readKeepSession(options);
    const pinned = this.transactions.pin(manager);
    const confirm = (): Promise<readonly string[]> => this.operations.confirm(pinned, id, code, keepSessionId);
    return { recoveryCodes: await this.#asOwner(id, confirm) };
  }

  /**
   * Completes a sign-in that was answered by `SecondFactorRequiredError`: opens the session, in the tenant that was named
   * then. The challenge and the code are used up; with a wrong code the challenge takes another one, as often as
   * `twoFactor.challengeAttempts` says. A code is taken once, whoever shows it and wherever (RFC 6238, 5.2).
   *
   * Transaction: one statement counts the answer, before it is looked at and in a transaction of its own; then one uses
   * up what was shown, and one opens the session as in `AuthService.signIn`. Announces `UserLoggedInEvent` or
   * `UserLoginFailedEvent`, and `RecoveryCodeUsedEvent`. Call it outside of transactions.
   * Errors: `SECOND_FACTOR_INVALID` for all reasons; why is in the activity log. `RATE_LIMITED`, `SECRET_UNREADABLE`,
   * `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async completeSignIn(
    input: CompleteSignInInput,
    context: SignInContext = {},
    manager?: EntityManager,
  ): Promise<SecondFactorSignIn> {
    // Before anything is used up.
    void this.sessions.keys;
    checkCompletion(input);
    const pinned = this.transactions.pin(manager);
    return IdentityContext.run(factsOf(context), async () => {
      await this.limits.consume('secondFactor', { ip: IdentityContext.current.ip });
      return this.tenants.asPlatform(() => this.challenges.complete(pinned, input));
    });
  }

  /**
   * Gives up every second factor of the user, with the recovery codes, by one of them. Sessions as in
   * {@link verifyTwoFactorSetup}.
   *
   * Transaction: one statement counts the answer in a transaction of its own, then one. Announces
   * `SecondFactorDisabledEvent`. Rule: OWASP Multifactor Authentication Cheat Sheet.
   * Errors: `SECOND_FACTOR_INVALID`, `SECOND_FACTOR_NOT_ENABLED`, `SECRET_UNREADABLE`, `RATE_LIMITED`,
   * `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async disableTwoFactor(
    userId: string,
    proof: SecondFactorProof & KeepSessionOptions,
    manager?: EntityManager,
  ): Promise<void> {
    const id = readUserId(userId);
    const { keepSessionId, ...shown } = { ...proof };
    checkProof(shown);
    const kept = readKeepSession(keepSessionId === undefined ? {} : { keepSessionId });
    const pinned = this.transactions.pin(manager);
    await this.#asOwner(id, () => this.operations.disable(pinned, id, shown, kept));
  }

  /**
   * Replaces the recovery codes by ten others, and answers them, once; those of before are worth nothing from then on.
   *
   * Transaction: as {@link disableTwoFactor}. Announces `RecoveryCodesReplacedEvent`. Errors: the same.
   */
  async regenerateRecoveryCodes(
    userId: string,
    proof: SecondFactorProof,
    manager?: EntityManager,
  ): Promise<RecoveryCodes> {
    const id = readUserId(userId);
    checkProof(proof);
    const pinned = this.transactions.pin(manager);
    return { recoveryCodes: await this.#asOwner(id, () => this.operations.regenerate(pinned, id, proof)) };
  }

  /**
   * Takes every second factor away from a user who has lost them; answers whether there was one. All sessions of the user
   * end. For an administrator: it asks nobody for a right; the caller does, and makes sure who it is that asks.
   *
   * Transaction: one statement, on the `manager` passed, else in the running transaction, else by itself. Announces
   * `SecondFactorResetEvent`. Repeating it changes nothing.
   * Tenancy: with row-level security a tenant resets the users of its own realm; somebody who is its member, too, belongs
   * to others as well: `ROW_SECURITY_REFUSED`.
   * Errors: `USER_NOT_FOUND`, `ROW_SECURITY_REFUSED`, `VALIDATION_FAILED`.
   */
  async resetTwoFactor(userId: string, options: ResetTwoFactorOptions = {}, manager?: EntityManager): Promise<boolean> {
    const id = readUserId(userId);
    const reason = readReset(options);
    const { tenantId } = this.tenants;
    return this.transactions.operate(manager, async (m) => {
      const { realmId, isReset } = await this.operations.reset(m, id, reason);
      if (tenantId === null || realmId === tenantId) return isReset;
      throw new NestAuthError('ROW_SECURITY_REFUSED', 'resetTwoFactor: the user does not belong to this tenant alone');
    });
  }

  /**
   * The second factors of a user that are enabled, without anything secret. One statement, where the caller's is.
   *
   * Tenancy: with row-level security a tenant sees those of the users of its own realm. Errors: `VALIDATION_FAILED`.
   */
  async listSecondFactors(userId: string, manager?: EntityManager): Promise<SecondFactors> {
    const id = readUserId(userId);
    return this.transactions.operate(manager, (m) => listFactors(m, id));
  }

  /** For somebody who acts on the own account; counted before anything is done. */
  async #asOwner<T>(userId: string, fn: () => Promise<T>): Promise<T> {
    await this.limits.consume('secondFactor', { ip: IdentityContext.current.ip, userId });
    return this.tenants.asPlatform(fn);
  }
}

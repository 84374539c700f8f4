import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { NestAuthUser } from '../account/user.entity.js';
import { UserOperations } from '../account/user.operations.js';
import { IdentityContext } from '../audit/identity-context.js';
import { assertUuid } from '../errors/input.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { SessionSettings } from '../session/session.settings.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { OneTimeTokenOperations } from './one-time-token.operations.js';
import { removeExpiredTokens } from './one-time-token.queries.js';
import {
  checkProof,
  type NewAddress,
  prepareEmailChange,
  preparePhoneChange,
  readForm,
} from './recovery-input.policy.js';
import type {
  AddressChangeInput,
  EmailChangeInput,
  PhoneChangeInput,
  ProofInput,
  RecoveryPurpose,
  RequestedProof,
  RequestVerificationOptions,
} from './recovery.types.js';
import { VerificationOperations } from './verification.operations.js';

/**
 * Proving an email or a phone number by a link or a code: the one that a user has, or another one. Needs the option
 * `secrets.keys`; without, what needs a key throws `INVALID_OPTIONS`.
 *
 * Asking makes a link or a code and sends nothing: that is done after COMMIT, by a durable subscriber (`delivery`), or by
 * the host with what `reveal()` of the answer says. There is one of a kind for a user; another one ends it. A code is good
 * for 10 minutes and 5 tries, a link for as long as `recovery` says. Whoever may call for a user is for the caller to say.
 *
 * With row-level security links and codes belong to no tenant, and so do these calls: they need no `TenantContext`, and
 * are refused with `TENANT_CONTEXT_MISMATCH` inside a transaction of a tenant. Inside the context of a tenant only users
 * whom it sees are found.
 */
@Injectable()
export class VerificationService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: VerificationOperations,
    private readonly tokens: OneTimeTokenOperations,
    private readonly users: UserOperations,
    private readonly sessions: SessionSettings,
    private readonly tenants: TenantContext,
    private readonly limits: RateLimitService,
  ) {}

  /**
   * Asks a user to prove the email. Answers until when; nothing is made for one that is proven already.
   *
   * Transaction: one statement. Announces `VerificationRequestedEvent`. Repeating it makes another link, and ends the one
   * before.
   * Errors: `USER_NOT_FOUND`, `USER_NOT_ACTIVE` for one who was deactivated, `USER_DISABLED`, `RATE_LIMITED`,
   * `VALIDATION_FAILED`, also for a user without email; `INVALID_OPTIONS`.
   */
  async requestEmailVerification(
    userId: string,
    options: RequestVerificationOptions = {},
    manager?: EntityManager,
  ): Promise<RequestedProof> {
    const form = readForm(options);
    return this.#request(userId, manager, (id, m) => this.operations.requestVerification(m, id, 'email', form));
  }

  /** Asks a user to prove the phone number, by a code. As {@link requestEmailVerification}. */
  async requestPhoneVerification(userId: string, manager?: EntityManager): Promise<RequestedProof> {
    return this.#request(userId, manager, (id, m) => this.operations.requestVerification(m, id, 'phone', 'code'));
  }

  /**
   * Marks the email as proven: by the token of a link, or by a code of the user. It has to be the address that the link
   * or the code went to.
   *
   * Transaction: with a code one statement that counts the try, which stays although the caller rolls back; then, in a
   * transaction, one statement that uses the proof up and judges it, and what `UserService.verifyUser` does, with the
   * hooks of the host. Of many at once one succeeds. Announces `UserUpdatedEvent` unless it was proven already.
   * Errors: `ONE_TIME_TOKEN_INVALID` for all reasons; `RATE_LIMITED`, `VALIDATION_FAILED`, and what hooks throw; in a
   * transaction with a full pool `CONNECTION_UNAVAILABLE`.
   */
  async verifyEmail(proof: ProofInput, manager?: EntityManager): Promise<NestAuthUser> {
    checkProof(proof, ['link', 'code']);
    return this.#prove('email_verification', proof, manager, (m, shown) => this.operations.verify(m, shown, 'email'));
  }

  /** Marks the phone number as proven, by a code of the user. As {@link verifyEmail}. */
  async verifyPhone(
    proof: { readonly userId: string; readonly code: string },
    manager?: EntityManager,
  ): Promise<NestAuthUser> {
    checkProof(proof, ['code']);
    return this.#prove('phone_verification', proof, manager, (m, shown) => this.operations.verify(m, shown, 'phone'));
  }

  /**
   * Asks the holder of another email to confirm it for a user; the present one stays until then. The user shows again who
   * they are: by the current password, or, having none, by a session that has begun within
   * `recovery.recentSignInMinutes`; and, having a second factor, by a code of the authenticator or a recovery code. Whoever
   * has nothing but codes by email or SMS shows a recovery code. Whether somebody else has the email is not told here.
   *
   * Transaction: the password is verified as at a sign-in, without any connection, and a wrong one counts like one there;
   * then a look-up and one statement. What is shown of a second factor is counted by one statement in a transaction of its
   * own, and used up in one transaction with the request. In a transaction of the caller a connection is held meanwhile, and
   * counting needs a second one: call outside of transactions.
   * Announces `EmailChangeRequestedEvent`, and `RecoveryCodeUsedEvent`, or `UserLoginFailedEvent`. Source: OWASP ASVS 7.5.1.
   * Errors: `INVALID_CREDENTIALS` for all that is wrong about the password; `REAUTHENTICATION_REQUIRED`,
   * `SECOND_FACTOR_INVALID`, `SECRET_UNREADABLE`, `RATE_LIMITED`, `HASHING_BUSY`, `VALIDATION_FAILED`, also where a second
   * factor is to be shown and is not; `INVALID_OPTIONS`; in a transaction with a full pool `CONNECTION_UNAVAILABLE`.
   */
  async requestEmailChange(input: EmailChangeInput, manager?: EntityManager): Promise<RequestedProof> {
    return this.#requestChange(manager, 'email', prepareEmailChange(input), input);
  }

  /**
   * Gives the user the email that the link went to, and no other, proven. A change of the password since, or of the
   * status, ends the link. The subscriber that sends messages tells the address of before.
   *
   * Transaction: one statement that uses the link up; then as `UserService.updateUser` and `verifyUser`, with the hooks of
   * the host, all in one transaction. Sessions go on. Announces `UserUpdatedEvent`, for the email and for its proof.
   * Errors: `ONE_TIME_TOKEN_INVALID` for all reasons; `EMAIL_ALREADY_EXISTS` when somebody else has it by now, which
   * leaves the link as it was, and a transaction of the caller usable; `RATE_LIMITED`, `VALIDATION_FAILED`, and what
   * hooks throw.
   */
  async confirmEmailChange(proof: { readonly token: string }, manager?: EntityManager): Promise<NestAuthUser> {
    checkProof(proof, ['link']);
    return this.#prove('email_change', proof, manager, (m, shown) => this.operations.confirmChange(m, shown, 'email'));
  }

  /** Asks the holder of another phone number to confirm it, by a code. As {@link requestEmailChange}. */
  async requestPhoneChange(input: PhoneChangeInput, manager?: EntityManager): Promise<RequestedProof> {
    return this.#requestChange(manager, 'phone', preparePhoneChange(input, this.sessions.defaultRegion), input);
  }

  /** Gives the user the phone number that the code went to. As {@link confirmEmailChange}, tries as {@link verifyEmail}. */
  async confirmPhoneChange(
    proof: { readonly userId: string; readonly code: string },
    manager?: EntityManager,
  ): Promise<NestAuthUser> {
    checkProof(proof, ['code']);
    return this.#prove('phone_change', proof, manager, (m, shown) => this.operations.confirmChange(m, shown, 'phone'));
  }

  /**
   * Removes links and codes, also those of password resets, that expired a day ago or earlier; answers how many. One
   * statement, without an activity. For a job; `remove-expired-one-time-tokens` of `nest-auth-identity/schedule` is one.
   */
  async removeExpiredTokens(manager?: EntityManager): Promise<number> {
    return this.tenants.asPlatform(() => this.transactions.operate(manager, removeExpiredTokens));
  }

  #requestChange(
    manager: EntityManager | undefined,
    login: 'email' | 'phone',
    address: NewAddress,
    input: AddressChangeInput,
  ): Promise<RequestedProof> {
    const isShown = input.code !== undefined || input.recoveryCode !== undefined;
    return this.#request(
      input.userId,
      manager,
      async (userId, m) => {
        // Wherever it is shown: nobody guesses here what may not be guessed any more there.
        if (isShown) await this.limits.consume('secondFactor', { userId });
        return this.operations.requestChange(m, login, address, { ...input, userId });
      },
      address.norm,
    );
  }

  /** Nobody's mailbox is filled by it, and nobody writes to everybody: each user asks, and each address gets, so many. */
  async #request<T>(
    userId: string,
    manager: EntityManager | undefined,
    fn: (userId: string, manager: EntityManager | undefined) => Promise<T>,
    address?: string,
  ): Promise<T> {
    assertUuid('userId', userId);
    const id = userId.toLowerCase();
    const pinned = this.transactions.pin(manager);
    const { ip } = IdentityContext.current;
    await this.limits.consume('verification', { ip, key: `request:${id}` });
    if (address !== undefined) await this.limits.consume('verification', { key: `request:${address}` });
    // A tenant acts for those whom it sees, and finds nobody else.
    if (this.tenants.tenantId !== null) await this.transactions.operate(pinned, (m) => this.users.getOrThrow(m, id));
    return this.tenants.asPlatform(() => fn(id, pinned));
  }

  async #prove(
    purpose: RecoveryPurpose,
    proof: ProofInput,
    manager: EntityManager | undefined,
    fn: (
      manager: EntityManager | undefined,
      shown: ReturnType<OneTimeTokenOperations['read']>,
    ) => Promise<NestAuthUser>,
  ): Promise<NestAuthUser> {
    const pinned = this.transactions.pin(manager);
    const { ip } = IdentityContext.current;
    const shown = this.tokens.read(purpose, proof);
    const key = shown.form === 'code' ? `guess:${shown.userId}` : undefined;
    await this.limits.consume('verification', { ip, key });
    return this.tenants.asPlatform(() => fn(pinned, shown));
  }
}

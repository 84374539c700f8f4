import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { IdentityContext } from '../audit/identity-context.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { Tenancy } from '../tenant/tenancy.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { PasswordRecoveryOperations } from './password-recovery.operations.js';
import { checkPasswordChange, checkReset, prepareResetRequest } from './recovery-input.policy.js';
import type {
  PasswordChangeInput,
  PasswordResetInput,
  PasswordResetRequest,
  RequestedReset,
} from './recovery.types.js';

/**
 * Another password: by a link to the email of the user, or by the current one. Needs the option `secrets.keys` for
 * links. It signs nobody in, and no second factor is skipped by it.
 *
 * With row-level security these calls belong to no tenant, as in `AuthService`.
 */
@Injectable()
export class PasswordRecoveryService {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly operations: PasswordRecoveryOperations,
    private readonly tenancy: Tenancy,
    private readonly tenants: TenantContext,
    private readonly limits: RateLimitService,
  ) {}

  /**
   * Makes a link to reset the password of whoever has this email, to be sent to the address that is stored. Whether
   * anybody has it is in no answer: the same statements and the same result for everybody (OWASP ASVS 6.3.8). Nobody gets
   * a link who is not active or pending.
   *
   * Transaction: a look-up, then one statement. Announces `PasswordResetRequestedEvent`. Repeating it makes another link,
   * and ends the one before.
   * Tenancy: as for `AuthService.signIn`.
   * Errors: `RATE_LIMITED`, `TENANT_REQUIRED`, `TENANT_NOT_FOUND`, `VALIDATION_FAILED`, `INVALID_OPTIONS`.
   */
  async requestPasswordReset(input: PasswordResetRequest, manager?: EntityManager): Promise<RequestedReset> {
    const wanted = prepareResetRequest(input, this.tenancy);
    const pinned = this.transactions.pin(manager);
    const { ip } = IdentityContext.current;
    const key = wanted.email ?? undefined;
    await this.limits.consume('passwordReset', { ip, tenantId: wanted.tenantId, key });
    return this.tenants.asPlatform(() => this.operations.requestReset(pinned, wanted));
  }

  /**
   * Sets another password by the token of a link. All sessions and API keys of the user end, trusted devices and all
   * other links and codes with them; whoever was locked out may try again; and the email is proven by it. Was it not
   * before, accounts at providers that were linked until then are taken away: whoever linked them had not shown that the
   * email is theirs.
   *
   * Transaction: a look-up, then the password is judged and hashed without any connection; then all of it in one
   * transaction, with the hooks of the host (`passwordChanged`, `identities`, `emailVerified`). Of many at once one
   * succeeds. In a transaction of the caller a connection is held meanwhile: call outside of transactions. Announces
   * `PasswordResetEvent`, `UserUpdatedEvent`, and where there was something `SessionsRevokedEvent` and
   * `UserUnlockedEvent`.
   * With `password.history` the hashes that it names are read in one statement more, before the hashing.
   * Errors: `ONE_TIME_TOKEN_INVALID` for all reasons; `PASSWORD_REFUSED` and `PASSWORD_CHECK_UNAVAILABLE`, which leave the
   * link as it is; `RATE_LIMITED`, `HASHING_BUSY`, `VALIDATION_FAILED`, and what hooks throw.
   */
  async resetPassword(input: PasswordResetInput, manager?: EntityManager): Promise<void> {
    checkReset(input);
    const pinned = this.transactions.pin(manager);
    await this.limits.consume('passwordReset', { ip: IdentityContext.current.ip });
    return this.tenants.asPlatform(() => this.operations.reset(pinned, input));
  }

  /**
   * Sets another password by the current one. All sessions of the user end but `keepSessionId`, whose access tokens of
   * before are refused where the database is asked; trusted devices, and links to another password or another address,
   * end, too. A second factor is not asked for: it goes on, and the new password opens nothing without it.
   *
   * Transaction: the current password is verified as at a sign-in, without any connection, and a wrong one counts like one
   * there; the new one is judged and hashed; then all of it in one transaction, with the hooks of the host. Of two at once
   * one succeeds. In a transaction of the caller a connection is held meanwhile: call outside of transactions. Announces
   * `UserUpdatedEvent`, and `SessionsRevokedEvent` where there was another; or `UserLoginFailedEvent`. Source: OWASP ASVS
   * 6.2.3.
   * With `password.history` the hashes that it names are read in one statement more, before the hashing.
   * Errors: `INVALID_CREDENTIALS` for all that is wrong about the current password; `PASSWORD_REFUSED`,
   * `PASSWORD_CHECK_UNAVAILABLE`, `HASHING_BUSY`, `VALIDATION_FAILED`, and what hooks throw.
   */
  async changePassword(input: PasswordChangeInput, manager?: EntityManager): Promise<void> {
    checkPasswordChange(input);
    const pinned = this.transactions.pin(manager);
    return this.tenants.asPlatform(() => this.operations.change(pinned, input));
  }
}

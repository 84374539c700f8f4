import type { EntityManager } from 'typeorm';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { readHashes } from './password-history.queries.js';
import type { PasswordIssue } from './password-policy.types.js';
import type { PasswordService } from './password.service.js';

const REUSED = 'must be another: this one is in use, or was not long ago';

/** Which passwords a user has had, as far as `password.history` wants that remembered. */
export class PasswordHistory {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly passwords: PasswordService,
    /** How many are remembered beside the current one; none when 0. */
    readonly size: number,
  ) {}

  /**
   * Refuses the current password and the last ones. One statement; then one hash after another, without any connection
   * unless the caller holds one.
   */
  async assertNew(manager: EntityManager | undefined, userId: string, password: string): Promise<void> {
    if (this.size === 0) return;
    const hashes = await this.transactions.operate(manager, (m) => readHashes(m, userId, this.size));
    for (const stored of hashes) {
      if (await this.passwords.verify(stored, password)) throw reused();
    }
  }
}

function reused(): NestAuthError {
  const issue: PasswordIssue = { path: 'password', code: 'REUSED', message: REUSED };
  return new NestAuthError('PASSWORD_REFUSED', `The password ${REUSED}`, { details: { issues: [issue] } });
}

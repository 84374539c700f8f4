import type { EntityManager } from 'typeorm';
import type { PasswordService } from '../account/password.service.js';
import { IdentityContext } from '../audit/identity-context.js';
import { networkOf } from '../rate-limit/network.policy.js';
import type { AuthOperations } from '../session/auth.operations.js';
import type { LockoutOperations } from '../session/lockout.operations.js';
import type { Attempt, Verdict } from '../session/lockout.queries.js';
import type { SignInRefusal } from '../session/session.types.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { findOwnCredentials, findRecentStamp, type OwnCredentialsRow } from './password.queries.js';
import { reauthenticationRequired, wrongPassword } from './recovery-refusals.policy.js';
import type { RecoverySettings } from './recovery.settings.js';
import type { Reauthentication } from './recovery.types.js';

/** Somebody who is signed in shows again who they are. No connection is held while a password is verified. */
export class ReauthenticationOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly auth: AuthOperations,
    private readonly lockout: LockoutOperations,
    private readonly passwords: PasswordService,
    private readonly settings: RecoverySettings,
  ) {}

  /** The stamp under which somebody has shown it: by the password, or where there is none by a session that is recent. */
  async stampOf(manager: EntityManager | undefined, shown: Reauthentication): Promise<number> {
    const { userId, currentPassword, sessionId } = shown;
    if (currentPassword !== undefined) return (await this.password(manager, userId, currentPassword)).security_stamp;
    if (sessionId === undefined) throw reauthenticationRequired();
    const seconds = this.settings.recentSignInSeconds;
    const stamp = await this.transactions.operate(manager, (m) => findRecentStamp(m, { userId, sessionId }, seconds));
    if (stamp === undefined) throw reauthenticationRequired();
    return stamp;
  }

  /** The user whose current password this is. A wrong one counts like one at a sign-in, and is refused like that. */
  async password(manager: EntityManager | undefined, userId: string, password: string): Promise<OwnCredentialsRow> {
    const attempt = { subject: userId.toLowerCase(), network: networkOf(IdentityContext.current.ip) };
    return this.lockout.inTurn(manager, attempt, async () => {
      const found = await this.transactions.operate(manager, (m) => findOwnCredentials(m, userId));
      const verdict = await this.lockout.reserve(manager, attempt);
      const refusal = await this.#judge(manager, found, password, attempt, verdict);
      if (found === null || refusal !== null) {
        await this.auth.recordRefusal(manager, found?.id ?? null, null, refusal ?? 'unknown_login');
        throw wrongPassword();
      }
      await this.lockout.forgive(manager, attempt, verdict);
      return found;
    });
  }

  /** Why the password is not taken; null when it is. Whoever is refused pays for a hash, too. */
  async #judge(
    manager: EntityManager | undefined,
    found: OwnCredentialsRow | null,
    password: string,
    attempt: Attempt,
    verdict: Verdict,
  ): Promise<SignInRefusal | null> {
    const isAllowed = verdict !== 'refused';
    const stored = isAllowed ? (found?.password_hash ?? null) : null;
    const matches = await this.passwords.verify(stored, password).catch(async (error: unknown) => {
      if (isAllowed) await this.lockout.giveBack(manager, attempt, verdict);
      throw error;
    });
    if (!isAllowed) return 'locked';
    if (found === null) return 'unknown_login';
    if (found.password_hash === null) return 'no_password';
    if (!matches) return 'wrong_password';
    return found.status === 'active' ? null : 'user_not_active';
  }
}

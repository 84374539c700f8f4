import type { EntityManager } from 'typeorm';
import { isHeld, runApart } from '../session/apart.js';
import { codeOf, issueCode, issueToken, readCode, readToken, tokenOf } from '../secret/one-time-secret.policy.js';
import type { IssuedOneTimeSecret } from '../secret/one-time-secret.policy.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { guessCode, type NewToken, type ShownProof } from './one-time-token.queries.js';
import { invalidToken } from './recovery-refusals.policy.js';
import type { RecoverySettings } from './recovery.settings.js';
import type { ProofForm, ProofInput, RecoveryPurpose, RevealedProof } from './recovery.types.js';

/** The rules of links and codes: how they are made, and what is taken for one. */
export class OneTimeTokenOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly secrets: SecretSettings,
    private readonly settings: RecoverySettings,
  ) {}

  /** What is to be stored of a new one. Throws `INVALID_OPTIONS` without `secrets.keys`. */
  make(purpose: RecoveryPurpose, form: ProofForm, userId: string): NewToken {
    const issue = form === 'link' ? issueToken : issueCode;
    const made = issue(this.secrets, purpose, userId);
    return { ...made, userId, form, seconds: this.settings.secondsOf(purpose, form) };
  }

  /** What was made, for whoever sends it; null when its key is gone. */
  reveal(
    purpose: RecoveryPurpose,
    form: ProofForm,
    userId: string,
    seed: Pick<IssuedOneTimeSecret, 'keyId' | 'salt'>,
  ): RevealedProof | null {
    if (form === 'link') {
      const token = tokenOf(this.secrets, purpose, userId, seed);
      return token === null ? null : { token };
    }
    const code = codeOf(this.secrets, purpose, userId, seed);
    return code === null ? null : { code };
  }

  /** What somebody shows, in the form in which it is looked up. */
  read(purpose: RecoveryPurpose, shown: ProofInput): ShownProof {
    if (shown.token === undefined) {
      const userId = shown.userId.toLowerCase();
      return { userId, purpose, form: 'code', hashes: readCode(this.secrets, purpose, userId, shown.code) };
    }
    const read = readToken(shown.token);
    if (read === null) throw invalidToken();
    return { userId: read.holderId, purpose, form: 'link', hashes: [read.hash] };
  }

  /**
   * Counts a guess at a code, and refuses a wrong one. The count stays although the transaction of the caller is rolled
   * back. A code that only this transaction has made is guessed in it: it is gone with it, too.
   */
  async assertGuessed(manager: EntityManager | undefined, shown: ShownProof): Promise<void> {
    if (shown.form === 'link') return;
    const guess = (m: EntityManager): ReturnType<typeof guessCode> => guessCode(m, shown, this.settings.codeAttempts);
    const counted = await runApart(this.transactions, manager, guess);
    const own = counted === undefined && isHeld(manager) ? await this.transactions.operate(manager, guess) : counted;
    if (own?.matches !== true) throw invalidToken();
  }
}

import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { SecondFactorCodeRequestedEvent, SecondFactorEnabledEvent } from '../events/nest-auth.events.js';
import type { ReauthenticationOperations } from '../recovery/reauthentication.operations.js';
import { issueCode, readCode } from '../secret/one-time-secret.policy.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import { runApart } from '../session/apart.js';
import { asUser } from '../session/auth.operations.js';
import { readRefreshToken } from '../session/refresh-token.policy.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { enableCodes, findChallengeId, issueFactorCode, spendFactorCode } from './code-factor.queries.js';
import { newRecoveryCodes } from './recovery-code.policy.js';
import type { EnableCodesOptions, EnabledCodes, SendCodeInput, SentCodeFactor } from './second-factor.types.js';
import { changedMeanwhile, secondFactorInvalid } from './two-factor-refusals.policy.js';
import type { TwoFactorOperations } from './two-factor.operations.js';
import { listFactors } from './two-factor.queries.js';
import type { TwoFactorSettings } from './two-factor.settings.js';

type CodeKind = SentCodeFactor['kind'];

const PURPOSE = 'second_factor_code';

/** A challenge for which a code is wanted. */
export interface WaitingChallenge {
  readonly id: string;
  readonly userId: string;
  readonly tokenHash: Buffer;
  readonly kind: CodeKind;
}

/** The rules of codes that are sent to an address which the user has verified. */
export class CodeFactorOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly firstFactor: Pick<ReauthenticationOperations, 'stampOf'>,
    private readonly secrets: SecretSettings,
    private readonly settings: TwoFactorSettings,
    private readonly proofs: Pick<TwoFactorOperations, 'spendable' | 'using'>,
  ) {}

  /** The factors, for whoever completes sign-ins. A code is made for one challenge, and good for no other. */
  get factors(): SentCodeFactor[] {
    return (['email', 'sms'] as const)
      .filter((kind) => this.settings.methods.includes(kind))
      .map((kind) => ({
        kind,
        spend: (manager, challenge, code) =>
          spendFactorCode(manager, challenge, kind, readCode(this.secrets, PURPOSE, challenge.id, code.trim())),
      }));
  }

  async enable(
    manager: EntityManager | undefined,
    userId: string,
    kind: CodeKind,
    { keepSessionId, code, recoveryCode, ...shown }: EnableCodesOptions,
  ): Promise<EnabledCodes> {
    this.#assertOffered(kind);
    // Throws without a key, before a password is verified for nothing.
    void this.secrets.ids;
    const stamp = await this.firstFactor.stampOf(manager, { userId, ...shown });
    const { factors } = await this.transactions.operate(manager, (m) => listFactors(m, userId));
    if (factors.some((one) => one.kind === kind)) throw alreadyEnabled(userId);
    const proof = factors.length > 0 ? await this.proofs.spendable(manager, userId, { code, recoveryCode }) : null;
    const { codes, hashes } = newRecoveryCodes();
    return this.proofs.using(manager, userId, proof, async (m) => {
      const row = await enableCodes(m, userId, {
        stamp,
        kind,
        recoveryHashes: hashes,
        keepSessionId: keepSessionId ?? null,
        isShown: proof !== null,
      });
      if (!row.proven) throw changedMeanwhile();
      if (!row.allowed) throw secondFactorInvalid();
      if (!row.verified) throw unverified(kind);
      if (!row.enabled) throw alreadyEnabled(userId);
      this.events.publish(m, new SecondFactorEnabledEvent(userId, kind));
      return { recoveryCodes: row.has_codes ? codes : null };
    });
  }

  /** The challenge that a token is of. */
  async waiting(
    manager: EntityManager | undefined,
    { challengeToken, kind }: SendCodeInput,
  ): Promise<WaitingChallenge> {
    this.#assertOffered(kind);
    const read = readRefreshToken(challengeToken);
    if (read === null) throw secondFactorInvalid();
    const { userId, hash: tokenHash } = read;
    const id = await this.transactions.operate(manager, (m) => findChallengeId(m, userId, tokenHash));
    if (id === null) throw secondFactorInvalid();
    return { id, userId, tokenHash, kind };
  }

  /** Until when the code is good. It is told in a transaction of its own: a message that was sent cannot be rolled back. */
  send(manager: EntityManager | undefined, { id, userId, tokenHash, kind }: WaitingChallenge): Promise<Date> {
    const code = issueCode(this.secrets, PURPOSE, id);
    return asUser(userId, () =>
      runApart(this.transactions, manager, async (m) => {
        const issued = await issueFactorCode(m, { userId, tokenHash, kind }, code, this.settings);
        if (issued === undefined) throw secondFactorInvalid();
        this.events.publish(m, new SecondFactorCodeRequestedEvent(userId, kind, issued.id));
        return issued.expires_at;
      }),
    );
  }

  #assertOffered(kind: CodeKind): void {
    const issues = new InputIssues();
    if (!this.settings.methods.includes(kind)) issues.add('kind', 'must be one of twoFactor.methods');
    issues.refuse('Codes of this kind are not offered');
  }
}

function unverified(kind: CodeKind): NestAuthError {
  const what = kind === 'email' ? 'email' : 'phone number';
  return new NestAuthError('ADDRESS_NOT_VERIFIED', `The user has no ${what} that is verified; verify one first`);
}

function alreadyEnabled(userId: string): NestAuthError {
  return new NestAuthError('SECOND_FACTOR_ALREADY_ENABLED', 'The user has codes of this kind already', {
    details: { ids: [userId] },
  });
}

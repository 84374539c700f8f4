import type { EntityManager } from 'typeorm';
import { userNotFound } from '../account/user-refusals.policy.js';
import type { EventPublisher } from '../events/event-publisher.js';
import {
  RecoveryCodesReplacedEvent,
  RecoveryCodeUsedEvent,
  SecondFactorBegunEvent,
  SecondFactorDisabledEvent,
  SecondFactorEnabledEvent,
  SecondFactorResetEvent,
} from '../events/nest-auth.events.js';
import type { ReauthenticationOperations } from '../recovery/reauthentication.operations.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import { runApart } from '../session/apart.js';
import { asUser, type AuthOperations } from '../session/auth.operations.js';
import type { SignInRefusal } from '../session/session.types.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { type Attempt, tryFactor } from './challenge.queries.js';
import { beginTotp, confirmTotp, findEnrolling, findWaitingTotp } from './enrolment.queries.js';
import { newRecoveryCodes, recoveryHash } from './recovery-code.policy.js';
import type { EnableTwoFactorOptions, SecondFactorProof, TwoFactorEnrolment } from './second-factor.types.js';
import { openSeed, sealSeed } from './seed.policy.js';
import { newSeed, stepOf } from './totp.policy.js';
import { checkProof } from './two-factor-input.policy.js';
import { alreadyEnabled, changedMeanwhile, notEnabled, secondFactorInvalid } from './two-factor-refusals.policy.js';
import {
  disableFactors,
  listFactors,
  replaceRecoveryCodes,
  resetFactors,
  type SpendableProof,
  useProof,
} from './two-factor.queries.js';
import type { TwoFactorSettings } from './two-factor.settings.js';

/** The rules of enrolling a second factor and giving it up. What has to be worked out is, before anything is written. */
export class TwoFactorOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly auth: AuthOperations,
    private readonly firstFactor: Pick<ReauthenticationOperations, 'stampOf'>,
    private readonly secrets: SecretSettings,
    private readonly settings: TwoFactorSettings,
  ) {}

  async enable(
    manager: EntityManager | undefined,
    userId: string,
    { label, code, recoveryCode, ...shown }: EnableTwoFactorOptions,
  ): Promise<TwoFactorEnrolment> {
    // Throws without a key, before a password is verified for nothing.
    void this.secrets.ids;
    const stamp = await this.firstFactor.stampOf(manager, { userId, ...shown });
    const user = await this.transactions.operate(manager, (m) => findEnrolling(m, userId));
    if (user === undefined) throw userNotFound(userId);
    if (user.is_enabled) throw alreadyEnabled(userId);
    const proof = user.has_factor ? await this.spendable(manager, userId, { code, recoveryCode }) : null;
    const seed = await newSeed(this.settings.issuer, label ?? user.email ?? user.phone ?? userId);
    const sealed = sealSeed(this.secrets, userId, seed.secret);
    await this.using(manager, userId, proof, async (m) => {
      const { proven, allowed, begun } = await beginTotp(m, userId, stamp, sealed, proof !== null);
      if (proven && !allowed) throw secondFactorInvalid();
      if (!begun) throw proven ? alreadyEnabled(userId) : changedMeanwhile();
      this.events.publish(m, new SecondFactorBegunEvent(userId, 'totp'));
    });
    return seed;
  }

  /** The recovery codes. */
  async confirm(
    manager: EntityManager | undefined,
    userId: string,
    code: string,
    keepSessionId: string | null,
  ): Promise<readonly string[]> {
    const waiting = await this.transactions.operate(manager, (m) => findWaitingTotp(m, userId));
    if (waiting === undefined) throw notEnabled(userId);
    const { seed, epoch } = waiting;
    const step = await stepOf(openSeed(this.secrets, userId, seed), code, epoch, this.settings.window);
    if (step === null) throw secondFactorInvalid();
    const { codes, hashes } = newRecoveryCodes();
    await asUser(userId, () =>
      this.transactions.operate(manager, async (m) => {
        const confirmed = { seed, step, recoveryHashes: hashes, keepSessionId };
        if (!(await confirmTotp(m, userId, confirmed))) throw secondFactorInvalid();
        this.events.publish(m, new SecondFactorEnabledEvent(userId, 'totp'));
      }),
    );
    return codes;
  }

  async disable(
    manager: EntityManager | undefined,
    userId: string,
    proof: SecondFactorProof,
    keepSessionId: string | null,
  ): Promise<void> {
    const spendable = await this.spendable(manager, userId, proof);
    await this.#spend(manager, userId, async (m) => {
      const kinds = await disableFactors(m, userId, spendable, keepSessionId);
      if (kinds !== null) this.events.publish(m, new SecondFactorDisabledEvent(userId, kinds));
      return kinds !== null;
    });
  }

  /** The new codes. */
  async regenerate(
    manager: EntityManager | undefined,
    userId: string,
    proof: SecondFactorProof,
  ): Promise<readonly string[]> {
    const spendable = await this.spendable(manager, userId, proof);
    const { codes, hashes } = newRecoveryCodes();
    await this.#spend(manager, userId, async (m) => {
      const isReplaced = await replaceRecoveryCodes(m, userId, spendable, hashes);
      if (isReplaced) this.events.publish(m, new RecoveryCodesReplacedEvent(userId));
      return isReplaced;
    });
    return codes;
  }

  /** The realm of the user, and whether there was anything to take away. */
  async reset(
    manager: EntityManager,
    userId: string,
    reason: string | null,
  ): Promise<{ realmId: string; isReset: boolean }> {
    const row = await resetFactors(manager, userId, reason);
    if (row === undefined) throw userNotFound(userId);
    const { kinds, realmId } = row;
    if (kinds.length > 0) this.events.publish(manager, new SecondFactorResetEvent(userId, kinds, reason));
    return { realmId, isReset: kinds.length > 0 };
  }

  /** What the statement that follows can use up. Counted as a failure until it has. */
  async spendable(
    manager: EntityManager | undefined,
    userId: string,
    { code, recoveryCode }: SecondFactorProof,
  ): Promise<SpendableProof> {
    checkProof({ code, recoveryCode });
    const attempt = await runApart(this.transactions, manager, (m) =>
      tryFactor(m, userId, recoveryCode === undefined, this.settings),
    );
    if (attempt === null) throw notEnabled(userId);
    if (!attempt.isAllowed) return this.#refuse(manager, userId, 'second_factor_locked');
    const proof = recoveryCode === undefined ? await this.#stepOf(userId, attempt, code) : recoveryHash(recoveryCode);
    if (proof === null) return this.#refuse(manager, userId, 'wrong_second_factor');
    return typeof proof === 'number' ? { step: proof } : { recoveryHash: proof };
  }

  /** What somebody who has a second factor has to show of it beside the first; null for who has none. */
  async proofOf(
    manager: EntityManager | undefined,
    userId: string,
    shown: SecondFactorProof,
  ): Promise<SpendableProof | null> {
    const { factors } = await this.transactions.operate(manager, (m) => listFactors(m, userId));
    return factors.length > 0 ? this.spendable(manager, userId, shown) : null;
  }

  /** Does `fn`, and uses up with it what was shown of a second factor; `proof` is null where there is none. */
  async using<T>(
    manager: EntityManager | undefined,
    userId: string,
    proof: SpendableProof | null,
    fn: (manager: EntityManager) => Promise<T>,
  ): Promise<T> {
    const done = await asUser(userId, () =>
      this.transactions.perform(proof !== null, manager, async (m) => {
        if (proof !== null && !(await this.#use(m, userId, proof))) return null;
        return { result: await fn(m) };
      }),
    );
    return done === null ? this.#refuse(manager, userId, 'wrong_second_factor') : done.result;
  }

  async #use(manager: EntityManager, userId: string, proof: SpendableProof): Promise<boolean> {
    const used = await useProof(manager, userId, proof);
    if (used === undefined) return false;
    if (used.codesLeft !== null) this.events.publish(manager, new RecoveryCodeUsedEvent(userId, used.codesLeft));
    return true;
  }

  async #stepOf(userId: string, { seed, epoch }: Attempt, code: unknown): Promise<number | null> {
    return seed === null ? null : stepOf(openSeed(this.secrets, userId, seed), code, epoch, this.settings.window);
  }

  async #spend(
    manager: EntityManager | undefined,
    userId: string,
    fn: (manager: EntityManager) => Promise<boolean>,
  ): Promise<void> {
    const isSpent = await asUser(userId, () => this.transactions.operate(manager, fn));
    if (!isSpent) await this.#refuse(manager, userId, 'wrong_second_factor');
  }

  async #refuse(manager: EntityManager | undefined, userId: string, reason: SignInRefusal): Promise<never> {
    await this.auth.recordRefusal(manager, userId, null, reason);
    throw secondFactorInvalid();
  }
}

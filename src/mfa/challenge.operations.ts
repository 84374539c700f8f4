import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { SecondFactorEnrolmentRequiredError, SecondFactorRequiredError } from '../errors/nest-auth.error.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { RecoveryCodeUsedEvent, SecondFactorChallengedEvent } from '../events/nest-auth.events.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import { isHeld, runApart } from '../session/apart.js';
import { asUser, type AuthOperations } from '../session/auth.operations.js';
import { hashOf, newRefreshToken, readRefreshToken } from '../session/refresh-token.policy.js';
import type { SecondFactorDemand, SecondFactorPort } from '../session/second-factor.port.js';
import type { SignInRefusal } from '../session/session.types.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { type Attempt, insertChallenge, spendRecoveryCode, spendStep, tryChallenge } from './challenge.queries.js';
import { recoveryHash } from './recovery-code.policy.js';
import type {
  CompleteSignInInput,
  DeviceTrusting,
  SecondFactorKind,
  SecondFactorMethod,
  SecondFactorSignIn,
  SentCodeFactor,
  TriedChallenge,
} from './second-factor.types.js';
import { openSeed } from './seed.policy.js';
import { stepOf } from './totp.policy.js';
import { notCommitted, secondFactorInvalid } from './two-factor-refusals.policy.js';
import type { TwoFactorSettings } from './two-factor.settings.js';

/**
 * The rules of sign-ins that wait for a second factor. An answer is counted before it is looked at, outside of the
 * caller's transaction; what it shows is used up together with the challenge, in it.
 */
export class ChallengeOperations implements SecondFactorPort {
  readonly #codes = new Map<SecondFactorKind, SentCodeFactor>();
  #devices: DeviceTrusting | undefined;

  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly auth: AuthOperations,
    private readonly secrets: SecretSettings,
    private readonly settings: TwoFactorSettings,
  ) {}

  /** Adds a factor that is sent as a code. */
  acceptCodes(factor: SentCodeFactor): void {
    this.#codes.set(factor.kind, factor);
  }

  /** Says who keeps the devices that are trusted. */
  trustDevicesBy(devices: DeviceTrusting): void {
    this.#devices = devices;
  }

  async challenge(
    manager: EntityManager | undefined,
    { userId, stamp, tenantId, kinds }: SecondFactorDemand,
  ): Promise<SecondFactorRequiredError | SecondFactorEnrolmentRequiredError> {
    // The form of a refresh token, and as much chance; what each is for tells the table that has its hash.
    const token = newRefreshToken(userId);
    const id = uuidv7();
    const made = { id, userId, tokenHash: hashOf(token), tenantId, stamp, seconds: this.settings.challengeSeconds };
    const inserted = await runApart(this.transactions, manager, async (m) => {
      const row = await insertChallenge(m, made);
      if (row !== undefined) this.events.publish(m, new SecondFactorChallengedEvent(userId, id, tenantId));
      return row;
    });
    // The caller's transaction holds the user: nobody else can have taken the row away.
    if (inserted === undefined) throw isHeld(manager) ? notCommitted(kinds) : secondFactorInvalid();
    const { expiresAt, hasRecovery } = inserted;
    if (kinds.length === 0) return new SecondFactorEnrolmentRequiredError({ token, methods: ['totp'], expiresAt });
    const recovery: SecondFactorMethod[] = hasRecovery ? ['recovery_code'] : [];
    // A kind that was turned off since is asked for no more; who has nothing else has the recovery codes.
    const methods = [...this.settings.methods.filter((method) => kinds.includes(method)), ...recovery];
    return new SecondFactorRequiredError({ token, methods, expiresAt });
  }

  /** Opens the session that the challenge stands for. */
  async complete(manager: EntityManager | undefined, input: CompleteSignInInput): Promise<SecondFactorSignIn> {
    const read = readRefreshToken(input.challengeToken);
    if (read === null) throw secondFactorInvalid();
    const { userId, hash: tokenHash } = read;
    // Nobody guesses 120 bits: that somebody else has guessed codes keeps nobody from using these.
    const countsAsFailure = input.recoveryCode === undefined;
    const tried = await runApart(this.transactions, manager, (m) =>
      tryChallenge(m, { userId, tokenHash, countsAsFailure }, this.settings),
    );
    if (tried === null) throw secondFactorInvalid();
    const { challenge, attempt } = tried;
    if (!attempt.isAllowed) return this.#refuse(manager, challenge, 'second_factor_locked');
    const secondFactor = await asUser(userId, () => this.#spend(manager, challenge, attempt, input));
    if (secondFactor === null) return this.#refuse(manager, challenge, 'wrong_second_factor');
    const proven = { id: userId, security_stamp: challenge.stamp, secondFactor };
    const opened = await this.auth.open(manager, proven, challenge.tenantId);
    if (opened === null) return this.#refuse(manager, challenge, 'no_access_to_tenant');
    const { tenant_id: tenantId, stamp } = opened.issuing;
    const signedIn = { userId, realmId: challenge.realmId, tenantId, stamp };
    const trusted = input.trustDevice === true ? await this.#devices?.trust(manager, signedIn) : null;
    return { ...(await this.auth.admit(opened)), trustedDevice: trusted ?? null };
  }

  /** What was shown; null when it was not right. */
  async #spend(
    manager: EntityManager | undefined,
    challenge: TriedChallenge,
    attempt: Attempt,
    { code, recoveryCode, method = 'totp' }: CompleteSignInInput,
  ): Promise<SecondFactorMethod | null> {
    if (recoveryCode !== undefined) return this.#spendRecoveryCode(manager, challenge, recoveryCode);
    if (method === 'totp') return this.#spendTotp(manager, challenge, attempt, code);
    const codes = this.#codes.get(method);
    const isRight = await (codes === undefined
      ? false
      : this.transactions.operate(manager, (m) => codes.spend(m, challenge, code as string)));
    return isRight ? method : null;
  }

  async #spendTotp(
    manager: EntityManager | undefined,
    challenge: TriedChallenge,
    { seed, epoch }: Attempt,
    code: unknown,
  ): Promise<'totp' | null> {
    if (seed === null) return null;
    const secret = openSeed(this.secrets, challenge.userId, seed);
    const step = await stepOf(secret, code, epoch, this.settings.window);
    if (step === null) return null;
    const isNew = await this.transactions.operate(manager, (m) => spendStep(m, challenge, step));
    return isNew ? 'totp' : null;
  }

  async #spendRecoveryCode(
    manager: EntityManager | undefined,
    challenge: TriedChallenge,
    typed: string,
  ): Promise<'recovery_code' | null> {
    const hash = recoveryHash(typed);
    if (hash === null) return null;
    return this.transactions.operate(manager, async (m) => {
      const left = await spendRecoveryCode(m, challenge, hash);
      if (left === null) return null;
      this.events.publish(m, new RecoveryCodeUsedEvent(challenge.userId, left));
      return 'recovery_code';
    });
  }

  /** Written by itself: thrown inside, the refusal would take its own record with it. */
  async #refuse(
    manager: EntityManager | undefined,
    { userId, tenantId }: TriedChallenge,
    reason: SignInRefusal,
  ): Promise<never> {
    await this.auth.recordRefusal(manager, userId, tenantId, reason);
    throw secondFactorInvalid();
  }
}

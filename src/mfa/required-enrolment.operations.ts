import type { EntityManager } from 'typeorm';
import type { EventPublisher } from '../events/event-publisher.js';
import { SecondFactorBegunEvent, SecondFactorEnabledEvent } from '../events/nest-auth.events.js';
import type { SecretSettings } from '../secret/secret.settings.js';
import { runApart } from '../session/apart.js';
import { asUser, type AuthOperations, type OpenedSession } from '../session/auth.operations.js';
import { readRefreshToken } from '../session/refresh-token.policy.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { tryChallenge } from './challenge.queries.js';
import { newRecoveryCodes } from './recovery-code.policy.js';
import { findEnrollingUser, takeEnrolment } from './required-enrolment.queries.js';
import type {
  CompleteEnrolmentInput,
  DeviceTrusting,
  RequiredEnrolment,
  TriedChallenge,
  TwoFactorEnrolment,
} from './second-factor.types.js';
import { openSeed, sealSeed } from './seed.policy.js';
import { newSeed, stepOf } from './totp.policy.js';
import { secondFactorInvalid } from './two-factor-refusals.policy.js';
import { beginTotp, confirmTotp, findWaitingTotp } from './enrolment.queries.js';
import type { TwoFactorSettings } from './two-factor.settings.js';

/**
 * The rules of enrolling a second factor before there is a session, because the tenant or the platform demands one. The
 * challenge shows that the first factor has just been shown; it opens nothing else.
 */
export class RequiredEnrolmentOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly auth: AuthOperations,
    private readonly secrets: SecretSettings,
    private readonly settings: TwoFactorSettings,
    private readonly devices: DeviceTrusting,
  ) {}

  async begin(manager: EntityManager | undefined, challengeToken: string): Promise<TwoFactorEnrolment> {
    const { userId, hash } = readOrRefuse(challengeToken);
    const user = await this.transactions.operate(manager, (m) => findEnrollingUser(m, userId, hash));
    if (user === undefined) throw secondFactorInvalid();
    const seed = await newSeed(this.settings.issuer, user.email ?? user.phone ?? userId);
    const sealed = sealSeed(this.secrets, userId, seed.secret);
    await asUser(userId, () =>
      this.transactions.operate(manager, async (m) => {
        const { begun } = await beginTotp(m, userId, user.security_stamp, sealed);
        if (!begun) throw secondFactorInvalid();
        this.events.publish(m, new SecondFactorBegunEvent(userId, 'totp'));
      }),
    );
    return seed;
  }

  async complete(manager: EntityManager | undefined, input: CompleteEnrolmentInput): Promise<RequiredEnrolment> {
    const { userId, hash: tokenHash } = readOrRefuse(input.challengeToken);
    // Who answers has been shown the seed: there is nothing to guess, and answers count for this challenge alone.
    const tried = await runApart(this.transactions, manager, (m) =>
      tryChallenge(m, { userId, tokenHash, countsAsFailure: false }, this.settings),
    );
    if (tried === null) throw secondFactorInvalid();
    const { codes, hashes } = newRecoveryCodes();
    const opened = await this.#enrol(manager, tried.challenge, input.code, hashes);
    const { tenant_id: tenantId, stamp } = opened.issuing;
    const signedIn = { userId, realmId: tried.challenge.realmId, tenantId, stamp };
    const trusted = input.trustDevice === true ? await this.devices.trust(manager, signedIn) : null;
    return { ...(await this.auth.admit(opened)), trustedDevice: trusted, recoveryCodes: codes };
  }

  /** Challenge, factor and session: all of it, or the challenge waits for another answer. */
  async #enrol(
    manager: EntityManager | undefined,
    challenge: TriedChallenge,
    code: string,
    recoveryHashes: readonly Buffer[],
  ): Promise<OpenedSession> {
    const { userId, tokenHash } = challenge;
    const waiting = await this.transactions.operate(manager, (m) => findWaitingTotp(m, userId));
    if (waiting === undefined) throw secondFactorInvalid();
    const { seed, epoch } = waiting;
    const step = await stepOf(openSeed(this.secrets, userId, seed), code, epoch, this.settings.window);
    if (step === null) throw secondFactorInvalid();
    return asUser(userId, () =>
      this.transactions.atomic(manager, async (m) => {
        if (!(await takeEnrolment(m, userId, tokenHash))) throw secondFactorInvalid();
        const confirmed = { seed, step, recoveryHashes, keepSessionId: null };
        if (!(await confirmTotp(m, userId, confirmed))) throw secondFactorInvalid();
        this.events.publish(m, new SecondFactorEnabledEvent(userId, 'totp'));
        // By that the user has the next stamp: every other session and challenge is over.
        const proven = { id: userId, security_stamp: challenge.stamp + 1, secondFactor: 'totp' };
        const opened = await this.auth.open(m, proven, challenge.tenantId);
        if (opened === null) throw secondFactorInvalid();
        return opened;
      }),
    );
  }
}

function readOrRefuse(token: unknown): { readonly userId: string; readonly hash: Buffer } {
  const read = readRefreshToken(token);
  if (read === null) throw secondFactorInvalid();
  return read;
}

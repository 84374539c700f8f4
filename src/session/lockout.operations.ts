import type { EntityManager } from 'typeorm';
import { v5 as uuidv5 } from 'uuid';
import { IdentityContext } from '../audit/identity-context.js';
import type { EventPublisher } from '../events/event-publisher.js';
import { UserUnlockedEvent } from '../events/nest-auth.events.js';
import { networkOf } from '../rate-limit/network.policy.js';
import { isSpent } from '../transaction/registry.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { isHeld, runApart, runBeside } from './apart.js';
import {
  type Attempt,
  clearAttempts,
  forgiveAttempts,
  giveBackAttempt,
  reserveAttempt,
  type Verdict,
} from './lockout.queries.js';
import type { LockoutSettings } from './lockout.settings.js';
import type { PreparedSignIn } from './sign-in-input.policy.js';
import { Turns } from './turns.js';

const MAX_WAITING = 1_000;

/**
 * How many passwords may be tried. The counters stand outside of the caller's transaction: what is rolled back with it
 * was tried all the same.
 */
export class LockoutOperations {
  readonly #turns = new Turns(MAX_WAITING);

  constructor(
    private readonly transactions: TransactionHost,
    private readonly events: EventPublisher,
    private readonly settings: LockoutSettings,
  ) {}

  /** Against a user who is known, from where the call comes. */
  attemptAgainst(userId: string): Attempt {
    return { subject: userId, network: networkOf(IdentityContext.current.ip) };
  }

  /** A login that nobody has is an account like any other, so that nothing tells the two apart. */
  attemptOf(userId: string | undefined, { realmId, provider, login }: PreparedSignIn): Attempt {
    return {
      subject: userId ?? uuidv5(`${provider}:${login ?? ''}`, realmId),
      network: networkOf(IdentityContext.current.ip),
    };
  }

  /**
   * Runs `fn` when no other attempt of this process against the same account and from the same network is under way:
   * each counts as failed until it has succeeded, and many right ones at once must not lock anybody out. Inside a
   * transaction nobody waits, as whoever is before may be waiting for that.
   */
  inTurn<T>(manager: EntityManager | undefined, { subject, network }: Attempt, fn: () => Promise<T>): Promise<T> {
    return isHeld(manager) ? fn() : this.#turns.take(`${subject} ${network}`, fn);
  }

  /** Counts an attempt, and says whether it may be made. */
  reserve(manager: EntityManager | undefined, attempt: Attempt): Promise<Verdict> {
    return this.#apart(manager, (m) => reserveAttempt(m, attempt, this.settings));
  }

  /** The attempt was right. Who is signed in stays so, whether or not that can be written. */
  async forgive(manager: EntityManager | undefined, attempt: Attempt, verdict: Verdict): Promise<void> {
    await this.#takeBack(manager, (m) => forgiveAttempts(m, attempt, verdict)).catch(() => undefined);
  }

  /** The attempt was not made. Counted all the same where that cannot be written. */
  async giveBack(manager: EntityManager | undefined, attempt: Attempt, verdict: Verdict): Promise<void> {
    await this.#takeBack(manager, (m) => giveBackAttempt(m, attempt, verdict)).catch(() => undefined);
  }

  /** Forgets all attempts against a user. */
  async clear(manager: EntityManager, userId: string): Promise<boolean> {
    const isCleared = await clearAttempts(manager, userId);
    if (isCleared) this.events.publish(manager, new UserUnlockedEvent(userId));
    return isCleared;
  }

  /** Also when the transaction in which it was counted has ended meanwhile, without its caller. */
  #takeBack<T>(manager: EntityManager | undefined, fn: (manager: EntityManager) => Promise<T>): Promise<T> {
    const isGone = manager !== undefined && isSpent(manager);
    return isGone ? runBeside(this.transactions, fn) : this.#apart(manager, fn);
  }

  #apart<T>(manager: EntityManager | undefined, fn: (manager: EntityManager) => Promise<T>): Promise<T> {
    return runApart(this.transactions, manager, fn);
  }
}

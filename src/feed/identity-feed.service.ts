import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { TransactionHost } from '../transaction/transaction-host.js';
import {
  type DeadLetter,
  type DeadLetterPage,
  type FeedOptions,
  type FeedPage,
  FeedOperations,
  type ReplayStart,
  type SubscriptionState,
} from './feed.operations.js';

/**
 * The activity log as a feed of events: for other systems, and for looking after durable subscribers.
 *
 * Every method runs on the `manager` passed, else in the running transaction, else by itself. With row-level security a
 * tenant reads its own events; subscribers are the platform's.
 */
@Injectable()
export class IdentityFeedService {
  private readonly operations = new FeedOperations();

  constructor(private readonly transactions: TransactionHost) {}

  /**
   * Reads events in the order of their transactions, from the `cursor` of the call before; without one, from the oldest
   * that retention has left. The same cursor gives the same events again, and none is ever skipped: those of a
   * transaction that is still running, and all behind them, wait.
   *
   * Transaction: one statement, which does not see events of the transaction it runs in. Errors: `VALIDATION_FAILED`,
   * `ACTIVITY_LOG_RESTORED` for a cursor that this server cannot have given.
   *
   * @param options.limit - 1 to 1000. @default 100
   */
  readEvents(options: FeedOptions = {}, manager?: EntityManager): Promise<FeedPage> {
    return this.transactions.operate(manager, (m) => this.operations.read(m, options));
  }

  /** Every durable subscriber that has ever run, with its position and what it waits for. One statement. */
  getSubscriptions(manager?: EntityManager): Promise<SubscriptionState[]> {
    return this.transactions.operate(manager, (m) => this.operations.subscriptions(m));
  }

  /**
   * Lets a subscriber begin again from an earlier point, or skip to a later one. What is being delivered at this moment
   * may be delivered again. Idempotent.
   *
   * Transaction: one or two statements. Errors: `VALIDATION_FAILED`, `SUBSCRIPTION_NOT_FOUND`.
   *
   * @param start - `'beginning'`, a time from which on everything is delivered, or the cursor of a feed page.
   */
  replay(subscriber: string, start: ReplayStart, manager?: EntityManager): Promise<void> {
    return this.transactions.atomic(manager, (m) => this.operations.replay(m, subscriber, start));
  }

  /**
   * What a subscriber has given up on, oldest first. One statement.
   * Errors: `VALIDATION_FAILED`.
   *
   * @param page.limit - 1 to 1000. @default 100
   */
  getDeadLetters(subscriber: string, page: DeadLetterPage = {}, manager?: EntityManager): Promise<DeadLetter[]> {
    return this.transactions.operate(manager, (m) => this.operations.deadLetters(m, subscriber, page));
  }

  /**
   * Asks the subscriber's worker to deliver a dead letter once more; it goes when that succeeds. Idempotent.
   * One statement. Errors: `VALIDATION_FAILED`, `DEAD_LETTER_NOT_FOUND`.
   */
  retryDeadLetter(subscriber: string, eventId: string, manager?: EntityManager): Promise<void> {
    return this.transactions.operate(manager, (m) => this.operations.retry(m, subscriber, eventId));
  }

  /** Removes a dead letter for good. One statement. Errors: `VALIDATION_FAILED`, `DEAD_LETTER_NOT_FOUND`. */
  discardDeadLetter(subscriber: string, eventId: string, manager?: EntityManager): Promise<void> {
    return this.transactions.operate(manager, (m) => this.operations.discard(m, subscriber, eventId));
  }

  /**
   * Forgets a subscriber whose code is gone, with its dead letters. One statement. Errors: `SUBSCRIPTION_NOT_FOUND`,
   * `VALIDATION_FAILED`.
   */
  removeSubscription(subscriber: string, manager?: EntityManager): Promise<void> {
    return this.transactions.operate(manager, (m) => this.operations.remove(m, subscriber));
  }
}

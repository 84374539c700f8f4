import { IdentityContext } from '../audit/identity-context.js';
import { ActorTypeEnum } from '../audit/activity.types.js';
import type { EntityManager } from 'typeorm';
import { v4 as uuidv4 } from 'uuid';
import { readEvent, readFeed } from './feed.queries.js';
import type { FeedPosition, IdentityEvent, Subscriber, SubscriberSettings } from './feed.types.js';
import { backoff, wantedTypes } from './subscriber.policy.js';
import { bury, dueLetters, returnLetter, settleLetter } from './dead-letter.queries.js';
import { advance, claim, type Claim, fail, release, renew } from './subscription.queries.js';
import { isPostponed, isUndeliverable } from './undeliverable.error.js';
import type { WakeUp } from './wake-up.js';

/** Milliseconds until a worker that was rung for looks again; doubled until it is its usual pause. */
const EAGER_MS = 50;

/** What a worker stands on. */
export interface WorkerGround {
  /** Runs one of our statements for the whole platform, outside of any transaction. */
  query<T>(fn: (manager: EntityManager) => Promise<T>): Promise<T>;
  /** Runs a transaction for the whole platform, which ends after `timeoutMs` whatever `fn` does. */
  transaction<T>(timeoutMs: number, fn: (manager: EntityManager) => Promise<T>): Promise<T>;
  report(message: string, error: unknown): void;
}

/** The lease was lost while a transactional handler ran: what it wrote must not stay. */
class LeaseLostError extends Error {}

/**
 * Delivers the log to one subscriber, in order, one event at a time. Of all processes the one that has the lease works;
 * it is renewed while a handler runs, and runs out when its process dies.
 */
export class SubscriptionWorker {
  readonly #owner = uuidv4();
  readonly #types: string[] | null;
  readonly #stopping = new AbortController();
  /** Aborted when another worker has the lease. */
  #lease = new AbortController().signal;
  #running: Promise<void> | undefined;

  constructor(
    private readonly subscriber: Subscriber,
    private readonly settings: SubscriberSettings,
    private readonly ground: WorkerGround,
    private readonly wakeUp: WakeUp,
  ) {
    this.#types = wantedTypes(subscriber);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Lets the running handler finish, then gives the lease back. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #run(): Promise<void> {
    const { name } = this.subscriber;
    let eagerMs = Number.POSITIVE_INFINITY;
    while (!this.#isStopping) {
      // Before the look at the log: what happens from here on is not slept through.
      const call = this.wakeUp.listen();
      let pauseMs = this.settings.pollMs;
      try {
        pauseMs = await this.#work();
      } catch (error) {
        this.ground.report(`The subscriber ${name} could not read its events; it tries again`, error);
      }
      if (pauseMs > 0) {
        const hasRung = await call.orAfter(Math.min(pauseMs, eagerMs), this.#stopping.signal);
        // What was rung for may not be readable yet, while an older transaction runs: it is looked for again soon.
        eagerMs = hasRung ? EAGER_MS : eagerMs * 2;
      }
      call.forget();
    }
    await this.ground.query((manager) => release(manager, name, this.#owner)).catch(() => undefined);
  }

  /** Delivers what is there; answers the milliseconds to sleep. */
  async #work(): Promise<number> {
    const { name } = this.subscriber;
    const found = await this.ground.query((manager) => claim(manager, name, this.#owner, this.settings.leaseMs));
    if (found === null) return this.settings.pollMs;
    return this.#holdingLease(async () => {
      if (found.letters) await this.#deliverLetters();
      if (found.waitMs > 0) return Math.min(found.waitMs, this.settings.leaseMs / 3);
      return this.#deliverFrom(found);
    });
  }

  /** Renews the lease while `work` runs, however short its attempts are: a batch of many takes longer than the lease. */
  async #holdingLease<T>(work: () => Promise<T>): Promise<T> {
    const { name } = this.subscriber;
    const { leaseMs } = this.settings;
    const lost = new AbortController();
    this.#lease = lost.signal;
    const heartbeat = setInterval(() => {
      this.ground
        .query((manager) => renew(manager, name, this.#owner, leaseMs))
        .then((held) => held || lost.abort())
        .catch((error: unknown) => this.ground.report(`The subscriber ${name} could not renew its lease`, error));
    }, leaseMs / 3);
    try {
      return await work();
    } finally {
      clearInterval(heartbeat);
    }
  }

  async #deliverFrom(found: Claim): Promise<number> {
    const { batchSize, pollMs } = this.settings;
    const filter = { types: this.#types, tenantId: null };
    const { events, next } = await this.ground.query((manager) => readFeed(manager, found.position, filter, batchSize));
    let { attempts } = found;
    for (const { position, event } of events) {
      if (this.#isStopping) return 0;
      // Whatever went wrong, the next round claims and reads again from where the database says.
      if (!(await this.#deliver(position, event, attempts + 1))) return 0;
      attempts = 0;
    }
    if (events.length === batchSize) return 0;
    // Nothing of what lies between is wanted: without this a rare type would make every look longer than the one before.
    if (found.prolonged && events.length === 0) await this.#skipTo(next);
    return pollMs;
  }

  async #skipTo(next: FeedPosition): Promise<void> {
    await this.ground.query((manager) => advance(manager, this.subscriber.name, this.#owner, next, false));
  }

  /** Tries dead letters again that are due, each once. */
  async #deliverLetters(): Promise<void> {
    const { name } = this.subscriber;
    const letters = await this.ground.query((manager) => dueLetters(manager, name, this.settings.batchSize));
    for (const { xid, id, type, attempts, aside } of letters) {
      if (this.#isStopping) return;
      try {
        const event = await this.ground.query((manager) => readEvent(manager, { xid, id }));
        if (event === null) throw new Error('the activity is gone: retention has dropped its month');
        const settle = (manager: EntityManager): Promise<boolean> => settleLetter(manager, name, this.#owner, id);
        if (!(await this.#attempt(event, attempts + 1, settle))) return;
      } catch (error) {
        if (error instanceof LeaseLostError) return;
        this.#report({ type, id }, attempts + 1, error);
        const retryMs = aside ? this.#pauseAfter(attempts + 1, error) : null;
        await this.ground.query((manager) => returnLetter(manager, name, id, { error: describe(error), retryMs }));
      }
    }
  }

  /** False when the event is still, or again, the next one, or somebody else's. */
  async #deliver(position: FeedPosition, event: IdentityEvent, attempt: number): Promise<boolean> {
    const { name } = this.subscriber;
    try {
      const moveOn = (manager: EntityManager): Promise<boolean> => advance(manager, name, this.#owner, position, true);
      return await this.#attempt(event, attempt, moveOn);
    } catch (error) {
      if (error instanceof LeaseLostError) return false;
      this.#report(event, attempt, error);
      const [text, retryMs] = [describe(error), this.#pauseAfter(attempt, error)];
      const letter = { position, type: event.type, attempts: attempt, error: text, retryMs };
      await this.ground.query((manager) =>
        retryMs === null || isPostponed(error)
          ? bury(manager, name, this.#owner, letter)
          : fail(manager, name, this.#owner, text, retryMs),
      );
      return false;
    }
  }

  #report({ type, id }: Pick<IdentityEvent, 'type' | 'id'>, attempt: number, error: unknown): void {
    this.ground.report(`The subscriber ${this.subscriber.name} failed on ${type} ${id}, attempt ${attempt}`, error);
  }

  /** Milliseconds before the next attempt; null when there is to be none. */
  #pauseAfter(attempt: number, error: unknown): number | null {
    const isOver = attempt >= this.subscriber.maxAttempts || isUndeliverable(error);
    return isOver ? null : backoff(this.subscriber, attempt);
  }

  /** Runs the handler and `moveOn`; false when the lease was lost before. */
  async #attempt(
    event: IdentityEvent,
    attempt: number,
    moveOn: (manager: EntityManager) => Promise<boolean>,
  ): Promise<boolean> {
    const { transactional, timeoutMs } = this.subscriber;
    return this.#guarded(async (signal) => {
      if (!transactional) {
        await this.#handle(event, { attempt, signal });
        return () => this.ground.query(moveOn);
      }
      // With a limit of its own: a handler that hangs would keep the connection, and in a pool of one the only one.
      await this.ground.transaction(timeoutMs, async (manager) => {
        await this.#handle(event, { attempt, signal, manager });
        // Too late is a failure, also when the handler has come to its end after all.
        signal.throwIfAborted();
        if (!(await moveOn(manager))) throw new LeaseLostError();
      });
      return () => Promise.resolve(true);
    });
  }

  #handle(
    event: IdentityEvent,
    delivery: { attempt: number; signal: AbortSignal; manager?: EntityManager },
  ): Promise<unknown> {
    const { name, handlers } = this.subscriber;
    const handler = handlers.get(event.type) ?? handlers.get('*');
    if (handler === undefined) return Promise.resolve();
    const facts = { actor: { type: ActorTypeEnum.JOB, id: name }, requestId: event.id };
    return IdentityContext.run(facts, () => handler(event, { subscriber: name, ...delivery }));
  }

  /** Runs an attempt with a time limit, and only for as long as the lease is there. */
  async #guarded(attempt: (signal: AbortSignal) => Promise<() => Promise<boolean>>): Promise<boolean> {
    const { timeoutMs } = this.subscriber;
    const lease = this.#lease;
    const limit = new AbortController();
    const leave = (): void => limit.abort(new LeaseLostError());
    const aborted = new Promise<never>((_resolve, reject) => {
      limit.signal.addEventListener('abort', () => reject(limit.signal.reason as Error), { once: true });
    });
    aborted.catch(() => undefined);
    const timeout = setTimeout(() => limit.abort(new Error(`the handler took longer than ${timeoutMs} ms`)), timeoutMs);
    lease.addEventListener('abort', leave);
    try {
      if (lease.aborted) throw new LeaseLostError();
      const settle = await Promise.race([attempt(limit.signal), aborted]);
      return await settle();
    } finally {
      clearTimeout(timeout);
      lease.removeEventListener('abort', leave);
    }
  }
}

/** As it can be stored: what others have answered may hold a NUL, and no text of PostgreSQL can. */
function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.replaceAll('\0', '\uFFFD');
}

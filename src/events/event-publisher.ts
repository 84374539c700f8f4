import type { EventEmitter2 } from '@nestjs/event-emitter';
import type { EntityManager } from 'typeorm';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { NestAuthEvent } from './nest-auth.events.js';

/** Announces events once what they tell is committed; a rolled-back transaction announces nothing. */
export class EventPublisher {
  readonly #watchers: ((event: NestAuthEvent) => void)[] = [];

  constructor(
    private readonly transactions: TransactionHost,
    private readonly emitter: EventEmitter2,
  ) {}

  /**
   * Tells `watcher` of every event the moment it is committed, before any listener, and before the call resolves that
   * made it. It must not throw.
   */
  watch(watcher: (event: NestAuthEvent) => void): void {
    this.#watchers.push(watcher);
  }

  /** Queues the event behind the COMMIT of `manager`'s transaction; outside of any, the write is already durable. */
  publish(manager: EntityManager, event: NestAuthEvent): void {
    for (const watcher of this.#watchers) this.transactions.onCommit(manager, () => watcher(event));
    const callbacks = (): (() => unknown)[] => this.#deliveries(event);
    this.transactions.afterCommit(manager, () => this.transactions.flush(callbacks()));
  }

  /** One callback a listener: `emit` would stop at the first that throws. */
  #deliveries(event: NestAuthEvent): (() => unknown)[] {
    const named = this.emitter
      .listeners(event.name)
      .map((listener) => () => listener.call({ event: event.name }, event));
    const any = this.emitter.listenersAny().map((listener) => () => {
      (listener as (name: string, payload: unknown) => void)(event.name, event);
    });
    return [...any, ...named];
  }
}

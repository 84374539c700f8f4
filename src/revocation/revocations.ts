import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { EventPublisher } from '../events/event-publisher.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import { type CacheKey, type Freshness, type Loaded, RevocableCache } from './revocable-cache.js';
import type { RevocationListener } from './revocation.listener.js';
import { type RevocationTag, tagOfEvent } from './revocation.policy.js';
import type { RevocationSettings } from './revocation.settings.js';
import { StaleBound } from './stale-bound.js';

/**
 * All that this process keeps of rights and sessions, and who tells it what is no longer so: what it commits itself, the
 * moment it is committed; what others commit, through LISTEN where that is on.
 */
export class Revocations implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #caches: Pick<RevocableCache<unknown>, 'drop' | 'clear'>[] = [];
  readonly #freshness: Freshness;

  constructor(
    private readonly transactions: TransactionHost,
    events: EventPublisher,
    private readonly settings: RevocationSettings,
    private readonly listener?: RevocationListener,
  ) {
    this.#freshness = new StaleBound(settings, listener);
    if (!settings.cache) return;
    events.watch((event) => {
      const tag = tagOfEvent(event);
      if (tag !== null) this.#drop(tag);
    });
  }

  /** Reads of one kind, with a cache of their own. */
  reads<Value>(): SharedReads<Value> {
    if (!this.settings.cache) return new SharedReads(this.transactions);
    const cache = new RevocableCache<Value>(this.#freshness, this.settings.maxEntries);
    this.#caches.push(cache);
    return new SharedReads(this.transactions, cache);
  }

  onApplicationBootstrap(): void {
    this.listener?.start({
      told: (tag) => this.#drop(tag),
      missed: () => {
        for (const cache of this.#caches) cache.clear();
      },
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.listener?.stop();
  }

  #drop(tag: RevocationTag): void {
    for (const cache of this.#caches) cache.drop(tag);
  }
}

/** Reads that calls outside of transactions share. */
export class SharedReads<Value> {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly cache?: RevocableCache<Value>,
  ) {}

  /** Whether a call may be answered by what another one has read. */
  isShared(manager: EntityManager | undefined): boolean {
    return this.cache !== undefined && this.transactions.sharedScope(manager) !== undefined;
  }

  /**
   * What was read before, or what the database says now. A call with a manager or inside a transaction always asks, and
   * nobody else gets its answer: it may see what is never committed.
   */
  async read(
    manager: EntityManager | undefined,
    key: CacheKey,
    load: (manager: EntityManager) => Promise<Loaded<Value> | null>,
  ): Promise<Value | null> {
    const scope = this.cache === undefined ? undefined : this.transactions.sharedScope(manager);
    if (this.cache === undefined || scope === undefined) {
      const loaded = await this.transactions.operate(manager, load);
      return loaded?.value ?? null;
    }
    // With row-level security two scopes get two answers to one question.
    const scoped = { ...key, name: `${scope} ${key.name}` };
    return this.cache.get(scoped, () => this.transactions.operate(undefined, load));
  }
}

import { LRUCache } from 'lru-cache';
import type { RevocationTag } from './revocation.policy.js';

/** What is kept, and what makes it go. */
export interface CacheKey {
  /** Says all that the answer depends on, the tenant first of all. */
  readonly name: string;
  readonly tags: readonly RevocationTag[];
  /** How those tags begin that only the answer will tell. */
  readonly later?: string;
}

/** An answer of the database that may be kept. */
export interface Loaded<Value> {
  readonly value: Value;
  /** Milliseconds after which it is over by itself; `Infinity` for never. */
  readonly forMs: number;
  /** Tags beside those of the key. @default none */
  readonly tags?: readonly RevocationTag[];
}

/** Decides whether something that was read at `loadedAt` may still be answered. */
export interface Freshness {
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  holds(loadedAt: number, now: number): boolean;
  /** Whether a load that began at `startedAt` is young enough for a call that begins now. */
  mayJoin(startedAt: number, now: number): boolean;
}

interface Entry<Value> extends Required<Loaded<Value>> {
  readonly loadedAt: number;
}

interface Flight<Value> {
  readonly key: CacheKey;
  readonly startedAt: number;
  readonly answer: Promise<Value | null>;
}

/**
 * Answers of the database that are kept until they are too old, or until somebody tells that they are wrong.
 *
 * Of several calls with one key at once one asks. A load that has begun before something was told is never kept, and
 * nobody who comes after joins it. That there is nothing is not kept: what comes new is seen at once.
 */
export class RevocableCache<Value> {
  readonly #entries: LRUCache<string, Entry<Value>>;
  readonly #flights = new Map<string, Flight<Value>>();
  /** Names of what is kept, by tag. */
  readonly #names = new Map<RevocationTag, Set<string>>();

  constructor(
    private readonly freshness: Freshness,
    max: number,
  ) {
    this.#entries = new LRUCache({ max, dispose: ({ tags }, name) => this.#forget(name, tags) });
  }

  /** How many answers are kept. */
  get size(): number {
    return this.#entries.size;
  }

  /** How many tags are remembered for them. */
  get tagCount(): number {
    return this.#names.size;
  }

  async get(key: CacheKey, load: () => Promise<Loaded<Value> | null>): Promise<Value | null> {
    const now = this.freshness.now();
    const entry = this.#entries.get(key.name);
    if (entry !== undefined && now < entry.loadedAt + entry.forMs && this.freshness.holds(entry.loadedAt, now)) {
      return entry.value;
    }
    const flight = this.#flights.get(key.name);
    if (flight !== undefined && this.freshness.mayJoin(flight.startedAt, now)) return flight.answer;
    return this.#load(key, now, load);
  }

  /** Makes everything under this tag be read again, also what is being read at this moment. */
  drop(tag: RevocationTag): void {
    for (const name of this.#names.get(tag) ?? []) this.#entries.delete(name);
    for (const { key } of this.#flights.values()) {
      const mayBear = key.tags.includes(tag) || (key.later !== undefined && tag.startsWith(key.later));
      if (mayBear) this.#flights.delete(key.name);
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#flights.clear();
  }

  #load(key: CacheKey, startedAt: number, load: () => Promise<Loaded<Value> | null>): Promise<Value | null> {
    const answer = load()
      .then((loaded) => {
        // Otherwise somebody has told since that it may be wrong, or a later load has taken its place.
        if (loaded !== null && this.#flights.get(key.name) === flight) this.#keep(flight, loaded);
        return loaded?.value ?? null;
      })
      .finally(() => {
        if (this.#flights.get(key.name) === flight) this.#flights.delete(key.name);
      });
    const flight: Flight<Value> = { key, startedAt, answer };
    this.#flights.set(key.name, flight);
    return answer;
  }

  #keep({ key, startedAt }: Flight<Value>, { value, forMs, tags: more = [] }: Loaded<Value>): void {
    const tags = [...key.tags, ...more];
    // First of all the one before goes, with its tags.
    this.#entries.set(key.name, { value, forMs, tags, loadedAt: startedAt });
    for (const tag of tags) {
      const names = this.#names.get(tag);
      if (names === undefined) this.#names.set(tag, new Set([key.name]));
      else names.add(key.name);
    }
  }

  #forget(name: string, tags: readonly RevocationTag[]): void {
    for (const tag of tags) {
      const names = this.#names.get(tag);
      names?.delete(name);
      if (names?.size === 0) this.#names.delete(tag);
    }
  }
}

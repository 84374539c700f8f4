import type { Freshness } from './revocable-cache.js';
import type { RevocationSettings } from './revocation.settings.js';

/** What is known of the connection on which changes are told. */
export interface News {
  /** Since when nothing is missed; undefined while nobody listens. */
  readonly listeningSince: number | undefined;
  /** When the connection was last known to work: all that was told before has been heard. */
  readonly provenAt: number;
}

/** Nobody tells anything: everything is read again when the bound has passed. */
const NO_NEWS: News = { listeningSince: undefined, provenAt: 0 };

/**
 * How old an answer may be. By itself as old as the bound; older only while it is proven, within the bound, that a
 * change would have been heard.
 */
export class StaleBound implements Freshness {
  constructor(
    private readonly settings: Pick<RevocationSettings, 'maxStaleMs' | 'cacheSeconds'>,
    private readonly news: News = NO_NEWS,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  now(): number {
    return this.clock();
  }

  holds(loadedAt: number, now: number): boolean {
    const { maxStaleMs, cacheSeconds } = this.settings;
    const age = now - loadedAt;
    if (age < maxStaleMs) return true;
    const { listeningSince, provenAt } = this.news;
    if (listeningSince === undefined || loadedAt < listeningSince) return false;
    return now - provenAt < maxStaleMs && age < cacheSeconds * 1_000;
  }

  mayJoin(startedAt: number, now: number): boolean {
    return now - startedAt < this.settings.maxStaleMs;
  }
}

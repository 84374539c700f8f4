import type { LifecycleGracePeriods, LifecycleOptions } from './lifecycle.types.js';

/** The lifecycle options with every default filled in. */
export class LifecycleSettings {
  readonly graces: Required<LifecycleGracePeriods>;
  readonly chunkSize: number;

  constructor({ chunkSize, ...graces }: Required<LifecycleOptions>) {
    this.graces = graces;
    this.chunkSize = chunkSize;
  }
}

export const DEFAULT_LIFECYCLE: Required<LifecycleOptions> = {
  pendingDays: 30,
  inactiveMonths: 6,
  disableMonths: 6,
  deletionDays: 30,
  chunkSize: 1_000,
};

export const MAX_CHUNK_SIZE = 10_000;

/** Ten years: what is longer is meant to be never. */
export const MAX_GRACE = { days: 3_650, months: 120 } as const;

import type { Environment } from '../environment.js';
import type { Comparison, Measured, Plan } from '../measure.js';
import { ratioOf } from '../measure.js';
import type { Table } from '../report.js';
import type { World } from '../seed.js';

/** What every scenario is given. */
export interface Bench {
  readonly environment: Environment;
  readonly world: World;
  readonly plan: Plan;
  /** Users in the large database. */
  readonly manyUsers: number;
}

/** Something the package promises, and what was measured. */
export interface Goal {
  readonly text: string;
  readonly wanted: string;
  readonly reached: string;
  readonly isReached: boolean;
}

export interface Findings {
  readonly comparisons: readonly Comparison[];
  readonly goals: readonly Goal[];
  /** What fits no comparison. */
  readonly tables?: readonly Table[];
}

export const AT_ONCE = [1, 8, 32] as const;

export function atLeast(text: string, ratio: number, subject: Measured | undefined, baseline: Measured): Goal {
  const reached = subject === undefined ? Number.NaN : ratioOf(subject, baseline).median;
  return { text, wanted: `≥ ${ratio.toFixed(2)} ×`, reached: `${reached.toFixed(2)} ×`, isReached: reached >= ratio };
}

/** A function that returns the items in turn, for ever. */
export function inTurn<T>(items: readonly T[]): () => T {
  let index = -1;
  return () => {
    index = (index + 1) % items.length;
    return items[index] as T;
  };
}

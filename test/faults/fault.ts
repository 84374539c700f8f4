import type { RunInTransactionOptions } from '../../src/index.js';
import type { Hooks, Operation, Subject } from './operations.js';
import type { Random } from './random.js';
import type { Stage } from './stage.js';

/** What a fault has to work with. */
export interface Scene {
  readonly stage: Stage;
  readonly operation: Operation;
  readonly subject: Subject;
  readonly random: Random;
  /** Statements of the operation when nothing is in its way, COMMIT included. */
  readonly statements: readonly string[];
  /** Says what was drawn: it is printed when the test fails. */
  note(what: string): void;
}

/** A fault that is ready to happen. */
export interface Armed {
  readonly hooks?: Hooks;
  readonly options?: RunInTransactionOptions;
  /** Runs the operation; for faults that stand around it. */
  readonly around?: (run: () => Promise<void>) => Promise<void>;
  /** Whether it has really happened: a fault that missed proves nothing. */
  readonly hasHappened: () => boolean | Promise<boolean>;
  readonly disarm?: () => Promise<unknown>;
}

/** Which application meets the fault. */
export type Place = 'direct' | 'behind a proxy' | 'pool of one' | 'pool of one, patient';

/** How a call ends that meets the fault and is not retried. */
export type Ending =
  | { readonly resolves: true }
  | {
      /** The code of our error; the SQLSTATE where it was a statement of the host that failed. */
      readonly rejects: string;
      /** Also in `details`, or the only code where a statement of the host failed. */
      readonly sqlState?: string;
      /** What is kept of a call that rejects; asked of the error where only it can know. */
      readonly kept: 'nothing' | 'ask the error';
    };

export interface Fault {
  readonly id: string;
  /** As a sentence that begins with what happens and ends with what comes of it. */
  readonly name: string;
  readonly on?: Place;
  arm(scene: Scene): Promise<Armed>;
  readonly ending: Ending;
  /** With the retries of the default the call succeeds, because the fault happens once. */
  readonly curedByRetry?: true;
  /** It happens to who is told of it: where nothing is announced there is nobody. */
  readonly needsAnnouncement?: true;
}

/** Runs one statement past the package, as somebody with every right. */
export async function onServer(stage: Stage, text: string, values?: unknown[]): Promise<Record<string, unknown>[]> {
  return (await stage.looker.query<Record<string, unknown>>(text, values)).rows;
}

/** Looks until it is so. No limit of its own: a test that waits for ever is ended by the runner. */
export async function until(look: () => Promise<boolean>): Promise<void> {
  while (!(await look())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** What a call rejects with; undefined when it does not. */
export function refusalOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(() => undefined).catch((error: unknown) => error);
}

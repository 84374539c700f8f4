import { hostname } from 'node:os';
import type { EntityManager } from 'typeorm';
import { v4 as uuidv4 } from 'uuid';
import { ActorTypeEnum } from '../audit/activity.types.js';
import { IdentityContext } from '../audit/identity-context.js';
import type { Job, JobCounts } from './job.types.js';
import { abandonedSlots, beat, type ClaimedRun, claimRun, endRun, leaveRun, type RunKey } from './job-run.queries.js';

/** What the runner stands on. */
export interface JobGround {
  /** Runs one of our statements for the whole platform, outside of any transaction. */
  query<T>(fn: (manager: EntityManager) => Promise<T>): Promise<T>;
  /** Runs a job's work for the whole platform. */
  platform<T>(fn: () => Promise<T>): Promise<T>;
  report(message: string, error: unknown): void;
}

/** What became of a request to run a slot. */
export type SlotOutcome =
  | { readonly status: 'succeeded'; readonly counts: JobCounts }
  | { readonly status: 'failed'; readonly counts: JobCounts; readonly error: unknown }
  /** The application is stopping, or another process has taken the run over. */
  | { readonly status: 'left' }
  /** It has run, is running elsewhere, or the job is new and waits for its next slot. */
  | { readonly status: 'taken' };

/** Runs jobs so that each slot is run once, by whichever process comes first; of a killed one, by the next. */
export class JobRunner {
  readonly #stopping = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(
    private readonly ground: JobGround,
    /** Milliseconds after which a process that has died is taken over. */
    private readonly leaseMs: number,
  ) {}

  /** Runs the slot unless somebody else does or has. Never rejects because the job fails. */
  run(job: Job, slot: Date, { onlyIfKnown = false, startedBy = defaultName() } = {}): Promise<SlotOutcome> {
    const running = this.#run(job, { job: job.name, slot }, { onlyIfKnown, startedBy });
    this.#running.add(running);
    const forget = (): boolean => this.#running.delete(running);
    running.then(forget, forget);
    return running;
  }

  /** Goes on with runs of the job whose process is gone. */
  async takeOver(job: Job): Promise<void> {
    for (const slot of await this.ground.query((manager) => abandonedSlots(manager, job.name))) {
      await this.run(job, slot);
    }
  }

  /** Lets every running job come to an end after its current step, and leaves the rest to other processes. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the application is stopping'));
    await Promise.allSettled(this.#running);
  }

  async #run(
    job: Job,
    key: RunKey,
    by: { readonly onlyIfKnown: boolean; readonly startedBy: string },
  ): Promise<SlotOutcome> {
    if (this.#stopping.signal.aborted) return { status: 'left' };
    const owner = uuidv4();
    const claimed = await this.ground.query((manager) =>
      claimRun(manager, key, { ...by, owner, leaseMs: this.leaseMs }),
    );
    return claimed === null ? { status: 'taken' } : this.#work(job, key, owner, claimed);
  }

  async #work(job: Job, key: RunKey, owner: string, { takeovers, counts: before }: ClaimedRun): Promise<SlotOutcome> {
    let counts = before;
    const lost = new AbortController();
    const signal = AbortSignal.any([lost.signal, this.#stopping.signal]);
    const progress = (own: JobCounts): void => void (counts = added(before, own));
    const heartbeat = setInterval(() => {
      this.ground
        .query((manager) => beat(manager, key, owner, this.leaseMs, counts))
        .then((held) => held || lost.abort(new Error('another process has taken the run over')))
        .catch((error: unknown) => this.ground.report(`The job ${job.name} could not renew its lease`, error));
    }, this.leaseMs / 3);
    try {
      const actor = { type: ActorTypeEnum.JOB, id: job.name };
      const own = await IdentityContext.run({ actor }, () =>
        this.ground.platform(() => job.run({ slot: key.slot, takeovers, signal, progress })),
      );
      if (own !== undefined) progress(own);
      clearInterval(heartbeat);
      if (signal.aborted) return await this.#leave(key, owner, counts);
      await this.ground.query((manager) => endRun(manager, key, owner, counts, null));
      return { status: 'succeeded', counts };
    } catch (error) {
      clearInterval(heartbeat);
      if (signal.aborted) return this.#leave(key, owner, counts);
      this.ground.report(`The job ${job.name} failed`, error);
      const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      await this.ground.query((manager) => endRun(manager, key, owner, counts, text));
      return { status: 'failed', counts, error };
    }
  }

  async #leave(key: RunKey, owner: string, counts: JobCounts): Promise<SlotOutcome> {
    await this.ground.query((manager) => leaveRun(manager, key, owner, counts));
    return { status: 'left' };
  }
}

function added(before: JobCounts, own: JobCounts): JobCounts {
  const sum: Record<string, number> = { ...before };
  for (const [name, count] of Object.entries(own)) sum[name] = (before[name] ?? 0) + count;
  return sum;
}

function defaultName(): string {
  return `${hostname()}:${process.pid}`;
}

import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import type { SchedulerRegistry } from '@nestjs/schedule';
import { CronJob } from 'cron';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { type JobGround, JobRunner, type SlotOutcome } from '../job/job.runner.js';
import type { Job } from '../job/job.types.js';
import { databaseTime, lastRuns } from '../job/job-run.queries.js';
import type { HealthReading } from '../transaction/health-sources.js';
import { checkTiming, type JobTiming, latestSlot } from './slots.policy.js';

export interface SchedulerSettings {
  /** Milliseconds after which a process that has died is taken over. */
  readonly leaseMs: number;
  /** Milliseconds between two looks for slots that were missed and runs whose process has died. */
  readonly tickMs: number;
}

interface ScheduledJob {
  readonly job: Job;
  readonly timing: JobTiming;
  /** The slot that needs no further look from this process. */
  done: number;
  busy: boolean;
}

const NAME = /^[a-zA-Z][\w.-]{0,99}$/;

/**
 * Runs jobs at their times: once a slot, however many processes have the same schedule.
 *
 * A timer of this process only says when to look. Which slot is due is decided by the database's clock, and who runs it
 * by a row in the database; so a slot that every process has missed, or that a killed one has left, is made up for.
 */
export class NestAuthScheduler implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #jobs = new Map<string, ScheduledJob>();
  readonly #runner: JobRunner;
  #tick: NodeJS.Timeout | undefined;
  #isStarted = false;

  constructor(
    private readonly ground: JobGround,
    private readonly registry: SchedulerRegistry,
    private readonly settings: SchedulerSettings,
  ) {
    this.#runner = new JobRunner(ground, settings.leaseMs);
  }

  /**
   * Adds a job. The slot that is current when a job is first seen by any process is skipped: a job of every night does
   * not start at noon because it was deployed then.
   *
   * Errors: `INVALID_OPTIONS` for a name that is taken or malformed, a wrong cron expression or time zone.
   */
  add(job: Job, timing: JobTiming): void {
    if (!NAME.test(job.name) || this.#jobs.has(job.name)) {
      throw new NestAuthError('INVALID_OPTIONS', `The job '${job.name}' has a malformed name, or one that is taken`, {
        details: { option: 'name' },
      });
    }
    checkTiming(job.name, timing);
    const scheduled = { job, timing, done: Number.NEGATIVE_INFINITY, busy: false };
    this.#jobs.set(job.name, scheduled);
    if (this.#isStarted) this.#startTimer(scheduled);
  }

  /** Names of the scheduled jobs, with their times. */
  get jobs(): readonly (JobTiming & { readonly name: string })[] {
    return [...this.#jobs.values()].map(({ job, timing }) => ({ name: job.name, ...timing }));
  }

  /**
   * Runs a job now, beside its schedule; the run has a slot of its own and is in the history.
   * Errors: `INVALID_OPTIONS` for a job that is not scheduled here.
   *
   * @param startedBy - Who asked for it.
   */
  async runNow(name: string, startedBy: string): Promise<SlotOutcome> {
    const scheduled = this.#jobs.get(name);
    if (scheduled === undefined) {
      throw new NestAuthError(
        'INVALID_OPTIONS',
        `No job '${name}' is scheduled; known are ${[...this.#jobs.keys()].join(', ')}`,
        {
          details: { option: 'name' },
        },
      );
    }
    const now = await this.ground.query(databaseTime);
    return this.#runner.run(scheduled.job, now, { startedBy });
  }

  onApplicationBootstrap(): void {
    this.#isStarted = true;
    for (const scheduled of this.#jobs.values()) this.#startTimer(scheduled);
    if (this.#jobs.size > 0) void this.#lookAll();
    this.#tick = setInterval(() => void this.#lookAll(), this.settings.tickMs);
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.#tick);
    for (const name of this.#jobs.keys()) {
      if (this.registry.doesExist('cron', timerName(name))) this.registry.deleteCronJob(timerName(name));
    }
    await this.#runner.stop();
  }

  /** Of each job its last run, and whether the slot that was due has been run; for the health check. */
  async readHealth(): Promise<HealthReading> {
    const names = [...this.#jobs.keys()];
    const [now, runs] = await this.ground.query(async (manager) => [
      await databaseTime(manager),
      await lastRuns(manager, names),
    ]);
    const patience = this.settings.leaseMs + 2 * this.settings.tickMs;
    const jobs = [...this.#jobs.values()].map(({ job, timing }) => {
      const run = runs.find((one) => one.job === job.name);
      const due = latestSlot(timing, new Date(now.getTime() - patience));
      const isMissed = due !== null && (run === undefined || run.slot < due);
      const ageMs = run?.succeededAt == null ? null : now.getTime() - run.succeededAt.getTime();
      return [job.name, { missed: isMissed, status: run?.status ?? null, ageMs }] as const;
    });
    return {
      healthy: jobs.every(([, { missed, status }]) => !missed && status !== 'failed'),
      ...Object.fromEntries(jobs),
    };
  }

  #startTimer(scheduled: ScheduledJob): void {
    const { cron, timeZone } = scheduled.timing;
    const timer = CronJob.from({ cronTime: cron, timeZone, onTick: () => void this.#look(scheduled), start: true });
    this.registry.addCronJob(timerName(scheduled.job.name), timer);
  }

  async #lookAll(): Promise<void> {
    await Promise.all([...this.#jobs.values()].map((scheduled) => this.#look(scheduled)));
  }

  /** Runs the slot that is due, if nobody has, and goes on with what others have left. */
  async #look(scheduled: ScheduledJob): Promise<void> {
    if (scheduled.busy) return;
    scheduled.busy = true;
    const { job, timing } = scheduled;
    try {
      await this.#runner.takeOver(job);
      const slot = latestSlot(timing, await this.ground.query(databaseTime));
      if (slot === null || slot.getTime() <= scheduled.done) return;
      const { status } = await this.#runner.run(job, slot, { onlyIfKnown: true });
      if (status !== 'left') scheduled.done = slot.getTime();
    } catch (error) {
      this.ground.report(`The job ${job.name} could not be looked after; the next look follows`, error);
    } finally {
      scheduled.busy = false;
    }
  }
}

function timerName(job: string): string {
  return `nest_auth.${job}`;
}

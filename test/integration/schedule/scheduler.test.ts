import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';

import { ActivityService, IdentityContext, type Job, JobHistoryService, NestAuthModule } from '../../../src/index.js';
import {
  NestAuthScheduleModule,
  type NestAuthScheduleOptions,
  NestAuthScheduler,
} from '../../../src/schedule/index.js';
import { TransactionHost } from '../../../src/transaction/transaction-host.js';
import { PREPARED } from '../../support/connection-mode.js';
import { createTestDatabase, withClient } from '../../support/database.js';
import { type NestApp, startNestApp } from '../../support/nest-app.js';
import { until } from '../../support/until.js';
import { untilSent } from '../../support/wire.js';

jest.setTimeout(120_000);

const EACH_SECOND = { cron: '* * * * * *', timeZone: 'UTC' };
/** In the past of every test run, and not again for a while. */
const NEW_YEAR = { cron: '0 0 1 1 *', timeZone: 'UTC' };

/** In what is sent first whenever it is looked whether a job is due. */
const LOOKS = /from nest_auth_job_runs where job = \$1 and status = 'running' and lease_until < now\(\) order by slot/;

const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

async function database(): Promise<string> {
  const { url, drop } = await createTestDatabase();
  open.push(drop);
  return url;
}

interface Scheduling extends NestApp {
  readonly scheduler: NestAuthScheduler;
  readonly history: JobHistoryService;
}

async function start(url: string, options: NestAuthScheduleOptions = { enabled: false }): Promise<Scheduling> {
  const app = await startNestApp(url, {
    imports: [
      EventEmitterModule.forRoot(),
      ScheduleModule.forRoot(),
      NestAuthModule.forRoot({ statements: { prepared: PREPARED } }),
      NestAuthScheduleModule.forRoot({ leaseMs: 600, tickMs: 100, ...options }),
    ],
  });
  let closed = false;
  const close = async (): Promise<void> => {
    if (!closed) await app.close();
    closed = true;
  };
  open.push(close);
  return { ...app, close, scheduler: app.context.get(NestAuthScheduler), history: app.context.get(JobHistoryService) };
}

/** As if the job had run in an earlier slot. */
function known(url: string, job: string): Promise<unknown> {
  return withClient(url, (client) =>
    client.query(
      `insert into nest_auth_job_runs (job, slot, status, started_by, started_at, finished_at)
        values ($1, '2001-01-01', 'succeeded', 'earlier', '2001-01-01', '2001-01-01')`,
      [job],
    ),
  );
}

interface Step {
  readonly slot: Date;
  readonly step: number;
  readonly process: string;
}

function steps(url: string): Promise<Step[]> {
  return withClient(
    url,
    async (client) => (await client.query<Step>('select slot, step, process from steps order by slot, step')).rows,
  );
}

interface JobProcess {
  readonly kill: (signal: NodeJS.Signals) => Promise<unknown>;
}

/** Starts a process with a scheduler; see test/support/job-process.ts. */
async function startProcess(
  url: string,
  name: string,
  cron: string,
  count: number,
  stepMs: number,
): Promise<JobProcess> {
  const args = ['--import', './test/support/typescript.mjs', 'test/support/job-process.ts'];
  const child = spawn(process.execPath, [...args, url, name, cron, `${count}`, `${stepMs}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  const ended = once(child, 'close');
  const kill = (signal: NodeJS.Signals): Promise<unknown> => {
    child.kill(signal);
    return ended;
  };
  open.push(() => kill('SIGKILL'));
  const [first] = (await Promise.race([once(createInterface(child.stdout), 'line'), ended])) as [unknown];
  if (first !== 'ready') throw new Error(`the process did not start: ${errors}`);
  return { kill };
}

describe('a scheduled job', () => {
  it('runs at its times, tells who acts, and is in the history', async () => {
    const app = await start(await database());
    const seen: unknown[] = [];
    const job: Job = {
      name: 'tick',
      run: ({ slot }) => {
        seen.push([slot, IdentityContext.current.actor]);
        return Promise.resolve({ processed: 2 });
      },
    };
    app.scheduler.add(job, EACH_SECOND);
    await until('two runs', () => seen.length >= 2);
    expect(seen[0]).toEqual([expect.any(Date), { type: 'job', id: 'tick' }]);
    await until(
      'the history',
      async () => (await app.history.getRuns({ job: 'tick', status: 'succeeded' })).length >= 2,
    );
    const [run] = await app.history.getRuns({ job: 'tick', status: 'succeeded' });
    expect(run).toMatchObject({ counts: { processed: 2 }, error: null, takeovers: 0, isAlive: false });
    expect(run?.startedBy).toContain(String(process.pid));
    // The slot that was current when it was first seen is noted, and not run.
    expect(await app.history.getRuns({ job: 'tick', status: 'skipped' })).toHaveLength(1);
  });

  it('makes up for a slot that every process has missed, once', async () => {
    const url = await database();
    await known(url, 'yearly');
    const app = await start(url);
    let runs = 0;
    app.scheduler.add({ name: 'yearly', run: () => Promise.resolve(void (runs += 1)) }, NEW_YEAR);
    await until('the run', async () => (await app.history.getRuns({ job: 'yearly' })).length === 2);
    await untilSent(LOOKS, 4);
    expect(runs).toBe(1);
    const [run] = await app.history.getRuns({ job: 'yearly' });
    expect(run?.slot).toEqual(new Date(Date.UTC(new Date().getUTCFullYear(), 0, 1)));
  });

  it('does not start when it is deployed, but at its next time', async () => {
    const app = await start(await database());
    let runs = 0;
    app.scheduler.add({ name: 'yearly', run: () => Promise.resolve(void (runs += 1)) }, NEW_YEAR);
    await until('the note', async () => (await app.history.getRuns({ job: 'yearly' })).length === 1);
    await untilSent(LOOKS, 4);
    expect(runs).toBe(0);
  });

  it('that fails is recorded with its reason, and runs again in the next slot', async () => {
    const app = await start(await database());
    let runs = 0;
    app.scheduler.add(
      {
        name: 'failing',
        run: () => {
          runs += 1;
          return runs === 1 ? Promise.reject(new Error('no luck')) : Promise.resolve();
        },
      },
      EACH_SECOND,
    );
    await until(
      'a success',
      async () => (await app.history.getRuns({ job: 'failing', status: 'succeeded' })).length > 0,
    );
    expect(await app.history.getRuns({ job: 'failing', status: 'failed' })).toMatchObject([
      { error: 'Error: no luck' },
    ]);
  });

  it('is told to the health check: when it last succeeded, and that it failed', async () => {
    const app = await start(await database());
    const { health } = app.context.get(TransactionHost);
    const read = (): unknown =>
      health
        .all()
        .find(({ name }) => name === 'jobs')
        ?.read();
    let isBroken = false;
    const run = (): Promise<void> => (isBroken ? Promise.reject(new Error('no luck')) : Promise.resolve());
    app.scheduler.add({ name: 'tick', run }, EACH_SECOND);
    await until('a success', async () => (await app.history.getRuns({ job: 'tick', status: 'succeeded' })).length > 0);
    expect(await read()).toEqual({
      healthy: true,
      tick: { missed: false, status: expect.stringMatching(/running|succeeded/), ageMs: expect.any(Number) },
    });
    isBroken = true;
    await until('a failure', async () => !((await read()) as { healthy: boolean }).healthy);
    expect(await read()).toMatchObject({ healthy: false });
  });

  it('that nobody has run is told to the health check as missed', async () => {
    const url = await database();
    await known(url, 'yearly');
    const app = await start(url);
    let finish: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (finish = resolve));
    // As if every process were busy with the slot of long ago.
    app.scheduler.add({ name: 'yearly', run: () => held }, NEW_YEAR);
    await until('the run', async () => (await app.history.getRuns({ job: 'yearly' })).length === 2);
    await withClient(url, (client) => client.query(`delete from nest_auth_job_runs where slot > '2002-01-01'`));
    expect(await app.scheduler.readHealth()).toMatchObject({ healthy: false, yearly: { missed: true } });
    finish();
  });

  it('can be run at once by hand, beside its schedule', async () => {
    const app = await start(await database());
    app.scheduler.add({ name: 'yearly', run: () => Promise.resolve({ processed: 7 }) }, NEW_YEAR);
    expect(await app.scheduler.runNow('yearly', 'ada')).toEqual({ status: 'succeeded', counts: { processed: 7 } });
    expect(await app.history.getRuns({ status: 'succeeded' })).toMatchObject([{ startedBy: 'ada' }]);
    await expect(app.scheduler.runNow('nightly', 'ada')).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
  });

  it('judges its slot by the clock of the database, and not by that of the process (F23)', async () => {
    const url = await database();
    await known(url, 'yearly');
    const app = await start(url);
    const slots: Date[] = [];
    const real = Date.now;
    // Two years ahead: by this clock another slot would be due.
    Date.now = () => real() + 2 * 366 * 86_400_000;
    try {
      app.scheduler.add({ name: 'yearly', run: ({ slot }) => Promise.resolve(void slots.push(slot)) }, NEW_YEAR);
      await until('the run', () => slots.length === 1);
    } finally {
      Date.now = real;
    }
    expect(slots).toEqual([new Date(Date.UTC(new Date().getUTCFullYear(), 0, 1))]);
  });

  it.each([
    ['a cron expression', { cron: 'every day', timeZone: 'UTC' }],
    ['a time zone', { cron: '* * * * *', timeZone: 'Mars/Olympus' }],
  ])('is refused with what is not %s', async (_what, timing) => {
    const app = await start(await database());
    const add = (): void => app.scheduler.add({ name: 'x', run: () => Promise.resolve() }, timing);
    expect(add).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
    expect(app.context.get(SchedulerRegistry).getCronJobs().size).toBe(0);
  });
});

describe("the package's own jobs", () => {
  it('are scheduled as documented, each with its own time, zone and switch', async () => {
    const app = await start(await database(), {
      timeZone: 'Europe/Berlin',
      jobs: {
        'deactivate-inactive-users': { timeZone: 'America/New_York' },
        'delete-scheduled-users': { enabled: true, cron: '0 4 * * 0' },
        'maintain-activities': { enabled: false },
      },
    });
    expect(app.scheduler.jobs).toEqual([
      { name: 'deactivate-inactive-users', cron: '0 10 * * *', timeZone: 'America/New_York' },
      { name: 'delete-scheduled-users', cron: '0 4 * * 0', timeZone: 'Europe/Berlin' },
      { name: 'seal-activities', cron: '*/5 * * * *', timeZone: 'Europe/Berlin' },
      { name: 'purge-expired-grants', cron: '10 4 * * *', timeZone: 'Europe/Berlin' },
      { name: 'purge-ended-sessions', cron: '20 4 * * *', timeZone: 'Europe/Berlin' },
      { name: 'remove-expired-external-flows', cron: '30 4 * * *', timeZone: 'Europe/Berlin' },
      { name: 'remove-expired-one-time-tokens', cron: '10 5 * * *', timeZone: 'Europe/Berlin' },
      { name: 'remove-expired-second-factors', cron: '50 4 * * *', timeZone: 'Europe/Berlin' },
      { name: 'rotate-secrets', cron: '0 5 * * *', timeZone: 'Europe/Berlin' },
      { name: 'remove-expired-invitations', cron: '40 4 * * *', timeZone: 'Europe/Berlin' },
    ]);
    const timer = app.context.get(SchedulerRegistry).getCronJob('nest_auth.deactivate-inactive-users');
    expect(timer.cronTime.toString()).toContain('10');
  });

  it('deactivate who has not come, in the name of the job, with the counts in the history', async () => {
    const url = await database();
    await known(url, 'deactivate-inactive-users');
    const before = await startNestApp(url);
    const [away, here] = [
      await before.users.createUser({ email: 'away@example.com' }),
      await before.users.createUser({ email: 'here@example.com' }),
    ];
    await before.close();
    await withClient(url, (client) =>
      client.query(
        `update nest_auth_users set activated_at = now() - interval '7 months', created_at = now() - interval '7 months' where id = $1`,
        [away.id],
      ),
    );
    // The slot of a job of each minute has begun at most a minute ago: it is due now.
    const app = await start(url, { jobs: { 'deactivate-inactive-users': { cron: '* * * * *' } } });
    await until(
      'the run',
      async () => (await app.history.getRuns({ status: 'succeeded', job: 'deactivate-inactive-users' })).length >= 2,
    );
    const [run] = await app.history.getRuns({ status: 'succeeded', job: 'deactivate-inactive-users' });
    expect(run?.counts).toEqual({ processed: 1, skipped: 0, failed: 0 });
    expect([(await app.users.getUserById(away.id))?.status, (await app.users.getUserById(here.id))?.status]).toEqual([
      'inactive',
      'active',
    ]);
    const { items } = await app.context
      .get(ActivityService)
      .findActivities({ userId: away.id, type: 'nest_auth.user.deactivated' });
    expect(items).toMatchObject([{ actorType: 'job', actorId: 'deactivate-inactive-users' }]);
  });

  it.each([
    ['a job that does not exist', { jobs: { 'delete-everybody': {} } }],
    ['a cron expression that is none', { jobs: { 'seal-activities': { cron: 'now' } } }],
    ['a lease of no time', { leaseMs: 0 }],
  ])('are refused with %s', (_what, options) => {
    expect(() => NestAuthScheduleModule.forRoot(options as NestAuthScheduleOptions)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    );
  });
});

describe('several processes with the same schedule', () => {
  it('run each slot once (F21)', async () => {
    const url = await database();
    await withClient(url, (client) =>
      client.query('create table steps (slot timestamptz(3), step integer, process text, primary key (slot, step))'),
    );
    await known(url, 'steps');
    await Promise.all(['a', 'b', 'c'].map((name) => startProcess(url, name, '* * * * * *', 3, 20)));
    const app = await start(url);
    await until(
      'some slots',
      async () => (await app.history.getRuns({ job: 'steps', status: 'succeeded' })).length >= 5,
    );
    expect(await app.history.getRuns({ job: 'steps', status: 'failed' })).toEqual([]);
    const done = new Map<number, Step[]>();
    for (const step of await steps(url))
      done.set(step.slot.getTime(), [...(done.get(step.slot.getTime()) ?? []), step]);
    // Of a slot that still runs there may be fewer.
    for (const [slot, list] of [...done].slice(0, -1)) {
      expect({ slot, steps: list.map(({ step }) => step), by: new Set(list.map((one) => one.process)).size }).toEqual({
        slot,
        steps: [0, 1, 2],
        by: 1,
      });
    }
  });

  it('take over the run of one that was killed, once, and go on where it was (F18, F22)', async () => {
    const url = await database();
    await withClient(url, (client) =>
      client.query('create table steps (slot timestamptz(3), step integer, process text, primary key (slot, step))'),
    );
    await known(url, 'steps');
    const first = await startProcess(url, 'first', '0 0 1 1 *', 40, 50);
    await until('some steps', async () => (await steps(url)).length >= 10);
    await first.kill('SIGKILL');
    const done = (await steps(url)).length;
    expect(done).toBeLessThan(40);
    await Promise.all(['second', 'third'].map((name) => startProcess(url, name, '0 0 1 1 *', 40, 5)));
    const app = await start(url);
    await until('the end', async () => (await app.history.getRuns({ status: 'succeeded' })).length === 2);
    const all = await steps(url);
    expect(all.map(({ step }) => step)).toEqual(Array.from({ length: 40 }, (_, index) => index));
    expect(new Set(all.slice(0, done).map((one) => one.process))).toEqual(new Set(['first']));
    expect(new Set(all.slice(done).map((one) => one.process)).size).toBe(1);
    const [run] = await app.history.getRuns({ status: 'succeeded' });
    expect(run).toMatchObject({ takeovers: 1, error: null });
  });

  it('hand a run on at once when one is stopped', async () => {
    const url = await database();
    await withClient(url, (client) =>
      client.query('create table steps (slot timestamptz(3), step integer, process text, primary key (slot, step))'),
    );
    await known(url, 'steps');
    const first = await startProcess(url, 'first', '0 0 1 1 *', 40, 50);
    await until('some steps', async () => (await steps(url)).length >= 5);
    await first.kill('SIGTERM');
    const app = await start(url);
    expect(await app.history.getRuns({ status: 'running' })).toMatchObject([{ isAlive: false }]);
    await startProcess(url, 'second', '0 0 1 1 *', 40, 5);
    await until('the end', async () => (await app.history.getRuns({ status: 'succeeded' })).length === 2);
    const [run] = await app.history.getRuns({ status: 'succeeded' });
    expect(run?.counts).toEqual({ processed: 40 });
  });
});

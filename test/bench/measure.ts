import { readdirSync, readFileSync } from 'node:fs';

/** One way of doing the work that is compared. */
export interface Subject {
  readonly name: string;
  readonly run: () => Promise<unknown>;
  /** Makes what the next round uses up; its time does not count. */
  readonly prepare?: () => Promise<void>;
  /** Nothing is left of what `prepare` has made: the round ends before its time, and counts what it did. */
  readonly isUsedUp?: () => boolean;
}

/** How long to measure. Rounds of all subjects alternate, so that whatever else the machine does hits all alike. */
export interface Plan {
  readonly warmUpMs: number;
  readonly rounds: number;
  readonly roundMs: number;
}

/** What one subject did in one round. */
interface Round {
  readonly opsPerSecond: number;
  /** CPU of this process per operation, in microseconds. */
  readonly clientUs: number;
  /** CPU of the server's processes per operation; null where it cannot be seen. */
  readonly serverUs: number | null;
}

export interface Measured {
  readonly name: string;
  readonly rounds: readonly Round[];
  /** Sorted, in milliseconds. */
  readonly latencies: readonly number[];
}

/** Several ways of doing the same, measured side by side; the first is what the others are divided by. */
export interface Comparison {
  readonly title: string;
  readonly atOnce: number;
  readonly baseline: Measured;
  readonly others: readonly Measured[];
}

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** The CPU seconds that the server has used so far. */
export type ServerClock = () => number | null;

export interface CompareOptions {
  readonly title: string;
  readonly atOnce: number;
  readonly plan: Plan;
  readonly serverClock: ServerClock;
  readonly subjects: readonly [Subject, ...Subject[]];
}

export async function compare({ title, atOnce, plan, serverClock, subjects }: CompareOptions): Promise<Comparison> {
  process.stderr.write(`  ${title}, ${atOnce} at once\n`);
  const records = subjects.map((subject) => ({ subject, rounds: [] as Round[], latencies: [] as number[] }));
  for (const { subject } of records) {
    await subject.prepare?.();
    await runFor(subject, atOnce, plan.warmUpMs, []);
  }
  for (let round = 0; round < plan.rounds; round += 1) {
    // Forwards and backwards in turn: nobody always runs right after the same neighbour.
    for (const record of round % 2 === 0 ? records : records.toReversed()) {
      await record.subject.prepare?.();
      record.rounds.push(await measureRound(record.subject, atOnce, plan.roundMs, record.latencies, serverClock));
    }
  }
  const [baseline, ...others] = records.map(({ subject, rounds, latencies }) => ({
    name: subject.name,
    rounds,
    latencies: latencies.toSorted((a, b) => a - b),
  }));
  return { title, atOnce, baseline: baseline as Measured, others };
}

async function measureRound(
  subject: Subject,
  atOnce: number,
  forMs: number,
  latencies: number[],
  serverClock: ServerClock,
): Promise<Round> {
  const serverBefore = serverClock();
  const clientBefore = process.cpuUsage();
  const { operations, elapsedMs } = await runFor(subject, atOnce, forMs, latencies);
  const { user, system } = process.cpuUsage(clientBefore);
  const serverAfter = serverClock();
  return {
    opsPerSecond: (operations * 1_000) / elapsedMs,
    clientUs: (user + system) / operations,
    serverUs: serverBefore === null || serverAfter === null ? null : ((serverAfter - serverBefore) * 1e6) / operations,
  };
}

async function runFor(
  { run, isUsedUp = () => false }: Subject,
  atOnce: number,
  forMs: number,
  latencies: number[],
): Promise<{ operations: number; elapsedMs: number }> {
  const start = performance.now();
  let operations = 0;
  const worker = async (): Promise<void> => {
    for (let now = performance.now(); now - start < forMs && !isUsedUp();) {
      await run();
      const done = performance.now();
      latencies.push(done - now);
      operations += 1;
      now = done;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return { operations, elapsedMs: performance.now() - start };
}

/** Each round against the baseline's round beside it. */
export function ratioOf(subject: Measured, baseline: Measured): Spread {
  return spreadOf(
    subject.rounds.map(
      ({ opsPerSecond }, index) => opsPerSecond / (baseline.rounds[index]?.opsPerSecond ?? Number.NaN),
    ),
  );
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { min: sorted[0] ?? Number.NaN, median: percentile(sorted, 0.5), max: sorted.at(-1) ?? Number.NaN };
}

/** Of sorted values; halfway between two where none is in the middle. */
export function percentile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return below + (above - below) * (at - Math.floor(at));
}

/** Linux counts the time of processes in hundredths of a second, whatever its kernel was built with. */
const TICKS_PER_SECOND = 100;

/** Adds up the server's processes that run on this machine; null elsewhere. */
export function serverClockOf(postmaster: number | null): ServerClock {
  if (postmaster === null || process.platform !== 'linux') return () => null;
  return () => {
    let ticks = 0;
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const [ppid, user, system] = statOf(pid);
      if (ppid === postmaster) ticks += user + system;
    }
    return ticks / TICKS_PER_SECOND;
  };
}

/** Parent, user ticks and system ticks of a process. */
function statOf(pid: string): [number, number, number] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before the last parenthesis may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return [Number(fields[1]), Number(fields[11]), Number(fields[12])];
  } catch {
    return [0, 0, 0];
  }
}

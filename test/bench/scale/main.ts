// npm run bench:scale -- [--users=1000000] [--quick] [--markdown | --json]
//
// A million users made with COPY, and everything that hosts call: against hand-written SQL, and against the same with a
// thousand users. The size may also come from SCALE_USERS. Ends with 1 when a call reads a large table from end to end;
// goals that were missed are printed, because on a busy machine they mean nothing.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { type Environment, openEnvironment } from '../environment.js';
import { compare, type Comparison, type Measured, percentile, type Plan, ratioOf, spreadOf } from '../measure.js';
import { type Format, render, type Report, type Table } from '../report.js';
import { AT_ONCE, atLeast, type Goal } from '../scenarios/scenario.js';
import { type Reads, readsOf } from './reads.js';
import { farPageOf, type Operation, openSide, type Side } from './side.js';

const FEW_USERS = 1_000;
const SEED_SECONDS = 120;
// Many short rounds: what else the machine does changes from one second to the next.
const PLAN: Plan = { warmUpMs: 300, rounds: 13, roundMs: 200 };
const QUICK: Plan = { warmUpMs: 50, rounds: 1, roundMs: 100 };
/** Enough for most rounds; one that uses them up ends before its time. */
const DELETES_PER_MS = 8;

const OURS = 'ours';
const BY_HAND = 'by hand';
const OURS_FEW = 'ours, few';
const BY_HAND_FEW = 'by hand, few';

const { values } = parseArgs({
  options: {
    users: { type: 'string', default: process.env['SCALE_USERS'] ?? '1000000' },
    quick: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const users = Number(values.users);
if (!Number.isInteger(users) || users < FEW_USERS || users > 10_000_000) {
  throw new Error(`--users must be a whole number, ${FEW_USERS} to 10000000, not ${values.users}`);
}
const plan = values.quick ? QUICK : PLAN;
const format: Format = values.json ? 'json' : values.markdown ? 'markdown' : 'text';

const environment = await openEnvironment();
try {
  const { report, wholeTables } = await measureAll(environment);
  console.log(render(report, format));
  for (const found of wholeTables) console.error(`Read from end to end: ${found}`);
  if (wholeTables.length > 0) process.exitCode = 1;
} finally {
  await environment.stop();
}

/** One operation at one number at once, on both sides in both ways. */
interface Cell {
  readonly operation: string;
  readonly atOnce: number;
  readonly ours: Measured;
  readonly byHand: Measured;
  readonly oursFew: Measured;
  readonly byHandFew: Measured;
}

async function measureAll(on: Environment): Promise<{ report: Report; wholeTables: string[] }> {
  const facts = await on.facts();
  const reserve = DELETES_PER_MS * plan.roundMs;
  process.stderr.write(`seeding ${count(FEW_USERS)} and ${count(users)} users\n`);
  const few = await openSide(on, FEW_USERS, reserve);
  const many = await openSide(on, users, reserve);
  const reads = [await readsOfAll(few), await readsOfAll(many)] as const;
  const cells: Cell[] = [];
  for (const [index, operation] of many.operations.entries()) {
    for (const atOnce of AT_ONCE) {
      cells.push(await measure(on, operation, few.operations[index] as Operation, atOnce));
    }
  }
  const paging = await comparePages(on, many);
  await Promise.all([few.close(), many.close()]);
  const wholeTables = reads.flatMap((side) =>
    [...side].flatMap(([name, found]) => found.wholeTables.map((table) => `${name}: ${table}`)),
  );
  return {
    wholeTables,
    report: {
      facts: [...facts, ['Load after', (loadavg()[0] ?? 0).toFixed(2)]],
      comparisons: paging,
      tables: [seedTable(many), readsTable(...reads), timesTable(cells), cpuTable(cells)],
      goals: [seedGoal(many), ...cells.flatMap(flatGoals), ...paging.map(pageGoal)],
    },
  };
}

async function readsOfAll(side: Side): Promise<ReadonlyMap<string, Reads>> {
  const found = new Map<string, Reads>();
  for (const operation of side.operations) found.set(operation.name, await readsOf(side, operation));
  return found;
}

async function measure(on: Environment, many: Operation, few: Operation, atOnce: number): Promise<Cell> {
  const prepared = ({ prepare, isUsedUp }: Operation) => ({
    ...(prepare === undefined ? {} : { prepare }),
    ...(isUsedUp === undefined ? {} : { isUsedUp }),
  });
  const { baseline, others } = await compare({
    title: many.name,
    atOnce,
    plan,
    serverClock: on.serverClock,
    subjects: [
      { name: OURS, run: many.ours, ...prepared(many) },
      { name: BY_HAND, run: many.byHand, ...prepared(many) },
      { name: OURS_FEW, run: few.ours, ...prepared(few) },
      { name: BY_HAND_FEW, run: few.byHand, ...prepared(few) },
    ],
  });
  const [byHand, oursFew, byHandFew] = others as [Measured, Measured, Measured];
  return { operation: many.name, atOnce, ours: baseline, byHand, oursFew, byHandFew };
}

async function comparePages(on: Environment, { operations }: Side): Promise<Comparison[]> {
  const [first, far] = ['page 1', 'page 10,000'].map((name) => operations.find((one) => one.name === name));
  if (first === undefined || far === undefined) return [];
  const comparisons: Comparison[] = [];
  for (const atOnce of AT_ONCE) {
    comparisons.push(
      await compare({
        title: 'A page of the list',
        atOnce,
        plan,
        serverClock: on.serverClock,
        subjects: [
          { name: 'page 1', run: first.ours },
          { name: `page ${count(farPageOf(users))}`, run: far.ours },
        ],
      }),
    );
  }
  return comparisons;
}

function seedTable({ seeded }: Side): Table {
  const rows = Object.entries(seeded.rows).map(([table, number]) => [table, count(number)]);
  return {
    title: `Seeded with COPY in ${seeded.seconds.toFixed(0)} s, VACUUM ANALYZE included`,
    header: ['', 'rows'],
    rows,
  };
}

function readsTable(few: ReadonlyMap<string, Reads>, many: ReadonlyMap<string, Reads>): Table {
  return {
    title: 'What one call makes the server do',
    header: [
      '',
      'statements',
      `rows read, ${count(users)}`,
      `rows read, ${count(FEW_USERS)}`,
      'large tables read whole',
    ],
    rows: [...many].map(([name, { statements, rows, wholeTables }]) => [
      name,
      String(statements),
      String(rows),
      String(few.get(name)?.rows ?? ''),
      wholeTables.join(' ') || 'none',
    ]),
  };
}

function timesTable(cells: readonly Cell[]): Table {
  const ratio = (subject: Measured, baseline: Measured): string => {
    const { median, min, max } = ratioOf(subject, baseline);
    return `${median.toFixed(2)} (${min.toFixed(2)} – ${max.toFixed(2)})`;
  };
  const small = `to ${count(FEW_USERS)} users`;
  return {
    title: `${count(users)} users`,
    header: ['', 'at once', 'ops/s', 'p50 ms', 'p95 ms', 'p99 ms', 'to hand-written', small, `hand-written ${small}`],
    rows: cells.map(({ operation, atOnce, ours, byHand, oursFew, byHandFew }) => [
      operation,
      String(atOnce),
      spreadOf(ours.rounds.map((round) => round.opsPerSecond)).median.toFixed(0),
      ...[0.5, 0.95, 0.99].map((share) => percentile(ours.latencies, share).toFixed(2)),
      ratio(ours, byHand),
      ratio(ours, oursFew),
      ratio(byHand, byHandFew),
    ]),
  };
}

/** Processor time, which a busy machine stretches less than it does the time on the clock. */
function cpuTable(cells: readonly Cell[]): Table {
  const us = ({ rounds }: Measured): string => {
    const seen = rounds.flatMap(({ serverUs }) => (serverUs === null ? [] : [serverUs]));
    return seen.length === 0 ? '?' : spreadOf(seen).median.toFixed(0);
  };
  const sizes = [users, FEW_USERS].map(count);
  return {
    title: 'Processor time of the server for one call, in microseconds',
    header: ['', 'at once', ...[OURS, BY_HAND].flatMap((side) => sizes.map((size) => `${side}, ${size}`))],
    rows: cells.map(({ operation, atOnce, ours, oursFew, byHand, byHandFew }) => [
      operation,
      String(atOnce),
      ...[ours, oursFew, byHand, byHandFew].map(us),
    ]),
  };
}

function flatGoals({ operation, atOnce, ours, oursFew }: Cell): Goal[] {
  return [atLeast(`${operation}, ${atOnce} at once, ${count(users)} to ${count(FEW_USERS)} users`, 0.9, ours, oursFew)];
}

function pageGoal({ atOnce, baseline, others: [far] }: Comparison): Goal {
  const text = `${far?.name ?? ''} to page 1, ${atOnce} at once, at most 1.3 × the time`;
  return atLeast(text, 1 / 1.3, far, baseline);
}

function seedGoal({ seeded }: Side): Goal {
  return {
    text: 'seconds of seeding',
    wanted: `≤ ${SEED_SECONDS}`,
    reached: seeded.seconds.toFixed(0),
    isReached: seeded.seconds <= SEED_SECONDS,
  };
}

function count(number: number): string {
  return number.toLocaleString('en');
}

import argon2 from 'argon2';
import { generateSessionKeys } from '../../../src/index.js';
import { compare, type Comparison, percentile, type Plan } from '../measure.js';
import { Portal } from '../portal.js';
import type { Table } from '../report.js';
import { freshLogin, seedWorld } from '../seed.js';
import { AT_ONCE, atLeast, type Bench, type Findings, type Goal, inTurn } from './scenario.js';

const PASSWORD = 'correct horse battery staple';
/** More than ever sign in at once, so that nobody waits for the own account. */
const PEOPLE = 128;
const LOAD = 32;

/** Signing in against nothing but argon2, and how long others wait meanwhile. */
export async function measureSignIn({ environment, world, plan }: Bench): Promise<Findings> {
  const { serverClock } = environment;
  const url = await environment.createDatabase();
  await seedWorld(url, world);
  const portal = await Portal.open(url, { auth: { session: { keys: generateSessionKeys() } } });
  const password = await portal.passwords.hash(PASSWORD);
  const people: { id: string; email: string }[] = [];
  for (let index = 0; index < PEOPLE; index += 1) {
    const { email } = freshLogin();
    people.push({ id: (await portal.users.createUser({ email, password })).id, email });
  }
  const next = inTurn(people);
  const raw = (): Promise<unknown> => argon2.verify(password.phc, PASSWORD);
  const signIn = (): Promise<unknown> => portal.auth.signIn({ email: next().email, password: PASSWORD });
  const comparisons: Comparison[] = [];
  const goals: Goal[] = [];
  for (const atOnce of AT_ONCE) {
    const compared = await compare({
      title: 'sign-in',
      atOnce,
      plan,
      serverClock,
      subjects: [
        { name: 'argon2.verify, nothing else', run: raw },
        { name: 'AuthService.signIn', run: signIn },
      ],
    });
    comparisons.push(compared);
    goals.push(atLeast(`sign-in, ${atOnce} at once, to argon2`, 0.7, compared.others[0], compared.baseline));
  }
  const table = await measureOthers(plan, () => portal.users.getUserById(next().id), { raw, signIn });
  await portal.close();
  return { comparisons, goals, tables: [table] };
}

/** Another query, sent over and over by one caller, while nobody, or somebody, keeps the machine busy. */
async function measureOthers(
  plan: Plan,
  query: () => Promise<unknown>,
  { raw, signIn }: Record<'raw' | 'signIn', () => Promise<unknown>>,
): Promise<Table> {
  const loads = [
    { name: 'nobody signs in', load: undefined, latencies: [] as number[] },
    { name: `argon2.verify, ${LOAD} at once`, load: raw, latencies: [] as number[] },
    { name: `AuthService.signIn, ${LOAD} at once`, load: signIn, latencies: [] as number[] },
  ];
  for (let round = 0; round < plan.rounds; round += 1) {
    for (const { load, latencies } of round % 2 === 0 ? loads : loads.toReversed())
      await queryUnder(load, query, plan.roundMs, latencies);
  }
  const rows = loads.map(({ name, latencies }) => {
    const sorted = latencies.toSorted((a, b) => a - b);
    return [name, ...[0.5, 0.95, 0.99].map((share) => percentile(sorted, share).toFixed(2))];
  });
  return { title: 'getUserById meanwhile', header: ['', 'p50 ms', 'p95 ms', 'p99 ms'], rows };
}

async function queryUnder(
  load: (() => Promise<unknown>) | undefined,
  query: () => Promise<unknown>,
  forMs: number,
  latencies: number[],
): Promise<void> {
  const state = { isOver: false };
  const worker = async (work: () => Promise<unknown>): Promise<void> => {
    while (!state.isOver) await work();
  };
  const working = Promise.all(load === undefined ? [] : Array.from({ length: LOAD }, () => worker(load)));
  const start = performance.now();
  for (let now = start; now - start < forMs;) {
    await query();
    const done = performance.now();
    latencies.push(done - now);
    now = done;
  }
  state.isOver = true;
  await working;
}

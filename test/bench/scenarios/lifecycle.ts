import { withClient } from '../environment.js';
import { Portal } from '../portal.js';
import { seedUsers, seedWorld } from '../seed.js';
import type { Bench, Findings, Goal } from './scenario.js';

const IDLE = `update nest_auth_users set activated_at = activated_at - interval '7 months'`;

/** What somebody would write who needs neither an activity, nor an event, nor a way to stop. */
const BY_HAND = `update nest_auth_users set status = 'inactive', is_active = false, deactivated_at = now(),
    version = version + 1, updated_at = now()
  where status = 'active' and greatest(last_login_at, activated_at) + interval '6 months' <= now()`;

const MAX_RSS_MB = 200;
const MAX_CHUNK_MS = 1_000;
const MAX_COUNT_MS = 500;

/** Deactivates everybody of a large database: by the batch, and by one statement. */
export async function measureLifecycle(bench: Bench): Promise<Findings> {
  const byHand = await openIdle(bench);
  const handMs = await timed(() => withClient(byHand, (client) => client.query(BY_HAND)));
  const url = await openIdle(bench);
  const portal = await Portal.open(url);
  const sweep = await measureSweep(portal, bench.manyUsers);
  const counts = portal.statistics;
  await counts.countUsers();
  const exactMs = await timed(() => counts.countUsers());
  const estimateMs = await timed(() => counts.countUsers({ exact: false }));
  await portal.close();
  const many = bench.manyUsers.toLocaleString('en');
  const goals: Goal[] = [
    {
      text: `deactivateInactiveUsers of ${many}, to one hand-written UPDATE of ${(handMs / 1_000).toFixed(1)} s without activities`,
      wanted: 'shown',
      reached: `${(handMs / sweep.ms).toFixed(2)} × (${(sweep.ms / 1_000).toFixed(1)} s)`,
      isReached: true,
    },
    atMost('peak memory of the sweep, MB more than before', sweep.rssMb, MAX_RSS_MB),
    atMost('longest chunk of the sweep, ms: one look-up, one statement, its events', sweep.longestMs, MAX_CHUNK_MS),
    atMost(`counts by status of ${many}, ms`, exactMs, MAX_COUNT_MS),
    atMost(`the same estimated, ms`, estimateMs, 50),
  ];
  return { comparisons: [], goals };
}

async function openIdle({ environment, world, manyUsers }: Bench): Promise<string> {
  const url = await environment.createDatabase();
  await seedWorld(url, world);
  await seedUsers(url, world, manyUsers);
  await withClient(url, async (client) => {
    await client.query(IDLE);
    await client.query('vacuum analyze nest_auth_users');
  });
  return url;
}

async function measureSweep(portal: Portal, users: number): Promise<{ ms: number; rssMb: number; longestMs: number }> {
  const before = process.memoryUsage().rss;
  let peak = before;
  const sampler = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20);
  let last = performance.now();
  let longestMs = 0;
  const ms = await timed(async () => {
    const { processed } = await portal.lifecycle.deactivateInactiveUsers({
      onProgress: () => {
        longestMs = Math.max(longestMs, performance.now() - last);
        last = performance.now();
      },
    });
    if (processed !== users) throw new Error(`${processed} of ${users} users were deactivated`);
  });
  clearInterval(sampler);
  return { ms, rssMb: (peak - before) / 2 ** 20, longestMs };
}

async function timed(fn: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await fn();
  return performance.now() - started;
}

function atMost(text: string, value: number, most: number): Goal {
  return { text, wanted: `≤ ${most}`, reached: value.toFixed(value < 10 ? 1 : 0), isReached: value <= most };
}

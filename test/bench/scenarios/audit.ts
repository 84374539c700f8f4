import { withClient } from '../environment.js';
import { compare, type Comparison, type Subject } from '../measure.js';
import { type NewPortalUser, Portal } from '../portal.js';
import { freshLogin, seedWorld } from '../seed.js';
import { atLeast, type Bench, type Findings, type Goal, inTurn } from './scenario.js';

const AT_ONCE = [1, 8] as const;
/** Activities of the log that is sealed and verified, for each user of the large database. */
const SHARE = 0.2;
const SEALED_PER_SECOND = 20_000;

/** Throws every activity away before it reaches a table or an index. */
const THROW_AWAY = `
  create function throw_away() returns trigger language plpgsql as $$ begin return null; end $$;
  create trigger throw_away before insert on nest_auth_activities for each row execute function throw_away()`;

/** What the log costs a creation, and what the chain over it costs beside. */
export async function measureAudit(bench: Bench): Promise<Findings> {
  const { environment } = bench;
  const [withLog, without] = [await environment.createDatabase(), await environment.createDatabase()];
  await withClient(without, (client) => client.query(THROW_AWAY));
  const comparisons: Comparison[] = [];
  const goals: Goal[] = [];
  const sides = [await openSide(bench, without), await openSide(bench, withLog)] as const;
  const subjects: [Subject, ...Subject[]] = [
    { name: 'activity thrown away', run: sides[0].create },
    { name: 'with its activity', run: sides[1].create },
  ];
  for (const atOnce of AT_ONCE) {
    const { plan } = bench;
    const { serverClock } = environment;
    const comparison = await compare({ title: 'Create a portal user', atOnce, plan, serverClock, subjects });
    comparisons.push(comparison);
    const text = `portal create with its activity, ${atOnce} at once, to one whose activity is thrown away`;
    goals.push(atLeast(text, 0.8, comparison.others[0], comparison.baseline));
  }
  const createMs = 1_000 / median(comparisons[0]?.others[0]?.rounds.map(({ opsPerSecond }) => opsPerSecond) ?? []);
  goals.push(...(await measureChain(bench, createMs)));
  await Promise.all(sides.map(({ portal }) => portal.close()));
  return { comparisons, goals };
}

async function openSide(
  { world }: Bench,
  url: string,
): Promise<{ readonly portal: Portal; readonly create: () => Promise<unknown> }> {
  await seedWorld(url, world);
  const portal = await Portal.open(url);
  const password = await portal.passwords.hash('correct horse battery staple');
  const [tenant, role] = [inTurn(world.tenantIds), inTurn(world.roleIds)];
  const next = (): NewPortalUser => ({ ...freshLogin(), tenantId: tenant(), roleId: role(), password });
  return { portal, create: () => portal.createInOneCall(next()) };
}

/** Seals a log that nobody writes to meanwhile, and verifies it. */
async function measureChain({ environment, manyUsers }: Bench, createMs: number): Promise<Goal[]> {
  const url = await environment.createDatabase();
  const count = Math.round(manyUsers * SHARE);
  await withClient(url, (client) => client.query(ACTIVITIES, [count]));
  const portal = await Portal.open(url);
  const seconds = async (fn: () => Promise<unknown>): Promise<number> => {
    const start = performance.now();
    await fn();
    return (performance.now() - start) / 1_000;
  };
  const sealing = await seconds(() => portal.activities.sealActivities());
  const { isIntact, activities } = await portal.activities.verifyActivities();
  const verifying = await seconds(() => portal.activities.verifyActivities());
  await portal.close();
  if (!isIntact || activities !== count) throw new Error(`the chain covers ${activities} of ${count} activities`);
  const share = (sealing * 1_000) / count / createMs;
  return [
    perSecond('sealed', count / sealing),
    perSecond('verified', count / verifying),
    {
      text: 'sealing an activity, of the time of the portal create that wrote it',
      wanted: '≤ 5 %',
      reached: `${(share * 100).toFixed(2)} %`,
      isReached: share <= 0.05,
    },
  ];
}

function perSecond(done: string, reached: number): Goal {
  return {
    text: `activities ${done} per second, on one connection`,
    wanted: `≥ ${SEALED_PER_SECOND}`,
    reached: Math.round(reached).toString(),
    isReached: reached >= SEALED_PER_SECOND,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** As creations write them, each in the size that it has there. */
const ACTIVITIES = `
  insert into nest_auth_activities (id, occurred_at, xid, type, actor_type, actor_id, user_id, tenant_id, subject_type,
    subject_id, after, ip, user_agent, request_id)
  select u.id, now(), pg_current_xact_id()::text::bigint, 'nest_auth.user.created', 'user', u.id::text, u.id, u.id,
    'user', u.id, jsonb_build_object('email', 'person-' || i || '@example.com', 'phone', '+49151' || i,
      'status', 'pending', 'roleIds', jsonb_build_array(u.id)),
    '203.0.113.7', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)', u.id::text
  from generate_series(1, $1::integer) as i, lateral (select md5(i::text)::uuid as id) as u`;

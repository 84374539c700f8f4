import type { GetUsersOptions } from '../../../src/index.js';
import { Floor, type PortalUser } from '../floor.js';
import { compare, type Comparison, type Subject } from '../measure.js';
import { type NewPortalUser, Portal } from '../portal.js';
import { freshLogin, readBusyUsers, seededEmail, seedUsers, seedWorld } from '../seed.js';
import { atLeast, type Bench, type Findings, type Goal, inTurn } from './scenario.js';

const FEW_USERS = 1_000;
const PAGE_SIZE = 20;
const FAR_PAGE = 10_000;
const AT_ONCE = [1, 8] as const;
/** The largest page that a list gives. */
const STRIDE = 200;

/** One of the two databases, and everything that is asked of it. */
interface Side {
  readonly portal: Portal;
  readonly floor: Floor;
  readonly create: () => Promise<unknown>;
  readonly createByHand: () => Promise<unknown>;
  readonly byEmail: () => Promise<unknown>;
  readonly permissions: () => Promise<unknown>;
  readonly firstPage: () => Promise<unknown>;
}

/** Does the same with few users and with many: costs must be flat. */
export async function measureScale(bench: Bench): Promise<Findings> {
  const few = await openSide(bench, FEW_USERS);
  const many = await openSide(bench, bench.manyUsers);
  const comparisons: Comparison[] = [];
  const goals: Goal[] = [];
  const measure = async (title: string, atOnce: number, pick: (side: Side) => () => Promise<unknown>) => {
    const subjects: [Subject, ...Subject[]] = [
      { name: `${count(FEW_USERS)} users`, run: pick(few) },
      { name: `${count(bench.manyUsers)} users`, run: pick(many) },
    ];
    const { plan, environment } = bench;
    const comparison = await compare({ title, atOnce, plan, serverClock: environment.serverClock, subjects });
    comparisons.push(comparison);
    return comparison;
  };
  for (const atOnce of AT_ONCE) {
    const flat = async (title: string, pick: (side: Side) => () => Promise<unknown>): Promise<void> => {
      const { baseline, others } = await measure(title, atOnce, pick);
      const text = `${title}, ${atOnce} at once, ${count(bench.manyUsers)} to ${count(FEW_USERS)} users`;
      goals.push(atLeast(text, 0.9, others[0], baseline));
    };
    await flat('getUserByEmail', (side) => side.byEmail);
    await flat('getPermissions', (side) => side.permissions);
    await flat('getUsersPage', (side) => side.firstPage);
    await flat('portal create', (side) => side.create);
    // No goal: what a larger index costs a create that does nothing else.
    await measure('portal create, hand-written', atOnce, (side) => side.createByHand);
  }
  const paging = await measureFarPage(bench, many);
  await Promise.all([few, many].flatMap(({ portal, floor }) => [portal.close(), floor.close()]));
  return { comparisons: [...comparisons, paging.comparison], goals: [...goals, paging.goal] };
}

async function openSide({ environment, world }: Bench, users: number): Promise<Side> {
  process.stderr.write(`  seeding ${count(users)} users\n`);
  const url = await environment.createDatabase();
  await seedWorld(url, world);
  await seedUsers(url, world, users);
  const busy = inTurn(await readBusyUsers(url, world));
  const tenant = inTurn(world.tenantIds);
  const role = inTurn(world.roleIds);
  const portal = await Portal.open(url);
  const floor = new Floor(url);
  const password = await portal.passwords.hash('correct horse battery staple');
  const next = (): NewPortalUser & PortalUser => ({
    ...freshLogin(),
    tenantId: tenant(),
    roleId: role(),
    password,
    passwordHash: password.phc,
  });
  return {
    portal,
    floor,
    create: () => portal.createInOneCall(next()),
    createByHand: () => floor.createPortalUser(next()),
    byEmail: () => portal.users.getUserByEmail(seededEmail(1 + Math.floor(Math.random() * users))),
    permissions: () => {
      const { userId, tenantId } = busy();
      return portal.access.getPermissions(userId, tenantId);
    },
    firstPage: () => portal.users.getUsersPage({ limit: PAGE_SIZE }),
  };
}

async function measureFarPage(bench: Bench, { portal }: Side): Promise<{ comparison: Comparison; goal: Goal }> {
  // Fewer users in a quick run have no ten thousand pages.
  const page = Math.min(FAR_PAGE, Math.floor(bench.manyUsers / PAGE_SIZE / 2));
  const after = await cursorAfter(portal, (page - 1) * PAGE_SIZE);
  const { plan, environment } = bench;
  const comparison = await compare({
    title: 'A page of the list',
    atOnce: 1,
    plan,
    serverClock: environment.serverClock,
    subjects: [
      { name: 'page 1', run: () => portal.users.getUsersPage({ limit: PAGE_SIZE }) },
      { name: `page ${count(page)}`, run: () => portal.users.getUsersPage({ limit: PAGE_SIZE, after }) },
    ],
  });
  const text = `getUsersPage, page ${count(page)} to page 1, at most 1.3 × the time`;
  return { comparison, goal: atLeast(text, 1 / 1.3, comparison.others[0], comparison.baseline) };
}

/** A cursor that skips so many rows. It fits pages of any size. */
async function cursorAfter(portal: Portal, rows: number): Promise<string> {
  let cursor: string | null = null;
  for (let left = rows; left > 0; left -= STRIDE) {
    const options: GetUsersOptions = { limit: Math.min(STRIDE, left), ...(cursor === null ? {} : { after: cursor }) };
    cursor = (await portal.users.getUsersPage(options)).nextCursor;
    if (cursor === null) throw new Error(`The list has no ${rows} rows`);
  }
  if (cursor === null) throw new Error('A far page is not the first one');
  return cursor;
}

function count(number: number): string {
  return number.toLocaleString('en');
}

import { Floor } from '../floor.js';
import { compare, type Comparison, type Subject } from '../measure.js';
import { Portal } from '../portal.js';
import { readBusyUsers, seedUsers, seedWorld } from '../seed.js';
import { AT_ONCE, atLeast, type Bench, type Findings, type Goal, inTurn } from './scenario.js';

/** Users in this scenario's database, of whom a thousand have three roles with twenty permissions each. */
const USERS = 20_000;

/** Asks what somebody may do, against SQL that answers the same. */
export async function measurePermissionLoad(bench: Bench): Promise<Findings> {
  const { environment, world, plan } = bench;
  const { serverClock } = environment;
  const url = await environment.createDatabase();
  await seedWorld(url, world);
  await seedUsers(url, world, USERS);
  const busy = inTurn(await readBusyUsers(url, world));
  const permission = inTurn(world.permissions);
  const floor = new Floor(url);
  // What is kept answers without any statement: see the group `authz`.
  const portal = await Portal.open(url, { auth: { revocation: { cache: false } } });
  const load: [Subject, ...Subject[]] = [
    { name: 'hand-written join', run: () => withUser(busy(), (...user) => floor.getPermissions(...user)) },
    { name: 'join without any check', run: () => withUser(busy(), (...user) => floor.getBarePermissions(...user)) },
    { name: 'getPermissions', run: () => withUser(busy(), (...user) => portal.access.getPermissions(...user)) },
  ];
  const check: [Subject, ...Subject[]] = [
    { name: 'hand-written exists', run: () => withUser(busy(), (...user) => floor.can(...user, permission())) },
    { name: 'can', run: () => withUser(busy(), (...user) => portal.access.can(...user, permission())) },
  ];
  const comparisons: Comparison[] = [];
  const goals: Goal[] = [];
  for (const atOnce of AT_ONCE) {
    const loaded = await compare({
      title: 'Load the permissions of an access',
      atOnce,
      plan,
      serverClock,
      subjects: load,
    });
    const checked = await compare({ title: 'Check one permission', atOnce, plan, serverClock, subjects: check });
    comparisons.push(loaded, checked);
    goals.push(
      atLeast(`getPermissions, ${atOnce} at once, to one join`, 0.85, loaded.others[1], loaded.baseline),
      atLeast(`can, ${atOnce} at once, to one exists`, 0.85, checked.others[0], checked.baseline),
    );
  }
  await Promise.all([floor.close(), portal.close()]);
  return { comparisons, goals };
}

function withUser<T>(
  { userId, tenantId }: { userId: string; tenantId: string },
  fn: (userId: string, tenantId: string) => T,
): T {
  return fn(userId, tenantId);
}

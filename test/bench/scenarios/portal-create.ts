import { Floor, type PortalUser } from '../floor.js';
import { compare, type Comparison, type Subject } from '../measure.js';
import { type NewPortalUser, Portal } from '../portal.js';
import { freshLogin, seedWorld } from '../seed.js';
import { AT_ONCE, atLeast, type Bench, type Findings, type Goal, inTurn } from './scenario.js';

const NAMED = 'hand-written, named';
const UNNAMED = 'hand-written, unnamed';
const ONE_CALL = 'createUser + AppUser';
const STEP_BY_STEP = 'step by step';

/** Makes a portal user in each of the ways, each in a database of its own. */
export async function measurePortalCreate(bench: Bench): Promise<Findings> {
  const { environment, world } = bench;
  const database = async (): Promise<string> => {
    const url = await environment.createDatabase();
    await seedWorld(url, world);
    return url;
  };
  const floor = new Floor(await database());
  const unnamed = new Floor(await database(), false);
  const oneCall = await Portal.open(await database());
  const steps = await Portal.open(await database());
  const password = await oneCall.passwords.hash('correct horse battery staple');
  const tenant = inTurn(world.tenantIds);
  const role = inTurn(world.roleIds);
  const next = (): NewPortalUser & PortalUser => ({
    ...freshLogin(),
    tenantId: tenant(),
    roleId: role(),
    password,
    passwordHash: password.phc,
  });
  const subjects: [Subject, ...Subject[]] = [
    { name: NAMED, run: () => floor.createPortalUser(next()) },
    { name: UNNAMED, run: () => unnamed.createPortalUser(next()) },
    { name: ONE_CALL, run: () => oneCall.createInOneCall(next()) },
    { name: STEP_BY_STEP, run: () => steps.createStepByStep(next()) },
  ];
  const comparisons: Comparison[] = [];
  for (const atOnce of AT_ONCE) {
    const { plan } = bench;
    const { serverClock } = environment;
    comparisons.push(await compare({ title: 'Create a portal user', atOnce, plan, serverClock, subjects }));
  }
  await Promise.all([floor, unnamed, oneCall, steps].map((side) => side.close()));
  const goals = [
    ...goalsOf(comparisons, ONE_CALL, 1.1),
    ...goalsOf(comparisons, ONE_CALL, 1.1, UNNAMED),
    ...goalsOf(comparisons, STEP_BY_STEP, 0.6),
  ];
  return { comparisons, goals };
}

function goalsOf(comparisons: readonly Comparison[], name: string, ratio: number, to = NAMED): Goal[] {
  return comparisons.map(({ atOnce, baseline, others }) => {
    const subject = others.find((other) => other.name === name);
    const floor = others.find((other) => other.name === to) ?? baseline;
    return atLeast(`portal create, ${name}, ${atOnce} at once, to ${to}`, ratio, subject, floor);
  });
}

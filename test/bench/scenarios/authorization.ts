import { createPublicKey } from 'node:crypto';
import { jwtVerify } from 'jose';
import { generateSessionKeys, type NestAuthModuleOptions, type SessionKey } from '../../../src/index.js';
import { startOther, type Watched } from '../../support/revocation-processes.js';
import { Floor } from '../floor.js';
import { compare, type Comparison, percentile } from '../measure.js';
import { Portal } from '../portal.js';
import type { Table } from '../report.js';
import { freshLogin, readBusyUsers, seedUsers, seedWorld } from '../seed.js';
import { AT_ONCE, atLeast, type Bench, type Findings, inTurn } from './scenario.js';

const USERS = 20_000;
/** Sessions whose tokens are verified in turn. */
const SESSIONS = 16;
const PASSWORD = 'correct horse battery staple';
/** How often a right is taken away, each way. */
const TRIES = 40;

/** Asks for rights and tokens as a guard does, with what was kept and without. */
export async function measureAuthorization(bench: Bench): Promise<Findings> {
  const url = await bench.environment.createDatabase();
  await seedWorld(url, bench.world);
  await seedUsers(url, bench.world, USERS);
  const keys = generateSessionKeys();
  const kept = await Portal.open(url, { auth: { session: { keys } } });
  const listening = await Portal.open(url, { auth: { session: { keys }, revocation: { listen: true } } });
  const asking = await Portal.open(url, { auth: { session: { keys }, revocation: { cache: false } } });
  try {
    const checks = await compareChecks(bench, url, { asking, kept, listening });
    const tokens = await compareTokens(bench, keys, kept, asking);
    const last = checks.at(-1) as Comparison;
    return {
      comparisons: [...checks, ...tokens],
      goals: [atLeast('can from what is kept, 32 at once, to one exists', 10, last.others[2], last.baseline)],
      tables: [await measureOthers(bench, url, keys, asking)],
    };
  } finally {
    await Promise.all([kept.close(), listening.close(), asking.close()]);
  }
}

interface Portals {
  readonly asking: Portal;
  readonly kept: Portal;
  readonly listening: Portal;
}

/** A thousand users in turn: what is kept for a second is seldom asked for twice by one worker. */
async function compareChecks({ environment, world, plan }: Bench, url: string, portals: Portals) {
  const { asking, kept, listening } = portals;
  const busy = inTurn(await readBusyUsers(url, world));
  const permission = inTurn(world.permissions);
  const floor = new Floor(url);
  const comparisons: Comparison[] = [];
  for (const atOnce of AT_ONCE) {
    const subject = (
      name: string,
      can: (userId: string, tenantId: string, permission: string) => Promise<boolean>,
    ) => ({
      name,
      run: (): Promise<boolean> => {
        const { userId, tenantId } = busy();
        return can(userId, tenantId, permission());
      },
    });
    comparisons.push(
      await compare({
        title: 'May a user do this',
        atOnce,
        plan,
        serverClock: environment.serverClock,
        subjects: [
          subject('hand-written exists', (...asked) => floor.can(...asked)),
          subject('can, nothing kept', (...asked) => asking.access.can(...asked)),
          subject('can, 1 s kept', (...asked) => kept.access.can(...asked)),
          subject('can, LISTEN, 60 s kept', (...asked) => listening.access.can(...asked)),
        ],
      }),
    );
  }
  await floor.close();
  return comparisons;
}

async function compareTokens({ environment, plan, world }: Bench, keys: SessionKey[], kept: Portal, asking: Portal) {
  const tokens: string[] = [];
  const password = await kept.passwords.hash(PASSWORD);
  for (let index = 0; index < SESSIONS; index += 1) {
    const { email } = freshLogin();
    await kept.users.createUser({ email, password }, world.tenantIds[0]);
    tokens.push((await kept.auth.signIn({ email, password: PASSWORD })).accessToken);
  }
  const token = inTurn(tokens);
  const publicKey = createPublicKey({ key: keys[0] as never, format: 'jwk' });
  const comparisons: Comparison[] = [];
  for (const atOnce of AT_ONCE) {
    comparisons.push(
      await compare({
        title: 'Whose an access token is',
        atOnce,
        plan,
        serverClock: environment.serverClock,
        subjects: [
          { name: 'jwtVerify of jose', run: () => jwtVerify(token(), publicKey) },
          { name: 'verifyAccessToken', run: () => kept.auth.verifyAccessToken(token()) },
          { name: 'authenticate, 1 s kept', run: () => kept.auth.authenticate(token()) },
          { name: 'authenticate, nothing kept', run: () => asking.auth.authenticate(token()) },
        ],
      }),
    );
  }
  return comparisons;
}

/** How long another process, which asks all the time, goes on to allow what this one has taken away. */
async function measureOthers({ world }: Bench, url: string, keys: SessionKey[], asking: Portal): Promise<Table> {
  const ways: readonly (readonly [name: string, revocation: NonNullable<NestAuthModuleOptions['revocation']>])[] = [
    ['with LISTEN', { listen: true }],
    ['without', {}],
  ];
  const rows: string[][] = [];
  for (const [name, revocation] of ways) {
    process.stderr.write(`  Refused by another process, ${name}\n`);
    const other = await startOther(url, keys, revocation);
    const latencies: number[] = [];
    for (let tried = 0; tried < TRIES; tried += 1) {
      const tenantId = world.tenantIds[tried % world.tenantIds.length] as string;
      const { email } = freshLogin();
      const { id: userId } = await asking.users.createUser({ email, roleIds: [world.roleIds[0] as string] }, tenantId);
      const watched: Watched = { userId, tenantId, permission: world.permissions[0] as string };
      latencies.push(await other.refusesAfter(watched, () => asking.users.setUserAccessRoles(userId, tenantId, [])));
    }
    other.stop();
    latencies.sort((a, b) => a - b);
    const shown = [percentile(latencies, 0.5), percentile(latencies, 0.95), latencies.at(-1) ?? Number.NaN];
    rows.push([name, String(TRIES), ...shown.map((ms) => ms.toFixed(1))]);
  }
  return {
    title: 'A right that was taken away is refused by another process, in ms after the call has resolved',
    header: ['', 'tries', 'p50', 'p95', 'longest'],
    rows,
  };
}

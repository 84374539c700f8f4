import type { EntityManager } from 'typeorm';

import { type Armed, type Fault, onServer, type Scene, until } from '../fault.js';
import { type GatedClient, sentBy, throughGate } from '../statement-gate.js';
import { setTrap } from './trigger.js';

const terminate = (scene: Scene, pid: number) => onServer(scene.stage, 'select pg_terminate_backend($1, 10000)', [pid]);

const isAsleep = async (scene: Scene): Promise<number | undefined> => {
  const [row] = await onServer(
    scene.stage,
    `select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`,
  );
  return row?.['pid'] as number | undefined;
};

/** Does something to the connection before one statement in the middle of the transaction, drawn by the seed. */
function beforeStatement(scene: Scene, act: (client: GatedClient) => Promise<unknown>): Armed {
  const at = scene.random.integer(2, scene.statements.length - 1);
  scene.note(`before statement ${at}: ${scene.statements[at - 1]?.slice(0, 60)}`);
  let happened = false;
  return {
    around: (run) =>
      throughGate(
        sentBy('the first connection', (number, _text, client) => {
          if (number !== at || happened) return undefined;
          happened = true;
          return act(client).then(() => undefined);
        }),
        run,
      ),
    hasHappened: () => happened,
  };
}

/** Sleeps in a statement at the server, and does something to the session once it does. */
async function duringStatement(scene: Scene, act: (pid: number) => Promise<unknown>): Promise<Armed> {
  const trap = await setTrap(scene, 'sleep');
  return {
    around: async (run) => {
      let asleep: number | undefined;
      const acted = until(async () => (asleep = await isAsleep(scene)) !== undefined).then(() => act(asleep ?? 0));
      await Promise.all([run(), acted]);
    },
    hasHappened: trap.hasFired,
    disarm: trap.remove,
  };
}

async function clientOf(manager: EntityManager): Promise<GatedClient> {
  return (await manager.queryRunner?.connect()) as GatedClient;
}

/** Lets a limit of the server end the session, of a transaction that is idle or in a statement. */
function timedOutByServer(setting: string, isIdle: boolean): () => Promise<Armed> {
  return async () => {
    let happened = false;
    return {
      hooks: {
        between: async (manager) => {
          if (happened) return;
          happened = true;
          const client = await clientOf(manager);
          const ended = new Promise<void>((resolve) => client.once('end', () => resolve()));
          await manager.query(`set local ${setting} = 20`);
          await (isIdle ? ended : manager.query('select pg_sleep(600)'));
        },
      },
      hasHappened: () => happened,
    };
  };
}

/** Cuts or silences the connection by way of the proxy, when it sends a certain text. */
async function atProxy(scene: Scene, text: string, how: 'lose' | 'lose the answer' | 'silence'): Promise<Armed> {
  const { proxy } = scene.stage;
  if (proxy === undefined) throw new Error('this fault needs the proxy');
  scene.note(`${how} ${text}`);
  let happened = false;
  const done = (): boolean => (happened = true);
  const armed =
    how === 'silence'
      ? proxy.silence(text)
      : proxy.cut(text, how === 'lose' ? 'before it reaches the server' : 'before its reply reaches the client');
  void armed.then(done);
  return { hasHappened: () => happened, disarm: async () => proxy.disarm() };
}

/** Armed when all else is sent: what a second connection had to commit by itself is not meant. */
async function atCommit(scene: Scene, how: 'lose' | 'lose the answer' | 'silence'): Promise<Armed> {
  let armed: Armed | undefined;
  return {
    hooks: { last: async () => (armed = await atProxy(scene, 'COMMIT', how)) },
    hasHappened: () => armed?.hasHappened() ?? false,
    disarm: async () => armed?.disarm?.(),
  };
}

const lost = { rejects: 'CONNECTION_LOST', kept: 'nothing' } as const;
const inDoubt = { rejects: 'COMMIT_OUTCOME_UNKNOWN', kept: 'ask the error' } as const;

export const connectionFaults: readonly Fault[] = [
  {
    id: 'F01',
    name: 'the backend is killed between two statements, and the driver has been told',
    arm: async (scene) =>
      beforeStatement(scene, async (client) => {
        const ended = new Promise<void>((resolve) => client.once('end', () => resolve()));
        await terminate(scene, client.processID);
        await ended;
      }),
    ending: lost,
    curedByRetry: true,
  },
  {
    id: 'F01',
    name: 'the backend is killed between two statements, and the driver finds out by the next one',
    arm: async (scene) => beforeStatement(scene, (client) => terminate(scene, client.processID)),
    ending: lost,
    curedByRetry: true,
  },
  {
    id: 'F02',
    name: 'the backend is killed during a statement',
    arm: (scene) => duringStatement(scene, (pid) => terminate(scene, pid)),
    ending: lost,
    curedByRetry: true,
  },
  {
    id: 'F04',
    name: 'the answer to COMMIT is lost',
    on: 'behind a proxy',
    arm: (scene) => atCommit(scene, 'lose the answer'),
    ending: inDoubt,
  },
  {
    id: 'F05',
    name: 'COMMIT never reaches the server',
    on: 'behind a proxy',
    arm: (scene) => atCommit(scene, 'lose'),
    ending: inDoubt,
  },
  {
    id: 'F06',
    name: 'the network goes silent before START TRANSACTION, with timeoutMs',
    on: 'behind a proxy',
    arm: async (scene) => ({
      ...(await atProxy(scene, 'START TRANSACTION', 'silence')),
      options: { timeoutMs: 1_000 },
    }),
    ending: lost,
  },
  {
    id: 'F06',
    name: 'the network goes silent at the host’s statement, with timeoutMs',
    on: 'behind a proxy',
    arm: async (scene) => ({ ...(await atProxy(scene, 'app_mirrors', 'silence')), options: { timeoutMs: 1_000 } }),
    ending: { rejects: 'TRANSACTION_TIMEOUT', kept: 'nothing' },
  },
  {
    id: 'F06',
    name: 'the network goes silent at COMMIT, with timeoutMs',
    on: 'behind a proxy',
    arm: async (scene) => ({ ...(await atCommit(scene, 'silence')), options: { timeoutMs: 1_000 } }),
    ending: inDoubt,
  },
  {
    id: 'F10',
    name: 'a statement is cancelled at the server',
    arm: (scene) => duringStatement(scene, (pid) => onServer(scene.stage, 'select pg_cancel_backend($1)', [pid])),
    ending: { rejects: 'STATEMENT_TIMEOUT', sqlState: '57014', kept: 'nothing' },
  },
  {
    id: 'F24',
    name: 'idle_in_transaction_session_timeout ends the session',
    arm: timedOutByServer('idle_in_transaction_session_timeout', true),
    ending: lost,
    curedByRetry: true,
  },
  {
    id: 'F24',
    name: 'transaction_timeout ends the session during a statement',
    arm: timedOutByServer('transaction_timeout', false),
    ending: lost,
    curedByRetry: true,
  },
];

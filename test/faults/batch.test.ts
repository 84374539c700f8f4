import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { NestAuthEvents, type UserHooks } from '../../src/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { onServer, refusalOf, until } from './fault.js';
import { expectIdle, readTruth } from './invariants.js';
import { AppMirror } from './mirror.js';
import { Random, SEED } from './random.js';
import { type Stage, setStage } from './stage.js';
import { throughGate } from './statement-gate.js';

const USERS = 300;
const CHUNK = 25;

let serial = 0;

/** The host’s row follows the user, in the transaction of the chunk. Without it each chunk is one statement. */
const hooks: UserHooks = {
  afterUpdate: async ({ id }, _change, manager) => {
    await manager.update(AppMirror, { authUserId: id }, { state: 'inactive' });
  },
};

/** One batch and the fault that it is to meet after some of its chunks. */
interface Scene {
  readonly stage: Stage;
  readonly random: Random;
  /** Somebody whose chunk comes late in the batch. */
  readonly victim: string;
  /** Runs the batch; `afterChunks` is called once a third of the chunks are done. */
  run(afterChunks?: () => Promise<unknown> | void): Promise<unknown>;
}

interface Breakage {
  readonly name: string;
  /** The server has committed the chunk, and nobody knows. */
  readonly isInDoubt: (way: Way) => boolean;
  readonly only?: Way;
  /** What the batch rejects with. */
  meet(scene: Scene): Promise<unknown>;
}

type Way = 'a statement' | 'a transaction' | 'a transaction that is retried';

const terminate = (stage: Stage, pid: number) => onServer(stage, 'select pg_terminate_backend($1, 10000)', [pid]);

async function killedBefore({ stage, random, run }: Scene): Promise<unknown> {
  let left = Number.POSITIVE_INFINITY;
  return throughGate(
    (_number, _text, client) => {
      left -= 1;
      if (left !== 0) return undefined;
      return terminate(stage, client.processID).then(() => undefined);
    },
    () => refusalOf(run(() => void (left = random.integer(1, 4)))),
  );
}

async function killedDuring({ stage, victim, run }: Scene): Promise<unknown> {
  await onServer(
    stage,
    `alter sequence fault_shots restart; create trigger fault after update on nest_auth_users for each row
     when (new.id = '${victim}') execute function fault_fire('sleep')`,
  );
  const killed = until(async () => {
    const [asleep] = await onServer(
      stage,
      `select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`,
    );
    if (asleep !== undefined) await terminate(stage, asleep['pid'] as number);
    return asleep !== undefined;
  });
  const [error] = await Promise.all([refusalOf(run()), killed]);
  await onServer(stage, 'drop trigger fault on nest_auth_users');
  return error;
}

/** The connection is cut once the server has answered, so that only the server knows. */
function answerLost(textOf: (victim: string) => string): (scene: Scene) => Promise<unknown> {
  return async ({ stage, victim, run }) => {
    let cut = false;
    const error = await refusalOf(
      run(() => {
        void stage.proxy?.cut(textOf(victim), 'before its reply reaches the client').then(() => (cut = true));
      }),
    );
    expect(cut).toBe(true);
    return error;
  };
}

const BREAKAGES: readonly Breakage[] = [
  { name: 'whose connection is killed before a statement', isInDoubt: () => false, meet: killedBefore },
  { name: 'whose connection is killed during a chunk', isInDoubt: () => false, meet: killedDuring },
  {
    name: 'that loses the answer to a chunk',
    isInDoubt: (way) => way === 'a statement',
    meet: answerLost((victim) => victim),
  },
  {
    name: 'that loses the answer to a COMMIT',
    isInDoubt: () => true,
    only: 'a transaction',
    meet: answerLost(() => 'COMMIT'),
  },
];

/** With what the batch ends; undefined when it goes on by itself. A statement alone is its own COMMIT. */
function codeOf(way: Way, { isInDoubt }: Breakage): string | undefined {
  if (way === 'a statement' || isInDoubt(way)) return 'COMMIT_OUTCOME_UNKNOWN';
  return way === 'a transaction' ? 'CONNECTION_LOST' : undefined;
}

const WAYS: readonly Way[] = ['a statement', 'a transaction', 'a transaction that is retried'];

describe.each(WAYS)(`a batch over many users, each chunk %s, seed=${SEED}`, (way) => {
  const withHooks = way !== 'a statement';
  let database: TestDatabase;
  let proxy: TcpProxy;
  let stage: Stage;
  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await startTcpProxy(database.url);
    stage = await setStage(database.url, {
      proxy,
      auth: withHooks ? { user: hooks, transaction: { retries: way === 'a transaction' ? 0 : 2 } } : {},
    });
  });
  afterAll(async () => {
    await stage.close();
    await proxy.close();
    await database.drop();
  });

  it.each(BREAKAGES.filter(({ only }) => only === undefined || only === way).map((each) => [each.name, each] as const))(
    `F33 %s, keeps whole chunks, and run again moves everybody else, nobody twice [seed=${SEED}]`,
    async (name, breakage) => {
      const random = new Random(`F33 ${way} ${name}`);
      const ids = await settleMany(random);
      stage.events.length = 0;
      const victim = ids[random.integer(USERS / 2, USERS - 1)] as string;
      const error = await breakage.meet({ stage, random, victim, run });
      const code = codeOf(way, breakage);
      expect((error as { code?: unknown } | undefined)?.code).toBe(code);
      await expectWhole();
      const done = await moved(ids);
      expect([done % CHUNK, done > 0, done < USERS]).toEqual([0, true, code !== undefined]);
      expect(await run()).toMatchObject({ processed: USERS - done, skippedCount: 0, failedCount: 0, cursor: null });
      await expectWhole();
      expect([await moved(ids), await toldOnce(ids)]).toEqual([USERS, USERS]);
      // The chunk of which nobody knew was announced by nobody; the activity log has it.
      const heard = USERS - (breakage.isInDoubt(way) ? CHUNK : 0);
      expect(stage.events.map((event) => event.name)).toEqual(
        Array.from({ length: heard }, () => NestAuthEvents.USER_DEACTIVATED),
      );
    },
  );

  function run(afterChunks?: () => Promise<unknown> | void): Promise<unknown> {
    return stage.lifecycle.deactivateInactiveUsers({
      chunkSize: CHUNK,
      onProgress: async ({ processed }) => {
        if (processed === USERS / 3) await afterChunks?.();
      },
    });
  }

  /** Users with everything that belongs to one, who have not come for long. In the order of the batch. */
  async function settleMany(random: Random): Promise<string[]> {
    const mark = random.integer(0, 1e9).toString(36);
    const rows = Array.from({ length: USERS }, (_, index) => ({
      email: `b${mark}x${index}@example.com`,
      phone: `+49151${20_000_000 + (serial += 1)}`,
      roleIds: [stage.seed.member],
    }));
    await stage.users.createUsers(rows, { tenantId: stage.seed.tenantId });
    await onServer(
      stage,
      `insert into app_mirrors select u.id, u.email, u.phone, r.role_id, 'active'
       from nest_auth_users u join nest_auth_user_access_roles r on r.user_id = u.id
       where not exists (select 1 from app_mirrors m where m.auth_user_id = u.id)`,
    );
    const found = await onServer(
      stage,
      `update nest_auth_users set activated_at = now() - interval '7 months' where email like $1 returning id`,
      [`b${mark}x%`],
    );
    expect(found).toHaveLength(USERS);
    return found.map(({ id }) => String(id)).toSorted();
  }

  /** Nobody is half-made, the log tells it all, and every connection is back. Without hooks nobody tells the host’s rows. */
  async function expectWhole(): Promise<void> {
    await expectIdle(stage);
    if (!withHooks) {
      await onServer(
        stage,
        `update app_mirrors m set state = u.status from nest_auth_users u where u.id = m.auth_user_id and u.status <> m.state`,
      );
    }
    expect((await readTruth(stage)).halfMade).toEqual([]);
  }

  async function moved(ids: readonly string[]): Promise<number> {
    const rows = await onServer(stage, `select 1 from nest_auth_users where id = any($1) and status = 'inactive'`, [
      ids,
    ]);
    return rows.length;
  }

  /** Of how many the log says once, and only once, that they were deactivated. */
  async function toldOnce(ids: readonly string[]): Promise<number> {
    const rows = await onServer(
      stage,
      `select user_id from nest_auth_activities where user_id = any($1) and type = $2 group by user_id having count(*) = 1`,
      [ids, NestAuthEvents.USER_DEACTIVATED],
    );
    return rows.length;
  }
});

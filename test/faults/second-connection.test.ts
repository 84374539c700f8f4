import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { onServer, refusalOf, until } from './fault.js';
import { NEW_PASSWORD, PASSWORD } from './host.js';
import { countedTries, expectIdle, expectInvariants, lookBefore, readTruth } from './invariants.js';
import { AppMirror } from './mirror.js';
import { type Hooks, type Operation, OPERATIONS, type Subject } from './operations.js';
import { Random, SEED } from './random.js';
import { type Stage, setStage } from './stage.js';
import { sentBy, statementsOf, throughGate } from './statement-gate.js';

/** What is counted whatever becomes of the transaction goes by a connection of its own: here that one meets the faults. */
const each = OPERATIONS.filter(({ needsSecondConnection }) => needsSecondConnection !== undefined).map(
  (operation) => [operation.name, operation] as const,
);

let database: TestDatabase;
let proxy: TcpProxy;
let direct: Stage;
let proxied: Stage;
let scarce: Stage;
let patient: Stage;
let pair: Stage;

beforeAll(async () => {
  database = await createTestDatabase();
  const { url } = database;
  proxy = await startTcpProxy(url);
  const dataSource = { connectTimeoutMS: 500, extra: { idleTimeoutMillis: 0 } };
  direct = await setStage(url);
  proxied = await setStage(url, { proxy });
  scarce = await setStage(url, { pool: 1, dataSource });
  patient = await setStage(url, { pool: 1 });
  pair = await setStage(url, { pool: 2, dataSource });
});
afterAll(async () => {
  for (const stage of [direct, proxied, scarce, patient, pair]) await stage.close();
  await proxy.close();
  await database.drop();
});

async function expectDone(stage: Stage, operation: Operation, subject: Subject): Promise<void> {
  const before = await lookBefore(stage);
  await operation.run(stage, subject);
  await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
}

describe(`no second connection, seed=${SEED}`, () => {
  it.each(
    each.flatMap(([name, operation]) => [
      [name, 'with a limit for waiting', operation, () => scarce] as const,
      [name, 'without one', operation, () => patient] as const,
    ]),
  )(`F11 on a pool of one: %s, %s, is refused and keeps nothing [seed=${SEED}]`, async (name, label, operation, on) => {
    const stage = on();
    const subject = await operation.prepare(stage, new Random(`F11 ${name} ${label}`));
    const before = await lookBefore(stage);
    const error = await refusalOf(operation.run(stage, subject));
    expect(error).toMatchObject({ code: 'CONNECTION_UNAVAILABLE' });
    await expectInvariants(stage, operation, subject, before, 'nothing', []);
  });

  it(`F11 a pool of one is enough to sign in outside of a transaction [seed=${SEED}]`, async () => {
    const signIn = OPERATIONS.find(({ name }) => name === 'sign in') as Operation;
    const { before, userId } = await signIn.prepare(patient, new Random('F11 outside'));
    await patient.auth.signIn({ email: before?.email, password: PASSWORD });
    await patient.manager.increment(AppMirror, { authUserId: userId }, 'sessions', 1);
    expect((await readTruth(patient)).halfMade).toEqual([]);
    await expectIdle(patient);
  });

  it.each(each)(
    `F11 while somebody else has it: %s, is refused, and works as soon as it is back [seed=${SEED}]`,
    async (name, operation) => {
      const subject = await operation.prepare(pair, new Random(`F11 pair ${name}`));
      const before = await lookBefore(pair);
      const holder = pair.dataSource.createQueryRunner();
      await holder.connect();
      const error = await refusalOf(operation.run(pair, subject, {}, { retries: 0 }));
      expect(error).toMatchObject({ code: 'CONNECTION_UNAVAILABLE', details: { retryable: true } });
      await holder.release();
      await expectInvariants(pair, operation, subject, before, 'nothing', []);
      await expectDone(pair, operation, subject);
    },
  );

  it.each(each)(
    `F11 when as many at once as there are connections each wait for another: %s, ends for all [seed=${SEED}]`,
    async (name, operation) => {
      const random = new Random(`F11 at once ${name}`);
      const subjects = [await operation.prepare(pair, random), await operation.prepare(pair, random)];
      const errors = await Promise.all(
        subjects.map((subject) => refusalOf(operation.run(pair, subject, {}, { retries: 0 }))),
      );
      for (const error of errors.filter((one) => one !== undefined)) {
        expect(error).toMatchObject({ code: 'CONNECTION_UNAVAILABLE' });
      }
      expect((await readTruth(pair)).halfMade).toEqual([]);
      await expectIdle(pair);
      for (const [index, subject] of subjects.entries()) {
        if (errors[index] !== undefined) await expectDone(pair, operation, subject);
      }
    },
  );
});

describe(`a second connection that is lost, seed=${SEED}`, () => {
  const kill = (pid: number) => onServer(direct, 'select pg_terminate_backend($1, 10000)', [pid]);

  /** Killed before its statement of that number, once. */
  async function killOnce(at: number, run: () => Promise<unknown>): Promise<unknown> {
    let happened = false;
    const gate = sentBy('another connection', (number, _text, client) => {
      if (number !== at || happened) return undefined;
      happened = true;
      return kill(client.processID).then(() => undefined);
    });
    const error = await throughGate(gate, () => refusalOf(run()));
    expect({ at, happened }).toEqual({ at, happened: true });
    return error;
  }

  /** The first COMMIT after the transaction has begun is that of the second connection. */
  async function cutOnce(
    when: Parameters<TcpProxy['cut']>[1],
    run: (hooks: Hooks) => Promise<unknown>,
  ): Promise<unknown> {
    let begun = false;
    let cut = false;
    const first = async (): Promise<void> => {
      if (!begun) void proxy.cut('COMMIT', when).then(() => (cut = true));
      begun = true;
    };
    const error = await refusalOf(run({ first }));
    expect(cut).toBe(true);
    return error;
  }

  /** How many statements it takes until the try is counted, and how many until it is forgiven. */
  async function rehearse(operation: Operation): Promise<{ counted: number; all: number }> {
    const subject = await operation.prepare(direct, new Random('rehearsal'));
    const texts = await statementsOf(() => operation.run(direct, subject), 'another connection');
    expect(texts.filter((text) => text === 'COMMIT')).toHaveLength(2);
    return { counted: texts.indexOf('COMMIT') + 1, all: texts.length };
  }

  it.each(each)(
    `F01 before the try is counted: %s, is refused and keeps nothing, or is done by a retry [seed=${SEED}]`,
    async (name, operation) => {
      const { counted } = await rehearse(operation);
      for (let at = 2; at <= counted; at += 1) {
        const random = new Random(`F01 ${name} ${at}`);
        const subject = await operation.prepare(direct, random);
        const before = await lookBefore(direct);
        const error = await killOnce(at, () => operation.run(direct, subject, {}, { retries: 0 }));
        expect(error).toMatchObject({ code: 'CONNECTION_LOST', details: { retryable: true } });
        await expectInvariants(direct, operation, subject, before, 'nothing', []);
        expect(await killOnce(at, () => operation.run(direct, subject, {}, { retries: 2 }))).toBeUndefined();
        await expectInvariants(direct, operation, subject, before, 'everything', operation.events);
      }
    },
  );

  it.each(each)(
    `F01 before the try is forgiven: %s, is done, and the try counts until the next one [seed=${SEED}]`,
    async (name, operation) => {
      const { counted, all } = await rehearse(operation);
      for (let at = counted + 2; at <= all; at += 1) {
        const subject = await operation.prepare(direct, new Random(`F01 forgiven ${name} ${at}`));
        expect(await killOnce(at, () => operation.run(direct, subject, {}, { retries: 0 }))).toBeUndefined();
        expect((await readTruth(direct)).halfMade).toEqual([]);
        expect(await countedTries(direct, subject)).toEqual({ network: 1, account: 1 });
        await expectIdle(direct);
        await operation.run(direct, subject);
        expect(await countedTries(direct, subject)).toEqual({ network: 0, account: 0 });
      }
    },
  );

  it.each(
    each.flatMap(([name, operation]) => [
      [name, 'F04 that loses the answer to its COMMIT', 'before its reply reaches the client', operation] as const,
      [name, 'F05 whose COMMIT never arrives', 'before it reaches the server', operation] as const,
    ]),
  )(
    `%s, %s: the transaction is not in doubt, nothing is kept, and a retry does it [seed=${SEED}]`,
    async (name, label, when, operation) => {
      const subject = await operation.prepare(proxied, new Random(`${label} ${name}`));
      const before = await lookBefore(proxied);
      const error = await cutOnce(when, (hooks) => operation.run(proxied, subject, hooks, { retries: 0 }));
      expect(error).toMatchObject({ code: 'CONNECTION_LOST', details: { retryable: true } });
      // The server has counted the try, and the password was not looked at.
      const tries = when === 'before its reply reaches the client' ? 1 : 0;
      await expectInvariants(proxied, operation, subject, before, 'nothing', [], tries);
      expect(await cutOnce(when, (hooks) => operation.run(proxied, subject, hooks, { retries: 2 }))).toBeUndefined();
      await expectInvariants(proxied, operation, subject, before, 'everything', operation.events);
    },
  );

  it.each(each)(
    `F06 whose network goes silent: %s, ends with its timeoutMs, and the connection comes back [seed=${SEED}]`,
    async (name, operation) => {
      const subject = await operation.prepare(proxied, new Random(`F06 ${name}`));
      const before = await lookBefore(proxied);
      let silent = false;
      const first = async () => void proxy.silence('SET LOCAL lock_timeout').then(() => (silent = true));
      const error = await refusalOf(operation.run(proxied, subject, { first }, { timeoutMs: 1_000, retries: 0 }));
      expect(silent).toBe(true);
      expect(error).toMatchObject({ code: 'TRANSACTION_TIMEOUT' });
      const { master } = proxied.dataSource.driver as unknown as { master: Record<string, number> };
      await until(async () => master['totalCount'] === master['idleCount']);
      await expectInvariants(proxied, operation, subject, before, 'nothing', []);
      await expectDone(proxied, operation, subject);
    },
    30_000,
  );
});

describe(`a password that is reset, seed=${SEED}`, () => {
  it(`unlocks nobody who was not kept out [seed=${SEED}]`, async () => {
    const reset = OPERATIONS.find(({ name }) => name === 'reset a password') as Operation;
    const subject = await reset.prepare(direct, new Random('unlock'));
    await reset.run(direct, subject);
    await direct.auth.signIn({ email: subject.after?.email, password: NEW_PASSWORD });
    expect(await direct.auth.unlock(subject.userId)).toBe(false);
    await direct.auth.signIn({ email: subject.after?.email, password: PASSWORD }).catch(() => undefined);
    expect(await direct.auth.unlock(subject.userId)).toBe(true);
  });
});

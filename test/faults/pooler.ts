import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import { CommitOutcomeUnknownError } from '../../src/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { type Pooler, type PoolerOptions, startPgBouncer } from '../support/pgbouncer.js';
import { refusalOf } from './fault.js';
import { SIGN_IN } from './host.js';
import { expectInvariants, lookBefore } from './invariants.js';
import { type Operation, OPERATIONS } from './operations.js';
import { Random, SEED } from './random.js';
import { type Stage, setStage } from './stage.js';
import { sentBy, statementsOf, throughGate } from './statement-gate.js';

/** PgBouncer counts whole seconds. */
const QUERY_WAIT_TIMEOUT_S = 1;

const each = OPERATIONS.map((operation) => [operation.name, operation] as const);

/** An application behind a pooler of its own; it looks at the server past it. */
function usePooler(options: PoolerOptions = {}): { readonly stage: Stage; readonly pooler: Pooler } {
  const used = {} as { stage: Stage; pooler: Pooler; database: TestDatabase };
  beforeAll(async () => {
    const database = await createTestDatabase();
    const server = new URL(database.url);
    const pooler = await startPgBouncer(database.url, options);
    const url = new URL(pooler.url);
    url.pathname = server.pathname;
    // PgBouncer before 1.21 knows no statements that are prepared under a name.
    const stage = await setStage(database.url, {
      behind: url.href,
      auth: { ...SIGN_IN, statements: { prepared: false } },
    });
    Object.assign(used, { stage, pooler, database });
  });
  afterAll(async () => {
    await used.stage.close();
    await used.pooler.stop();
    await used.database.drop();
  });
  return used;
}

/** PgBouncer between the application and its server. */
export function describePooler(): void {
  describe(`PgBouncer that is killed and starts again, seed=${SEED}`, () => {
    const used = usePooler();

    /** How many statements it takes, COMMIT included. */
    async function count(random: Random, operation: Operation): Promise<number> {
      const rehearsal = await operation.prepare(used.stage, random);
      return (await statementsOf(() => operation.run(used.stage, rehearsal))).length;
    }

    /** Before the statement of that number, and only once. */
    async function restartOnce(at: number, run: () => Promise<unknown>): Promise<void> {
      let happened = false;
      const restart = (): Promise<void> => {
        happened = true;
        return used.pooler.restart();
      };
      const gate = sentBy('the first connection', (number) => (number === at && !happened ? restart() : undefined));
      await throughGate(gate, run).finally(() => expect({ at, happened }).toEqual({ at, happened: true }));
    }

    it.each(each)(
      `F28 in the middle of: %s, keeps nothing, and the same call works at once [seed=${SEED}]`,
      async (name, operation) => {
        const { stage } = used;
        const random = new Random(`F28 ${name}`);
        const at = random.integer(2, (await count(random, operation)) - 1);
        const subject = await operation.prepare(stage, random);
        const before = await lookBefore(stage);
        const error = await refusalOf(restartOnce(at, () => operation.run(stage, subject, {}, { retries: 0 })));
        expect(error).toMatchObject({ code: 'CONNECTION_LOST', details: { retryable: true } });
        await expectInvariants(stage, operation, subject, before, 'nothing', []);
        await operation.run(stage, subject);
        await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
      },
    );

    it.each(each)(`F28 in the middle of: %s, is cured by a retry [seed=${SEED}]`, async (name, operation) => {
      const { stage } = used;
      const random = new Random(`F28 retried ${name}`);
      const at = random.integer(2, (await count(random, operation)) - 1);
      const subject = await operation.prepare(stage, random);
      const before = await lookBefore(stage);
      await restartOnce(at, () => operation.run(stage, subject, {}, { retries: 2 }));
      await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
    });

    it.each(each)(
      `F28 before the COMMIT of: %s, is in doubt, and nothing is kept [seed=${SEED}]`,
      async (name, operation) => {
        const { stage } = used;
        const random = new Random(`F28 COMMIT ${name}`);
        const at = await count(random, operation);
        const subject = await operation.prepare(stage, random);
        const before = await lookBefore(stage);
        const error = await refusalOf(restartOnce(at, () => operation.run(stage, subject)));
        expect(error).toBeInstanceOf(CommitOutcomeUnknownError);
        expect(await (error as CommitOutcomeUnknownError).resolve()).not.toBe('committed');
        await expectInvariants(stage, operation, subject, before, 'nothing', []);
        await operation.run(stage, subject);
        await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
      },
    );

    it(`F28 while every connection lies idle bothers nobody [seed=${SEED}]`, async () => {
      const { stage } = used;
      for (const operation of new Random('F28 idle').shuffle(OPERATIONS)) {
        const subject = await operation.prepare(stage, new Random(`F28 idle ${operation.name}`));
        await Promise.all([1, 2, 3, 4].map(() => stage.dataSource.query('select pg_sleep(0.01)')));
        const before = await lookBefore(stage);
        await used.pooler.restart();
        await operation.run(stage, subject);
        await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
      }
    });
  });

  describe(`PgBouncer with all its connections taken, seed=${SEED}`, () => {
    const used = usePooler({ poolSize: 1, queryWaitTimeout: QUERY_WAIT_TIMEOUT_S });

    /** One connection to the server. */
    const isEnough = ({ needsSecondConnection }: Operation): boolean => needsSecondConnection === undefined;

    /** Somebody else's transaction has the only connection of the pooler to the server. */
    async function takeIt(): Promise<{ letGo: () => Promise<void> }> {
      const { stage, pooler } = used;
      const url = new URL(pooler.url);
      url.pathname = new URL(stage.url).pathname;
      const holder = new Client({ connectionString: url.href });
      await holder.connect();
      await holder.query('begin');
      return { letGo: () => holder.end() };
    }

    it.each(each.filter(([, operation]) => isEnough(operation)))(
      `F28 refuses (query_wait_timeout): %s, which works as soon as there is one again [seed=${SEED}]`,
      async (name, operation) => {
        const { stage } = used;
        const subject = await operation.prepare(stage, new Random(`F28 queue ${name}`));
        const before = await lookBefore(stage);
        const holder = await takeIt();
        const error = await refusalOf(operation.run(stage, subject, {}, { retries: 0 }));
        expect(error).toMatchObject({ code: 'CONNECTION_LOST', details: { retryable: true } });
        await holder.letGo();
        await expectInvariants(stage, operation, subject, before, 'nothing', []);
        await operation.run(stage, subject);
        await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
      },
    );

    it.each(each.filter(([, operation]) => !isEnough(operation)))(
      `F28 refuses: %s, which needs a second connection and has the only one itself [seed=${SEED}]`,
      async (name, operation) => {
        const { stage } = used;
        const subject = await operation.prepare(stage, new Random(`F28 second ${name}`));
        const before = await lookBefore(stage);
        const error = await refusalOf(operation.run(stage, subject, {}, { retries: 0 }));
        expect(error).toMatchObject({ code: 'CONNECTION_LOST', details: { retryable: true } });
        await expectInvariants(stage, operation, subject, before, 'nothing', []);
      },
    );

    it(`F28 is waited out by a retry [seed=${SEED}]`, async () => {
      const { stage } = used;
      const operation = new Random('F28 waits').pick(OPERATIONS.filter(isEnough));
      const subject = await operation.prepare(stage, new Random('F28 waits for it'));
      const before = await lookBefore(stage);
      const holder = await takeIt();
      const call = operation.run(stage, subject, {}, { retries: 3 });
      setTimeout(() => void holder.letGo(), QUERY_WAIT_TIMEOUT_S * 1_500);
      await call;
      await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
    });
  });
}

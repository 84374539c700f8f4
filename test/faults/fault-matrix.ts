import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { type CommitOutcomeUnknownError, isNestAuthError } from '../../src/index.js';
import { sqlStateOf } from '../../src/errors/postgres-errors.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import type { Armed, Ending, Fault, Place, Scene } from './fault.js';
import { expectEmailFree, expectInvariants, type Kept, lookBefore, readTruth } from './invariants.js';
import { type Operation, OPERATIONS, type Subject } from './operations.js';
import { Random, SEED } from './random.js';
import { type Stage, setStage } from './stage.js';
import { statementsOf } from './statement-gate.js';

/** One line for each thing that was drawn, for the message of a failure. */
interface Case {
  readonly fault: Fault;
  readonly operation: Operation;
  readonly retries: number;
}

/** What one connection is too few for is the matter of second-connection.test.ts. */
function canHappen({ on, needsAnnouncement }: Fault, { needsSecondConnection, events }: Operation): boolean {
  if (needsSecondConnection !== undefined && on?.startsWith('pool of one') === true) return false;
  return needsAnnouncement === undefined || events.length > 0;
}

const casesOf = (faults: readonly Fault[]): Case[] =>
  faults.flatMap((fault) =>
    OPERATIONS.filter((operation) => canHappen(fault, operation)).flatMap((operation) => [
      { fault, operation, retries: 0 },
      ...(fault.curedByRetry === true ? [{ fault, operation, retries: 2 }] : []),
    ]),
  );

/** Declares the tests of each of the faults in each operation, on a database of their own. */
export function meetEachOperation(faults: readonly Fault[]): void {
  let database: TestDatabase;
  const stages = {} as Record<Place, Stage>;
  const statements = new Map<string, string[]>();
  let proxy: TcpProxy;

  beforeAll(async () => {
    database = await createTestDatabase();
    const { url } = database;
    proxy = await startTcpProxy(url);
    // No connection is opened under the limit: the one there is lies idle, or somebody has it.
    const scarce = { connectTimeoutMS: 500, extra: { idleTimeoutMillis: 0 } };
    stages.direct = await setStage(url);
    stages['behind a proxy'] = await setStage(url, { proxy });
    stages['pool of one'] = await setStage(url, { pool: 1, dataSource: scarce });
    stages['pool of one, patient'] = await setStage(url, { pool: 1 });
    for (const operation of OPERATIONS) {
      const subject = await operation.prepare(stages.direct, new Random('rehearsal'));
      statements.set(operation.name, await statementsOf(() => operation.run(stages.direct, subject)));
    }
  });
  afterAll(async () => {
    for (const stage of Object.values(stages)) await stage.close();
    await proxy.close();
    await database.drop();
  });

  describe(`each fault in each operation, seed=${SEED}`, () => {
    it.each(
      new Random('order')
        .shuffle(casesOf(faults))
        .map(
          (each) => [`${each.fault.id} ${each.fault.name} × ${each.operation.name}: ${promise(each)}`, each] as const,
        ),
    )(`%s [seed=${SEED}]`, async (label, { fault, operation, retries }) => {
      const stage = stages[fault.on ?? 'direct'];
      const random = new Random(label);
      const subject = await operation.prepare(stage, random);
      const notes: string[] = [];
      const scene: Scene = {
        stage,
        operation,
        subject,
        random,
        statements: statements.get(operation.name) ?? [],
        note: (what) => notes.push(what),
      };
      try {
        const before = await lookBefore(stage);
        const armed = await fault.arm(scene);
        const error = await meet(armed, stage, operation, subject, retries);
        expect(await armed.hasHappened()).toBe(true);
        await armed.disarm?.();
        const ending: Ending = retries > 0 ? { resolves: true } : fault.ending;
        const kept = await expectEnding(stage, subject, ending, error);
        const announced = error === undefined ? operation.events : [];
        await expectInvariants(stage, operation, subject, before, kept, announced);
        if (kept === 'nothing') await expectWorksAtOnce(stage, operation, subject);
        await expectEmailFree(stage, subject);
      } catch (error) {
        const drawn = notes.map((note) => `; ${note}`).join('');
        throw new Error(`seed=${SEED}, ${label}${drawn}: ${(error as Error).message}`, { cause: error });
      }
    });
  });
}

function promise({ fault: { ending }, retries }: Case): string {
  if (retries > 0) return 'done by a retry';
  if ('resolves' in ending) return 'done';
  return `${ending.rejects}, ${ending.kept === 'nothing' ? 'nothing kept' : 'all or nothing kept'}`;
}

/** What the call rejected with. */
async function meet(
  armed: Armed,
  stage: Stage,
  operation: Operation,
  subject: Subject,
  retries: number,
): Promise<unknown> {
  const around = armed.around ?? ((run) => run());
  let outcome: unknown;
  await around(async () => {
    outcome = await operation
      .run(stage, subject, armed.hooks, { ...armed.options, retries })
      .then(() => undefined)
      .catch((error: unknown) => error);
  });
  return outcome;
}

async function expectEnding(stage: Stage, subject: Subject, ending: Ending, error: unknown): Promise<Kept> {
  expect(summaryOf(error, ending)).toEqual(summaryWanted(error, ending));
  if ('resolves' in ending) return 'everything';
  return ending.kept === 'nothing' ? 'nothing' : askFor(stage, subject, error as CommitOutcomeUnknownError);
}

/** Of our errors the code, and the state where one is promised; of a failed statement of the host the state alone. */
function summaryOf(error: unknown, ending: Ending): readonly unknown[] {
  if (error === undefined) return ['resolved'];
  if (!isNestAuthError(error)) return [sqlStateOf(error) ?? (error as { code?: unknown }).code ?? error];
  return 'sqlState' in ending ? [error.code, error.details.sqlState] : [error.code];
}

function summaryWanted(error: unknown, ending: Ending): readonly unknown[] {
  if ('resolves' in ending) return ['resolved'];
  if (ending.sqlState === undefined) return [ending.rejects];
  return isNestAuthError(error) ? [ending.rejects, ending.sqlState] : [ending.sqlState];
}

/** What the error says decides; where it does not know, the rows must be all there or all as before. */
async function askFor(stage: Stage, { before, after }: Subject, error: CommitOutcomeUnknownError): Promise<Kept> {
  const answer = await error.resolve();
  if (answer !== 'unknown') return answer === 'committed' ? 'everything' : 'nothing';
  const { people } = await readTruth(stage);
  const isThere = (who: Subject['after']): boolean =>
    who !== undefined && people.some((one) => isDeepStrictEqual(one, who));
  return after === undefined ? (isThere(before) ? 'nothing' : 'everything') : isThere(after) ? 'everything' : 'nothing';
}

/** The same input again, with nothing in its way: the same email works at once. */
async function expectWorksAtOnce(stage: Stage, operation: Operation, subject: Subject): Promise<void> {
  const before = await lookBefore(stage);
  await operation.run(stage, subject);
  await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
}

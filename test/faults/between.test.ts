import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Pool } from 'pg';

import { sqlStateOf } from '../../src/errors/postgres-errors.js';
import { type ReplicatedServer, startReplicatedServer } from '../support/replicated-server.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { clone, createTemplate } from '../support/template.js';
import { onServer, refusalOf, until } from './fault.js';
import { expectInvariants, lookBefore } from './invariants.js';
import { OPERATIONS, type Subject } from './operations.js';
import { describePooler } from './pooler.js';
import { Random, SEED } from './random.js';
import { type Stage, setStage } from './stage.js';

/** Connections of the application. */
const POOL = 4;

let servers: ReplicatedServer;
let proxy: TcpProxy;
/** The application, with eyes on the server that is the primary. */
let stage: Stage;
const subjects = new Map<string, Subject>();

/** Opens every connection that the pool may have. */
async function fillPool(): Promise<void> {
  const runners = Array.from({ length: POOL }, () => stage.dataSource.createQueryRunner());
  for (const runner of runners) await runner.connect();
  for (const runner of runners) await runner.release();
}

/** Looks at the server that was promoted. */
async function lookAtNewPrimary(): Promise<void> {
  const url = new URL(servers.replicaUrl);
  url.pathname = new URL(stage.url).pathname;
  await stage.looker.end();
  const looker = new Pool({ connectionString: url.href, max: 1, idleTimeoutMillis: 0 });
  // As in setStage: a connection that is lost while it lies idle is no failure of a test.
  looker.on('error', () => undefined);
  const close = async (): Promise<void> => {
    await stage.context.close();
    await looker.end();
  };
  stage = { ...stage, url: url.href, looker, close };
}

// In this order: one server is promoted, once.
describe(`a primary that changes places with its replica, seed=${SEED}`, () => {
  /** As everybody who knows the database by one address, which leads to the primary sooner or later. */
  beforeAll(async () => {
    let path = '';
    servers = await startReplicatedServer(0, async (url) => {
      await createTemplate(url, 'failover_template');
      path = new URL(await clone(url, 'failover_template', 'failover')).pathname;
    });
    const url = new URL(servers.url);
    url.pathname = path;
    proxy = await startTcpProxy(url.href);
    stage = await setStage(url.href, { pool: POOL, proxy });
  });
  afterAll(async () => {
    await stage.close();
    await proxy.close();
    await servers.stop();
  });

  it(`F26 in the middle of a transaction keeps nothing of it, and everything that was committed [seed=${SEED}]`, async () => {
    for (const operation of OPERATIONS) {
      subjects.set(operation.name, await operation.prepare(stage, new Random(`F26 ${operation.name}`)));
    }
    await fillPool();
    const random = new Random('F26');
    const [operation, hook] = [random.pick(OPERATIONS), random.pick(['first', 'between', 'last'] as const)];
    const subject = await operation.prepare(stage, random);
    const before = await lookBefore(stage);
    const call = operation.run(stage, subject, { [hook]: servers.switchOver }, { retries: 0 });
    expect(await refusalOf(call)).toMatchObject({ code: 'CONNECTION_LOST', details: { retryable: true } });
    await lookAtNewPrimary();
    expect(await onServer(stage, 'select pg_is_in_recovery() as "isReplica"')).toEqual([{ isReplica: false }]);
    await expectInvariants(stage, operation, subject, before, 'nothing', []);
  });

  it.each(OPERATIONS.map((operation) => [operation.name, operation] as const))(
    `F26 refuses (25006) while the address still leads to the old one: %s [seed=${SEED}]`,
    async (name, operation) => {
      const before = await lookBefore(stage);
      const subject = subjects.get(name) as Subject;
      expect(sqlStateOf(await refusalOf(operation.run(stage, subject)))).toBe('25006');
      await expectInvariants(stage, operation, subject, before, 'nothing', []);
    },
  );

  it(`F26 costs each connection that still leads to the old one one call, and then everything works [seed=${SEED}]`, async () => {
    await fillPool();
    proxy.lead(stage.url);
    let refused = 0;
    for (const operation of new Random('F26 after').shuffle(OPERATIONS)) {
      const subject = subjects.get(operation.name) as Subject;
      const before = await lookBefore(stage);
      await until(async () => {
        const error = await refusalOf(operation.run(stage, subject));
        if (error === undefined) return true;
        expect(sqlStateOf(error)).toBe('25006');
        refused += 1;
        await expectInvariants(stage, operation, subject, before, 'nothing', []);
        return false;
      });
      await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
    }
    expect(refused).toBe(POOL);
  });
});

if (spawnSync('pgbouncer', ['--version']).error === undefined) describePooler();
else console.log('F28 was left out: PgBouncer is not installed (Debian: apt-get install pgbouncer)');

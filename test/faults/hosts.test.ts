import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource, DefaultNamingStrategy } from 'typeorm';

import { NestAuthEntities, NestAuthMigrations } from '../../src/index.js';
import { createTestDatabase, type TestDatabase, withClient } from '../support/database.js';
import { onServer, refusalOf } from './fault.js';
import { expectInvariants, lookBefore, readTruth } from './invariants.js';
import { type Operation, OPERATIONS, type Subject } from './operations.js';
import { Random, SEED } from './random.js';
import { type Stage, setStage } from './stage.js';
import { sentBy, throughGate } from './statement-gate.js';

/** Renames what has no name of its own, as many hosts do. */
class Shouting extends DefaultNamingStrategy {
  override columnName(property: string, given: string | undefined, prefixes: string[]): string {
    return given ?? super.columnName(property, '', prefixes).toUpperCase();
  }
  override indexName(...args: Parameters<DefaultNamingStrategy['indexName']>): string {
    return `HOST_${super.indexName(...args)}`;
  }
  override primaryKeyName(...args: Parameters<DefaultNamingStrategy['primaryKeyName']>): string {
    return `HOST_${super.primaryKeyName(...args)}`;
  }
}

interface Host {
  readonly name: string;
  readonly dataSource: object;
  /** Where the tables are, when they are not where they usually are. */
  readonly schema?: string;
}

const HOSTS: readonly Host[] = [
  {
    name: 'that ignores null and undefined in conditions',
    dataSource: { invalidWhereValuesBehavior: { null: 'ignore', undefined: 'ignore' } },
  },
  { name: 'whose transactions are SERIALIZABLE', dataSource: { isolationLevel: 'SERIALIZABLE' } },
  { name: 'with a naming strategy', dataSource: { namingStrategy: new Shouting() } },
  { name: 'in a schema of its own', dataSource: {}, schema: 'identity' },
];

/** Our tables in the first schema of the search_path, which is how a host moves them. */
async function createDatabaseIn(schema: string): Promise<TestDatabase> {
  const database = await createTestDatabase({ empty: true });
  await withClient(database.url, async (client) => {
    const { rows } = await client.query<{ name: string }>('select quote_ident(current_database()) as name');
    await client.query(`create schema ${schema}`);
    await client.query(`alter database ${rows[0]?.name} set search_path = ${schema}`);
  });
  const dataSource = new DataSource({
    type: 'postgres',
    url: database.url,
    entities: [...NestAuthEntities],
    migrations: [...NestAuthMigrations],
  });
  await dataSource.initialize();
  try {
    await dataSource.runMigrations();
  } finally {
    await dataSource.destroy();
  }
  return database;
}

describe.each(HOSTS.map((host) => [host.name, host] as const))(`F40: a host %s, seed=${SEED}`, (label, host) => {
  let database: TestDatabase;
  let stage: Stage;
  beforeAll(async () => {
    database = host.schema === undefined ? await createTestDatabase() : await createDatabaseIn(host.schema);
    stage = await setStage(database.url, { dataSource: host.dataSource });
  });
  afterAll(async () => {
    await stage.close();
    await database.drop();
  });

  it.each(OPERATIONS.map((operation) => [operation.name, operation] as const))(
    `can: %s, also when the caller changes its mind and when the connection is lost [seed=${SEED}]`,
    async (name, operation) => {
      const random = new Random(`F40 ${label} ${name}`);
      const subject = await operation.prepare(stage, random);
      const before = await lookBefore(stage);
      const changedMind = new Error('changed its mind');
      expect(await refusalOf(operation.run(stage, subject, { last: () => Promise.reject(changedMind) }))).toBe(
        changedMind,
      );
      await expectInvariants(stage, operation, subject, before, 'nothing', []);
      let killed = false;
      const kill = async (pid: number): Promise<void> => {
        killed = true;
        await onServer(stage, 'select pg_terminate_backend($1, 10000)', [pid]);
      };
      const at = random.integer(2, 3);
      await throughGate(
        sentBy('the first connection', (number, _text, client) =>
          number === at && !killed ? kill(client.processID) : undefined,
        ),
        () => operation.run(stage, subject, {}, { retries: 2 }),
      );
      expect(killed).toBe(true);
      await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
    },
  );

  it(`can do every operation twice at once, with retries [seed=${SEED}]`, async () => {
    const random = new Random(`F40 ${label} at once`);
    const operations = random.shuffle([...OPERATIONS, ...OPERATIONS]);
    const runs: { operation: Operation; subject: Subject }[] = [];
    for (const operation of operations) runs.push({ operation, subject: await operation.prepare(stage, random) });
    const { people } = await readTruth(stage);
    const isWithSecond = ({ operation }: { operation: Operation }): boolean =>
      operation.needsSecondConnection !== undefined;
    // Those that need another connection keep the one they have while they wait: in a crowd nobody would get one.
    for (const crowd of [runs.filter((run) => !isWithSecond(run)), runs.filter(isWithSecond)]) {
      await Promise.all(crowd.map(({ operation, subject }) => operation.run(stage, subject, {}, { retries: 30 })));
    }
    const truth = await readTruth(stage);
    expect(truth.halfMade).toEqual([]);
    const gone = runs.flatMap(({ subject }) => (subject.before === undefined ? [] : [subject.before.email]));
    const come = runs.flatMap(({ subject }) => (subject.after === undefined ? [] : [subject.after]));
    const rest = people.filter(({ email }) => !gone.includes(email));
    expect(truth.people).toEqual([...rest, ...come].toSorted((a, b) => (a.email < b.email ? -1 : 1)));
  });

  it('is asked for nobody in particular in vain: nobody is found, changed or deleted', async () => {
    const { users, lifecycle, sessions, auth } = stage;
    const { rows } = await lookBefore(stage);
    for (const nobody of [undefined, null] as unknown as string[]) {
      const calls = [
        () => users.getUserById(nobody),
        () => users.updateUser(nobody, { metadata: { found: true } }),
        () => users.deleteUser(nobody),
        () => users.setUserAccessRoles(nobody, stage.seed.tenantId, [stage.seed.member]),
        () => lifecycle.disableById(nobody),
        () => sessions.revokeAllSessions(nobody),
        () => auth.unlock(nobody),
      ];
      for (const call of calls) {
        expect(await refusalOf(call())).toMatchObject({ code: 'VALIDATION_FAILED' });
      }
      const found = await users.getUserByEmail(nobody).catch((error: { code: string }) => error.code);
      expect([null, 'VALIDATION_FAILED']).toContain(found);
    }
    expect((await lookBefore(stage)).rows).toEqual(rows);
  });

  it('finds our tables where they are said to be, and nowhere else', async () => {
    const found = await onServer(
      stage,
      `select distinct relnamespace::regnamespace::text as schema from pg_class where relname like 'nest_auth_%'`,
    );
    expect(found).toEqual([{ schema: host.schema ?? 'public' }]);
  });
});

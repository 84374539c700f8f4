import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import { type PostgresServer, startPostgres } from '../../src/testing/server.js';
import { sqlStateOf } from '../../src/errors/postgres-errors.js';
import { clone, createTemplate } from '../support/template.js';
import { onServer, refusalOf, until } from './fault.js';
import { expectIdle, expectInvariants, lookBefore, readTruth } from './invariants.js';
import { OPERATIONS } from './operations.js';
import { Random, SEED } from './random.js';
import { type Stage, setStage } from './stage.js';

/** Small, so that it can be filled. */
const CONNECTIONS = 24;
const UNPRIVILEGED_ID = 65534;

let server: PostgresServer;
let stage: Stage;
let serial = 0;

beforeAll(async () => {
  server = await startPostgres({
    settings: {
      max_connections: String(CONNECTIONS),
      superuser_reserved_connections: '0',
      // What was committed must outlive a crash of the server, though not one of the machine.
      synchronous_commit: 'on',
    },
  });
  await createTemplate(server.url, 'whole_server');
});
afterAll(() => server.stop());

beforeEach(async () => {
  serial += 1;
  stage = await setStage(await clone(server.url, 'whole_server', `whole_server_${serial}`));
});
afterEach(() => stage.close());

/** After a restart the looker, as everybody, finds its connection gone once. */
async function restart(): Promise<void> {
  await server.restart('immediate');
  await until(() => onServer(stage, 'select 1').then(Boolean, () => false));
}

describe(`a server that crashes and starts again, seed=${SEED}`, () => {
  it.each(OPERATIONS.map((operation) => [operation.name, operation] as const))(
    `F03 in the middle of: %s, loses nothing and keeps nothing [seed=${SEED}]`,
    async (name, operation) => {
      const random = new Random(`F03 ${name}`);
      const subject = await operation.prepare(stage, random);
      const before = await lookBefore(stage);
      const hook = random.pick(['first', 'between', 'last'] as const);
      const call = operation.run(stage, subject, { [hook]: restart }, { retries: 0 });
      expect(await refusalOf(call)).toMatchObject({ code: 'CONNECTION_LOST', details: { retryable: true } });
      await expectInvariants(stage, operation, subject, before, 'nothing', []);
      await operation.run(stage, subject);
      await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
    },
  );

  it(`F03 while every connection lies idle bothers nobody [seed=${SEED}]`, async () => {
    await Promise.all([1, 2, 3, 4].map(() => stage.dataSource.query('select pg_sleep(0.01)')));
    await restart();
    for (const operation of new Random('F03 idle').shuffle(OPERATIONS)) {
      const subject = await operation.prepare(stage, new Random(`F03 idle ${operation.name}`));
      const before = await lookBefore(stage);
      await operation.run(stage, subject);
      await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
    }
  });
});

describe(`a server with all its connections taken, seed=${SEED}`, () => {
  const guests: Client[] = [];
  afterEach(async () => {
    for (const guest of guests.splice(0)) await guest.end();
  });

  /** Takes what there is, until the server says 53300. */
  async function crowd(): Promise<void> {
    await onServer(
      stage,
      `select pg_terminate_backend(pid, 10000) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()`,
    );
    for (;;) {
      const guest = new Client({ connectionString: stage.url });
      const error = await refusalOf(guest.connect());
      if (error === undefined) guests.push(guest);
      else if (sqlStateOf(error) === '53300') return;
      else throw error;
    }
  }

  it.each(OPERATIONS.map((operation) => [operation.name, operation] as const))(
    `F11 refuses (53300): %s, which works as soon as there is one again [seed=${SEED}]`,
    async (name, operation) => {
      const subject = await operation.prepare(stage, new Random(`F11 ${name}`));
      const before = await lookBefore(stage);
      await crowd();
      const error = await refusalOf(operation.run(stage, subject, {}, { retries: 0 }));
      expect(error).toMatchObject({ code: 'CONNECTION_UNAVAILABLE', details: { retryable: true } });
      for (const guest of guests.splice(0)) await guest.end();
      await expectInvariants(stage, operation, subject, before, 'nothing', []);
      await operation.run(stage, subject);
      await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
    },
  );
});

describe(`a process that is killed, seed=${SEED}`, () => {
  it(`F16 with kill -9 in the middle of its work leaves nobody half-made, and every email works [seed=${SEED}]`, async () => {
    const random = new Random('F16');
    const begun: string[] = [];
    await Promise.all([1, 2, 3].map((number) => killInTheMiddle(`child ${number}`, 10 + random.integer(0, 30), begun)));
    const { halfMade, people } = await readTruth(stage);
    expect(people.length).toBeGreaterThan(30);
    expect(halfMade).toEqual([]);
    await expectIdle(stage);
    const there = new Set(people.map(({ email }) => email));
    for (const email of begun.filter((each) => each !== '' && !there.has(each)))
      await stage.users.createUser({ email });
  });

  /** Kills it once it has begun so many operations; where it is in the next ones nobody knows. */
  async function killInTheMiddle(label: string, after: number, begun: string[]): Promise<void> {
    const args = ['--import', './test/support/typescript.mjs', 'test/faults/loop-process.ts'];
    const child = spawn(process.execPath, [...args, stage.url, JSON.stringify(stage.seed), label], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let errors = '';
    child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
    const ended = once(child, 'close');
    let count = 0;
    createInterface(child.stdout).on('line', (line) => {
      if (!line.startsWith('begins')) return;
      begun.push(line.slice('begins '.length));
      count += 1;
      if (count === after) child.kill('SIGKILL');
    });
    const [, signal] = (await ended) as [number | null, string | null];
    expect({ signal, errors }).toEqual({ signal: 'SIGKILL', errors: '' });
  }
});

const canMount = await probe();

/** A disk that can be filled without filling anybody else's. */
async function mountSmallDisk(): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'nest-auth-small-disk-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', directory], { stdio: 'ignore' });
  if (status === 0) return directory;
  await rm(directory, { recursive: true, force: true });
  return undefined;
}

async function unmount(directory: string): Promise<void> {
  spawnSync('umount', [directory]);
  await rm(directory, { recursive: true, force: true });
}

/** Only root can mount one, and not everywhere. */
async function probe(): Promise<boolean> {
  const directory = process.getuid?.() === 0 ? await mountSmallDisk() : undefined;
  if (directory !== undefined) await unmount(directory);
  return directory !== undefined;
}

if (!canMount) {
  console.log('F29 on a disk that really is full was left out: only root can mount a small one');
} else {
  describe(`a disk that is full, seed=${SEED}`, () => {
    let small = '';
    beforeAll(async () => {
      small = (await mountSmallDisk()) ?? '';
      await chown(small, UNPRIVILEGED_ID, UNPRIVILEGED_ID);
    });
    afterAll(async () => {
      await server.stop();
      await unmount(small);
    });

    it(`F29 refuses a user (53100) and keeps nothing of it; with room again the same email works [seed=${SEED}]`, async () => {
      await onServer(stage, `create tablespace small location '${small}'`);
      await onServer(stage, 'create table fault_filler (text text storage plain) tablespace small');
      for (const table of ['nest_auth_users', 'app_mirrors']) {
        await onServer(stage, `alter table ${table} set tablespace small`);
      }
      await fill(100);
      await fill(1);
      const [operation] = OPERATIONS;
      if (operation === undefined) throw new Error('no operation');
      const random = new Random('F29');
      // The pages that are there already take some more.
      for (;;) {
        const subject = await operation.prepare(stage, random);
        const before = await lookBefore(stage);
        const error = await refusalOf(operation.run(stage, subject));
        if (error === undefined) continue;
        expect(sqlStateOf(error)).toBe('53100');
        await expectInvariants(stage, operation, subject, before, 'nothing', []);
        await onServer(stage, 'truncate fault_filler');
        await operation.run(stage, subject);
        await expectInvariants(stage, operation, subject, before, 'everything', operation.events);
        return;
      }
    });

    /** Until the disk refuses so many pages more. */
    async function fill(pages: number): Promise<void> {
      const text = `insert into fault_filler select repeat('x', 7000) from generate_series(1, ${pages})`;
      const full = (error: unknown): boolean => {
        if (sqlStateOf(error) !== '53100') throw error;
        return true;
      };
      await until(() => onServer(stage, text).then(() => false, full));
    }
  });
}

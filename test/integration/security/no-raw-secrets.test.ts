import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { EventEmitter2 } from '@nestjs/event-emitter';
import { isNestAuthError } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { countRows } from '../../support/tables.js';
import { until } from '../../support/until.js';
import type { Leak, SecretKind } from './canaries.js';
import { dumpEverything, textOf, type Written } from './everything.js';
import { FLOWS, type Flow } from './secret-flows.js';
import { openStage, rotate, type Stage } from './secret-stage.js';

jest.setTimeout(240_000);

/** Enough for any flow; one that sends more would not be tried to its end. */
const MOST_STATEMENTS = 80;

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => {
  jest.restoreAllMocks();
  await stage.close();
});

/** Everything that anybody could read anywhere. */
async function everythingWritten(): Promise<Written[]> {
  const { app, witness, recorder, url } = stage;
  return [
    ...(await dumpEverything(url)),
    ...witness.written,
    ...app.events.map((event) => ({ where: `event ${event.name}`, text: textOf(event) })),
    { where: 'telemetry', text: await recorder.dump() },
  ];
}

function leaksIn(written: readonly Written[]): Leak[] {
  return written.flatMap(({ where, text }) => stage.canaries.leaksIn(where, text));
}

/** What a call rejects with is something that is written down; undefined for one that resolves. */
async function failureOf(call: () => Promise<unknown>): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    stage.witness.note('thrown error', error);
    return error;
  }
}

/** Runs it with each of its statements failing in turn; answers how often that made it reject. */
async function failAtEachStatement({ prepare }: Flow): Promise<number> {
  let rejected = 0;
  for (let at = 1; at <= MOST_STATEMENTS; at += 1) {
    const { act } = await prepare(stage);
    let error: unknown;
    const wasThere = await stage.failingAt(at, async () => (error = await failureOf(act)));
    if (!wasThere) return rejected;
    if (error !== undefined) rejected += 1;
  }
  throw new Error(`more than ${MOST_STATEMENTS} statements`);
}

/** Runs it with each table refusing every row, which the server tells with the whole row. */
function refuseEachTable({ prepare }: Flow, tables: readonly string[]): Promise<number> {
  return withClient(stage.url, async (client) => {
    let rejected = 0;
    for (const table of tables) {
      const { act } = await prepare(stage);
      await client.query(`alter table ${table} add constraint made_to_fail check (false) not valid`);
      try {
        if ((await failureOf(act)) !== undefined) rejected += 1;
      } finally {
        await client.query(`alter table ${table} drop constraint made_to_fail`);
      }
    }
    return rejected;
  });
}

/** Which tables are written to meanwhile. */
async function tablesOf(act: () => Promise<unknown>): Promise<string[]> {
  const { queryLogger } = stage.witness;
  const { logQuery } = queryLogger;
  const tables = new Set<string>();
  queryLogger.logQuery = (query, parameters) => {
    for (const [, name = ''] of query.matchAll(/\b(?:insert into|update) (nest_auth_\w+)/gi)) tables.add(name);
    logQuery(query, parameters);
  };
  try {
    await act();
  } finally {
    queryLogger.logQuery = logQuery;
  }
  return [...tables].filter((name) => !WRITTEN_BY_WORKERS.includes(name));
}

const WRITTEN_BY_WORKERS = ['nest_auth_subscriptions', 'nest_auth_dead_letters', 'nest_auth_job_runs'];

describe('a flow of secrets', () => {
  it.each(FLOWS.map((flow) => [flow.name, flow] as const))(
    '%s is gone through, mistyped, and broken everywhere',
    async (_name, flow) => {
      const { act, wrong = [] } = await flow.prepare(stage);
      const tables = await tablesOf(act);
      expect(tables).toContain('nest_auth_activities');
      for (const call of wrong) expect(isNestAuthError(await failureOf(call))).toBe(true);
      expect(await failAtEachStatement(flow)).toBeGreaterThan(0);
      expect(await refuseEachTable(flow, tables)).toBeGreaterThan(0);
    },
  );

  it.each(['cannot now', 'refuses'] as const)('is gone through while the mail server %s', async (mood) => {
    stage.mood = mood;
    const before = await countRows(stage.url, 'nest_auth_dead_letters');
    for (const { prepare } of FLOWS) await (await prepare(stage)).act();
    const isCaughtUp = async () => (await countRows(stage.url, 'nest_auth_dead_letters')) > before + 5;
    await until('messages that nobody has taken', isCaughtUp);
    stage.mood = 'takes';
  });
});

describe('everything that is encrypted', () => {
  it('gets another key', async () => {
    const { rotated, unreadable, isComplete } = await rotate(stage);
    expect({ unreadable, isComplete }).toEqual({ unreadable: 0, isComplete: true });
    expect(rotated).toBeGreaterThan(0);
  });
});

describe('what was written down', () => {
  it('SEC-20, SEC-49, SEC-52, SEC-86, SEC-92 has no password, token, code, seed or key in any form', async () => {
    expect(leaksIn(await everythingWritten())).toEqual([]);
  });

  it('was looked at everywhere, for secrets of every kind', async () => {
    const { canaries } = stage;
    const missing = KINDS.filter((kind) => (canaries.counts.get(kind) ?? 0) < AT_LEAST[kind]);
    expect(missing).toEqual([]);
    const places = (await everythingWritten()).filter(({ text }) => text !== '').map(({ where }) => where);
    expect(places).toEqual(expect.arrayContaining(PLACES));
  });

  // Last: from here on there are secrets everywhere.
  it('would show each of them, however and wherever it is written', async () => {
    const forms = KINDS.flatMap((kind) => stage.canaries.formsOf(kind).map(({ name, text }) => ({ kind, name, text })));
    for (const { plant } of PLANTS) for (const { text } of forms) await plant(`(${text})`);
    const found = new Set(leaksIn(await everythingWritten()).map(keyOf));
    const expected = PLANTS.flatMap(({ where, only }) =>
      forms
        .filter(({ name }) => only === undefined || name === only)
        .map(({ kind, name: form }) => keyOf({ kind, form, where })),
    );
    expect(expected.length).toBeGreaterThan(KINDS.length * PLANTS.length);
    expect(expected.filter((key) => !found.has(key))).toEqual([]);
  });
});

const keyOf = ({ kind, form, where }: Omit<Leak, 'before'>): string => [kind, form, where].join(' ');

/** How many there are of each kind at least, when nothing was forgotten. */
const AT_LEAST: Readonly<Record<SecretKind, number>> = {
  password: FLOWS.length,
  'access token': 10,
  'refresh token': 10,
  'challenge token': 10,
  'device token': 2,
  'invitation token': 20,
  'email verification token': 10,
  'email change token': 10,
  'password reset token': 10,
  'sent code': 20,
  'TOTP seed': 20,
  // In half a minute there is one code of a seed.
  'TOTP code': 10,
  'recovery code': 100,
  'API key': 10,
  'key of the application': 3,
  mistyped: FLOWS.length,
};
const KINDS = Object.keys(AT_LEAST) as SecretKind[];

const PLACES = [
  'table public.nest_auth_dead_letters',
  'table public.nest_auth_subscriptions',
  'table public.nest_auth_one_time_tokens',
  'table public.nest_auth_invitations',
  'table public.nest_auth_second_factors',
  'table public.nest_auth_sessions',
  'table public.nest_auth_api_keys',
  'query log',
  'durable event',
  'thrown error',
  'Nest logger, error',
  'Nest logger, warn',
  'event nest_auth.invitation.sent',
  'event nest_auth.user.login_failed',
  'telemetry',
];

interface Plant {
  readonly where: string;
  /** In which form it arrives there, if not as it is. */
  readonly only?: string;
  readonly plant: (text: string) => unknown;
}

/** Writes something down, in each way in which that can be done by mistake. */
const PLANTS: readonly Plant[] = [
  { where: 'table public.planted', plant: (text) => plantRow('planted', 'text', text) },
  {
    where: 'table public.planted_bytes',
    only: 'hex',
    plant: (text) => plantRow('planted_bytes', 'bytea', Buffer.from(text)),
  },
  { where: 'Nest logger, error', plant: (text) => new Logger('Planted').error('failed', { deep: { inside: [text] } }) },
  { where: 'console.warn', plant: (text) => console.warn(text) },
  { where: 'stderr', plant: (text) => process.stderr.write(text) },
  {
    where: 'thrown error',
    plant: (text) => {
      const cause = Object.assign(new Error('below'), { sent: [text] });
      return failureOf(() => Promise.reject(new Error('failed', { cause })));
    },
  },
  { where: 'query log', plant: (text) => stage.app.dataSource.query('select $1::text', [text]) },
  {
    where: 'event planted',
    plant: (text) => stage.app.context.get(EventEmitter2).emit('planted', { name: 'planted', input: { text } }),
  },
  {
    where: 'telemetry',
    plant: (text) => stage.recorder.tracer.startSpan('planted', { attributes: { text } }).end(),
  },
];

function plantRow(table: string, type: string, value: unknown): Promise<unknown> {
  return withClient(stage.url, async (client) => {
    await client.query(`create table if not exists ${table} (planted ${type})`);
    await client.query(`insert into ${table} values ($1)`, [value]);
  });
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { createTestDatabase, withClient } from '../../support/database.js';
import { until } from '../../support/until.js';

jest.setTimeout(120_000);

const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

async function database(): Promise<string> {
  const { url, drop } = await createTestDatabase();
  open.push(drop);
  await withClient(url, (client) => client.query('create table got (event uuid, pid integer)'));
  return url;
}

/** Starts test/support/feed-process.ts; resolves with the signal or code it ends with. */
function startProcess(url: string, ...args: string[]): { pid: number; ended: Promise<unknown> } {
  const child = spawn(
    process.execPath,
    ['--import', './test/support/typescript.mjs', 'test/support/feed-process.ts', url, ...args],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = once(child, 'close').then(([code, signal]: unknown[]) => signal ?? code);
  open.push(() => {
    child.kill('SIGKILL');
    return ended;
  });
  return { pid: child.pid ?? 0, ended };
}

interface Got {
  readonly event: string;
  readonly pid: number;
}

function got(url: string): Promise<Got[]> {
  return withClient(url, async (client) => (await client.query<Got>('select event, pid from got')).rows);
}

interface Subscription {
  readonly lease_until: Date | null;
  readonly delivered_at: Date | null;
}

function subscription(url: string): Promise<Subscription> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<Subscription>('select lease_until, delivered_at from nest_auth_subscriptions');
    return rows[0] as Subscription;
  });
}

describe('a process that is killed', () => {
  it('between COMMIT and delivery loses no event: another process delivers it (F16)', async () => {
    const url = await database();
    const first = startProcess(url, 'after-commit', 'f16@example.com');
    expect(await first.ended).toBe('SIGKILL');
    expect(await got(url)).toEqual([]);
    const second = startProcess(url, 'never');
    await until('the event', async () => (await got(url)).length > 0);
    expect(await got(url)).toEqual([{ event: expect.any(String), pid: second.pid }]);
  });

  it('between its work and moving on is delivered to again, with the same event id (F17)', async () => {
    const url = await database();
    const first = startProcess(url, 'after-handler', 'f17@example.com');
    expect(await first.ended).toBe('SIGKILL');
    expect(await got(url)).toHaveLength(1);
    const second = startProcess(url, 'never');
    await until('the event again', async () => (await got(url)).length > 1);
    // Once moved on, it stays so: it has the lease twice more, and looks at the log meanwhile.
    await until('the move', async () => (await subscription(url)).delivered_at !== null);
    const leases = new Set<number>();
    await until('two more leases', async () => {
      leases.add((await subscription(url)).lease_until?.getTime() ?? 0);
      return leases.size > 2;
    });
    const both = await got(url);
    expect(both.map(({ pid }) => pid)).toEqual([first.pid, second.pid]);
    expect(new Set(both.map(({ event }) => event)).size).toBe(1);
  });
});

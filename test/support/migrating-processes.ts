import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** `migrate()` of the package, or TypeORM's own `runMigrations`, each migration in its transaction. */
export type Way = 'migrate' | 'each';

export interface MigratingProcess {
  /** Lets it begin. */
  go(): void;
  /** The migrations it ran; rejects with its standard error when it fails. */
  readonly ran: Promise<string[]>;
  kill(): void;
}

/** Starts a process that has connected and waits to be told to migrate. */
export async function startMigratingProcess(url: string, way: Way): Promise<MigratingProcess> {
  const args = ['--import', './test/support/typescript.mjs', 'test/support/migrating-process.ts', url, way];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const said: string[] = [];
  let errors = '';
  child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  child.stdin.on('error', () => undefined);
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const isReady = new Promise<void>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      said.push(line);
      if (line === 'ready') resolve();
    });
  });
  const ran = ended.then((code) => {
    const result = said.find((line) => line.startsWith('ran'));
    if (code !== 0 || result === undefined) throw new Error(`the process ended with ${String(code)}: ${errors}`);
    return result.split(' ').filter((word) => word !== 'ran' && word !== '');
  });
  ran.catch(() => undefined);
  await Promise.race([isReady, ran]);
  return { go: () => child.stdin.write('go\n'), ran, kill: () => child.kill('SIGKILL') };
}

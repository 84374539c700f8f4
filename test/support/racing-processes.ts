import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A process of test/support that waits to be told to begin. */
export interface RacingProcess {
  readonly child: ChildProcess;
  /** The next line that it says. */
  line(): Promise<string>;
  readonly ready: Promise<void>;
  go(): void;
}

/** Starts `test/support/<name>-process.ts`; what is no text is handed over as JSON. */
export function startRacingProcess(name: string, ...args: unknown[]): RacingProcess {
  const path = `test/support/${name}-process.ts`;
  const texts = args.map((arg) => (typeof arg === 'string' ? arg : JSON.stringify(arg)));
  const child = spawn(process.execPath, ['--import', './test/support/typescript.mjs', path, ...texts], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async (): Promise<string> =>
    ((await lines.next()).value as string | undefined) ?? 'the process has ended';
  const ready = line().then((first) => {
    if (first !== 'ready') throw new Error(`the process of ${path} said: ${first}`);
  });
  return { child, line, ready, go: () => void child.stdin.write('go\n') };
}

/** Lets all of them begin at once when the last one is ready; answers what each of them said. */
export async function race<T>(processes: readonly RacingProcess[]): Promise<T[]> {
  await Promise.all(processes.map(({ ready }) => ready));
  for (const { go } of processes) go();
  return Promise.all(processes.map(async ({ line }) => JSON.parse(await line()) as T));
}

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import type { NestAuthModuleOptions, SessionKey } from '../../src/index.js';

/** What another process is asked for until it refuses it. */
export interface Watched {
  readonly userId: string;
  readonly tenantId: string;
  readonly permission?: string;
  readonly token?: string;
}

export interface OtherProcess {
  /**
   * Has the other process allow it, runs `take`, and answers how many milliseconds after `take` had resolved the other
   * one refused; 0 when it was before.
   */
  refusesAfter(watched: Watched, take: () => Promise<unknown>): Promise<number>;
  stop(): void;
}

/** Another process of the deployment. */
export async function startOther(
  url: string,
  keys: readonly SessionKey[],
  revocation: NonNullable<NestAuthModuleOptions['revocation']>,
): Promise<OtherProcess> {
  const path = 'test/support/revocation-process.ts';
  const child: ChildProcess = spawn(
    process.execPath,
    ['--import', './test/support/typescript.mjs', path, url, JSON.stringify(keys), JSON.stringify(revocation)],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const next = async (): Promise<string> =>
    ((await lines.next()).value as string | undefined) ?? 'the process has ended';
  const expectLine = async (wanted: string): Promise<void> => {
    const line = await next();
    if (line !== wanted) throw new Error(`the other process said: ${line}`);
  };
  await expectLine('ready');
  return {
    refusesAfter: async (watched, take) => {
      child.stdin?.write(`${JSON.stringify(watched)}\n`);
      await expectLine('allowed');
      await take();
      const taken = performance.timeOrigin + performance.now();
      const [said, at] = (await next()).split(' ');
      if (said !== 'refused') throw new Error(`the other process said: ${said}`);
      return Math.max(0, Math.round((Number(at) - taken) * 10) / 10);
    },
    stop: () => void child.kill(),
  };
}

import type { NestAuthModuleOptions, SessionKey } from '../../src/index.js';
import { startRacingProcess } from './racing-processes.js';

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
  const { child, line: next, ready } = startRacingProcess('revocation', url, keys, revocation);
  const expectLine = async (wanted: string): Promise<void> => {
    const line = await next();
    if (line !== wanted) throw new Error(`the other process said: ${line}`);
  };
  await ready;
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

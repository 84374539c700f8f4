import { setTimeout as sleep } from 'node:timers/promises';

/** Only says that something will never come; a busy machine may take long. */
const PATIENCE_MS = 100_000;
const LOOK_MS = 20;

/** Waits for a condition. Give the test more time than this: `jest.setTimeout(120_000)`. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`never came: ${what}`);
    await sleep(LOOK_MS);
  }
}

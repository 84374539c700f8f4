import { until } from '../../support/until.js';

/** Waits for a refusal; answers how many milliseconds that took. */
export async function untilRefused(isAllowed: () => Promise<boolean>): Promise<number> {
  const started = performance.now();
  await until('the refusal', async () => !(await isAllowed()));
  return Math.round(performance.now() - started);
}

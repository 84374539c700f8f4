import { describe, expect, it, jest } from '@jest/globals';

import { freshEmail, useNestApp } from '../../support/nest-app.js';
import { AUTH, recovery, somebody } from './fixture.js';

jest.setTimeout(180_000);

const app = useNestApp({ auth: AUTH });

/** How often a value of the one is above one of the other: a half when nothing tells them apart (Mann and Whitney). */
function chanceOfMore(one: readonly number[], other: readonly number[]): number {
  let above = 0;
  for (const a of one) for (const b of other) above += a > b ? 1 : a === b ? 0.5 : 0;
  return above / (one.length * other.length);
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

describe('SEC-08: the time that asking for a reset takes', () => {
  it('does not tell whether anybody has the email: 300 calls each', async () => {
    const { email: known } = await somebody(app);
    const inactive = await somebody(app);
    await app.users.updateUserStatus(inactive.id, false);
    const took: Record<string, number[]> = { known: [], unknown: [], inactive: [] };
    const emails: Record<string, () => string> = {
      known: () => known,
      unknown: freshEmail,
      inactive: () => inactive.email,
    };
    // The first rounds prepare statements and fill caches.
    for (let round = -20; round < 300; round += 1) {
      for (const [kind, email] of Object.entries(emails)) {
        const input = { email: email() };
        const begun = performance.now();
        await recovery(app).requestPasswordReset(input);
        if (round >= 0) took[kind]?.push(performance.now() - begun);
      }
    }
    const { known: base = [], ...others } = took;
    const lines = Object.entries(others).map(([kind, values]) => ({
      kind,
      ratio: median(values) / median(base),
      chance: chanceOfMore(values, base),
    }));
    console.info(
      `SEC-08: known ${median(base).toFixed(2)} ms; ${lines.map((one) => `${one.kind}: median × ${one.ratio.toFixed(3)}, slower in ${(one.chance * 100).toFixed(0)} %`).join('; ')}`,
    );
    for (const { ratio, chance } of lines) {
      expect(chance).toBeGreaterThan(0.1);
      expect(chance).toBeLessThan(0.9);
      expect(ratio).toBeGreaterThan(0.67);
      expect(ratio).toBeLessThan(1.5);
    }
  });
});

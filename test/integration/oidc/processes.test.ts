import { describe, expect, it, jest } from '@jest/globals';

import type { ExternalAnswer } from '../../../src/index.js';
import { freshEmail, times, useNestApp } from '../../support/nest-app.js';
import { paperCallback, paperProvider, somebodyElsewhere } from '../../support/paper-provider.js';
import { race, startRacingProcess } from '../../support/racing-processes.js';
import { query } from '../session/fixture.js';
import { byProviders, external, keys } from './fixture.js';

jest.setTimeout(120_000);

const app = useNestApp({ auth: byProviders([paperProvider('trusted', { signUp: true, trustsEmail: true })]) });

interface Outcome {
  readonly userId?: string;
  readonly account?: string;
  readonly code?: string;
}

/** So many browsers of one person, back from the provider. */
async function browsers(count: number, about: Parameters<typeof somebodyElsewhere>[1]): Promise<ExternalAnswer[]> {
  const who = somebodyElsewhere('of several processes', about);
  return Promise.all(
    times(count, async () => {
      const flow = await external(app).beginSignIn('trusted');
      return { provider: 'trusted', url: paperCallback(flow, who), flowToken: flow.flowToken };
    }),
  );
}

async function raceOf(each: readonly (readonly ExternalAnswer[])[]): Promise<Outcome[]> {
  return (await race<Outcome[]>(each.map((answers) => startRacingProcess('external', app.url, keys, answers)))).flat();
}

describe('three processes', () => {
  it('make one user of twenty-one first sign-ins of one account, and let all of them in', async () => {
    const answers = await browsers(21, { email: freshEmail(), emailVerified: true });
    const outcomes = await raceOf([answers.slice(0, 7), answers.slice(7, 14), answers.slice(14)]);
    expect(outcomes.filter(({ code }) => code !== undefined)).toEqual([]);
    expect(new Set(outcomes.map(({ userId }) => userId)).size).toBe(1);
    expect(outcomes.filter(({ account }) => account === 'created')).toHaveLength(1);
    expect(await query(app.url, `select 1 from nest_auth_identities where provider = 'trusted'`)).toHaveLength(1);
    expect(await query(app.url, 'select 1 from nest_auth_sessions')).toHaveLength(21);
  });

  it('let one browser in once', async () => {
    const [answer] = await browsers(1, {});
    const same = times(10, () => answer as ExternalAnswer);
    const outcomes = await raceOf([same, same, same]);
    expect(outcomes.filter(({ userId }) => userId !== undefined)).toHaveLength(1);
    expect(new Set(outcomes.flatMap(({ code }) => code ?? []))).toEqual(new Set(['EXTERNAL_SIGN_IN_INVALID']));
  });
});

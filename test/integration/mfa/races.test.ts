import { describe, expect, it } from '@jest/globals';

import type { CompleteSignInInput, SecondFactorProof } from '../../../src/index.js';
import { outcomesOf, times, useNestApp } from '../../support/nest-app.js';
import { race, startRacingProcess } from '../../support/racing-processes.js';
import type { SecondFactorOrder } from '../../support/second-factor-process.js';
import { keys, PASSWORD, person, query, sessions } from '../session/fixture.js';
import { challenged, codeOf, type Enrolled, enrolled, MFA, SECRETS, twoFactor, wrong } from './fixture.js';

const app = useNestApp({ auth: MFA });

/** The work spread over three processes, which begin it all at once. */
async function inThreeProcesses(orders: readonly Partial<SecondFactorOrder>[]): Promise<Record<string, number>> {
  const processes = orders.map((order) =>
    startRacingProcess('second-factor', { url: app.url, keys, secrets: SECRETS, ...order } satisfies SecondFactorOrder),
  );
  const codes = (await race<string[]>(processes)).flat();
  return Object.fromEntries([...new Set(codes)].map((code) => [code, codes.filter((one) => one === code).length]));
}

const thirds = <T>(all: readonly T[]): T[][] =>
  [0, 1, 2].map((which) => all.filter((_one, index) => index % 3 === which));

/** A challenge each. */
async function challenges(user: Enrolled, count: number): Promise<string[]> {
  const made = await Promise.all(times(count, () => challenged(app, user)));
  return made.map(({ token }) => token);
}

describe('in three processes at once', () => {
  it('SEC-22, SEC-48: one code is taken once of twenty times, and opens one session', async () => {
    const user = await enrolled(app);
    const tokens = await challenges(user, 20);
    const code = await codeOf(app, user.secret);
    const answers = tokens.map((challengeToken): CompleteSignInInput => ({ challengeToken, code }));
    expect(await inThreeProcesses(thirds(answers).map((some) => ({ answers: some })))).toEqual({
      done: 1,
      SECOND_FACTOR_INVALID: 19,
    });
    expect(await sessions(app).getSessions(user.id)).toHaveLength(1);
  }, 60_000);

  it('SEC-22, SEC-50: one recovery code is taken once of thirty times, and the others are left', async () => {
    const user = await enrolled(app);
    const tokens = await challenges(user, 30);
    const [recoveryCode] = user.recoveryCodes;
    const answers = tokens.map((challengeToken): CompleteSignInInput => ({ challengeToken, recoveryCode }));
    expect(await inThreeProcesses(thirds(answers).map((some) => ({ answers: some })))).toEqual({
      done: 1,
      SECOND_FACTOR_INVALID: 29,
    });
    expect(await sessions(app).getSessions(user.id)).toHaveLength(1);
    expect((await twoFactor(app).listSecondFactors(user.id)).recoveryCodesLeft).toBe(9);
  }, 60_000);

  it('SEC-22, SEC-51: one challenge opens one session, whatever it is answered with', async () => {
    const user = await enrolled(app);
    const [challengeToken = ''] = await challenges(user, 1);
    // So that it is not the number of answers that keeps the others out.
    await query(app.url, 'update nest_auth_second_factor_challenges set attempts = -10 where user_id = $1', [user.id]);
    const code = await codeOf(app, user.secret);
    const answers: CompleteSignInInput[] = [
      ...times(5, () => ({ challengeToken, code })),
      ...user.recoveryCodes.map((recoveryCode) => ({ challengeToken, recoveryCode })),
    ];
    expect(await inThreeProcesses(thirds(answers).map((some) => ({ answers: some })))).toEqual({
      done: 1,
      SECOND_FACTOR_INVALID: 14,
    });
    expect(await sessions(app).getSessions(user.id)).toHaveLength(1);
  }, 60_000);

  it('SEC-51: a challenge takes five answers, however many come at once', async () => {
    const user = await enrolled(app);
    const [challengeToken = ''] = await challenges(user, 1);
    const code = wrong(await codeOf(app, user.secret));
    const answers = times(30, (): CompleteSignInInput => ({ challengeToken, code }));
    expect(await inThreeProcesses(thirds(answers).map((some) => ({ answers: some })))).toEqual({
      SECOND_FACTOR_INVALID: 30,
    });
    const rows = await query(
      app.url,
      `select c.attempts, t.failures from nest_auth_second_factor_challenges c
        join nest_auth_second_factor_states t on t.user_id = c.user_id where c.user_id = $1`,
      [user.id],
    );
    expect(rows).toEqual([{ attempts: 5, failures: 5 }]);
    const right = await codeOf(app, user.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code: right })).rejects.toMatchObject({
      code: 'SECOND_FACTOR_INVALID',
    });
  }, 60_000);

  it('SEC-09: no more than twenty wrong codes of a user are looked at, over however many challenges', async () => {
    const user = await enrolled(app);
    const tokens = await challenges(user, 40);
    const code = wrong(await codeOf(app, user.secret));
    const answers = tokens.map((challengeToken): CompleteSignInInput => ({ challengeToken, code }));
    await inThreeProcesses(thirds(answers).map((some) => ({ answers: some })));
    const reasons = await query<{ reason: string; count: number }>(
      app.url,
      `select details ->> 'reason' as reason, count(*)::integer as count from nest_auth_activities
        where user_id = $1 and type = 'nest_auth.user.login_failed' group by 1 order by 1`,
      [user.id],
    );
    expect(reasons).toEqual([
      { reason: 'second_factor_locked', count: 20 },
      { reason: 'wrong_second_factor', count: 20 },
    ]);
    // What was made before is no way around, and neither is another one.
    const { token: challengeToken } = await challenged(app, user);
    const right = await codeOf(app, user.secret);
    await expect(twoFactor(app).completeSignIn({ challengeToken, code: right })).rejects.toMatchObject({
      code: 'SECOND_FACTOR_INVALID',
    });
  }, 60_000);

  it('SEC-22, SEC-49: a setup is confirmed once, and the recovery codes are those that were answered', async () => {
    const { id } = await person(app);
    const { secret } = await twoFactor(app).enableTwoFactor(id, { currentPassword: PASSWORD });
    const setup = { userId: id, code: await codeOf(app, secret), times: 7 };
    const codes = await inThreeProcesses([{ setup }, { setup }, { setup }]);
    expect(codes['done']).toBe(1);
    const enabled = await query(
      app.url,
      `select 1 from nest_auth_activities where user_id = $1 and type = 'nest_auth.second_factor.enabled'`,
      [id],
    );
    expect(enabled).toHaveLength(1);
  }, 60_000);

  it('signing in, giving the factor up and deleting the user do not wait for one another in a circle', async () => {
    const users: Enrolled[] = [];
    for (let count = 0; count < 6; count += 1) users.push(await enrolled(app));
    const orders = times(3, () => ({
      answers: [] as CompleteSignInInput[],
      disable: [] as { userId: string; proof: SecondFactorProof }[],
    }));
    for (const user of users) {
      const tokens = await challenges(user, 12);
      const code = await codeOf(app, user.secret);
      tokens.forEach((challengeToken, index) => {
        const recoveryCode = user.recoveryCodes[index % 5] as string;
        const answer = index % 3 === 0 ? { challengeToken, code } : { challengeToken, recoveryCode };
        orders[index % 3]?.answers.push(answer);
      });
      orders.forEach(({ disable }, index) => {
        const proof = index === 0 ? { code } : { recoveryCode: user.recoveryCodes[5 + index] as string };
        disable.push({ userId: user.id, proof });
      });
    }
    const deleting = users.slice(0, 3).map(({ id }) => id);
    const [codes, deleted] = await Promise.all([
      inThreeProcesses(orders),
      outcomesOf(deleting.map((id) => app.users.deleteUser(id))),
    ]);
    expect(Object.keys(codes).filter((code) => !EXPECTED.includes(code))).toEqual([]);
    expect(deleted.errors).toEqual([]);
  }, 60_000);
});

const EXPECTED = ['done', 'SECOND_FACTOR_INVALID', 'SECOND_FACTOR_NOT_ENABLED', 'USER_NOT_FOUND'];

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { describe, expect, it, jest } from '@jest/globals';

import { times, useNestApp } from '../../support/nest-app.js';
import { invite, INVITING, query, rolesIn, SECRET_KEYS, verified } from './fixture.js';

jest.setTimeout(120_000);

const app = useNestApp({ auth: INVITING });

type Call = { readonly token: string } | { readonly email: string; readonly tenantId: string };

interface Outcome {
  readonly userId?: string;
  readonly isNewUser?: boolean;
  readonly invitationId?: string;
  readonly code?: string;
}

function startProcess(calls: readonly Call[]) {
  const args = ['--import', './test/support/typescript.mjs', 'test/support/invitation-process.ts'];
  const child = spawn(process.execPath, [...args, app.url, JSON.stringify(SECRET_KEYS), JSON.stringify(calls)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const ready = lines.next();
  const outcomes = ready.then(async () => JSON.parse((await lines.next()).value as string) as Outcome[]);
  return { ready, outcomes, go: () => child.stdin.write('go\n') };
}

/** The same calls in three processes at once. */
async function race(calls: readonly Call[]): Promise<Outcome[]> {
  const processes = times(3, () => startProcess(calls));
  await Promise.all(processes.map(({ ready }) => ready));
  for (const { go } of processes) go();
  return (await Promise.all(processes.map(({ outcomes }) => outcomes))).flat();
}

const codesOf = (outcomes: readonly Outcome[]) => new Set(outcomes.flatMap(({ code }) => code ?? []));

describe('SEC-22 three processes', () => {
  it('make one user, one membership and one row of the host of twenty-one who accept at once, and of a second person too', async () => {
    const { tenantId, member } = app.seed;
    const known = await verified(app);
    const [toNew, toKnown] = [await invite(app), await invite(app, { email: known.email })];
    const outcomes = await race([
      ...times(7, () => ({ token: toNew.token })),
      ...times(7, () => ({ token: toKnown.token })),
    ]);
    const won = outcomes.filter(({ userId }) => userId !== undefined);
    expect(won).toHaveLength(2);
    expect(outcomes).toHaveLength(42);
    expect(codesOf(outcomes)).toEqual(new Set(['INVITATION_INVALID']));
    const made = won.find(({ isNewUser }) => isNewUser)?.userId as string;
    expect(won.find(({ isNewUser }) => isNewUser === false)?.userId).toBe(known.id);
    expect(await query(app.url, 'select id from nest_auth_users where email = $1', [toNew.email])).toEqual([
      { id: made },
    ]);
    expect(await query(app.url, 'select auth_user_id from app_users')).toEqual([{ auth_user_id: made }]);
    for (const userId of [made, known.id]) {
      expect(await rolesIn(app, userId, tenantId)).toEqual([member]);
      const accesses = await query(app.url, 'select 1 from nest_auth_user_accesses where user_id = $1', [userId]);
      expect(accesses).toHaveLength(1);
      const told = await query(
        app.url,
        `select 1 from nest_auth_activities where user_id = $1 and type = 'nest_auth.invitation.accepted'`,
        [userId],
      );
      expect(told).toHaveLength(1);
    }
  });

  it('send one invitation of twenty-one to one address', async () => {
    const { tenantId } = app.seed;
    const outcomes = await race(times(7, () => ({ email: 'one@example.com', tenantId })));
    expect(outcomes.filter(({ invitationId }) => invitationId !== undefined)).toHaveLength(1);
    expect(codesOf(outcomes)).toEqual(new Set(['INVITATION_ALREADY_PENDING']));
  });
});

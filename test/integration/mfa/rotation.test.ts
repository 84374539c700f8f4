import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { type RotateSecretsResult, type SecretKey, SecretRotationService } from '../../../src/index.js';
import { LOCK_WAITS, withClient } from '../../support/database.js';
import { eventually } from '../../support/identity-fixture.js';
import { type NestApp, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { race, startRacingProcess } from '../../support/racing-processes.js';
import { PASSWORD, person, query } from '../session/fixture.js';
import { challenged, codeOf, type Enrolled, enrolled, forgetSteps, MFA, SECRETS, twoFactor } from './fixture.js';

jest.setTimeout(120_000);

const [OLD] = SECRETS.keys as [SecretKey];
const NEW: SecretKey = { id: 'k2', secret: 'the second key of the tests of mfa' };

/** As before the key was replaced. */
const app = useNestApp({ auth: MFA });
const open: NestApp[] = [];

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
beforeEach(() => query(app.url, 'delete from nest_auth_second_factors'));

/** The same deployment with other keys. */
async function withKeys(...keys: SecretKey[]): Promise<NestApp & { readonly url: string }> {
  const started = await startNestApp(app.url, { auth: { ...MFA, secrets: { keys } }, pool: 5 });
  open.push(started);
  return { ...started, url: app.url };
}

const rotation = ({ context }: NestApp): SecretRotationService => context.get(SecretRotationService);

async function keyIds(): Promise<Record<string, number>> {
  const rows = await query<{ key_id: string; count: number }>(
    app.url,
    `select key_id, count(*)::integer as count from nest_auth_second_factors where kind = 'totp' group by key_id`,
  );
  return Object.fromEntries(rows.map(({ key_id: id, count }) => [id, count]));
}

async function showsCode(on: NestApp & { readonly url: string }, user: Enrolled): Promise<string> {
  await forgetSteps(app.url, user.id);
  const { token: challengeToken } = await challenged(on, user);
  const code = await codeOf(on, user.secret);
  return (await twoFactor(on).completeSignIn({ challengeToken, code })).userId;
}

describe('SEC-49: the key of what is encrypted', () => {
  it('is replaced by a newer one, chunk by chunk, and is needed no more then', async () => {
    const people = await Promise.all(times(5, () => enrolled(app)));
    const both = await withKeys(NEW, OLD);
    const told: unknown[] = [];
    const result = await rotation(both).rotateSecrets({ chunkSize: 2, onProgress: (counts) => void told.push(counts) });
    expect(result).toEqual({ rotated: 5, unreadable: 0, isComplete: true });
    expect(told).toEqual([2, 4, 5].map((rotated) => ({ rotated, unreadable: 0 })));
    expect(await keyIds()).toEqual({ k2: 5 });
    expect(await rotation(both).rotateSecrets()).toEqual({ rotated: 0, unreadable: 0, isComplete: true });
    const without = await withKeys(NEW);
    for (const user of people) expect(await showsCode(without, user)).toBe(user.id);
  });

  it('that is taken away too early is named, and nobody comes in by half', async () => {
    const user = await enrolled(app);
    const without = await withKeys(NEW);
    await expect(showsCode(without, user)).rejects.toMatchObject({ code: 'SECRET_UNREADABLE' });
    const result = await rotation(without).rotateSecrets();
    expect(result).toEqual({ rotated: 0, unreadable: 1, isComplete: true });
    expect(await keyIds()).toEqual({ k1: 1 });
    // Put back, it is as if nothing had happened.
    expect(await showsCode(await withKeys(NEW, OLD), user)).toBe(user.id);
  });

  it('is not replaced at all where whoever is to be told of it cannot be', async () => {
    await enrolled(app);
    const both = await withKeys(NEW, OLD);
    const onProgress = 'console.log' as never;
    await expect(rotation(both).rotateSecrets({ onProgress })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    expect(await keyIds()).toEqual({ k1: 1 });
  });

  it('leaves a seed that waits for its first code as good as it was', async () => {
    const { id } = await person(app);
    const { secret } = await twoFactor(app).enableTwoFactor(id, { currentPassword: PASSWORD });
    const both = await withKeys(NEW, OLD);
    expect(await rotation(both).rotateSecrets()).toEqual({ rotated: 1, unreadable: 0, isComplete: true });
    await twoFactor(both).verifyTwoFactorSetup(id, await codeOf(both, secret));
    expect((await twoFactor(both).listSecondFactors(id)).factors).toMatchObject([{ kind: 'totp' }]);
  });

  it('is understood behind the one that encrypts, so that processes may be replaced one after another', async () => {
    const ahead = await withKeys(NEW, OLD);
    const user = await enrolled(ahead);
    expect(await keyIds()).toEqual({ k2: 1 });
    expect(await showsCode(await withKeys(OLD, NEW), user)).toBe(user.id);
    await expect(showsCode(app, user)).rejects.toMatchObject({ code: 'SECRET_UNREADABLE' });
  });

  it('is not replaced by a rehearsal, which counts', async () => {
    await Promise.all(times(3, () => enrolled(app)));
    const both = await withKeys(NEW, OLD);
    const before = await query(app.url, 'select * from nest_auth_second_factors order by user_id');
    const rehearsal = await rotation(both).rotateSecrets({ dryRun: true, chunkSize: 2 });
    expect(rehearsal).toEqual({ rotated: 3, unreadable: 0, isComplete: true });
    expect(await query(app.url, 'select * from nest_auth_second_factors order by user_id')).toEqual(before);
  });

  it('is replaced to the end by the next run, when one was stopped', async () => {
    await Promise.all(times(5, () => enrolled(app)));
    const both = await withKeys(NEW, OLD);
    const stop = new AbortController();
    const first = await rotation(both).rotateSecrets({
      chunkSize: 2,
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    expect(first).toEqual({ rotated: 2, unreadable: 0, isComplete: false });
    expect(await keyIds()).toEqual({ k1: 3, k2: 2 });
    expect(await rotation(both).rotateSecrets({ chunkSize: 2 })).toMatchObject({ rotated: 3, isComplete: true });
  });

  it('is not replaced where what it has encrypted was changed, or is somebody else’s; the others are', async () => {
    const [changed, moved, other] = [await enrolled(app), await enrolled(app), await enrolled(app)];
    await query(
      app.url,
      `update nest_auth_second_factors set sealed = set_byte(sealed, 30, get_byte(sealed, 30) # 1) where user_id = $1`,
      [changed.id],
    );
    await query(
      app.url,
      `update nest_auth_second_factors set sealed = (select sealed from nest_auth_second_factors where user_id = $2)
       where user_id = $1`,
      [moved.id, other.id],
    );
    const both = await withKeys(NEW, OLD);
    expect(await rotation(both).rotateSecrets()).toEqual({ rotated: 1, unreadable: 2, isComplete: true });
    expect(await showsCode(both, other)).toBe(other.id);
    await expect(showsCode(both, moved)).rejects.toMatchObject({ code: 'SECRET_UNREADABLE' });
  });

  it('loses nothing that somebody changes at that moment', async () => {
    const [user, other] = [await enrolled(app), await enrolled(app)];
    const both = await withKeys(NEW, OLD);
    const [mine] = await query<{ sealed: Buffer }>(
      app.url,
      'select sealed from nest_auth_second_factors where user_id = $1',
      [user.id],
    );
    const running = await withClient(app.url, async (client) => {
      await client.query('begin');
      await client.query(
        `update nest_auth_second_factors set sealed = 'of another authenticator', last_step = 7 where user_id = $1`,
        [user.id],
      );
      const rotating = rotation(both).rotateSecrets();
      await eventually(async () => (await query(app.url, LOCK_WAITS)).length > 0);
      await client.query('commit');
      return { rotating };
    });
    expect(await running.rotating).toEqual({ rotated: 1, unreadable: 0, isComplete: true });
    const [left] = await query<{ sealed: Buffer; key_id: string; last_step: string }>(
      app.url,
      'select sealed, key_id, last_step from nest_auth_second_factors where user_id = $1',
      [user.id],
    );
    expect(left).toEqual({ sealed: Buffer.from('of another authenticator'), key_id: 'k1', last_step: '7' });
    expect(left?.sealed).not.toEqual(mine?.sealed);
    expect(await showsCode(both, other)).toBe(other.id);
  });

  it('is replaced by two processes at once, while people sign in', async () => {
    const people = await Promise.all(times(12, () => enrolled(app)));
    const both = await withKeys(NEW, OLD);
    const processes = times(2, () => startRacingProcess('rotation', app.url, [NEW, OLD]));
    await Promise.all(processes.map(({ ready }) => ready));
    const signingIn = Promise.all(
      people.map(async (user) => {
        const { token: challengeToken } = await challenged(both, user);
        const code = await codeOf(both, user.secret);
        return (await twoFactor(both).completeSignIn({ challengeToken, code })).userId;
      }),
    );
    const results = await race<RotateSecretsResult>(processes);
    expect(await signingIn).toEqual(people.map(({ id }) => id));
    expect(results.map(({ isComplete, unreadable }) => [isComplete, unreadable])).toEqual([
      [true, 0],
      [true, 0],
    ]);
    expect(results.reduce((sum, { rotated }) => sum + rotated, 0)).toBe(12);
    expect(await keyIds()).toEqual({ k2: 12 });
    // The step of each sign-in is still the last one: no code can be shown twice.
    const steps = await query(app.url, 'select 1 from nest_auth_second_factors where last_step > 0');
    expect(steps).toHaveLength(12);
  });

  it.each([{ chunkSize: 0 }, { chunkSize: 1_001 }, { chunkSize: 1.5 }, { dryRun: 1 }, { force: true }])(
    'is not replaced by %p',
    async (options) => {
      await expect(rotation(app).rotateSecrets(options as object)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    },
  );
});

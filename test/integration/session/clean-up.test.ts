import { describe, expect, it } from '@jest/globals';
import { ScheduleModule } from '@nestjs/schedule';

import { NestAuthModule, RateLimitService } from '../../../src/index.js';
import { NestAuthScheduleModule, NestAuthScheduler } from '../../../src/schedule/index.js';
import { startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { countRows } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';
import { age, ageTokens, auth, AUTH, PASSWORD, person, query, sessions, signedIn } from './fixture.js';

const app = useNestApp({ auth: { ...AUTH, rateLimits: { store: 'postgres' } } });
const DAY = 1_440;

const idsOf = async (userId: string): Promise<string[]> =>
  (
    await query<{ id: string }>(app.url, 'select id from nest_auth_sessions where user_id = $1 order by id', [userId])
  ).map(({ id }) => id);

describe('the clean-up', () => {
  it('takes sessions that ended more than a month ago, with their tokens, and leaves all others as they are', async () => {
    const { email, id } = await person(app);
    const signIn = async () => (await auth(app).signIn({ email, password: PASSWORD })).sessionId;
    const [live, idle, over, revoked, recent] = [
      await signIn(),
      await signIn(),
      await signIn(),
      await signIn(),
      await signIn(),
    ];
    const ended = `update nest_auth_sessions set revoked_at = now() - interval '1 day' * $2::integer,
      revoked_reason = 'revoked' where id = $1`;
    await query(app.url, ended, [revoked, 31]);
    await query(app.url, ended, [recent, 29]);
    await age(app.url, idle, 7 * DAY + 31 * DAY);
    await query(app.url, `update nest_auth_sessions set expires_at = now() - interval '31 days' where id = $1`, [over]);
    const result = await sessions(app).purgeEnded();
    expect(result).toMatchObject({ sessions: 3, isComplete: true });
    expect(await idsOf(id)).toEqual([live, recent].toSorted());
    expect(await countRows(app.url, 'nest_auth_refresh_tokens', 'user_id = $1', [id])).toBe(2);
    expect(await sessions(app).getSessions(id)).toHaveLength(1);
    expect(await sessions(app).purgeEnded()).toMatchObject({ sessions: 0, isComplete: true });
  });

  it('takes used tokens of a session that goes on, and it goes on', async () => {
    const { refreshToken: first, sessionId, userId } = await signedIn(app);
    let token = first;
    for (let round = 0; round < 3; round += 1) token = (await auth(app).refresh(token)).refreshToken;
    await ageTokens(app.url, sessionId, 7 * 86_400 + 60);
    const { refreshToken: last } = await auth(app).refresh(token);
    expect(await sessions(app).purgeEnded()).toMatchObject({ tokens: 3 });
    // The one in use, and the one before it, of which a copy would end the session.
    expect(await countRows(app.url, 'nest_auth_refresh_tokens', 'session_id = $1', [sessionId])).toBe(2);
    await expect(auth(app).refresh(first)).rejects.toMatchObject({ code: 'REFRESH_TOKEN_INVALID' });
    expect(await sessions(app).getSessions(userId)).toHaveLength(1);
    await expect(auth(app).refresh(last)).resolves.toMatchObject({ sessionId });
  });

  it('takes what was counted when it counts no more, and nothing before', async () => {
    const old = await person(app);
    const young = await person(app);
    for (const { email } of [old, young])
      await auth(app)
        .signIn({ email, password: 'wrong' })
        .catch(() => undefined);
    await query(
      app.url,
      `with a as (update nest_auth_sign_in_failures set since = since - interval '25 hours',
         last_at = last_at - interval '25 hours' where subject = $1)
       update nest_auth_sign_in_totals set since = since - interval '25 hours' where subject = $1`,
      [old.id],
    );
    const limits = app.context.get(RateLimitService);
    await limits.consume('invitation', { userId: old.id });
    await query(app.url, 'update nest_auth_rate_limits set expire = 1');
    await limits.consume('invitation', { userId: young.id });
    expect(await sessions(app).purgeEnded()).toMatchObject({ counters: 3 });
    const left = await query(app.url, 'select subject from nest_auth_sign_in_failures where subject = any($1)', [
      [old.id, young.id],
    ]);
    expect(left).toEqual([{ subject: young.id }]);
    expect(await countRows(app.url, 'nest_auth_rate_limits')).toBe(1);
  });

  it('goes through everything in windows, and stops when it is told to', async () => {
    const people = await Promise.all(times(6, () => signedIn(app)));
    for (const { sessionId } of people) await age(app.url, sessionId, 40 * DAY);
    const stop = new AbortController();
    const { result, statements } = await recordStatements(() =>
      sessions(app).purgeEnded({ chunkSize: 2, signal: stop.signal, onProgress: () => stop.abort() }),
    );
    expect(result.isComplete).toBe(false);
    expect(result.sessions).toBeLessThan(6);
    expect(statements).toHaveLength(3);
    const rest = await sessions(app).purgeEnded({ chunkSize: 2 });
    expect(result.sessions + rest.sessions).toBe(6);
  });

  it.each([{ chunkSize: 0 }, { chunkSize: 1.5 }, { chunkSize: 10_001 }, { chunk: 1 }])(
    'refuses %j',
    async (options) => {
      await expect(sessions(app).purgeEnded(options)).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    },
  );

  it('is a job, and as long as the application says', async () => {
    const { sessionId, userId } = await signedIn(app);
    const scheduled = await startNestApp(app.url, {
      imports: [
        ScheduleModule.forRoot(),
        NestAuthModule.forRoot({ ...AUTH, session: { ...AUTH.session, keepEndedDays: 0 } }),
        NestAuthScheduleModule.forRoot(),
      ],
    });
    try {
      await age(app.url, sessionId, 8 * DAY);
      await scheduled.context.get(NestAuthScheduler).runNow('purge-ended-sessions', 'test');
      expect(await idsOf(userId)).toEqual([]);
    } finally {
      await scheduled.close();
    }
  });
});

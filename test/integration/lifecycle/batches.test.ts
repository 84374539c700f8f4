import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { LifecycleDependents, type LifecycleSkipped, UserLifecycleService } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { useNestApp } from '../../support/nest-app.js';
import { countRows, dumpTables } from '../../support/tables.js';
import { age } from './fixture.js';

const app = useNestApp();
const lifecycle = () => app.context.get(UserLifecycleService);

/** Users as rows, so that there can be many. */
async function seed(count: number, set: string): Promise<string[]> {
  const ids = Array.from({ length: count }, () => uuidv7());
  await withClient(app.url, async (client) => {
    await client.query(
      `insert into nest_auth_users (id, realm_id, email, email_norm)
       select id, '00000000-0000-0000-0000-000000000000', 'b' || id || '@example.com', 'b' || id || '@example.com'
       from unnest($1::uuid[]) as t (id)`,
      [ids],
    );
    await client.query(
      `insert into nest_auth_identities (realm_id, user_id, provider, provider_id)
       select realm_id, id, 'email', email_norm from nest_auth_users where id = any($1::uuid[])`,
      [ids],
    );
    await client.query(`update nest_auth_users set ${set} where id = any($1::uuid[])`, [ids]);
  });
  return ids;
}

const PENDING = `status = 'pending', is_active = false, activated_at = null`;
const INACTIVE = `status = 'inactive', is_active = false, deactivated_at = now() - interval '7 months'`;
const DISABLED = `status = 'disabled', is_active = false, disabled_at = now()`;
const DELETED = `${DISABLED}, deleted_at = now(), parked_identities = '[]'`;
const DUE = `status = 'scheduled_deletion', is_active = false, disabled_at = now(), deleted_at = now(), parked_identities = '[]', scheduled_deletion_at = now() - interval '1 day'`;

const countOf = (ids: readonly string[], where: string): Promise<number> =>
  countRows(app.url, 'nest_auth_users', `id = any($1::uuid[]) and ${where}`, [ids]);

/** Everybody of the tests before must be out of the way. */
const clear = () =>
  withClient(app.url, (client) => client.query(`delete from nest_auth_users where email like 'b%@example.com'`));

describe('the batches', () => {
  it('move everybody who is due through the whole life, and nobody else', async () => {
    const late = await seed(25, PENDING);
    const early = await seed(5, PENDING);
    const idle = await seed(25, `activated_at = now() - interval '7 months'`);
    const busy = await seed(
      5,
      `activated_at = now() - interval '7 months', last_login_at = now() - interval '5 months'`,
    );
    await age(app.url, late, '31 days');
    const progress: number[] = [];
    const { length } = app.events;
    const result = await lifecycle().deactivateInactiveUsers({
      chunkSize: 10,
      onProgress: ({ processed }) => void progress.push(processed),
    });
    expect(result).toMatchObject({ processed: 50, skippedCount: 0, failedCount: 0, cursor: null });
    expect(await countOf([...late, ...idle], `status = 'inactive'`)).toBe(50);
    expect(await countOf([...early, ...busy], `status = 'inactive'`)).toBe(0);
    expect(progress).toEqual([10, 20, 25, 25, 35, 45, 50, 50]);
    expect(app.events.slice(length).map(({ name }) => name)).toEqual(
      Array.from({ length: 50 }, () => 'nest_auth.user.deactivated'),
    );
    expect(
      await countRows(
        app.url,
        'nest_auth_activities',
        `user_id = any($1::uuid[]) and type = 'nest_auth.user.deactivated'`,
        [[...late, ...idle]],
      ),
    ).toBe(50);

    expect(await lifecycle().disableDeactivatedUsers()).toMatchObject({ processed: 0 });
    expect(await lifecycle().disableDeactivatedUsers({ gracePeriodInMonths: 0 })).toMatchObject({ processed: 50 });
    expect(await lifecycle().softDeleteDisabledUsers()).toMatchObject({ processed: 50 });
    expect(await countRows(app.url, 'nest_auth_identities', 'user_id = any($1::uuid[])', [[...late, ...idle]])).toBe(0);
    expect(await lifecycle().scheduleSoftDeletedUsersForDeletion()).toMatchObject({ processed: 50 });
    expect(await lifecycle().deleteScheduledUsers()).toMatchObject({ processed: 0, failedCount: 0 });
    await age(app.url, [...late, ...idle], '31 days');
    expect(await lifecycle().deleteScheduledUsers()).toMatchObject({ processed: 50 });
    expect(await countOf([...late, ...idle], 'true')).toBe(0);
    expect(await countOf([...early, ...busy], 'true')).toBe(10);
    await clear();
  });

  it('say in a dry run what they would do, and write nothing', async () => {
    const ids = await seed(30, DISABLED);
    await lifecycle().setLegalHold(ids[0] as string, 'case');
    const before = await dumpTables(app.url);
    const { length } = app.events;
    const dry = await lifecycle().softDeleteDisabledUsers({ dryRun: true, chunkSize: 7 });
    expect(await dumpTables(app.url)).toEqual(before);
    expect(app.events).toHaveLength(length);
    const real = await lifecycle().softDeleteDisabledUsers({ chunkSize: 7 });
    expect(dry).toEqual(real);
    expect(real).toMatchObject({
      processed: 29,
      skipped: [{ id: ids[0], reason: 'USER_ON_LEGAL_HOLD' }],
      skippedCount: 1,
    });
    await clear();
  });

  it('keep a sample of what they skip, and stream all of it', async () => {
    const ids = await seed(30, `${DELETED}, legal_hold_at = now(), legal_hold_reason = 'x'`);
    const skipped: LifecycleSkipped[] = [];
    const result = await lifecycle().scheduleSoftDeletedUsersForDeletion({
      chunkSize: 10,
      sampleSize: 3,
      onChunk: (chunk) => void skipped.push(...chunk.skipped),
    });
    expect(result).toMatchObject({ processed: 0, skippedCount: 30 });
    expect(result.skipped).toHaveLength(3);
    expect(skipped.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    await clear();
  });

  it.each([
    ['by itself', (run: () => Promise<unknown>) => run()],
    ['in a transaction of the caller', (run: () => Promise<unknown>) => app.users.runInTransaction(() => run())],
  ])('do not stop at whoever cannot be changed, %s', async (_, around) => {
    const ids = await seed(60, DUE);
    const [referred, raising] = [ids[17] as string, ids[41] as string];
    await withClient(app.url, async (client) => {
      await client.query(`insert into app_users (auth_user_id, display_name) values ($1, 'host')`, [referred]);
      await client.query(`create or replace function app_guard() returns trigger language plpgsql as $$
        begin if old.id = '${raising}' then raise exception 'not this one'; end if; return old; end $$`);
      await client.query(
        'create trigger app_guard before delete on nest_auth_users for each row execute function app_guard()',
      );
    });
    try {
      let result: unknown;
      await around(async () => (result = await lifecycle().deleteScheduledUsers({ chunkSize: 20 })));
      expect(result).toMatchObject({ processed: 58, failedCount: 2, skippedCount: 0 });
      const { failed } = result as { failed: { id: string; error: { code: string } }[] };
      expect(failed.map(({ id, error }) => [id, error.code])).toEqual([
        [referred, 'USER_IN_USE'],
        [raising, 'DATABASE_ERROR'],
      ]);
      expect(await countOf(ids, 'true')).toBe(2);
      expect(
        await countRows(
          app.url,
          'nest_auth_activities',
          `user_id = any($1::uuid[]) and type = 'nest_auth.user.deleted'`,
          [ids],
        ),
      ).toBe(58);
    } finally {
      await withClient(app.url, async (client) => {
        await client.query('drop trigger app_guard on nest_auth_users');
        await client.query('delete from app_users');
      });
      await clear();
    }
  });

  it('leave out whoever another transaction holds, and find them in the next run', async () => {
    const ids = await seed(10, INACTIVE);
    await withClient(app.url, async (client) => {
      await client.query('begin');
      await client.query('select 1 from nest_auth_users where id = $1 for update', [ids[3]]);
      expect(await lifecycle().disableDeactivatedUsers()).toMatchObject({
        processed: 9,
        skipped: [{ id: ids[3], reason: 'USER_BUSY' }],
      });
      await client.query('rollback');
    });
    expect(await lifecycle().disableDeactivatedUsers()).toMatchObject({ processed: 1, skippedCount: 0 });
    await clear();
  });

  it('share the work when two run at once, and race with single transitions', async () => {
    const ids = await seed(400, INACTIVE);
    const single = ids.filter((_, index) => index % 20 === 0);
    const [first, second, ...singles] = await Promise.all([
      lifecycle().disableDeactivatedUsers({ chunkSize: 25 }),
      lifecycle().disableDeactivatedUsers({ chunkSize: 25 }),
      ...single.map((id) =>
        lifecycle()
          .disableById(id)
          .then(
            () => 1,
            () => 0,
          ),
      ),
    ]);
    const again = await lifecycle().disableDeactivatedUsers();
    const alone = singles.reduce<number>((sum, one) => sum + one, 0);
    expect(first.processed + second.processed + again.processed + alone).toBe(400);
    expect(first.failedCount + second.failedCount).toBe(0);
    expect(
      await countRows(
        app.url,
        'nest_auth_activities',
        `user_id = any($1::uuid[]) and type = 'nest_auth.user.disabled'`,
        [ids],
      ),
    ).toBe(400);
    await clear();
  });

  it('stop between two chunks when they are told to, and go on from their cursor', async () => {
    const ids = await seed(50, INACTIVE);
    const controller = new AbortController();
    const half = await lifecycle().disableDeactivatedUsers({
      chunkSize: 10,
      signal: controller.signal,
      onProgress: ({ processed }) => void (processed === 20 && controller.abort()),
    });
    expect(half).toMatchObject({ processed: 20, cursor: `0:${ids[19]}` });
    const rest = await lifecycle().disableDeactivatedUsers({ chunkSize: 10, after: half.cursor as string });
    expect(rest).toMatchObject({ processed: 30, cursor: null });
    await clear();
  });

  it('end what depends on the ACTIVE state, a chunk at once', async () => {
    const ids = await seed(30, `activated_at = now() - interval '7 months'`);
    const ended: number[] = [];
    const stop = app.context.get(LifecycleDependents).register({
      name: 'tokens',
      end: (_manager, some) => Promise.resolve(void ended.push(some.length)),
    });
    await lifecycle().deactivateInactiveUsers({ chunkSize: 20 });
    stop();
    expect(ended).toEqual([20, 10]);
    expect(await countOf(ids, `status = 'inactive'`)).toBe(30);
    await clear();
  });

  it('have the grace periods of the tenants, the longest for each user', async () => {
    const tenant = await app.tenants.createTenant({ name: 'Slow', slug: 'slow' });
    await lifecycle().setTenantGracePeriods(tenant.id, { disableMonths: 12 });
    const ids = await seed(10, INACTIVE);
    for (const id of ids.slice(0, 4)) await app.users.ensureUserAccess(id, tenant.id);
    expect(await lifecycle().disableDeactivatedUsers()).toMatchObject({ processed: 6, skippedCount: 0 });
    await age(app.url, ids.slice(0, 2), '5 months');
    expect(await lifecycle().disableDeactivatedUsers()).toMatchObject({ processed: 2 });
    await lifecycle().setTenantGracePeriods(tenant.id, null);
    expect(await lifecycle().disableDeactivatedUsers()).toMatchObject({ processed: 2 });
    await clear();
  });

  it('refuse options that mean nothing', async () => {
    const wrong = [
      { chunkSize: 0 },
      { chunkSize: 10_001 },
      { after: 'x' },
      { sampleSize: -1 },
      { signal: {} },
      { onProgress: 1 },
      { gracePeriodInDays: 1 },
    ];
    for (const options of wrong) {
      await expect(lifecycle().disableDeactivatedUsers(options as never)).rejects.toMatchObject({
        code: 'VALIDATION_FAILED',
      });
    }
  });

  it('that are killed keep whole chunks, and are simply run again', async () => {
    const ids = await seed(3_000, INACTIVE);
    const child = spawn(
      process.execPath,
      ['--import', './test/support/typescript.mjs', 'test/integration/lifecycle/killed-batch.ts', app.url],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const lines = createInterface(child.stdout);
    for await (const line of lines) {
      if (Number(line) >= 1_000) {
        child.kill('SIGKILL');
        break;
      }
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    const done = await countOf(ids, `status = 'disabled'`);
    expect(done).toBeGreaterThanOrEqual(1_000);
    expect(done).toBeLessThan(3_000);
    expect(done % 50).toBe(0);
    expect(await lifecycle().disableDeactivatedUsers()).toMatchObject({ processed: 3_000 - done, failedCount: 0 });
    expect(
      await countRows(
        app.url,
        'nest_auth_activities',
        `user_id = any($1::uuid[]) and type = 'nest_auth.user.disabled'`,
        [ids],
      ),
    ).toBe(3_000);
    await clear();
  });
});

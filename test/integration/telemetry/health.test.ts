import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import type { NestAuthHealthOptions } from '../../../src/health/index.js';
import { NestAuthHealthIndicator } from '../../../src/health/index.js';
import { NestAuthModule } from '../../../src/index.js';
import { PREPARED } from '../../support/connection-mode.js';
import { createTestDatabase, type TestDatabase, withClient } from '../../support/database.js';
import { freshEmail, type NestApp, startNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

interface Health {
  readonly app: NestApp;
  readonly indicator: NestAuthHealthIndicator;
  /** What terminus answers, an unhealthy application included. */
  check(options?: NestAuthHealthOptions): Promise<{ status: string; nestAuth: Record<string, unknown> }>;
}

async function withHealth(use: (health: Health) => Promise<void>, pool = 3): Promise<void> {
  const app = await startNestApp(database.url, {
    pool,
    imports: [NestAuthModule.forRoot({ statements: { prepared: PREPARED } }), TerminusModule],
    providers: [NestAuthHealthIndicator],
  });
  const indicator = app.context.get(NestAuthHealthIndicator);
  const service = await app.context.resolve(HealthCheckService, undefined, { strict: false });
  const check: Health['check'] = async (options) => {
    const answer = await service
      .check([() => indicator.check('nestAuth', options)])
      .catch((error: { getResponse(): Awaited<ReturnType<typeof service.check>> }) => error.getResponse());
    return { status: answer.status, nestAuth: answer.details['nestAuth'] as Record<string, unknown> };
  };
  try {
    await use({ app, indicator, check });
  } finally {
    await app.close();
  }
}

describe('the health indicator', () => {
  it('is up when a connection can be had and nothing is pending, with one statement', async () => {
    await withHealth(async ({ check }) => {
      await check();
      const { result, statements } = await recordStatements(() => check());
      expect(result).toEqual({
        status: 'ok',
        nestAuth: {
          status: 'up',
          pool: { healthy: true, total: 1, idle: 1, waiting: 0, max: 3, oldestWaitMs: 0 },
          migrations: { healthy: true, pending: [] },
        },
      });
      expect(statements).toHaveLength(1);
    });
  });

  it('is down while everybody waits for a connection, answers in time, and adds one waiter at most', async () => {
    await withHealth(async ({ app, check }) => {
      const runner = app.dataSource.createQueryRunner();
      await runner.connect();
      const limits = { maxPoolWaitMs: 100, timeoutMs: 5_000 };
      const started = performance.now();
      const { status, nestAuth } = await check(limits);
      expect(performance.now() - started).toBeLessThan(3_000);
      expect(status).toBe('error');
      expect(nestAuth).toMatchObject({
        status: 'down',
        pool: { healthy: false, total: 1, idle: 0, waiting: 1, max: 1 },
      });
      expect((nestAuth['pool'] as { oldestWaitMs: number }).oldestWaitMs).toBeGreaterThanOrEqual(100);
      await Promise.all([check(limits), check(limits)]);
      const again = await check(limits);
      expect(again.nestAuth).toMatchObject({ pool: { waiting: 1 }, migrations: { healthy: false, error: 'TIMEOUT' } });
      await runner.release();
      expect((await check(limits)).status).toBe('ok');
    }, 1);
  });

  it('is down while a migration of ours is pending, and names it', async () => {
    await withHealth(async ({ check }) => {
      const [last] = await withClient(database.url, async (client) => {
        const { rows } = await client.query<{ name: string; timestamp: string }>(
          `delete from migrations where name = 'IdentityCore1790000000000' returning name, timestamp`,
        );
        return rows;
      });
      expect(await check()).toMatchObject({
        status: 'error',
        nestAuth: { migrations: { healthy: false, pending: [last?.name] } },
      });
      expect((await check({ migrations: false })).status).toBe('ok');
      await withClient(database.url, (client) =>
        client.query('insert into migrations (name, timestamp) values ($1, $2)', [last?.name, last?.timestamp]),
      );
      expect((await check()).status).toBe('ok');
    });
  });

  it('names every migration where none has run, and tells the code when the table may not be read', async () => {
    await withHealth(async ({ check }) => {
      class Later {
        name = 'Later1';
      }
      expect((await check({ migrations: [Later] })).nestAuth).toMatchObject({ migrations: { pending: ['Later1'] } });
      await withClient(database.url, (client) => client.query('alter table migrations rename to elsewhere'));
      const none = await check({ migrations: [Later] });
      await withClient(database.url, (client) => client.query('alter table elsewhere rename column name to title'));
      await withClient(database.url, (client) => client.query('alter table elsewhere rename to migrations'));
      const unreadable = await check({ migrations: [Later] });
      await withClient(database.url, (client) => client.query('alter table migrations rename column title to name'));
      expect(none.nestAuth).toMatchObject({ migrations: { healthy: false, pending: ['Later1'] } });
      expect(unreadable.nestAuth).toMatchObject({ migrations: { healthy: false, error: 'DATABASE_ERROR' } });
    });
  });

  it('asks every source that was registered, and takes a failing or silent one for unhealthy', async () => {
    await withHealth(async ({ indicator, check }) => {
      const forget = indicator.register({ name: 'mail', read: () => ({ healthy: true, lagMs: 12 }) });
      expect(await check()).toMatchObject({ status: 'ok', nestAuth: { mail: { healthy: true, lagMs: 12 } } });
      const taken = expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option: 'name' } });
      expect(() => indicator.register({ name: 'mail', read: () => ({ healthy: true }) })).toThrow(taken);
      expect(() => indicator.register({ name: 'pool', read: () => ({ healthy: true }) })).toThrow(taken);
      indicator.register({ name: 'broken', read: () => Promise.reject(new TypeError('at ann@example.com')) });
      indicator.register({ name: 'silent', read: () => new Promise(() => undefined) });
      const answer = await check({ timeoutMs: 200 });
      expect(answer).toMatchObject({
        status: 'error',
        nestAuth: {
          status: 'down',
          mail: { healthy: true },
          broken: { healthy: false, error: 'TypeError' },
          silent: { healthy: false, error: 'TIMEOUT' },
        },
      });
      expect(JSON.stringify(answer)).not.toContain('ann@example.com');
      forget();
      expect((await check({ timeoutMs: 200 })).nestAuth).not.toHaveProperty('mail');
    });
  });

  it('is down, and does not fail, when the database is gone', async () => {
    await withHealth(async ({ app, check }) => {
      await app.users.emailExists(freshEmail());
      await app.dataSource.destroy();
      expect(await check()).toMatchObject({ status: 'error', nestAuth: { migrations: { healthy: false } } });
      await app.dataSource.initialize();
      expect((await check()).status).toBe('ok');
    });
  });
});

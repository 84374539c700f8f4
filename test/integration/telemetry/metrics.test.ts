import { describe, expect, it } from '@jest/globals';
import { openTelemetry } from '../../../src/telemetry/index.js';
import { createTestDatabase } from '../../support/database.js';
import { freshEmail, type NestApp, startNestApp } from '../../support/nest-app.js';
import { failing, makeRecorder, type Recorder } from './fixture.js';

async function withApp(
  use: (app: NestApp, recorder: Recorder, database: string) => Promise<void>,
  options: { pool?: number; reportsPool?: boolean } = {},
): Promise<Recorder> {
  const { url, drop } = await createTestDatabase();
  const recorder = makeRecorder();
  const telemetry = openTelemetry({ ...recorder.options, pool: options.reportsPool ?? true });
  const app = await startNestApp(url, { auth: { telemetry }, pool: options.pool ?? 3 });
  try {
    await use(app, recorder, String(app.dataSource.driver.database));
  } finally {
    await app.close();
    await drop();
  }
  return recorder;
}

describe('the metrics', () => {
  it('count calls by method and code', async () => {
    await withApp(async ({ users }, recorder) => {
      const email = freshEmail();
      await users.createUser({ email });
      await expect(users.createUser({ email })).rejects.toBeInstanceOf(Error);
      await expect(users.createUser({ email })).rejects.toBeInstanceOf(Error);
      expect(await recorder.points('nest_auth.call.duration')).toEqual([
        '1 code.function.name=UserService.createUser',
        '2 code.function.name=UserService.createUser error.type=EMAIL_ALREADY_EXISTS',
      ]);
    });
  });

  it('count transactions by outcome, attempts by duration, and retries by cause', async () => {
    await withApp(async ({ users, dataSource }, recorder) => {
      let attempts = 0;
      await users.runInTransaction(async (manager) => {
        attempts += 1;
        if (attempts < 3) await manager.query(failing('40001'));
      });
      await expect(dataSource.transaction((manager) => manager.query(failing('P0001')))).rejects.toBeInstanceOf(Error);
      const [by, ended] = ['nest_auth.transaction.opener', 'nest_auth.transaction.outcome'];
      expect(await recorder.points('nest_auth.transaction.outcomes')).toEqual([
        `1 error.type=P0001 ${by}=dataSource.transaction ${ended}=rolled-back`,
        `1 ${by}=runInTransaction ${ended}=committed`,
      ]);
      expect(await recorder.points('nest_auth.transaction.duration')).toEqual([
        `1 error.type=P0001 ${by}=dataSource.transaction ${ended}=rolled-back`,
        `1 ${by}=runInTransaction ${ended}=committed`,
        `2 error.type=40001 ${by}=runInTransaction ${ended}=rolled-back`,
      ]);
      expect(await recorder.points('nest_auth.transaction.retries')).toEqual(['2 error.type=40001']);
    });
  });

  it('count listeners that failed after COMMIT', async () => {
    await withApp(async ({ users }, recorder) => {
      await users.runInTransaction(async () => {
        users.afterCommit(() => Promise.reject(new TypeError('no mail')));
      });
      await new Promise((resolve) => setImmediate(resolve));
      expect(await recorder.points('nest_auth.after_commit.failures')).toEqual(['1 error.type=TypeError']);
    });
  });

  it('show the pool: who uses it, who waits for it, and how long that took', async () => {
    await withApp(
      async ({ users, dataSource }, recorder, database) => {
        const runner = dataSource.createQueryRunner();
        await runner.connect();
        const waiting = users.emailExists(freshEmail());
        await new Promise((resolve) => setTimeout(resolve, 60));
        const name = `db.client.connection.pool.name=${database}`;
        expect(await recorder.points('db.client.connection.count')).toEqual([
          `0 ${name} db.client.connection.state=idle`,
          `1 ${name} db.client.connection.state=used`,
        ]);
        expect(await recorder.points('db.client.connection.pending_requests')).toEqual([`1 ${name}`]);
        expect(await recorder.points('db.client.connection.max')).toEqual([`1 ${name}`]);
        const [before = '0'] = await recorder.points('db.client.connection.wait_time');
        await runner.release();
        await waiting;
        expect(await recorder.points('db.client.connection.wait_time')).toEqual([String(Number(before) + 1)]);
        expect(await recorder.points('db.client.connection.pending_requests')).toEqual([`0 ${name}`]);
      },
      { pool: 1 },
    );
  });

  it('end with the application, and leave the pool out where that is asked for', async () => {
    const ended = await withApp(async ({ users }) => void (await users.emailExists(freshEmail())));
    expect(await ended.points('db.client.connection.max')).toEqual([]);
    const without = await withApp(
      async ({ users }, recorder) => {
        await users.emailExists(freshEmail());
        expect(await recorder.points('db.client.connection.max')).toEqual([]);
      },
      { reportsPool: false },
    );
    expect(await without.points('db.client.connection.wait_time')).toEqual([]);
  });
});

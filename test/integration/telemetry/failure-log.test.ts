import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { LoggerService } from '@nestjs/common';
import { Logger } from '@nestjs/common';
import type { NestAuthModuleOptions, TransactionFailure } from '../../../src/index.js';
import { TransactionHost } from '../../../src/transaction/transaction-host.js';
import { openTelemetry } from '../../../src/telemetry/index.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { freshEmail, freshPhone, type NestApp, startNestApp } from '../../support/nest-app.js';
import { failing, makeRecorder } from './fixture.js';

interface Line {
  readonly level: string;
  readonly context: unknown;
  readonly line: TransactionFailure;
}

let database: TestDatabase;
const lines: Line[] = [];
const write =
  (level: string) =>
  (line: TransactionFailure, ...rest: unknown[]): void =>
    void lines.push({ level, context: rest.at(-1), line });
const logger: LoggerService = {
  log: () => undefined,
  fatal: write('fatal'),
  error: write('error'),
  warn: write('warn'),
  debug: write('debug'),
};

beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => void lines.splice(0));
afterAll(async () => {
  Logger.overrideLogger(false);
  await database.drop();
});

async function withApp(auth: NestAuthModuleOptions, use: (app: NestApp) => Promise<void>): Promise<void> {
  const app = await startNestApp(database.url, { auth });
  // After the application: it begins with a silent logger.
  Logger.overrideLogger(logger);
  try {
    await use(app);
  } finally {
    await app.close();
  }
}

describe('the log of failed transactions', () => {
  it('is one line with its cause, for the outermost transaction alone', async () => {
    await withApp({}, async ({ users }) => {
      const inner = users.runInTransaction(() =>
        users.runInTransaction((manager) =>
          manager.query(`insert into app_users (auth_user_id, display_name) values (gen_random_uuid(), 'refused')`),
        ),
      );
      await expect(inner).rejects.toBeInstanceOf(Error);
    });
    expect(lines).toEqual([
      {
        level: 'error',
        context: 'NestAuthTransaction',
        line: {
          event: 'nest_auth.transaction.failed',
          opener: 'runInTransaction',
          method: null,
          transactionId: null,
          outcome: 'rolled-back',
          durationMs: expect.any(Number),
          statements: 3,
          attempts: 1,
          code: null,
          sqlState: '23514',
          constraint: 'app_users_display_name_check',
          cause: 'new row for relation "app_users" violates check constraint "app_users_display_name_check"',
          at: expect.stringContaining('failure-log.test'),
        },
      },
    ]);
  });

  it('says how often it was run, and nothing when a retry succeeds', async () => {
    await withApp({}, async ({ users }) => {
      let attempts = 0;
      await users.runInTransaction(async (manager) => {
        attempts += 1;
        if (attempts < 3) await manager.query(failing('40001'));
      });
      expect(lines).toEqual([]);
      await expect(users.runInTransaction((manager) => manager.query(failing('40P01')))).rejects.toBeInstanceOf(Error);
    });
    expect(lines.map(({ level, line }) => [level, line.attempts, line.sqlState, line.statements])).toEqual([
      ['error', 3, '40P01', 9],
    ]);
  });

  it('names the first cause of a transaction that could not be committed, and its id', async () => {
    await withApp({}, async ({ users }) => {
      const swallowing = users.runInTransaction(async (manager) => {
        await users.createUser({ email: freshEmail() });
        await manager.query('select 1 / 0').catch(() => undefined);
      });
      await expect(swallowing).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED' });
    });
    expect(lines.map(({ level, line }) => [level, line.code, line.sqlState, line.cause])).toEqual([
      ['error', 'TRANSACTION_ABORTED', '22012', 'PostgreSQL answered 22012'],
    ]);
    expect(lines[0]?.line.transactionId).toMatch(/^\d+$/);
  });

  it.each([
    ['debug', {}, ['debug']],
    ['the level that is asked for', { refusals: 'warn' }, ['warn']],
    ['nothing when that is asked for', { refusals: 'off' }, []],
    ['nothing when the log is off', { failedTransactions: false, refusals: 'warn' }, []],
  ] as const)('writes a refusal at %s', async (_name, log, levels) => {
    await withApp({ log }, async ({ users }) => {
      const email = freshEmail();
      await users.createUser({ email });
      await expect(users.runInTransaction(() => users.createUser({ email }))).rejects.toMatchObject({
        code: 'EMAIL_ALREADY_EXISTS',
      });
    });
    expect(lines.map(({ level }) => level)).toEqual(levels);
  });

  it("warns of an error of the host's, by its class and its line", async () => {
    await withApp({}, async ({ dataSource }) => {
      await expect(
        dataSource.transaction(() => Promise.reject(new RangeError('not for ann@example.com'))),
      ).rejects.toBeInstanceOf(Error);
    });
    expect(lines.map(({ level, line }) => [level, line.opener, line.code, line.cause])).toEqual([
      ['warn', 'dataSource.transaction', null, 'RangeError'],
    ]);
    expect(lines[0]?.line.at).toContain('failure-log.test');
  });

  it('names the public method where telemetry is on', async () => {
    const telemetry = openTelemetry(makeRecorder().options);
    const user = { beforeDelete: () => Promise.reject(new Error('still needed')) };
    await withApp({ telemetry, user }, async ({ users }) => {
      const { id } = await users.createUser({ email: freshEmail() });
      await expect(users.deleteUser(id)).rejects.toThrow('still needed');
    });
    expect(lines.map(({ line }) => [line.method, line.opener])).toEqual([['UserService.deleteUser', 'operation']]);
  });

  it('holds no value, whatever failed (SEC-92)', async () => {
    const secrets = { email: freshEmail(), phone: freshPhone(), password: 'correct horse battery staple' };
    await withApp({}, async ({ users }) => {
      const { id } = await users.createUser(secrets);
      const link = `insert into app_users (auth_user_id) values ('${id}')`;
      const statements = [
        failing('23505'),
        failing('P0001'),
        `${link}; ${link}`,
        `select '${secrets.email}'::uuid`,
        `select '${secrets.phone}' from nothing where no_column = '${secrets.email}'`,
        `update nest_auth_users set email_norm = upper(email_norm), realm_id = null where id = '${id}'`,
      ];
      for (const sql of statements) {
        await expect(users.runInTransaction((manager) => manager.query(sql))).rejects.toBeInstanceOf(Error);
      }
      await expect(users.runInTransaction(() => users.createUser(secrets))).rejects.toBeInstanceOf(Error);
      expect(lines).toHaveLength(statements.length + 1);
      const text = JSON.stringify(lines);
      for (const value of [...Object.values(secrets), 'secret@example.com', id]) expect(text).not.toContain(value);
    });
  });

  it('is silent while a test makes statements fail on purpose', async () => {
    await withApp({}, async ({ context, users }) => {
      const end = context.get(TransactionHost).rehearse({ onRunner: () => undefined, onAfterCommit: () => undefined });
      const failed = users.runInTransaction((manager) => manager.query(failing('40001')));
      await expect(failed).rejects.toBeInstanceOf(Error);
      end();
    });
    expect(lines).toEqual([]);
  });

  it('never turns a failing logger into the error of the call', async () => {
    await withApp({}, async ({ users }) => {
      Logger.overrideLogger({
        ...logger,
        warn: () => {
          throw new Error('disk full');
        },
      });
      await expect(users.runInTransaction(() => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
    });
  });
});

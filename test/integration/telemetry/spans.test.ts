import { describe, expect, it } from '@jest/globals';
import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { BasicTracerProvider, type SpanProcessor } from '@opentelemetry/sdk-trace-base';
import { TenantModeEnum } from '../../../src/index.js';
import { openTelemetry } from '../../../src/telemetry/index.js';
import { createTestDatabase } from '../../support/database.js';
import { AppUser, freshEmail, freshPhone, startNestApp } from '../../support/nest-app.js';
import { countRows } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';
import { failing, makeRecorder, useObservedApp } from './fixture.js';

const app = useObservedApp();
const OUTCOME = 'nest_auth.transaction.outcome';
const COUNT = 'nest_auth.transaction.statements';

describe('a trace of a call', () => {
  it('has one span for a call that is one statement, and no transaction', async () => {
    await app.users.createUser({ email: freshEmail() });
    expect(app.recorder.tree('code.function.name', 'db.system.name')).toEqual([
      'nest_auth.createUser [UserService.createUser, postgresql]',
    ]);
  });

  it('shows the transaction between the call that opened it and those in it', async () => {
    const { statements } = await recordStatements(() =>
      app.users.runInTransaction(async (manager) => {
        const { id } = await app.users.createUser({ email: freshEmail() });
        await manager.insert(AppUser, { authUserId: id });
        await app.users.getUserById(id);
      }),
    );
    expect(app.recorder.tree(OUTCOME, COUNT, 'nest_auth.transaction.opener')).toEqual([
      'nest_auth.runInTransaction',
      `  nest_auth.transaction [committed, ${statements.length}, runInTransaction]`,
      '    nest_auth.createUser',
      '    nest_auth.getUserById',
    ]);
    const transaction = app.recorder.spans().find(({ name }) => name === 'nest_auth.transaction');
    expect(transaction?.attributes['nest_auth.transaction.id']).toMatch(/^\d+$/);
    expect(app.recorder.spans().map(({ status }) => status.code)).toEqual(Array(4).fill(SpanStatusCode.UNSET));
  });

  it('does not show what a service calls itself', async () => {
    await app.users.getUsers();
    expect(app.recorder.tree()).toEqual(['nest_auth.getUsers']);
  });

  it('shows a transaction that the host opens with dataSource.transaction', async () => {
    await app.dataSource.transaction(async (manager) => {
      await app.users.createUser({ email: freshEmail() }, null, {}, manager);
    });
    expect(app.recorder.tree(OUTCOME, 'nest_auth.transaction.opener')).toEqual([
      'nest_auth.transaction [committed, dataSource.transaction]',
      '  nest_auth.createUser',
    ]);
  });

  it('shows no second transaction for a savepoint, and none for a joined call', async () => {
    await app.users.runInTransaction(() =>
      app.users.runInTransaction(
        () => app.users.runInTransaction(() => app.users.createUser({ email: freshEmail() })),
        { nested: 'savepoint' },
      ),
    );
    expect(app.recorder.tree(OUTCOME)).toEqual([
      'nest_auth.runInTransaction',
      '  nest_auth.transaction [committed]',
      '    nest_auth.runInTransaction',
      '      nest_auth.runInTransaction',
      '        nest_auth.createUser',
    ]);
  });

  it("fits in between the host's own spans", async () => {
    const outer = app.recorder.tracer.startSpan('request');
    await context.with(trace.setSpan(context.active(), outer), () =>
      app.users.runInTransaction(async () => {
        app.recorder.tracer.startSpan('work').end();
        await app.users.createUser({ email: freshEmail() });
      }),
    );
    outer.end();
    expect(app.recorder.tree()).toEqual([
      'request',
      '  nest_auth.runInTransaction',
      '    nest_auth.transaction',
      '      work',
      '      nest_auth.createUser',
    ]);
  });
});

describe('a trace of a failure', () => {
  it('shows the rollback and its code, and marks no refusal as an error', async () => {
    const email = freshEmail();
    await app.users.createUser({ email });
    app.recorder.forget();
    await expect(app.users.runInTransaction(() => app.users.createUser({ email }))).rejects.toMatchObject({
      code: 'EMAIL_ALREADY_EXISTS',
    });
    expect(app.recorder.tree(OUTCOME, 'error.type')).toEqual([
      'nest_auth.runInTransaction [EMAIL_ALREADY_EXISTS]',
      '  nest_auth.transaction [rolled-back, EMAIL_ALREADY_EXISTS]',
      '    nest_auth.createUser [EMAIL_ALREADY_EXISTS]',
    ]);
    const span = app.recorder.spans().find(({ name }) => name === 'nest_auth.transaction');
    expect(span?.status.code).toBe(SpanStatusCode.UNSET);
    expect(span?.events.map(({ attributes }) => attributes?.['exception.type'])).toEqual(['EMAIL_ALREADY_EXISTS']);
  });

  it('shows each attempt of a transaction that is run again', async () => {
    let attempts = 0;
    await app.users.runInTransaction(async (manager) => {
      attempts += 1;
      if (attempts === 1) await manager.query(failing('40001'));
      await app.users.createUser({ email: freshEmail() });
    });
    expect(app.recorder.tree('nest_auth.transaction.attempt', OUTCOME, 'error.type')).toEqual([
      'nest_auth.runInTransaction',
      '  nest_auth.transaction [1, rolled-back, 40001]',
      '  nest_auth.transaction [2, committed]',
      '    nest_auth.createUser',
    ]);
    const first = app.recorder.spans().find(({ attributes }) => attributes['error.type'] === '40001');
    expect(first?.status).toEqual({ code: SpanStatusCode.ERROR, message: '40001' });
    expect(first?.attributes['db.response.status_code']).toBe('40001');
  });

  it('says that a transaction never began when no connection could be had', async () => {
    const { url, drop } = await createTestDatabase();
    const recorder = makeRecorder();
    const auth = { telemetry: openTelemetry(recorder.options), transaction: { retries: 0 } };
    const small = await startNestApp(url, {
      auth,
      pool: 1,
      dataSource: { connectTimeoutMS: 3_000 } as never,
    });
    const runner = small.dataSource.createQueryRunner();
    await runner.connect();
    await expect(small.users.runInTransaction(() => Promise.resolve())).rejects.toMatchObject({
      code: 'CONNECTION_UNAVAILABLE',
    });
    expect(recorder.tree(OUTCOME, 'error.type')).toEqual([
      'nest_auth.runInTransaction [CONNECTION_UNAVAILABLE]',
      '  nest_auth.transaction [none, CONNECTION_UNAVAILABLE]',
    ]);
    await runner.release();
    await small.close();
    await drop();
  });

  it("never fails a call because the host's tracing fails", async () => {
    const { url, drop } = await createTestDatabase();
    const broken = (): never => {
      throw new Error('the exporter is broken');
    };
    const processor: SpanProcessor = {
      onStart: broken,
      onEnd: broken,
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    const tracerProvider = new BasicTracerProvider({ spanProcessors: [processor] });
    const telemetry = openTelemetry({ tracerProvider });
    const traced = await startNestApp(url, { auth: { telemetry, tenant: { mode: TenantModeEnum.DISABLED } } });
    const before = await countRows(url, 'nest_auth_users');
    await traced.users.runInTransaction(() => traced.users.createUser({ email: freshEmail() }));
    expect(await countRows(url, 'nest_auth_users')).toBe(before + 1);
    await traced.close();
    await drop();
  });
});

describe('telemetry', () => {
  it('holds nothing of what was passed, stored or answered by the server', async () => {
    const secrets = {
      email: freshEmail(),
      phone: freshPhone(),
      password: 'correct horse battery staple',
      metadata: { note: 'private-note' },
    };
    const user = await app.users.createUser(secrets);
    await expect(app.users.createUser(secrets)).rejects.toBeInstanceOf(Error);
    await app.users.getUserByEmail(secrets.email);
    await app.users.updateUserMetadata(user.id, { note: 'private-note' });
    const values = ['secret@example.com', 'correct horse', secrets.email, secrets.phone, 'private-note', user.id];
    for (const sql of [
      failing('P0001'),
      failing('23505'),
      `select '${secrets.email}'::uuid`,
      `insert into app_users (auth_user_id, display_name) values ('${user.id}', 'refused')`,
      `select * from no_such_table where email = '${secrets.email}'`,
    ]) {
      await expect(app.users.runInTransaction((manager) => manager.query(sql))).rejects.toBeInstanceOf(Error);
    }
    await expect(
      app.users.runInTransaction(() => Promise.reject(new Error(`no mail for ${secrets.email}`))),
    ).rejects.toBeInstanceOf(Error);
    const dump = await app.recorder.dump();
    expect(dump).toContain('app_users_display_name_check');
    for (const value of values) expect(dump).not.toContain(value);
  });

  it('leaves an explicit manager and the ambient transaction as they are', async () => {
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    const email = freshEmail();
    const { connections } = await recordStatements(async () => {
      await app.users.createUser({ email, password: 'correct horse battery staple' }, null, {}, runner.manager);
      expect(await app.users.emailExists(email, null, runner.manager)).toBe(true);
    });
    expect(connections).toBe(1);
    expect(await app.users.emailExists(email)).toBe(false);
    await runner.rollbackTransaction();
    await runner.release();
    const ambient = await recordStatements(() =>
      app.users.runInTransaction(async () => {
        await Promise.all([app.users.createUser({ email: freshEmail() }), app.tenants.getTenants()]);
      }),
    );
    expect(ambient.connections).toBe(1);
  });

  it('keeps two applications apart', async () => {
    const { url, drop } = await createTestDatabase();
    const recorder = makeRecorder();
    const other = await startNestApp(url, { auth: { telemetry: openTelemetry(recorder.options) } });
    await other.users.createUser({ email: freshEmail() });
    await app.users.emailExists(freshEmail());
    expect(recorder.tree()).toEqual(['nest_auth.createUser']);
    expect(app.recorder.tree()).toEqual(['nest_auth.emailExists']);
    await other.close();
    await drop();
  });

  it('gives the services themselves where it is off', async () => {
    const { url, drop } = await createTestDatabase();
    const plain = await startNestApp(url);
    expect(Object.getOwnPropertyNames(plain.users)).not.toContain('createUser');
    expect(Object.getOwnPropertyNames(app.users)).toContain('createUser');
    expect(app.users).toBeInstanceOf(plain.users.constructor);
    await plain.close();
    await drop();
  });
});

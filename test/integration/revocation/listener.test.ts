import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { startPostgres } from '../../../src/testing/server.js';
import { createTestDatabase } from '../../support/database.js';
import { type NestApp, startNestApp } from '../../support/nest-app.js';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.js';
import { clone, createTemplate } from '../../support/template.js';
import { until } from '../../support/until.js';
import { recordStatements, untilSent } from '../../support/wire.js';
import { behindTheBack, type Holder, holder, may, NEVER_OLD, options, query } from './fixture.js';
import { untilRefused } from './until-refused.js';

jest.setTimeout(120_000);

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

const LISTENING = `select pid from pg_stat_activity where datname = current_database() and query like '%nest_auth_heartbeat%'
  and pid <> pg_backend_pid()`;

/** One that listens, and keeps what it has read while it does. */
async function start(url: string, revocation: object = NEVER_OLD): Promise<NestApp> {
  const app = await startNestApp(url, { auth: options({ ...revocation, listen: true }) });
  open.push(() => app.close());
  return app;
}

async function database(): Promise<string> {
  const { url, drop } = await createTestDatabase({ plain: true });
  open.push(drop);
  return url;
}

/** Waits until what is read is kept for longer than the bound, which only a proven connection allows. */
function untilListening(app: NestApp, url: string, one: Holder): Promise<void> {
  return until('LISTEN', async () => {
    if ((await query(url, LISTENING)).length === 0) return false;
    await may(app, one);
    return (await recordStatements(() => may(app, one))).statements.length === 0;
  });
}

const takeAway = (url: string, { userId }: Holder): Promise<unknown> =>
  query(url, 'update nest_auth_user_accesses set version = version + 1, status = $2 where user_id = $1', [
    userId,
    'suspended',
  ]);

/** So that nobody is told. */
const takeAwayInSilence = (url: string, { userId }: Holder): Promise<unknown> =>
  behindTheBack(url, `update nest_auth_user_accesses set status = 'suspended' where user_id = $1`, [userId]);

/** Beats as often as it does by default, but keeps what it has read for an hour. */
const LONG = { maxStaleMs: 1_000, cacheSeconds: 3_600 };

describe('a process that listens', () => {
  it('has what others change told, and keeps the rest beyond the bound without asking', async () => {
    const url = await database();
    const app = await start(url, { maxStaleMs: 500, cacheSeconds: 3_600 });
    const [one, other] = [await holder(app), await holder(app)];
    await untilListening(app, url, one);
    await may(app, other);
    // Both are older than the bound by now.
    await untilSent(/nest_auth_heartbeat/, 5);
    const { result, statements } = await recordStatements(async () => [await may(app, one), await may(app, other)]);
    expect(result).toEqual([true, true]);
    expect(statements.filter((sql) => !sql.includes('heartbeat'))).toEqual([]);
    await takeAway(url, one);
    await untilRefused(() => may(app, one));
    expect(await may(app, other)).toBe(true);
  });

  it('SEC-45 trusts nothing of before when its connection is ended, and listens again', async () => {
    const url = await database();
    const app = await start(url, LONG);
    const one = await holder(app);
    await untilListening(app, url, one);
    await takeAwayInSilence(url, one);
    expect(await may(app, one)).toBe(true);
    await query(url, `select pg_terminate_backend(pid) from (${LISTENING}) as listening`);
    await untilRefused(() => may(app, one));
    const next = await holder(app);
    await untilListening(app, url, next);
    await takeAway(url, next);
    await untilRefused(() => may(app, next));
  });

  it('SEC-45 refuses within the bound on a network that has gone silent, and listens again', async () => {
    const url = await database();
    const proxy: TcpProxy = await startTcpProxy(url);
    open.push(() => proxy.close());
    const app = await start(proxy.url, LONG);
    const one = await holder(app);
    await untilListening(app, url, one);
    await proxy.silence('nest_auth_heartbeat');
    await takeAway(url, one);
    const ms = await untilRefused(() => may(app, one));
    process.stdout.write(`revoked on a silent network: refused after ${ms} ms\n`);
    expect(await may(app, one)).toBe(false);
    const next = await holder(app);
    await untilListening(app, url, next);
    await takeAway(url, next);
    await untilRefused(() => may(app, next));
  });

  it('SEC-45 trusts nothing of before when the server is started again, and listens again', async () => {
    // What was taken away must outlive the crash.
    const server = await startPostgres({ settings: { synchronous_commit: 'on' } });
    open.push(() => server.stop());
    await createTemplate(server.url, 'revocation');
    const url = await clone(server.url, 'revocation', 'revocation_restart');
    const app = await start(url, LONG);
    const one = await holder(app);
    await untilListening(app, url, one);
    await takeAwayInSilence(url, one);
    expect(await may(app, one)).toBe(true);
    await server.restart('immediate');
    await until('the refusal', () =>
      may(app, one).then(
        (allowed) => !allowed,
        () => false,
      ),
    );
    const next = await holder(app);
    await untilListening(app, url, next);
    await takeAway(url, next);
    await untilRefused(() => may(app, next));
  });

  it('starts without a database that can be listened to, and then keeps the bound', async () => {
    const url = await database();
    const proxy: TcpProxy = await startTcpProxy(url);
    open.push(() => proxy.close());
    const cut = proxy.cut('LISTEN nest_auth_revoked', 'before it reaches the server');
    const app = await start(proxy.url, LONG);
    await cut;
    const one = await holder(app);
    expect(await may(app, one)).toBe(true);
    await takeAway(url, one);
    await untilRefused(() => may(app, one));
  });

  it('trusts no silence of a database without the triggers, such as one on Citus, and keeps the bound', async () => {
    const url = await database();
    await query(url, 'drop trigger nest_auth_users_revoked_update on nest_auth_users');
    const asked = untilSent(/tgname = 'nest_auth_users_revoked_update'/, 2);
    const app = await start(url, LONG);
    const one = await holder(app);
    // It looked twice, and so was not content with the first look.
    await asked;
    expect(await may(app, one)).toBe(true);
    await takeAwayInSilence(url, one);
    await untilRefused(() => may(app, one));
  });

  it('ends its connection with the application', async () => {
    const url = await database();
    const app = await startNestApp(url, { auth: options({ ...LONG, listen: true }) });
    await untilListening(app, url, await holder(app));
    await app.close();
    await until('the end of the connection', async () => (await query(url, LISTENING)).length === 0);
  });
});

import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import {
  isNestAuthError,
  NestAuthFormerPassword,
  type NestAuthModuleOptions,
  type NestAuthUser,
  TenantModeEnum,
} from '../../../src/index.js';
import { freshEmail, type NestApp, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { type RlsApp, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { countRows, dumpTables, untilSomebodyWaits } from '../../support/tables.js';
import { recordStatements } from '../../support/wire.js';
import { AUTH, recovery, resetToken } from '../recovery/fixture.js';
import { auth, CHEAP, query } from '../session/fixture.js';

const TABLE = 'nest_auth_password_history';
const options = (history?: number): NestAuthModuleOptions => ({
  ...AUTH,
  password: { ...CHEAP, ...(history === undefined ? {} : { history }) },
});

/** The password of a day: no two have much in common but their strength. */
const pass = (index: number): string => `seven purple otters dance ${index}`;
const undo = new Error('undo');

const app = useNestApp({ auth: options(2) });
afterEach(() => {
  jest.restoreAllMocks();
});

interface Holder {
  readonly user: NestAuthUser;
  readonly id: string;
  readonly email: string;
}

/** Somebody whose password is that of the day 0. */
async function holder(at: NestApp = app, tenantId?: string): Promise<Holder> {
  const email = freshEmail();
  const user = await at.users.createUser({ email, password: await at.passwords.hash(pass(0)) }, tenantId);
  return { user, id: user.id, email };
}

const rowsOf = (id: string, url = app.url): Promise<number> => countRows(url, TABLE, 'user_id = $1', [id]);

async function issuesOf(call: Promise<unknown>): Promise<unknown> {
  const error = await call.then(
    () => new Error('it was accepted'),
    (thrown: unknown) => thrown,
  );
  if (!isNestAuthError(error) || error.code !== 'PASSWORD_REFUSED') throw error;
  return error.details.issues?.map(({ path, code }) => `${path} ${code}`);
}
const REUSED = ['password REUSED'];

type Way = (somebody: Holder, next: string, current: string, at?: NestApp) => Promise<unknown>;

/** Every way in which a user who is there gets a password that somebody has chosen. */
const WAYS: Record<string, Way> = {
  changePassword: ({ id }, newPassword, currentPassword, at = app) =>
    recovery(at).changePassword({ userId: id, currentPassword, newPassword }),
  resetPassword: async ({ email }, password, _, at = app) =>
    recovery(at).resetPassword({ token: await resetToken(at, email), password }),
  setPassword: ({ user }, password) => user.setPassword(password),
};

describe.each(Object.entries(WAYS))('%s with two passwords remembered', (_name, choose) => {
  it('refuses the current one and the last two, and takes the one before', async () => {
    const somebody = await holder();
    for (const day of [1, 2, 3]) await choose(somebody, pass(day), pass(day - 1));
    for (const day of [3, 2, 1]) expect(await issuesOf(choose(somebody, pass(day), pass(3)))).toEqual(REUSED);
    expect(await rowsOf(somebody.id)).toBe(2);
    await choose(somebody, pass(0), pass(3));
    expect(await rowsOf(somebody.id)).toBe(2);
    expect(await issuesOf(choose(somebody, pass(2), pass(0)))).toEqual(REUSED);
    await choose(somebody, pass(1), pass(0));
    await expect(auth(app).signIn({ email: somebody.email, password: pass(1) })).resolves.toBeDefined();
  });

  it('keeps the hash in the statement that replaces it, and judges before a connection is taken for it', async () => {
    const somebody = await holder();
    await choose(somebody, pass(1), pass(0));
    const connections: number[] = [];
    const hash = app.passwords.hash.bind(app.passwords);
    const verify = app.passwords.verify.bind(app.passwords);
    const { master } = app.dataSource.driver as unknown as { master: { totalCount: number; idleCount: number } };
    const note = () => connections.push(master.totalCount - master.idleCount);
    jest.spyOn(app.passwords, 'hash').mockImplementation((...args) => (note(), hash(...args)));
    jest.spyOn(app.passwords, 'verify').mockImplementation((...args) => (note(), verify(...args)));
    const { statements } = await recordStatements(() => choose(somebody, pass(2), pass(1)));
    expect(statements.filter((text) => text.includes(TABLE)).map((text) => text.slice(0, 14))).toEqual([
      'select passwor',
      'with held as (',
    ]);
    expect(connections.length).toBeGreaterThanOrEqual(3);
    expect(new Set(connections)).toEqual(new Set([0]));
  });

  it('leaves nothing behind when its caller rolls back', async () => {
    const somebody = await holder();
    const before = await dumpTables(app.url);
    const token = await resetToken(app, somebody.email);
    const failing = app.users.runInTransaction(async (manager) => {
      if (choose === WAYS['resetPassword']) await recovery(app).resetPassword({ token, password: pass(1) }, manager);
      else await choose(somebody, pass(1), pass(0));
      expect(await manager.countBy(NestAuthFormerPassword, { userId: somebody.id })).toBe(1);
      throw undo;
    });
    await expect(failing).rejects.toBe(undo);
    expect((await dumpTables(app.url))[TABLE]).toEqual(before[TABLE]);
    await choose(somebody, pass(1), pass(0));
  });
});

describe('the history of passwords', () => {
  it('leaves a link good whose new password was refused', async () => {
    const { email } = await holder();
    const token = await resetToken(app, email);
    expect(await issuesOf(recovery(app).resetPassword({ token, password: pass(0) }))).toEqual(REUSED);
    await expect(recovery(app).resetPassword({ token, password: pass(1) })).resolves.toBeUndefined();
  });

  it('remembers what a hash replaced or a removal took, and judges no hash', async () => {
    const { id, user } = await holder();
    await user.setPassword(await app.passwords.hash(pass(1)));
    expect(await issuesOf(user.setPassword(pass(0)))).toEqual(REUSED);
    await user.setPassword(null);
    expect(await rowsOf(id)).toBe(2);
    for (const day of [0, 1]) expect(await issuesOf(user.setPassword(pass(day)))).toEqual(REUSED);
    // There was none to remember, and none of the two is pushed out by it.
    await user.setPassword(pass(2));
    expect(await rowsOf(id)).toBe(2);
    await user.setPassword(await app.passwords.hash(pass(2)));
    expect(await rowsOf(id)).toBe(2);
  });

  it('is not about a password that stays, and gets another hash at a sign-in', async () => {
    const { id, email } = await holder();
    const stronger = await startNestApp(app.url, {
      auth: { ...options(2), password: { ...CHEAP, memoryKiB: 9_216, history: 2 } },
    });
    try {
      await auth(stronger).signIn({ email, password: pass(0) });
      const [row] = await query<{ password_hash: string }>(
        app.url,
        'select password_hash from nest_auth_users where id = $1',
        [id],
      );
      expect(row?.password_hash).toContain('m=9216');
      expect(await rowsOf(id)).toBe(0);
    } finally {
      await stronger.close();
    }
  });

  it('holds for a user and for nobody else', async () => {
    const [mine, theirs] = [await holder(), await holder()];
    await mine.user.setPassword(pass(1));
    await theirs.user.setPassword(pass(2));
    await expect(theirs.user.setPassword(pass(1))).resolves.toBeUndefined();
    expect(await issuesOf(mine.user.setPassword(pass(0)))).toEqual(REUSED);
  });

  it('is kept by both of two changes at once', async () => {
    const { id, user } = await holder();
    const other = Object.assign(Object.create(Object.getPrototypeOf(user) as object) as NestAuthUser, user);
    const [first, second] = [await app.passwords.hash(pass(1)), await app.passwords.hash(pass(2))];
    let late: Promise<void> | undefined;
    await app.users.runInTransaction(async (manager) => {
      await user.setPassword(first, manager);
      late = other.setPassword(second, app.manager);
      await untilSomebodyWaits(app.url);
    });
    await late;
    expect(await rowsOf(id)).toBe(2);
    // Pass 0 was replaced by the first, and pass 1, which the second could not see when it began, by the second.
    for (const day of [0, 1, 2]) expect(await issuesOf(user.setPassword(pass(day)))).toEqual(REUSED);
  });

  it('of many changes by the current password at once remembers one', async () => {
    const { id } = await holder();
    const change = (index: number) =>
      recovery(app).changePassword({ userId: id, currentPassword: pass(0), newPassword: pass(index + 1) });
    const settled = await Promise.allSettled(times(8, change));
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await rowsOf(id)).toBe(1);
  });

  it('drops more than one at once when fewer are remembered than before, and reads no more than that', async () => {
    const somebody = await holder();
    for (const day of [1, 2]) await somebody.user.setPassword(pass(day));
    const fewer = await startNestApp(app.url, { auth: options(1) });
    try {
      expect(await issuesOf(choose(fewer, somebody, 1, 2))).toEqual(REUSED);
      await choose(fewer, somebody, 0, 2);
      expect(await rowsOf(somebody.id)).toBe(1);
      await choose(fewer, somebody, 1, 0);
    } finally {
      await fewer.close();
    }
  });

  it('ends with the user, and holds hashes only', async () => {
    const { id, user } = await holder();
    await user.setPassword(pass(1));
    const dump = JSON.stringify(await dumpTables(app.url));
    for (const day of [0, 1]) expect(dump).not.toContain(pass(day));
    expect(JSON.stringify(await app.manager.findBy(NestAuthFormerPassword, { userId: id }))).not.toContain('argon2');
    await app.users.deleteUser(id);
    expect(await rowsOf(id)).toBe(0);
  });
});

const choose = (at: NestApp, somebody: Holder, next: number, current: number): Promise<unknown> =>
  (WAYS['changePassword'] as Way)(somebody, pass(next), pass(current), at);

describe('without the option', () => {
  it('nothing is written, read or refused', async () => {
    const plain = await startNestApp(app.url, { auth: options() });
    try {
      const somebody = await holder(plain);
      const { statements } = await recordStatements(async () => {
        await choose(plain, somebody, 0, 0);
        await recovery(plain).resetPassword({ token: await resetToken(plain, somebody.email), password: pass(0) });
        await somebody.user.setPassword(pass(0), plain.manager);
      });
      expect(statements.filter((text) => text.includes(TABLE))).toEqual([]);
      expect(await rowsOf(somebody.id)).toBe(0);
    } finally {
      await plain.close();
    }
  });
});

describe('in tenants that know nothing of each other', () => {
  it('belongs to the user of the tenant, whoever has the same email elsewhere', async () => {
    const isolated = await startNestApp(app.url, {
      auth: { ...options(2), tenant: { mode: TenantModeEnum.ISOLATED } },
    });
    try {
      const { tenantId, otherTenantId } = app.seed;
      const email = freshEmail();
      const make = async (tenant: string) =>
        isolated.users.createUser({ email, password: await isolated.passwords.hash(pass(0)) }, tenant);
      const [mine, theirs] = [await make(tenantId), await make(otherTenantId)];
      await recovery(isolated).resetPassword({ token: await resetToken(isolated, email, tenantId), password: pass(1) });
      expect([await rowsOf(mine.id), await rowsOf(theirs.id)]).toEqual([1, 0]);
      expect(await query(app.url, `select realm_id from ${TABLE} where user_id = $1`, [mine.id])).toEqual([
        { realm_id: tenantId },
      ]);
      await expect(theirs.setPassword(pass(1))).resolves.toBeUndefined();
    } finally {
      await isolated.close();
    }
  });
});

describe('with row-level security', () => {
  let database: RlsDatabase;
  let walled: RlsApp;
  beforeAll(async () => {
    database = await createRlsDatabase();
    const started = await startRlsApp(database, {
      auth: { ...options(2), tenant: { mode: TenantModeEnum.ISOLATED } },
    });
    walled = { ...started, ...(await seedTenants(started)) };
  });
  afterAll(async () => {
    await walled.close();
    await database.drop();
  });
  const member = ({ id }: { id: string }) => walled.tenant.withoutTenant('seed', () => holder(walled, id));

  it('a tenant changes passwords of its own users by it, and the platform by links', async () => {
    const somebody = await member(walled.a);
    await walled.tenant.run(walled.a.id, async () => {
      await somebody.user.setPassword(pass(1));
      expect(await issuesOf(somebody.user.setPassword(pass(0)))).toEqual(REUSED);
      for (const day of [2, 3]) await somebody.user.setPassword(pass(day));
    });
    expect(await rowsOf(somebody.id, database.url)).toBe(2);
    const token = await resetToken(walled, somebody.email, walled.a.id);
    expect(await issuesOf(recovery(walled).resetPassword({ token, password: pass(1) }))).toEqual(REUSED);
    await recovery(walled).resetPassword({ token, password: pass(4) });
    await choose(walled, somebody, 5, 4);
    expect(await rowsOf(somebody.id, database.url)).toBe(2);
  });

  it.each([
    [`select user_id from ${TABLE}`],
    [`delete from ${TABLE} returning user_id`],
    [`update ${TABLE} set password_hash = 'x' returning user_id`],
    [
      `insert into ${TABLE} (user_id, id, realm_id, password_hash)
      select '$user'::uuid, '${randomUUID()}'::uuid, '$realm'::uuid, 'x'`,
    ],
  ])('another tenant gets nothing by: %s', async (sql) => {
    const somebody = await member(walled.a);
    await walled.tenant.run(walled.a.id, () => somebody.user.setPassword(pass(1)));
    const before = await dumpTables(database.url);
    const text = sql.replace('$user', somebody.id).replace('$realm', walled.a.id);
    const answer: unknown = await walled.tenant
      .run(walled.b.id, () => walled.dataSource.query(text))
      .catch((error: { driverError?: { code?: string } }) => error.driverError?.code);
    expect([[], [[], 0], '42501']).toContainEqual(answer);
    expect(await dumpTables(database.url)).toEqual(before);
  });
});

describe('with row-level security, in the realm for all', () => {
  it('a tenant sets the password of somebody whom the same transaction has made', async () => {
    const database = await createRlsDatabase();
    const started = await startRlsApp(database, { auth: options(2) });
    const shared: RlsApp = { ...started, ...(await seedTenants(started)) };
    try {
      const [first, second] = [await shared.passwords.hash(pass(0)), await shared.passwords.hash(pass(1))];
      const id = await shared.tenant.run(shared.a.id, () =>
        shared.users.runInTransaction(async (manager) => {
          const user = await shared.users.createUser(
            { email: freshEmail(), password: first },
            shared.a.id,
            {},
            manager,
          );
          await user.setPassword(second, manager);
          return user.id;
        }),
      );
      expect(await rowsOf(id, database.url)).toBe(1);
    } finally {
      await shared.close();
      await database.drop();
    }
  });
});

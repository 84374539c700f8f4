import { beforeEach, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import { NestAuthError } from '../../../src/index.js';
import { LOCK_WAITS, withClient } from '../../support/database.js';
import { AppPerson, committed, eventually, gate, newlyCommitted, useFixture } from '../../support/identity-fixture.js';
import { freshEmail } from '../../support/nest-app.js';

const app = useFixture();
let before: string[] = [];
beforeEach(async () => {
  before = await committed(app.url);
});
const kept = () => newlyCommitted(app.url, before);
const balanceOf = async (name: string) =>
  (await app.dataSource.getRepository(AppPerson).findOneByOrFail({ name })).balance;
const add = (manager: EntityManager, name: string, amount: number) =>
  manager.increment(AppPerson, { name }, 'balance', amount);

async function twoPeople(): Promise<[string, string]> {
  const names: [string, string] = [freshEmail(), freshEmail()];
  await app.dataSource.getRepository(AppPerson).insert(names.map((name) => ({ name })));
  before = await committed(app.url);
  return names;
}

/** Resolves once both have arrived: the two transactions then hold what the other one wants. */
function meeting(): () => Promise<void> {
  const { opened, open } = gate();
  let arrived = 0;
  return () => {
    arrived += 1;
    if (arrived === 2) open();
    return opened;
  };
}

describe('a deadlock', () => {
  it('makes one of the two run again as a whole; both take effect once, and are announced once', async () => {
    const [a, b] = await twoPeople();
    const [here, there] = [freshEmail(), freshEmail()];
    const meet = meeting();
    const ids = new Map<string, Set<string>>();
    let attempts = 0;
    const transfer = (first: string, second: string, email: string) => {
      // What must be the same in every attempt is made before the first.
      const id = uuidv7();
      return app.users.runInTransaction(async (manager) => {
        attempts += 1;
        ids.set(email, (ids.get(email) ?? new Set()).add(id));
        await app.users.createUser({ email });
        await add(manager, first, 1);
        await meet();
        await add(manager, second, 10);
      });
    };
    await Promise.all([transfer(a, b, here), transfer(b, a, there)]);
    expect(attempts).toBe(3);
    expect([...ids.values()].map((set) => set.size)).toEqual([1, 1]);
    expect([await balanceOf(a), await balanceOf(b)]).toEqual([11, 11]);
    expect(await kept()).toEqual([here, there].toSorted());
    expect(app.events).toHaveLength(2);
  });

  it('also makes the callback run again that swallowed it', async () => {
    const [a, b] = await twoPeople();
    const meet = meeting();
    const transfer = (first: string, second: string) =>
      app.users.runInTransaction(async (manager) => {
        await add(manager, first, 1);
        await meet();
        await add(manager, second, 10).catch(() => undefined);
      });
    await Promise.all([transfer(a, b), transfer(b, a)]);
    expect([await balanceOf(a), await balanceOf(b)]).toEqual([11, 11]);
  });

  it.each([
    [
      'retries: 0',
      (work: (manager: EntityManager) => Promise<unknown>) => app.users.runInTransaction(work, { retries: 0 }),
    ],
    [
      'a transaction of the host',
      (work: (manager: EntityManager) => Promise<unknown>) => app.dataSource.transaction(work),
    ],
  ])('rejects after exactly one attempt with %s', async (_what, transact) => {
    const [a, b] = await twoPeople();
    const meet = meeting();
    let attempts = 0;
    const transfer = (first: string, second: string) =>
      transact(async (manager) => {
        attempts += 1;
        await add(manager, first, 1);
        await meet();
        await add(manager, second, 10);
      });
    const settled = await Promise.allSettled([transfer(a, b), transfer(b, a)]);
    expect(attempts).toBe(2);
    expect(settled.filter(({ status }) => status === 'rejected')).toMatchObject([
      { reason: { driverError: { code: '40P01' } } },
    ]);
  });
});

describe('a serialization failure', () => {
  const onCall = (work: (manager: EntityManager) => Promise<unknown>) =>
    app.users.runInTransaction(work, { isolation: 'SERIALIZABLE' });

  it('of a write skew makes one of the two run again, and see what the other has done', async () => {
    const [a, b] = await twoPeople();
    const meet = meeting();
    let attempts = 0;
    // Only one of the two may go on leave.
    const leave = (name: string) =>
      onCall(async (manager) => {
        attempts += 1;
        const away = await manager.sum(AppPerson, 'balance', [{ name: a }, { name: b }]);
        await meet();
        if (away === 0) await add(manager, name, 1);
      });
    await Promise.all([leave(a), leave(b)]);
    expect(attempts).toBe(3);
    expect((await balanceOf(a)) + (await balanceOf(b))).toBe(1);
  });

  it('that arises only at COMMIT is retried too', async () => {
    const [a, b] = await twoPeople();
    const [meet, written] = [meeting(), meeting()];
    const leave = (name: string) =>
      onCall(async (manager) => {
        const away = await manager.sum(AppPerson, 'balance', [{ name: a }, { name: b }]);
        await meet();
        if (away === 0) await add(manager, name, 1);
        // Both have written: whoever commits second fails there.
        await written();
      });
    await Promise.all([leave(a), leave(b)]);
    expect((await balanceOf(a)) + (await balanceOf(b))).toBe(1);
  });

  it('is given up after the retries, with the error of PostgreSQL', async () => {
    let attempts = 0;
    const call = app.users.runInTransaction(
      async (manager) => {
        attempts += 1;
        await manager.query(`do $$ begin raise exception 'again' using errcode = '40001'; end $$`);
      },
      { retries: 3 },
    );
    await expect(call).rejects.toMatchObject({ driverError: { code: '40001' } });
    expect(attempts).toBe(4);
  });
});

describe('a callback that fails', () => {
  it.each([
    ['an error of its own', async () => Promise.reject(new Error('mine'))],
    ['a unique violation', (manager: EntityManager) => manager.insert(AppPerson, [{ name: 'twin' }, { name: 'twin' }])],
    ['a conflict of ours', async () => app.users.createUser({ email: 'not an email' })],
  ] as const)('with %s is run once', async (_what, work) => {
    let attempts = 0;
    const call = app.users.runInTransaction(async (manager) => {
      attempts += 1;
      await work(manager);
    });
    await expect(call).rejects.toBeInstanceOf(Error);
    expect(attempts).toBe(1);
  });

  it('with an error that says it is retryable is run again', async () => {
    const busy = new NestAuthError('TRANSACTION_CONFLICT', 'again', { details: { retryable: true } });
    let attempts = 0;
    const result = await app.users.runInTransaction(async () => {
      attempts += 1;
      if (attempts < 3) throw busy;
      return attempts;
    });
    expect(result).toBe(3);
  });

  it('drops what earlier attempts queued for after the COMMIT', async () => {
    const ran: number[] = [];
    let attempts = 0;
    await app.users.runInTransaction(async () => {
      attempts += 1;
      const attempt = attempts;
      app.users.afterCommit(() => ran.push(attempt));
      await app.users.createUser({ email: freshEmail() });
      if (attempt < 3) throw new NestAuthError('TRANSACTION_CONFLICT', 'again', { details: { retryable: true } });
    });
    expect(ran).toEqual([3]);
    expect(app.events).toHaveLength(1);
  });
});

describe('a call inside somebody’s transaction', () => {
  it('is tried once when it meets a deadlock: the owner has to run again', async () => {
    const [a, b] = await twoPeople();
    const user = await app.users.createUser({ email: freshEmail() });
    const other = await app.users.createUser({ email: freshEmail() });
    before = await committed(app.url);
    const meet = meeting();
    const cross = (first: string, second: string, name: string) =>
      app.dataSource.transaction(async (manager) => {
        await app.users.updateUserMetadata(first, { by: name }, manager);
        await meet();
        await app.users.updateUserMetadata(second, { by: name }, manager);
      });
    const settled = await Promise.allSettled([cross(user.id, other.id, a), cross(other.id, user.id, b)]);
    expect(settled.filter(({ status }) => status === 'rejected')).toMatchObject([
      { reason: { code: 'TRANSACTION_CONFLICT', details: { retryable: true, sqlState: '40P01' } } },
    ]);
  });
});

describe('a lock that is not granted', () => {
  it('makes a call of ours fail with LOCK_TIMEOUT within lockTimeoutMs, and nothing is kept', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    await withClient(app.url, async (holder) => {
      await holder.query('begin');
      await holder.query('select 1 from nest_auth_users where id = $1 for update', [user.id]);
      const call = app.users.runInTransaction(
        async () => {
          await app.users.createUser({ email: freshEmail() });
          await app.users.updateUserStatus(user.id, false);
        },
        { lockTimeoutMs: 20 },
      );
      await expect(call).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
    });
    expect(await kept()).toEqual([user.email]);
    expect(app.events).toHaveLength(1);
  });

  it('is waited for without a limit, and then taken', async () => {
    const user = await app.users.createUser({ email: freshEmail() });
    await withClient(app.url, async (holder) => {
      await holder.query('begin');
      await holder.query('select 1 from nest_auth_users where id = $1 for update', [user.id]);
      const call = app.users.updateUserStatus(user.id, false);
      await eventually(async () => {
        const { rows } = await holder.query(LOCK_WAITS);
        return rows.length > 0;
      });
      await holder.query('commit');
      await expect(call).resolves.toMatchObject({ isActive: false });
    });
  });
});

import { beforeEach, describe, expect, it } from '@jest/globals';
import type { EntityManager, Repository } from 'typeorm';

import { NestAuthUser } from '../../../src/index.js';
import { AppPerson, committed, gate, newlyCommitted, useFixture } from '../../support/identity-fixture.js';
import { freshEmail } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';

const app = useFixture();
let before: string[] = [];
beforeEach(async () => {
  before = await committed(app.url);
});
const kept = () => newlyCommitted(app.url, before);

const OPENERS = {
  runInTransaction: <T>(work: (manager: EntityManager) => Promise<T>) => app.users.runInTransaction(work),
  'dataSource.transaction': <T>(work: (manager: EntityManager) => Promise<T>) => app.dataSource.transaction(work),
};

describe.each(Object.keys(OPENERS) as (keyof typeof OPENERS)[])('the manager of a %s', (opener) => {
  const transact = OPENERS[opener];

  it.each([
    ['committed', false],
    ['rolled back', true],
  ] as const)('refuses everything once that has %s, and sends nothing', async (_end, fails) => {
    let manager!: EntityManager;
    let repository!: Repository<AppPerson>;
    await transact(async (given) => {
      manager = given;
      repository = given.getRepository(AppPerson);
      if (fails) throw new Error('mine');
    }).catch(() => undefined);
    const late: (() => unknown)[] = [
      () => manager.query('select 1'),
      () => manager.insert(AppPerson, { name: 'late' }),
      () => manager.find(AppPerson),
      () => manager.save(AppPerson, { name: 'late' }),
      () => manager.createQueryBuilder(AppPerson, 'p').getMany(),
      () => manager.transaction(async () => undefined),
      () => manager.getRepository(AppPerson).count(),
      () => repository.insert({ name: 'late' }),
      () => repository.save({ name: 'late' }),
      () => repository.find(),
      () => repository.createQueryBuilder('p').delete().execute(),
      () => app.users.createUser({ email: freshEmail() }, null, {}, manager),
      () => app.users.getUserById('00000000-0000-7000-8000-000000000000', {}, manager),
      () => app.users.afterCommit(() => undefined, manager),
    ];
    const { statements } = await recordStatements(async () => {
      for (const use of late) {
        await expect((async () => use())()).rejects.toMatchObject({ code: 'TRANSACTION_ENDED' });
      }
    });
    expect(statements).toEqual([]);
    expect(await kept()).toEqual([]);
  });

  it('rolls back and says TRANSACTION_BUSY when a statement was not awaited', async () => {
    const forgotten: ((manager: EntityManager) => Promise<unknown>)[] = [
      (manager) => manager.insert(AppPerson, { name: freshEmail() }),
      (manager) => manager.query('insert into app_people (name) values ($1)', [freshEmail()]),
      (manager) => manager.save(AppPerson, { name: freshEmail() }),
      (manager) => app.users.createUser({ email: freshEmail() }, null, {}, manager),
      () => app.users.createUser({ email: freshEmail() }),
      (manager) => manager.transaction((inner) => inner.insert(AppPerson, { name: freshEmail() })),
      () => app.users.runInTransaction((inner) => inner.insert(AppPerson, { name: freshEmail() })),
    ];
    for (const forget of forgotten) {
      let late!: Promise<unknown>;
      const call = transact(async (manager) => {
        await manager.insert(AppPerson, { name: freshEmail() });
        late = forget(manager).catch(() => undefined);
      });
      await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_BUSY' });
      await late;
    }
    expect(await kept()).toEqual([]);
    expect(app.events).toEqual([]);
  });

  it('rolls back and says TRANSACTION_BUSY when a nested transaction was not awaited and is between two statements', async () => {
    const { opened, open } = gate();
    let late!: Promise<unknown>;
    const call = transact(async (manager) => {
      await manager.insert(AppPerson, { name: freshEmail() });
      const begun = gate();
      late = manager
        .transaction(async (inner) => {
          begun.open();
          await opened;
          await inner.insert(AppPerson, { name: freshEmail() });
        })
        .catch((error: unknown) => error);
      await begun.opened;
    });
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_BUSY' });
    open();
    expect(await late).toMatchObject({ code: 'TRANSACTION_ENDED' });
    expect(await kept()).toEqual([]);
  });

  it('rolls back and says TRANSACTION_BUSY when a nested transaction begun by hand was left open', async () => {
    const call = transact(async (manager) => {
      await manager.insert(AppPerson, { name: freshEmail() });
      await manager.queryRunner?.startTransaction();
      await manager.insert(AppPerson, { name: freshEmail() });
    });
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_BUSY' });
    expect(await kept()).toEqual([]);
  });

  it('refuses a statement that is sent later than the end of the callback', async () => {
    const { opened, open } = gate();
    let late!: Promise<unknown>;
    await transact(async (manager) => {
      late = opened.then(() => manager.insert(AppPerson, { name: freshEmail() })).catch((error: unknown) => error);
    });
    open();
    expect(await late).toMatchObject({ code: 'TRANSACTION_ENDED' });
    expect(await kept()).toEqual([]);
  });

  it('ends with its callback for entities too: a helper then runs on a connection of its own', async () => {
    const email = freshEmail();
    const user = await transact((manager) => app.users.createUser({ email }, null, {}, manager));
    expect(user).toBeInstanceOf(NestAuthUser);
    await expect(user.getPlatformAccess()).resolves.toBeNull();
  });
});

describe('work that was started in a callback and outlives the transaction', () => {
  it('stands outside of it, and may use the database on its own', async () => {
    const email = freshEmail();
    const { opened, open } = gate();
    let late!: Promise<unknown>;
    await app.users.runInTransaction(async () => {
      late = opened.then(() => app.users.createUser({ email }));
    });
    open();
    await late;
    expect(await kept()).toEqual([email]);
  });
});

import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import { NestAuthEvents } from '../../../src/index.js';
import {
  AppPerson,
  committed,
  expectCleanPools,
  gate,
  newlyCommitted,
  useFixture,
} from '../../support/identity-fixture.js';
import { freshEmail, times } from '../../support/nest-app.js';

const app = useFixture({ pool: 1 });
let before: string[] = [];
beforeEach(async () => {
  before = await committed(app.url);
});
const kept = () => newlyCommitted(app.url, before);
const mine = new Error('mine');
const create = (email = freshEmail(), manager?: EntityManager) => app.users.createUser({ email }, null, {}, manager);

type Listener = (...args: unknown[]) => unknown;
const added: Listener[] = [];
const onCreated = (listener: Listener) => {
  added.push(listener);
  app.emitter.on(NestAuthEvents.USER_CREATED, listener);
};
afterEach(() => {
  for (const listener of added.splice(0)) app.emitter.off(NestAuthEvents.USER_CREATED, listener);
});

describe('what waits for the COMMIT', () => {
  it('runs after it, once, in the order in which it was queued', async () => {
    const order: string[] = [];
    onCreated(() => order.push('event'));
    await app.users.runInTransaction(async (manager) => {
      app.users.afterCommit(() => order.push('first'));
      await create(undefined, manager);
      app.users.afterCommit(() => order.push('last'), manager);
      order.push('callback');
    });
    expect(order).toEqual(['callback', 'first', 'event', 'last']);
  });

  it('sees the committed rows on a connection of its own, also with a pool of one', async () => {
    const seen = gate<unknown>();
    onCreated(async () => seen.open(await committed(app.url)));
    const used = gate<unknown>();
    onCreated(async () => used.open(await app.dataSource.getRepository(AppPerson).count()));
    const again = gate<unknown>();
    const second = freshEmail();
    app.users.afterCommit(() => undefined);
    const email = freshEmail();
    await app.users.runInTransaction(async () => {
      app.users.afterCommit(async () => again.open(await create(second)));
      await create(email);
    });
    expect(await seen.opened).toContain(email);
    await used.opened;
    await again.opened;
    expect(await kept()).toEqual([email, second].toSorted());
  });

  it('is forgotten with a rollback, and nothing of it runs with the next transaction', async () => {
    const ran: string[] = [];
    const call = app.users.runInTransaction(async () => {
      app.users.afterCommit(() => ran.push('never'));
      await create();
      throw mine;
    });
    await expect(call).rejects.toBe(mine);
    await app.users.runInTransaction(async () => app.users.afterCommit(() => ran.push('next')));
    expect(ran).toEqual(['next']);
    expect(app.events).toEqual([]);
  });

  it('runs at once where there is no transaction to wait for', async () => {
    const ran: string[] = [];
    app.users.afterCommit(() => ran.push('now'));
    app.users.afterCommit(() => ran.push('now'), app.dataSource.manager);
    expect(ran).toEqual(['now', 'now']);
  });

  it('runs after a commit of the host: dataSource.transaction and a runner of its own', async () => {
    const ran: string[] = [];
    await app.dataSource.transaction(async (manager) => {
      await create(undefined, manager);
      app.users.afterCommit(() => ran.push('transaction'));
    });
    expect(ran).toEqual(['transaction']);
    const delivered = gate();
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await create(undefined, runner.manager);
    app.users.afterCommit(() => delivered.open(), runner.manager);
    expect(app.events).toHaveLength(1);
    await runner.commitTransaction();
    await delivered.opened;
    await runner.release();
    expect(app.events).toHaveLength(2);
  });

  it('waits for a host that commits much later', async () => {
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await create(undefined, runner.manager);
    for (const _turn of times(20, String)) await runner.query('select 1');
    expect(app.events).toEqual([]);
    await runner.commitTransaction();
    await runner.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(app.events).toHaveLength(1);
  });

  it('runs when the connection is back in its pool', async () => {
    const looked = gate();
    await app.users.runInTransaction(async () => {
      app.users.afterCommit(() => {
        looked.open();
        expectCleanPools(app.dataSource);
      });
      await create();
    });
    await looked.opened;
    expect(app.reports).toEqual([]);
  });

  it('stands outside of a transaction in which it was queued for nothing to wait for', async () => {
    const used = gate<unknown>();
    await app.users.runInTransaction(async () => {
      app.users.afterCommit(async () => used.open(await app.dataSource.query('select 1')), app.dataSource.manager);
    });
    await expect(used.opened).resolves.toHaveLength(1);
    expect(app.reports).toEqual([]);
  });

  it('may queue more, which runs too', async () => {
    const ran: string[] = [];
    await app.users.runInTransaction(async () => {
      app.users.afterCommit(() => {
        ran.push('first');
        app.users.afterCommit(() => ran.push('its own'));
      });
      app.users.afterCommit(() => ran.push('second'));
    });
    expect(ran).toEqual(['first', 'its own', 'second']);
  });

  it('stands outside of the transaction it waited for, and of an enclosing one', async () => {
    const inner = freshEmail();
    const written = gate();
    onCreated(async () => {
      await app.dataSource.getRepository(AppPerson).insert({ name: inner });
      written.open();
    });
    const email = freshEmail();
    await app.users.runInTransaction(() => create(email));
    await written.opened;
    expect(await kept()).toEqual([email, inner].toSorted());
    expect(app.reports).toEqual([]);
  });
});

/** Of another realm, as a promise of a sandbox is: no instance of our `Promise`. */
const foreignRejection = (): unknown => runInNewContext('Promise.reject(error)', { error: mine });

describe('a listener', () => {
  it.each([
    [
      'throws',
      () => {
        throw mine;
      },
    ],
    ['rejects', () => Promise.reject(mine)],
    ['gives back a foreign promise that rejects', () => foreignRejection()],
  ])('that %s changes nothing for the caller, does not stop the next one, and is reported', async (_what, listener) => {
    const next = gate();
    onCreated(listener);
    onCreated(() => next.open());
    const email = freshEmail();
    await expect(app.users.runInTransaction(() => create(email))).resolves.toMatchObject({ email });
    await next.opened;
    await new Promise((resolve) => setImmediate(resolve));
    expect(app.reports).toMatchObject([{ error: mine }]);
    await expect(create()).resolves.toBeDefined();
    expect(await kept()).toHaveLength(2);
  });

  it('that hangs keeps nobody waiting', async () => {
    onCreated(() => new Promise(() => undefined));
    await create();
    await app.users.runInTransaction(() => create());
    expect(app.events).toHaveLength(2);
  });

  it('added with once hears one event', async () => {
    let heard = 0;
    app.emitter.once(NestAuthEvents.USER_CREATED, () => (heard += 1));
    await create();
    await create();
    expect(heard).toBe(1);
  });

  it('hears nothing of a call that was refused', async () => {
    const email = freshEmail();
    await create(email);
    app.events.length = 0;
    await expect(create(email)).rejects.toMatchObject({ code: 'EMAIL_ALREADY_EXISTS' });
    expect(app.events).toEqual([]);
  });

  it('gets no manager of the transaction', async () => {
    const argumentsOf = gate<unknown[]>();
    onCreated((...args) => argumentsOf.open(args));
    await app.users.runInTransaction((manager) => create(undefined, manager));
    const [event, ...rest] = await argumentsOf.opened;
    expect(rest).toEqual([]);
    expect(
      Object.values(event as object).some((value) => (value as { queryRunner?: unknown } | null)?.queryRunner),
    ).toBe(false);
  });
});

describe('a logger that throws', () => {
  it('changes nothing for the caller either', async () => {
    const { reports } = app;
    const push = reports.push.bind(reports);
    reports.push = () => {
      throw new Error('disk full');
    };
    onCreated(() => {
      throw mine;
    });
    await expect(app.users.runInTransaction(() => create())).resolves.toBeDefined();
    reports.push = push;
  });
});

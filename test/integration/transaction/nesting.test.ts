import { beforeEach, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import { NestAuthEvents, type RunInTransactionOptions } from '../../../src/index.js';
import { AppPerson, committed, gate, newlyCommitted, useFixture } from '../../support/identity-fixture.js';
import { freshEmail, outcomesOf, times } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';

const app = useFixture({ auth: { transaction: { operationTimeoutMs: 500 } } });
let before: string[] = [];
beforeEach(async () => {
  before = await committed(app.url);
});
const kept = () => newlyCommitted(app.url, before);
const announced = () => app.events.map((event) => (event as unknown as { user: { email: string } }).user.email);
const mine = new Error('mine');
const create = (email: string, manager?: EntityManager) => app.users.createUser({ email }, null, {}, manager);

const ABORTED = { code: 'TRANSACTION_ABORTED', cause: mine };

describe('a runInTransaction inside another', () => {
  it.each([
    // nested      inner fails  outer swallows  outer fails  what is kept
    [undefined, false, false, false, 'outer and inner'],
    [undefined, false, false, true, 'nothing'],
    [undefined, true, false, false, 'nothing'],
    [undefined, true, true, false, 'nothing, as the half cannot be kept'],
    ['savepoint', false, false, false, 'outer and inner'],
    ['savepoint', false, false, true, 'nothing'],
    ['savepoint', true, false, false, 'nothing'],
    ['savepoint', true, true, false, 'outer'],
    ['independent', false, false, false, 'outer and inner'],
    ['independent', false, false, true, 'inner'],
    ['independent', true, false, false, 'nothing'],
    ['independent', true, true, false, 'outer'],
  ] as const)(
    'with nested %s, inner fails: %s, outer swallows: %s, outer fails: %s, keeps %s and announces the same',
    async (nested, innerFails, swallows, outerFails, keeps) => {
      const [outer, inner] = [freshEmail(), freshEmail()];
      const options: RunInTransactionOptions = nested === undefined ? {} : { nested };
      const call = app.users.runInTransaction(async (manager) => {
        await create(outer, manager);
        const nestedCall = app.users.runInTransaction(async (innerManager) => {
          await create(inner, innerManager);
          if (innerFails) throw mine;
        }, options);
        await (swallows ? nestedCall.catch(() => undefined) : nestedCall);
        if (outerFails) throw mine;
      });
      const failure = await call.then(
        () => 'none',
        (caught: unknown) => caught,
      );
      const fails = outerFails || (innerFails && !swallows) ? mine : 'none';
      expect([failure]).toMatchObject([keeps.startsWith('nothing, as') ? ABORTED : fails]);
      const expected = [...(/outer/.test(keeps) ? [outer] : []), ...(/inner/.test(keeps) ? [inner] : [])];
      expect(await kept()).toEqual(expected.toSorted());
      expect(announced().toSorted()).toEqual(expected.toSorted());
    },
  );

  it('undoes and forgets what an inner one committed when an outer one of three rolls back', async () => {
    const [first, last] = [freshEmail(), freshEmail()];
    await app.users.runInTransaction(async (manager) => {
      await create(first);
      const middle = app.users.runInTransaction(
        async () => {
          await create(freshEmail());
          await app.users.runInTransaction(() => create(freshEmail()), { nested: 'savepoint' });
          throw mine;
        },
        { nested: 'savepoint' },
      );
      await expect(middle).rejects.toBe(mine);
      await create(last, manager);
    });
    expect(await kept()).toEqual([first, last].toSorted());
    expect(announced()).toEqual([first, last]);
  });

  it('announces in the order of the writes when savepoints two deep are released', async () => {
    const emails = times(5, freshEmail);
    const [a, b, c, d, e] = emails as [string, string, string, string, string];
    await app.users.runInTransaction(async (manager) => {
      await create(a);
      await manager.transaction(async (inner) => {
        await create(b, inner);
        await inner.transaction((innermost) => create(c, innermost));
        await create(d);
      });
      await create(e);
    });
    expect(announced()).toEqual(emails);
  });

  it('forgets what raw savepoints undo, and keeps what they release, however their names are written', async () => {
    const emails = times(3, freshEmail);
    const [a, b, c] = emails as [string, string, string];
    await app.users.runInTransaction(async (manager) => {
      await create(a);
      await manager.query('SAVEPOINT Outer_One');
      await create(freshEmail());
      await manager.query('savepoint "Quoted Name"; select 1');
      await create(freshEmail());
      await manager.query('release savepoint "Quoted Name"');
      await manager.query('rollback work to savepoint outer_one');
      await create(b);
      await manager.query('SAVEPOINT x; SAVEPOINT y');
      await create(freshEmail());
      await manager.query('ROLLBACK TO y; RELEASE y; RELEASE x');
      await create(c);
    });
    expect(announced()).toEqual(emails);
    expect(await kept()).toEqual(emails.toSorted());
  });

  it('stays usable after a call that changed something was undone by a savepoint', async () => {
    const email = freshEmail();
    const user = await create(freshEmail());
    await app.users.runInTransaction(async (manager) => {
      // The whole update, which writes before it fails, lies within the savepoint.
      await manager
        .transaction(async (inner) => {
          await app.users.updateUser(user.id, { email: freshEmail() }, inner);
          throw mine;
        })
        .catch(() => undefined);
      await create(email);
    });
    expect(await kept()).toContain(email);
  });

  it('refuses by name what only the opening call can set', async () => {
    await app.users.runInTransaction(async () => {
      for (const options of [{ isolation: 'SERIALIZABLE' }, { timeoutMs: 5 }, { lockTimeoutMs: 5 }] as const) {
        await expect(app.users.runInTransaction(async () => undefined, options)).rejects.toMatchObject({
          code: 'VALIDATION_FAILED',
          details: { issues: [{ path: Object.keys(options)[0] }] },
        });
      }
    });
  });

  it('joins with nothing on the wire', async () => {
    const { statements } = await recordStatements(() =>
      app.users.runInTransaction(() => app.users.runInTransaction((manager) => manager.query('select 1'))),
    );
    expect(statements).toEqual(['START TRANSACTION', 'select 1', 'COMMIT']);
  });

  it('uses the connection of the outer one for everything but an independent one', async () => {
    const { connections } = await recordStatements(() =>
      app.users.runInTransaction(async (manager) => {
        await create(freshEmail());
        await app.users.runInTransaction(() => create(freshEmail()), { nested: 'savepoint' });
        await manager.transaction(() => create(freshEmail()));
      }),
    );
    expect(connections).toBe(1);
  });

  it('joins a transaction that the host opened by dataSource.transaction', async () => {
    const email = freshEmail();
    const call = app.dataSource.transaction(async () => {
      await create(freshEmail());
      await app.users.runInTransaction(() => create(email));
      throw mine;
    });
    await expect(call).rejects.toBe(mine);
    expect(await kept()).toEqual([]);
    expect(app.events).toEqual([]);
  });
});

describe('calls made at once on one manager', () => {
  it('all succeed, one after another', async () => {
    const emails = times(10, freshEmail);
    const { connections } = await recordStatements(() =>
      app.users.runInTransaction((manager) => Promise.all(emails.map((email) => create(email, manager)))),
    );
    expect(connections).toBe(1);
    expect(await kept()).toEqual(emails.toSorted());
    expect(announced()).toEqual(emails);
  });

  it('all succeed without a manager too, and mixed with several statements each', async () => {
    const users = await Promise.all(times(5, () => create(freshEmail())));
    const changed = times(5, freshEmail);
    await app.users.runInTransaction(() =>
      Promise.all(users.map(({ id }, n) => app.users.updateUser(id, { email: changed[n] as string }))),
    );
    expect(await kept()).toEqual(changed.toSorted());
  });

  it('succeed as nested transactions, of which every third fails by itself (T4)', async () => {
    const emails = times(9, freshEmail);
    const { won, errors } = await app.users.runInTransaction((manager) =>
      outcomesOf(
        emails.map((email, n) =>
          manager.transaction(async (inner) => {
            await inner.insert(AppPerson, { name: email });
            if (n % 3 === 0) await inner.query('select 1/0');
            return email;
          }),
        ),
      ),
    );
    expect(errors).toHaveLength(3);
    expect(await kept()).toEqual(won.toSorted());
  });

  it('succeed as nested runInTransaction calls that make calls at once themselves', async () => {
    const emails = times(8, freshEmail);
    await app.users.runInTransaction(() =>
      Promise.all(
        [0, 4].map((start) =>
          app.users.runInTransaction(() => Promise.all(emails.slice(start, start + 4).map((email) => create(email))), {
            nested: 'savepoint',
          }),
        ),
      ),
    );
    expect(await kept()).toEqual(emails.toSorted());
  });

  it('write nothing outside when one rejects and its siblings are still queued (F15)', async () => {
    const call = app.users.runInTransaction((manager) =>
      Promise.all([
        create(freshEmail(), manager),
        Promise.reject(mine),
        ...times(8, () => create(freshEmail(), manager)),
        manager.transaction((inner) => inner.insert(AppPerson, { name: freshEmail() })),
      ]),
    );
    await expect(call).rejects.toBe(mine);
    expect(await kept()).toEqual([]);
    expect(app.events).toEqual([]);
  });

  it('are refused, not left waiting for ever, when one awaits another that is queued behind it', async () => {
    const call = app.users.runInTransaction(async () => {
      const second = gate<Promise<unknown>>();
      const first = app.users.runInTransaction(async () => second.opened.then((queued) => queued));
      second.open(app.users.runInTransaction(async () => undefined));
      await first;
    });
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_BUSY' });
  });

  it('wait for each other also when they have lost the async context and pass the manager', async () => {
    const emails = times(4, freshEmail);
    const outside = gate<EntityManager>();
    // Made before the transaction, so that its continuation stands outside of any.
    const worker = outside.opened.then((manager) => Promise.all(emails.map((email) => create(email, manager))));
    await app.users.runInTransaction(async (manager) => {
      outside.open(manager);
      await worker;
    });
    expect(await kept()).toEqual(emails.toSorted());
  });
});

describe('a conflict inside a transaction', () => {
  it('is typed, announces nothing, and leaves the transaction usable', async () => {
    const [taken, email] = [freshEmail(), freshEmail()];
    await create(taken);
    await app.users.runInTransaction(async (manager) => {
      await expect(create(taken.toUpperCase(), manager)).rejects.toMatchObject({ code: 'EMAIL_ALREADY_EXISTS' });
      await create(email, manager);
    });
    expect(await kept()).toEqual([taken, email].toSorted());
    expect(app.events.map(({ name }) => name)).toEqual([NestAuthEvents.USER_CREATED, NestAuthEvents.USER_CREATED]);
  });
});

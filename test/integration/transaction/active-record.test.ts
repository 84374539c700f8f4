import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { NestAuthUser } from '../../../src/index.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import {
  AppNote,
  committed,
  createFixture,
  expectCleanPools,
  type Fixture,
  newlyCommitted,
  useFixture,
} from '../../support/identity-fixture.js';
import { freshEmail } from '../../support/nest-app.js';

describe('the active-record calls of our entities', () => {
  const app = useFixture({ pool: 1 });
  let before: string[] = [];
  beforeEach(async () => {
    before = await committed(app.url);
  });
  const kept = () => newlyCommitted(app.url, before);
  const mine = new Error('mine');
  const rolledBack = (work: () => Promise<unknown>) =>
    expect(
      app.users.runInTransaction(async () => {
        await work();
        throw mine;
      }),
    ).rejects.toBe(mine);

  it('see the rows of the running transaction, statically', async () => {
    await rolledBack(async () => {
      const email = freshEmail();
      const { id } = await app.users.createUser({ email });
      expect(await NestAuthUser.find({ where: { id } })).toHaveLength(1);
      expect(await NestAuthUser.findOneBy({ id })).toMatchObject({ email });
      expect(await NestAuthUser.countBy({ id })).toBe(1);
      expect(await NestAuthUser.existsBy({ id })).toBe(true);
      expect(await NestAuthUser.createQueryBuilder('u').where('u.id = :id', { id }).getCount()).toBe(1);
      expect(await NestAuthUser.query('select 1 from nest_auth_users where id = $1', [id])).toHaveLength(1);
    });
    expect(await kept()).toEqual([]);
  });

  it('write into the running transaction, statically, and are rolled back with it', async () => {
    const note = await AppNote.create({ text: freshEmail() }).save();
    before = await committed(app.url);
    await rolledBack(async () => {
      await AppNote.insert({ text: freshEmail() });
      await AppNote.save({ text: freshEmail() });
      await AppNote.update({ id: note.id }, { text: 'changed' });
      await AppNote.delete({ id: note.id });
    });
    expect(await kept()).toEqual([]);
    expect(await AppNote.findOneBy({ id: note.id })).toMatchObject({ text: note.text });
  });

  it('join by instance too: save, remove, softRemove, recover and reload', async () => {
    const [kind, gone] = await Promise.all([1, 2].map(() => AppNote.create({ text: freshEmail() }).save()));
    await rolledBack(async () => {
      const note = kind as AppNote;
      note.text = 'changed';
      await note.save();
      await note.softRemove();
      expect(await AppNote.countBy({ id: note.id })).toBe(0);
      await note.recover();
      expect(await AppNote.countBy({ id: note.id, text: 'changed' })).toBe(1);
      await app.users.runInTransaction((manager) => manager.update(AppNote, { id: note.id }, { text: 'again' }));
      await note.reload();
      expect(note.text).toBe('again');
      await (gone as AppNote).remove();
    });
    expect(await AppNote.findOneByOrFail({ id: kind?.id as string })).toMatchObject({ deletedAt: null });
    expect(await AppNote.countBy({ text: 'again' })).toBe(0);
    expect(await AppNote.count({ where: { text: gone?.text as string } })).toBe(1);
  });

  it('make an entity’s save of a change part of the transaction, for an entity loaded before it', async () => {
    const { id } = await app.users.createUser({ email: freshEmail() });
    const user = await NestAuthUser.findOneByOrFail({ id });
    await rolledBack(async () => {
      user.metadata = { changed: true };
      await user.save();
    });
    expect((await app.users.getUserById(id))?.metadata).toEqual({});
  });

  it('join a transaction that the host opened by dataSource.transaction', async () => {
    const call = app.dataSource.transaction(async () => {
      await AppNote.insert({ text: freshEmail() });
      throw mine;
    });
    await expect(call).rejects.toBe(mine);
    expect(await kept()).toEqual([]);
  });

  it('are refused in a callback whose transaction is over', async () => {
    const call = app.users.runInTransaction(async (manager) => {
      await manager.query('ROLLBACK');
      await AppNote.insert({ text: freshEmail() });
    });
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED' });
    expect(await kept()).toEqual([]);
  });
});

describe('two DataSources that share the entity classes', () => {
  const databases: TestDatabase[] = [];
  const apps: Fixture[] = [];
  beforeAll(async () => {
    for (let count = 0; count < 2; count += 1) {
      const database = await createTestDatabase();
      databases.push(database);
      apps.push(await createFixture(database.url));
    }
  });
  afterAll(async () => {
    for (const { dataSource, close } of apps) {
      expectCleanPools(dataSource);
      await close();
    }
    for (const database of databases) await database.drop();
  });
  const both = () => apps as [Fixture, Fixture];

  it('refuse a static call that stands in no transaction, instead of guessing', async () => {
    await expect((async () => NestAuthUser.count())()).rejects.toMatchObject({ code: 'AMBIGUOUS_DATA_SOURCE' });
    await expect((async () => AppNote.create({ text: 'x' }).save())()).rejects.toMatchObject({
      code: 'AMBIGUOUS_DATA_SOURCE',
    });
  });

  it('each answer the static calls of their own transactions, also nested in the other’s', async () => {
    const [first, second] = both();
    const emails = [freshEmail(), freshEmail()] as const;
    await first.users.runInTransaction(async () => {
      await first.users.createUser({ email: emails[0] });
      expect(await NestAuthUser.findOneBy({ email: emails[0] })).not.toBeNull();
      await second.users.runInTransaction(async () => {
        await second.users.createUser({ email: emails[1] });
        expect(await NestAuthUser.findOneBy({ email: emails[0] })).toBeNull();
        expect(await NestAuthUser.findOneBy({ email: emails[1] })).not.toBeNull();
        // A service stays with its own DataSource, whatever the innermost transaction is.
        expect(await first.users.getUserByEmail(emails[0])).not.toBeNull();
      });
      expect(await NestAuthUser.findOneBy({ email: emails[1] })).toBeNull();
    });
    expect(await committed(first.url)).toEqual([emails[0]]);
    expect(await committed(second.url)).toEqual([emails[1]]);
  });

  it('keep the helpers of an entity with the one it came from, also outside a transaction', async () => {
    const [first, second] = both();
    const user = await first.users.createUser({ email: freshEmail() });
    await user.updateEmail(freshEmail());
    await user.reload();
    user.metadata = { at: 'home' };
    await user.save();
    expect(await first.users.getUserById(user.id)).toMatchObject({ metadata: { at: 'home' } });
    expect(await second.users.getUserById(user.id)).toBeNull();
  });

  it('refuse a manager of the other one', async () => {
    const [first, second] = both();
    await second.users.runInTransaction(async (manager) => {
      await expect(first.users.createUser({ email: freshEmail() }, null, {}, manager)).rejects.toMatchObject({
        code: 'AMBIGUOUS_DATA_SOURCE',
      });
    });
  });

  it('are no escape from each other', async () => {
    const [first, second] = both();
    await first.users.runInTransaction(() => second.dataSource.query('select 1'));
    expect(first.reports).toEqual([]);
  });

  it('leave the static calls to the one that is alive when the other is destroyed, and work after initialize', async () => {
    const [first, second] = both();
    await second.dataSource.destroy();
    const email = freshEmail();
    await first.users.createUser({ email });
    expect(await NestAuthUser.findOneBy({ email })).not.toBeNull();
    await second.dataSource.initialize();
    const again = freshEmail();
    const call = second.users.runInTransaction(async (manager) => {
      await second.users.createUser({ email: again });
      await manager.query('select 1/0').catch(() => undefined);
    });
    await expect(call).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED' });
    await expect(second.users.runInTransaction(() => second.dataSource.query('select 1'))).rejects.toMatchObject({
      code: 'TRANSACTION_ESCAPED',
    });
    second.events.length = 0;
    await second.dataSource.transaction(() => second.users.createUser({ email: again }));
    expect(second.events).toHaveLength(1);
    const runner = second.dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.release();
    await second.dataSource.query('select 1');
  });
});

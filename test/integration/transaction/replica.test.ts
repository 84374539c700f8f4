import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { NestAuthUser } from '../../../src/index.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { createFixture, expectCleanPools, type Fixture } from '../../support/identity-fixture.js';
import { freshEmail } from '../../support/nest-app.js';

const databases: TestDatabase[] = [];
let app: Fixture;
let user: NestAuthUser;
let email: string;

/** Not a copy at all: whatever is read there is missing. */
beforeAll(async () => {
  databases.push(await createTestDatabase(), await createTestDatabase());
  const [primary, replica] = databases as [TestDatabase, TestDatabase];
  await (await createFixture(replica.url)).close();
  app = await createFixture(primary.url, {
    dataSource: { replication: { master: { url: primary.url }, slaves: [{ url: replica.url }] } } as object,
  });
  email = freshEmail();
  user = await app.users.createUser({ email });
});

afterAll(async () => {
  expectCleanPools(app.dataSource);
  await app.close();
  for (const database of databases) await database.drop();
});

describe('our entities, with a replica that knows nothing', () => {
  it.each<[string, () => Promise<unknown>]>([
    ['the entity’s own finders', () => NestAuthUser.findOneBy({ id: user.id })],
    ['a repository', () => app.dataSource.getRepository(NestAuthUser).findOneBy({ id: user.id })],
    [
      'the manager',
      () => app.manager.findOne(NestAuthUser, { where: { id: user.id }, relations: { identities: true } }),
    ],
    ['the name of the entity', () => app.manager.findOneBy('NestAuthUser', { id: user.id })],
    ['a query builder', () => app.manager.createQueryBuilder(NestAuthUser, 'u').getOne()],
    ['a copy of a query builder', () => NestAuthUser.createQueryBuilder('u').clone().getRawOne()],
    ['a page with its count', async () => (await NestAuthUser.findAndCount({ take: 1 }))[0][0]],
  ])('are read at the primary by %s', async (_, read) => {
    expect(await read()).toBeTruthy();
  });

  it('are counted, reloaded and saved at the primary', async () => {
    expect(await NestAuthUser.countBy({ email })).toBe(1);
    expect(await NestAuthUser.exists({ where: { email } })).toBe(true);
    await user.reload();
    user.metadata = { color: 'red' };
    await user.save();
    expect((await app.users.getUserById(user.id))?.metadata).toEqual({ color: 'red' });
  });

  it('are read with relations at the primary', async () => {
    const options = { relations: { identities: true } } as const;
    const found = await app.users.getUserByEmail(email, undefined, options);
    expect(found?.identities).toHaveLength(1);
    expect((await app.users.getUsers(options))[0]?.identities).toHaveLength(1);
  });
});

describe('a list that is asked for on a manager of the replica', () => {
  it('is read there, and nowhere else', async () => {
    const runner = app.dataSource.createQueryRunner('slave');
    try {
      expect((await app.users.getUsersPage({}, runner.manager)).items).toEqual([]);
      expect(await runner.manager.find(NestAuthUser)).toEqual([]);
    } finally {
      await runner.release();
    }
    expect((await app.users.getUsersPage()).items).toHaveLength(1);
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { EntityManager, QueryRunner } from 'typeorm';
import { v4 as uuidv4 } from 'uuid';

import { NestAuthIdentity } from '../../../src/index.js';
import { freshEmail, freshPhone, outcomesOf, useNestApp } from '../../support/nest-app.js';
import { brokenUsers, countRows, untilSomebodyWaits } from '../../support/tables.js';

const app = useNestApp();

/** The transaction that is ahead: it holds what the other one wants, and decides only once that one waits. */
let ahead: QueryRunner;
beforeEach(async () => {
  ahead = app.dataSource.createQueryRunner();
  await ahead.startTransaction();
});
afterEach(async () => {
  if (ahead.isTransactionActive) await ahead.rollbackTransaction();
  await ahead.release();
});
async function decide(how: 'commit' | 'rollback'): Promise<void> {
  await untilSomebodyWaits(app.url);
  if (how === 'commit') await ahead.commitTransaction();
  else await ahead.rollbackTransaction();
}

const identitiesOf = (userId: string) =>
  app.manager.find(NestAuthIdentity, { where: { userId }, order: { provider: 'ASC' } });

/** Whatever is taken: a call that meets it half-way, and the code it is refused with. */
const races: [
  string,
  string,
  () => Promise<{ hold: (m: EntityManager) => Promise<unknown>; want: () => Promise<unknown> }>,
][] = [
  [
    'createUser with an email',
    'EMAIL_ALREADY_EXISTS',
    async () => {
      const email = freshEmail();
      return {
        hold: (m) => app.users.createUser({ email }, null, {}, m),
        want: () => app.users.createUser({ email, phone: freshPhone() }),
      };
    },
  ],
  [
    'createUser with a provider account',
    'IDENTITY_ALREADY_EXISTS',
    async () => {
      const identities = [{ provider: 'google', providerId: uuidv4() }];
      return {
        hold: (m) => app.users.createUser({ identities }, null, {}, m),
        want: () => app.users.createUser({ email: freshEmail(), identities }, app.seed.tenantId),
      };
    },
  ],
  [
    'updateUser with email and phone',
    'EMAIL_ALREADY_EXISTS',
    async () => {
      const email = freshEmail();
      const user = await app.users.createUser({ email: freshEmail(), phone: freshPhone() });
      return {
        hold: (m) => app.users.createUser({ email }, null, {}, m),
        want: () => app.users.updateUser(user.id, { email, phone: freshPhone() }),
      };
    },
  ],
  [
    'findOrCreateIdentity',
    'IDENTITY_ALREADY_EXISTS',
    async () => {
      const providerId = uuidv4();
      const user = await app.users.createUser({ email: freshEmail() });
      return {
        hold: (m) => app.users.createUser({ identities: [{ provider: 'google', providerId }] }, null, {}, m),
        want: () => user.findOrCreateIdentity('google', providerId),
      };
    },
  ],
  [
    'updateOrCreateIdentity',
    'IDENTITY_ALREADY_EXISTS',
    async () => {
      const providerId = uuidv4();
      const user = await app.users.createUser({ identities: [{ provider: 'google', providerId: uuidv4() }] });
      return {
        hold: (m) => app.users.createUser({ identities: [{ provider: 'google', providerId }] }, null, {}, m),
        want: () => user.updateOrCreateIdentity('google', { providerId }),
      };
    },
  ],
];

describe('a call that waits for a transaction which has taken the same login', () => {
  it.each(races)('%s is refused as %s when that one commits', async (_what, code, make) => {
    const { hold, want } = await make();
    await hold(ahead.manager);
    const outcome = outcomesOf([want()]);
    await decide('commit');
    expect((await outcome).codes).toEqual({ [code]: 1 });
  });

  it.each(races)('%s succeeds when that one rolls back', async (_what, _code, make) => {
    const { hold, want } = await make();
    await hold(ahead.manager);
    const outcome = outcomesOf([want()]);
    await decide('rollback');
    expect((await outcome).won).toHaveLength(1);
  });

  it.each(races)('%s leaves its own transaction usable when it is refused', async (_what, code, make) => {
    const { hold, want } = await make();
    await hold(ahead.manager);
    const email = freshEmail();
    const users = await countRows(app.url, 'nest_auth_users');
    const flow = app.users.runInTransaction(async () => {
      await expect(want()).rejects.toMatchObject({ code });
      return app.users.createUser({ email });
    });
    await decide('commit');
    const user = await flow;
    expect(await app.users.getUserByEmail(email)).toMatchObject({ id: user.id });
    // The one ahead and the one after: nothing is left of what was refused.
    expect(await countRows(app.url, 'nest_auth_users')).toBe(users + 2);
  });
});

describe('a change that was refused half-way', () => {
  it('leaves every user of the races above with the identities of its row', async () => {
    expect(await brokenUsers(app.url)).toEqual([]);
  });

  it('leaves the identities exactly as they were, metadata and time of making included', async () => {
    const email = freshEmail();
    const user = await app.users.createUser({
      email: freshEmail(),
      identities: [{ provider: 'google', providerId: uuidv4() }],
    });
    await user.updateOrCreateIdentity('email', { metadata: { proven: 'by hand' } });
    await user.updateOrCreateIdentity('google', { metadata: { hd: 'example.com' } });
    const before = await identitiesOf(user.id);
    const providerId = uuidv4();
    await app.users.createUser({ email, identities: [{ provider: 'google', providerId }] }, null, {}, ahead.manager);
    const flow = app.users.runInTransaction(async () => {
      await expect(app.users.updateUser(user.id, { email })).rejects.toMatchObject({ code: 'EMAIL_ALREADY_EXISTS' });
      await expect(user.updateOrCreateIdentity('google', { providerId })).rejects.toMatchObject({
        code: 'IDENTITY_ALREADY_EXISTS',
      });
      await app.users.updateUserMetadata(user.id, { kept: true });
    });
    await decide('commit');
    await flow;
    expect(await identitiesOf(user.id)).toEqual(before);
    expect(await app.users.getUserById(user.id)).toMatchObject({ email: user.email, metadata: { kept: true } });
  });
});

import { afterEach, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';
import { v4 as uuidv4 } from 'uuid';

import type { NestAuthUser, UserHooks } from '../../../src/index.js';
import { freshEmail, freshPhone, useNestApp } from '../../support/nest-app.js';
import { dumpTables } from '../../support/tables.js';

type HookName = keyof UserHooks;

/** What ran, whether on a transaction's manager, and which hook is to throw. */
const state: { ran: HookName[]; outside: HookName[]; throwing: HookName | undefined } = {
  ran: [],
  outside: [],
  throwing: undefined,
};
const refusal = new Error('the hook says no');

function note(name: HookName, manager: EntityManager): void {
  state.ran.push(name);
  if (manager.queryRunner?.isTransactionActive !== true) state.outside.push(name);
  if (state.throwing === name) throw refusal;
}

const hooks: UserHooks = {
  beforeCreate: (_input, manager) => note('beforeCreate', manager),
  afterCreate: async (user, _input, manager) => {
    note('afterCreate', manager);
    // It sees the row in its own transaction, and takes no second connection.
    expect(await app.users.getUserById(user.id)).not.toBeNull();
  },
  beforeUpdate: (_user, _change, manager) => note('beforeUpdate', manager),
  afterUpdate: (_user, _change, manager) => note('afterUpdate', manager),
  beforeDelete: (_user, manager) => note('beforeDelete', manager),
  afterDelete: (_user, manager) => note('afterDelete', manager),
};

const app = useNestApp({ pool: 1, auth: { user: hooks } });

afterEach(() => {
  Object.assign(state, { ran: [], outside: [], throwing: undefined });
});

async function freshUser(): Promise<NestAuthUser> {
  const user = await app.users.createUser({
    email: freshEmail(),
    identities: [{ provider: 'google', providerId: uuidv4() }],
  });
  state.ran = [];
  return user;
}

const CREATE: HookName[] = ['beforeCreate', 'afterCreate'];
const UPDATE: HookName[] = ['beforeUpdate', 'afterUpdate'];
const DELETE: HookName[] = ['beforeDelete', 'afterDelete'];

const paths: [string, HookName[], (user: NestAuthUser) => Promise<unknown>][] = [
  ['createUser', CREATE, () => app.users.createUser({ email: freshEmail() })],
  ['createPlatformUser', CREATE, () => app.users.createPlatformUser({ email: freshEmail() })],
  ['createUsers', [...CREATE], () => app.users.createUsers([{ email: freshEmail() }])],
  ['updateUser with a login', UPDATE, ({ id }) => app.users.updateUser(id, { email: freshEmail() })],
  ['updateUser without a login', UPDATE, ({ id }) => app.users.updateUser(id, { metadata: { a: 1 }, isActive: false })],
  ['updateUserStatus', UPDATE, ({ id }) => app.users.updateUserStatus(id, false)],
  ['updateUserMetadata', UPDATE, ({ id }) => app.users.updateUserMetadata(id, { a: 1 })],
  ['verifyUser', UPDATE, ({ id }) => app.users.verifyUser(id)],
  ['updateEmail', UPDATE, (user) => user.updateEmail(freshEmail())],
  ['updatePhone', UPDATE, (user) => user.updatePhone(freshPhone())],
  ['setPassword', UPDATE, (user) => user.setPassword('correct horse battery staple')],
  ['findOrCreateIdentity of an account', UPDATE, (user) => user.findOrCreateIdentity('github', uuidv4())],
  ['findOrCreateIdentity of a phone', UPDATE, (user) => user.findOrCreateIdentity('phone', freshPhone())],
  ['updateOrCreateIdentity', UPDATE, (user) => user.updateOrCreateIdentity('google', { providerId: uuidv4() })],
  ['deleteUser', DELETE, ({ id }) => app.users.deleteUser(id)],
];

const throwing = paths.flatMap(([name, expected, call]) =>
  [...new Set(expected)].map((hook) => [name, hook, call] as const),
);

describe('hooks', () => {
  it.each(paths)('run inside the transaction of %s, before and after', async (_name, expected, call) => {
    const user = await freshUser();
    await call(user);
    expect(state.ran).toEqual(expected);
    expect(state.outside).toEqual([]);
  });

  it.each(paths)("run inside the caller's transaction of %s, and are undone with it", async (_name, expected, call) => {
    const user = await freshUser();
    const before = await dumpTables(app.url);
    const { length } = app.events;
    const undo = new Error('undo');
    const flow = app.users.runInTransaction(async () => {
      await call(user);
      throw undo;
    });
    await expect(flow).rejects.toBe(undo);
    expect(state.ran).toEqual(expected);
    expect(state.outside).toEqual([]);
    expect(await dumpTables(app.url)).toEqual(before);
    expect(app.events).toHaveLength(length);
  });

  it.each(throwing)(
    'that throw in %s (%s) undo everything, also when a caller swallows it',
    async (_name, hook, call) => {
      const user = await freshUser();
      const before = await dumpTables(app.url);
      const { length } = app.events;
      state.throwing = hook;
      await expect(call(user)).rejects.toBe(refusal);
      const swallowed = app.users.runInTransaction(async () => {
        await call(user).catch(() => undefined);
        return 'kept';
      });
      await expect(swallowed).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED', cause: refusal });
      expect(await dumpTables(app.url)).toEqual(before);
      expect(app.events).toHaveLength(length);
    },
  );

  it('do not run for a change to what already is', async () => {
    const user = await freshUser();
    await app.users.updateUserMetadata(user.id, {});
    await user.findOrCreateIdentity('email', user.email ?? '');
    expect(state.ran.filter((name) => name.startsWith('after'))).toEqual([]);
  });
});

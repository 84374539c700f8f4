import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import { RoleGuardEnum } from '../../../src/index.js';
import { freshEmail, useNestApp } from '../../support/nest-app.js';
import { accept, invitations, invite, INVITING, query, statusOf } from './fixture.js';

/** What code of the host does in the transaction of an acceptance, when it is told to. */
const nothing = (): Promise<void> => Promise.resolve();
let before: (email: string, manager: EntityManager) => Promise<void> = nothing;
let after: (userId: string, manager: EntityManager) => Promise<void> = nothing;

const app = useNestApp({
  auth: {
    ...INVITING,
    user: {
      beforeCreate: async ({ email }, manager, { source }) => {
        if (source === 'invitation') await before(email ?? '', manager);
      },
      afterCreate: ({ id }, _input, manager) => after(id, manager),
    },
  },
});
const INVALID = { code: 'INVITATION_INVALID' };

beforeAll(() => query(app.url, 'create table seats (email text not null)'));
afterEach(() => {
  before = nothing;
  after = nothing;
});

/** In a transaction of its own, as by another request at the same moment. */
const meanwhile = (fn: () => Promise<unknown>): Promise<unknown> =>
  app.users.runInTransaction(fn, { nested: 'independent' });

describe('code of the host that has begun to make a user', () => {
  const seatsOf = (email: string) => query(app.url, 'select 1 from seats where email = $1', [email]);
  const takesSeat = async (email: string, manager: EntityManager): Promise<void> =>
    void (await manager.query('insert into seats (email) values ($1)', [email]));
  /** By the time it has taken a seat, somebody else has made an account with the address. */
  const takesSeatInVain = async (email: string, manager: EntityManager): Promise<void> => {
    await takesSeat(email, manager);
    await meanwhile(async () => app.users.verifyUser((await app.users.createUser({ email })).id));
  };

  it('leaves nothing behind when the address has an account by then, which joins instead', async () => {
    const { token, email } = await invite(app);
    before = takesSeatInVain;
    await expect(accept(app, token)).resolves.toMatchObject({ isNewUser: false, user: { email } });
    expect(await seatsOf(email)).toEqual([]);
    const other = await invite(app);
    before = takesSeat;
    await expect(accept(app, other.token)).resolves.toMatchObject({ isNewUser: true });
    expect(await seatsOf(other.email)).toHaveLength(1);
  });

  it('is undone with the transaction of the caller, which is tried again as a whole', async () => {
    const { token, email } = await invite(app);
    before = takesSeatInVain;
    const other = freshEmail();
    const joined = await app.users.runInTransaction(async (manager) => {
      await app.users.createUser({ email: other }, undefined, {}, manager);
      return invitations(app).acceptInvitation({ token }, manager);
    });
    expect(joined).toMatchObject({ isNewUser: false, user: { email } });
    expect(await seatsOf(email)).toEqual([]);
    expect(await app.users.getUserByEmail(other)).not.toBeNull();
  });
});

describe('SEC-30 while somebody accepts, code of the host is running and', () => {
  it.each([
    ['the tenant is closed', (tenantId: string) => app.tenants.updateTenant(tenantId, { isActive: false })],
    ['the role is closed', (_: string, roleId: string) => app.roles.updateRole(roleId, { isActive: false })],
  ])('%s: nothing is accepted, and it is not told why', async (_what, close) => {
    const slug = freshEmail().replaceAll(/[@.]/g, '-');
    const { id: tenantId } = await app.tenants.createTenant({ name: 'Soon', slug });
    const role = await app.roles.createRole({ name: 'own', guard: RoleGuardEnum.PORTAL, tenantId });
    const { token, id, email } = await invite(app, { tenantId, roleIds: [role.id] });
    before = async () => void (await meanwhile(() => close(tenantId, role.id)));
    await expect(accept(app, token)).rejects.toMatchObject(INVALID);
    expect(await statusOf(app.url, id)).toBe('pending');
    expect(await query(app.url, 'select 1 from nest_auth_users where email = $1', [email])).toEqual([]);
  });
});

describe('code of the host that gives the user it is told of another email', () => {
  it('has given one that is not verified: the token has shown another', async () => {
    const { token } = await invite(app);
    const other = freshEmail();
    after = async (userId, manager) => void (await app.users.updateUser(userId, { email: other }, manager));
    await expect(accept(app, token)).resolves.toMatchObject({ user: { email: other, emailVerifiedAt: null } });
  });
});

import { describe, expect, it } from '@jest/globals';

import { AccessStatusEnum, SessionService, UserLifecycleService } from '../../../src/index.js';
import { times, useNestApp } from '../../support/nest-app.js';
import { recordStatements } from '../../support/wire.js';
import { untilRefused } from './until-refused.js';
import {
  auth,
  behindTheBack,
  type Holder,
  holder,
  isLive,
  may,
  NEVER_OLD,
  options,
  PASSWORD,
  signedIn,
} from './fixture.js';

const app = useNestApp({ auth: options(NEVER_OLD) });
const lifecycle = (): UserLifecycleService => app.context.get(UserLifecycleService);

describe('what this process takes away', () => {
  const RIGHTS: readonly (readonly [what: string, take: (one: Holder) => Promise<unknown>])[] = [
    ['all roles', ({ userId, tenantId }) => app.users.setUserAccessRoles(userId, tenantId, [])],
    ['a role', ({ userId, tenantId, roleId }) => app.access.removeUserAccessRoles(userId, tenantId, [roleId])],
    ['the access', ({ userId, tenantId }) => app.users.deleteUserAccess(userId, tenantId)],
    [
      'an access written in capitals',
      ({ userId, tenantId }) => app.users.deleteUserAccess(userId.toUpperCase(), tenantId.toUpperCase()),
    ],
    [
      'the access for a while',
      ({ userId, tenantId }) => app.access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.SUSPENDED),
    ],
    ['the permission of a role', ({ roleId, permission }) => app.roles.removeRolePermissions(roleId, [permission])],
    ['all permissions of a role', ({ roleId }) => app.roles.setRolePermissions(roleId, [])],
    ['a role from everybody', ({ roleId }) => app.roles.updateRole(roleId, { isActive: false })],
    [
      'the name of a permission',
      ({ permissionId, permission }) => app.permissions.updatePermission(permissionId, { name: `${permission}-2` }),
    ],
    ['the tenant', ({ tenantId }) => app.tenants.updateTenant(tenantId, { isActive: false })],
    ['the status of the user', ({ userId }) => lifecycle().deactivateById(userId)],
    ['the user for good', ({ userId }) => app.users.deleteUser(userId)],
  ];

  it.each(RIGHTS)('SEC-45 is refused as soon as the call has resolved: %s', async (_, take) => {
    const one = await holder(app);
    expect(await may(app, one)).toBe(true);
    await take(one);
    expect(await may(app, one)).toBe(false);
  });

  it('SEC-45 is refused as soon as the call has resolved: a right on the platform', async () => {
    const guard = 'admin';
    const permission = 'tenants:read-same-process';
    await app.permissions.createPermission({ name: permission, guard });
    const role = await app.roles.createRole({ name: 'op', guard, isSystem: true, permissions: [permission] });
    const { id } = await app.users.createPlatformUser({ email: 'op@example.com', platformRoleIds: [role.id] });
    expect(await app.access.canOnPlatform(id, permission)).toBe(true);
    await app.access.setPlatformAccessRoles(id, []);
    expect(await app.access.canOnPlatform(id, permission)).toBe(false);
  });

  const SESSIONS: readonly (readonly [
    what: string,
    end: (one: Awaited<ReturnType<typeof signedIn>>) => Promise<unknown>,
  ])[] = [
    ['a session', ({ userId, sessionId }) => app.context.get(SessionService).revokeSession(userId, sessionId)],
    ['all sessions', ({ userId }) => app.context.get(SessionService).revokeAllSessions(userId)],
    ['the own session', ({ refreshToken }) => auth(app).signOut(refreshToken)],
    [
      'the password',
      async ({ userId }) => (await app.users.getUserById(userId))?.setPassword(await app.passwords.hash('another one')),
    ],
    ['the status of the user', ({ userId }) => lifecycle().disableById(userId)],
    ['the access', ({ userId, tenantId }) => app.users.deleteUserAccess(userId, tenantId)],
    ['the tenant', ({ tenantId }) => app.tenants.updateTenant(tenantId, { isActive: false })],
    [
      'the tenant by going to another one',
      async ({ userId, refreshToken }) => {
        await app.users.ensureUserAccess(userId, app.seed.otherTenantId);
        await auth(app).switchTenant(refreshToken, app.seed.otherTenantId);
      },
    ],
  ];

  it.each(SESSIONS)('SEC-45 ends access tokens as soon as the call has resolved: %s', async (_, end) => {
    const one = await signedIn(app);
    expect(await isLive(app, one)).toBe(true);
    await end(one);
    expect(await isLive(app, one)).toBe(false);
  });

  it.each(['runInTransaction', 'dataSource.transaction', 'a runner of the host'])(
    'is refused right after the COMMIT of %s',
    async (opener) => {
      const one = await holder(app);
      await may(app, one);
      const take = (manager = app.manager): Promise<unknown> =>
        app.users.setUserAccessRoles(one.userId, one.tenantId, [], manager);
      if (opener === 'runInTransaction') await app.users.runInTransaction((manager) => take(manager));
      else if (opener === 'dataSource.transaction') await app.dataSource.transaction((manager) => take(manager));
      else {
        const runner = app.dataSource.createQueryRunner();
        await runner.startTransaction();
        await take(runner.manager);
        await runner.commitTransaction();
        await runner.release();
      }
      expect(await may(app, one)).toBe(false);
    },
  );

  it('is refused already for the first listener to hear of anything in that transaction', async () => {
    const one = await holder(app);
    await may(app, one);
    const heard = new Promise<boolean>((resolve) => {
      app.users
        .runInTransaction(async (manager) => {
          app.users.afterCommit(() => void may(app, one).then(resolve), manager);
          await app.users.setUserAccessRoles(one.userId, one.tenantId, [], manager);
        })
        .catch(() => undefined);
    });
    expect(await heard).toBe(false);
  });
});

describe('a transaction', () => {
  it('sees inside what it has granted and taken, which nobody sees outside before the COMMIT', async () => {
    const one = await holder(app);
    expect(await may(app, one)).toBe(true);
    await app.users.runInTransaction(async (manager) => {
      await app.users.setUserAccessRoles(one.userId, one.tenantId, [], manager);
      expect(await may(app, one)).toBe(false);
      expect(await app.access.can(one.userId, one.tenantId, one.permission, app.manager)).toBe(true);
    });
    expect(await may(app, one)).toBe(false);
    await app.users.runInTransaction(async (manager) => {
      await app.users.setUserAccessRoles(one.userId, one.tenantId, [one.roleId], manager);
      expect(await may(app, one)).toBe(true);
      expect(await app.access.can(one.userId, one.tenantId, one.permission, app.manager)).toBe(false);
    });
    expect(await may(app, one)).toBe(true);
  });

  it('that is rolled back leaves nothing of what it saw behind', async () => {
    const one = await holder(app);
    await app.users.setUserAccessRoles(one.userId, one.tenantId, []);
    const undo = new Error('undo');
    const rolledBack = app.users.runInTransaction(async (manager) => {
      await app.users.setUserAccessRoles(one.userId, one.tenantId, [one.roleId], manager);
      expect(await may(app, one)).toBe(true);
      throw undo;
    });
    await expect(rolledBack).rejects.toBe(undo);
    expect(await may(app, one)).toBe(false);
  });

  it('that is rolled back drops nothing: what was kept is still answered', async () => {
    const one = await holder(app);
    await may(app, one);
    const undo = new Error('undo');
    const rolledBack = app.users.runInTransaction(async (manager) => {
      await app.users.setUserAccessRoles(one.userId, one.tenantId, [], manager);
      throw undo;
    });
    await expect(rolledBack).rejects.toBe(undo);
    const { result, statements } = await recordStatements(() => may(app, one));
    expect([result, statements]).toEqual([true, []]);
  });

  it('whose savepoint is rolled back drops nothing of it', async () => {
    const one = await holder(app);
    await may(app, one);
    await app.users.runInTransaction(async () => {
      const inner = app.users.runInTransaction(
        async (manager) => {
          await app.users.setUserAccessRoles(one.userId, one.tenantId, [], manager);
          throw new Error('undo');
        },
        { nested: 'savepoint' },
      );
      await expect(inner).rejects.toThrow('undo');
    });
    const { result, statements } = await recordStatements(() => may(app, one));
    expect([result, statements]).toEqual([true, []]);
  });
});

describe('what is kept', () => {
  it('is asked for once, however many calls there are', async () => {
    const one = await holder(app);
    const { result, statements } = await recordStatements(() => Promise.all(times(50, () => may(app, one))));
    expect(result).toEqual(times(50, () => true));
    expect(statements).toHaveLength(1);
    const again = await recordStatements(async () => [
      await may(app, one),
      await app.access.canAll(one.userId, one.tenantId, [one.permission]),
      await app.access.canAny(one.userId, one.tenantId, [one.permission, 'other:one']),
      (await app.access.getGrants(one.userId, one.tenantId))?.can(one.permission),
    ]);
    expect(again).toMatchObject({ result: [true, true, true, true], statements: [] });
  });

  it('is asked for once for a session, however many requests come with its token', async () => {
    const one = await signedIn(app);
    const { statements } = await recordStatements(() =>
      Promise.all(times(50, () => auth(app).authenticate(one.accessToken))),
    );
    expect(statements).toHaveLength(1);
    expect((await recordStatements(() => auth(app).authenticate(one.accessToken))).statements).toEqual([]);
    const fresh = await recordStatements(() => auth(app).verifyAccessToken(one.accessToken, { fresh: true }));
    expect(fresh.statements).toHaveLength(1);
  });

  it('says of one session of a user nothing about another one, nor about its tenant of before', async () => {
    const first = await signedIn(app);
    const { email, userId, tenantId, refreshToken } = first;
    const second = await auth(app).signIn({ email, password: PASSWORD, tenantId });
    await app.context.get(SessionService).revokeSession(userId, second.sessionId);
    await app.users.ensureUserAccess(userId, app.seed.otherTenantId);
    const switched = await auth(app).switchTenant(refreshToken, app.seed.otherTenantId);
    expect(await isLive(app, { ...first, ...switched })).toBe(true);
    expect([await isLive(app, first), await isLive(app, { ...first, ...second })]).toEqual([false, false]);
  });

  it('is never that there is nothing: what is granted is seen at once, whoever grants it', async () => {
    const one = await holder(app);
    await app.users.deleteUserAccess(one.userId, one.tenantId);
    expect(await may(app, one)).toBe(false);
    await app.dataSource.query(
      `with access as (
         insert into nest_auth_user_accesses (user_id, tenant_id, realm_id)
         select $1, $2, realm_id from nest_auth_users where id = $1 returning user_id)
       insert into nest_auth_user_access_roles (user_id, tenant_id, role_id, role_tenant_id, guard)
       select $1, $2, r.id, r.owner_tenant_id, r.guard from nest_auth_roles r where r.id = $3`,
      [one.userId, one.tenantId, one.roleId],
    );
    expect(await may(app, one)).toBe(true);
  });

  it('SEC-69 says of one tenant nothing about another one, for the same user', async () => {
    const one = await holder(app);
    const other = await app.tenants.createTenant({ name: 'Second', slug: `second-${one.tenantId.slice(-12)}` });
    await app.users.ensureUserAccess(one.userId, other.id);
    expect(await may(app, one)).toBe(true);
    expect(await may(app, { ...one, tenantId: other.id })).toBe(false);
    await app.users.setUserAccessRoles(one.userId, other.id, [one.roleId]);
    expect(await may(app, { ...one, tenantId: other.id })).toBe(true);
    await app.users.setUserAccessRoles(one.userId, one.tenantId, []);
    expect(await may(app, one)).toBe(false);
    expect(await may(app, { ...one, tenantId: other.id })).toBe(true);
  });

  it('SEC-68 is mixed up by no number of parallel requests of many tenants', async () => {
    const many = await Promise.all(times(20, () => holder(app)));
    const asked = times(200, (index) => {
      const one = many[index % 20] as Holder;
      const foreign = many[(index + 1) % 20] as Holder;
      return [one, { ...one, permission: foreign.permission }, { ...one, tenantId: foreign.tenantId }];
    });
    const answers = await Promise.all(asked.map((three) => Promise.all(three.map((one) => may(app, one)))));
    expect(answers).toEqual(times(200, () => [true, false, false]));
  });

  it('is not read while it is revoked and then kept', async () => {
    const one = await holder(app);
    let isRead: () => void = () => undefined;
    let goOn: () => void = () => undefined;
    const read = new Promise<void>((resolve) => (isRead = resolve));
    const paused = new Promise<void>((resolve) => (goOn = resolve));
    // The answer of the database has come, and has not reached whoever asked.
    const pausing = {
      afterQuery: async ({ query: text }: { query: string }): Promise<void> => {
        if (!text.includes('role_ids')) return;
        isRead();
        await paused;
      },
    };
    app.dataSource.subscribers.push(pausing);
    const before = may(app, one);
    await read;
    app.dataSource.subscribers.splice(app.dataSource.subscribers.indexOf(pausing), 1);
    await app.users.setUserAccessRoles(one.userId, one.tenantId, []);
    const after = may(app, one);
    goOn();
    expect(await after).toBe(false);
    expect(await before).toBe(true);
    expect(await may(app, one)).toBe(false);
  });

  it('ends with the session by itself, by the clock of the database', async () => {
    const one = await signedIn(app);
    await behindTheBack(app.url, `update nest_auth_sessions set idle_expires_at = now() + '1 second' where id = $1`, [
      one.sessionId,
    ]);
    expect(await isLive(app, one)).toBe(true);
    // Longer than that session, far shorter than anything else is kept.
    await untilRefused(() => isLive(app, one));
  });
});

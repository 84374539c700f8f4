import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { EntityManager } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';

import { AccessStatusEnum } from '../../../src/access/access.types.js';
import { NIL_UUID } from '../../../src/tenant/tenant.types.js';
import { until } from '../../support/until.js';
import { linesOf } from '../audit/lines.js';
import {
  addPermissions,
  addRole,
  addTenant,
  addUser,
  counting,
  outcomes,
  refusedInside,
  unique,
  useAccess,
  waitingFor,
} from './fixture.js';

jest.setTimeout(120_000);

const shared = useAccess();

let userId: string;
let tenantId: string;
let roleId: string;
let held: string;
let other: string;

beforeEach(async () => {
  userId = await addUser(shared);
  tenantId = await addTenant(shared);
  [held, other] = (await addPermissions(shared, 2)) as [string, string];
  roleId = await addRole(shared, { tenantId, permissions: [held] });
  await shared.access.addUserAccessRoles(userId, tenantId, [roleId]);
});

const can = (permission: string): Promise<boolean> => shared.access.can(userId, tenantId, permission);

const inAnHour = (): Date => new Date(Date.now() + 3_600_000);

/** As if the time had come: the clock that counts is that of the database. */
async function letExpire(table: string, moment = `now() - interval '1 second'`): Promise<void> {
  const rows = await shared.dataSource.query<[unknown[], number]>(
    `update nest_auth_${table} set expires_at = ${moment} where user_id = $1 and expires_at is not null returning user_id`,
    [userId],
  );
  expect(rows[1]).toBeGreaterThan(0);
}

async function version(): Promise<number> {
  const access = await shared.operations.findUserAccess(shared.dataSource.manager, userId, tenantId);
  return access?.version ?? 0;
}

describe('a permission of one access', () => {
  test('is granted, denied and taken back by one statement each, with version, activity and event', async () => {
    const { access } = shared;
    const before = await version();
    const expiresAt = inAnHour();
    shared.events.length = 0;
    const { result, sent } = await counting(shared, async () => [
      await access.grantPermission(userId, tenantId, other, { expiresAt, reason: 'stands in' }),
      await access.grantPermission(userId, tenantId, other, { expiresAt: new Date(expiresAt), reason: 'stands in' }),
      await access.denyPermission(userId, tenantId, other),
      await access.denyPermission(userId, tenantId, other, { expiresAt: null, reason: null }),
      await access.revokePermission(userId, tenantId, other),
      await access.revokePermission(userId, tenantId, other),
    ]);
    expect(result).toEqual([true, false, true, false, true, false]);
    expect(sent).toHaveLength(result.length);
    expect(await version()).toBe(before + 3);
    expect(shared.events).toMatchObject([
      {
        name: 'nest_auth.user_access.permission_changed',
        userId,
        tenantId,
        permission: other,
        effect: 'grant',
        expiresAt,
      },
      { permission: other, effect: 'deny', expiresAt: null },
      { permission: other, effect: null, expiresAt: null },
    ]);
    const told = (await linesOf(shared.dataSource, userId)).filter(({ type }) => type.endsWith('permission_changed'));
    expect(
      told.map(({ subject, tenantId: of, details, before: was, after }) => ({ subject, of, details, was, after })),
    ).toEqual(
      [
        [null, { effect: 'grant', expiresAt: expect.any(String), reason: 'stands in' }],
        [{ effect: 'grant', expiresAt: expect.any(String), reason: 'stands in' }, { effect: 'deny' }],
        [{ effect: 'deny' }, null],
      ].map(([was, after]) => ({ subject: 'user_access', of: tenantId, details: { permission: other }, was, after })),
    );
  });

  test('is listed while it is in force, also with the access suspended', async () => {
    const { access } = shared;
    const expiresAt = inAnHour();
    await access.grantPermission(userId, tenantId, other, { expiresAt, reason: 'stands in' });
    await access.denyPermission(userId, tenantId, held);
    await access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.SUSPENDED);
    const listed = await access.getDirectPermissions(userId, tenantId);
    const deny = { permission: held, guard: 'portal', effect: 'deny', expiresAt: null, reason: null };
    const grant = { permission: other, guard: 'portal', effect: 'grant', expiresAt, reason: 'stands in' };
    expect(listed).toEqual([deny, grant].map((entry) => ({ ...entry, createdAt: expect.any(Date) })));
    await letExpire('user_access_permissions');
    expect((await access.getDirectPermissions(userId, tenantId)).map(({ permission }) => permission)).toEqual([held]);
  });

  test('grants without any role, and the explanation names it', async () => {
    await shared.access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.ACTIVE);
    await shared.access.removeUserAccessRoles(userId, tenantId, [roleId]);
    expect(await shared.access.getGrants(userId, tenantId)).toBeNull();
    const expiresAt = inAnHour();
    await shared.access.grantPermission(userId, tenantId, other, { expiresAt });
    expect(await can(other)).toBe(true);
    expect(await shared.access.getPermissions(userId, tenantId)).toEqual([other]);
    expect((await shared.access.getGrants(userId, tenantId))?.validUntil).toEqual(expiresAt);
    const explained = await shared.access.explain(userId, tenantId, other);
    expect(explained).toMatchObject({
      allowed: true,
      reason: 'GRANTED',
      path: [],
      direct: [{ permission: other, expiresAt }],
    });
  });

  test('that is denied wins whatever grants it, and the explanation names it', async () => {
    await shared.access.grantPermission(userId, tenantId, other);
    await shared.access.denyPermission(userId, tenantId, other, { reason: 'conflict of interest' });
    await shared.access.denyPermission(userId, tenantId, held);
    expect([await can(held), await can(other)]).toEqual([false, false]);
    expect(await shared.access.getPermissions(userId, tenantId)).toEqual([]);
    const explained = await shared.access.explain(userId, tenantId, other);
    expect(explained).toMatchObject({
      allowed: false,
      reason: 'DENIED',
      direct: [{ permission: other, effect: 'deny', reason: 'conflict of interest', expiresAt: null }],
    });
    await shared.access.revokePermission(userId, tenantId, held);
    expect(await can(held)).toBe(true);
  });

  test('grants nothing through anything inactive', async () => {
    await shared.access.grantPermission(userId, tenantId, other);
    const { tenants, access } = shared;
    await access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.SUSPENDED);
    expect([await can(other), await access.getPermissions(userId, tenantId)]).toEqual([false, []]);
    await access.setUserAccessStatus(userId, tenantId, AccessStatusEnum.ACTIVE);
    await tenants.updateTenant(tenantId, { isActive: false });
    expect([await can(other), await access.getPermissions(userId, tenantId)]).toEqual([false, []]);
    await tenants.updateTenant(tenantId, { isActive: true });
    expect(await can(other)).toBe(true);
  });

  test('SEC-61 is of this tenant alone', async () => {
    const elsewhere = await addTenant(shared);
    await shared.operations.ensureUserAccess(shared.dataSource.manager, userId, elsewhere);
    await shared.access.grantPermission(userId, tenantId, other);
    await shared.access.denyPermission(userId, elsewhere, held);
    expect(await shared.access.can(userId, elsewhere, other)).toBe(false);
    expect(await can(held)).toBe(true);
    expect(await shared.access.revokePermission(userId, elsewhere, other)).toBe(false);
    expect(await can(other)).toBe(true);
  });

  test('goes with the access, and keeps the permission from being deleted', async () => {
    const permission = await shared.permissions.getPermissionByName(other, 'portal');
    await shared.access.grantPermission(userId, tenantId, other);
    await refusedInside(shared, 'PERMISSION_IN_USE', (m) =>
      shared.permissions.deletePermission(permission?.id ?? '', m),
    );
    await shared.operations.deleteUserAccess(shared.dataSource.manager, userId, tenantId);
    await shared.permissions.deletePermission(permission?.id ?? '');
  });

  test('is refused before anything is written, and the transaction of the caller stays usable', async () => {
    const [admin] = (await addPermissions(shared, 1, 'admin')) as [string];
    const { access } = shared;
    type Call = (m: EntityManager) => Promise<unknown>;
    const calls: [string, Call][] = [
      ['ACCESS_NOT_FOUND', async (m) => access.grantPermission(userId, await addTenant(shared), other, {}, m)],
      ['ACCESS_NOT_FOUND', (m) => access.denyPermission(uuidv7(), tenantId, other, {}, m)],
      ['ACCESS_NOT_FOUND', (m) => access.revokePermission(uuidv7(), tenantId, other, m)],
      ['PERMISSION_NOT_FOUND', (m) => access.grantPermission(userId, tenantId, 'no such permission', {}, m)],
      ['PERMISSION_NOT_FOUND', (m) => access.grantPermission(userId, tenantId, admin, {}, m)],
      ['PERMISSION_NOT_FOUND', (m) => access.revokePermission(userId, tenantId, 'no such permission', m)],
      ['VALIDATION_FAILED', (m) => access.grantPermission(userId, tenantId, other, { expiresAt: new Date(0) }, m)],
      ['VALIDATION_FAILED', (m) => access.denyPermission(userId, tenantId, other, { expiresAt: 'soon' as never }, m)],
      ['VALIDATION_FAILED', (m) => access.denyPermission(userId, tenantId, other, { until: new Date() } as never, m)],
      ['VALIDATION_FAILED', (m) => access.grantPermission(userId, tenantId, '', {}, m)],
      ['VALIDATION_FAILED', (m) => access.grantPermission(userId, tenantId, other, { reason: '' }, m)],
      ['TENANT_NOT_FOUND', (m) => access.grantPermission(userId, NIL_UUID, other, {}, m)],
    ];
    for (const [code, call] of calls) await refusedInside(shared, code, call);
    expect(await access.getDirectPermissions(userId, tenantId)).toEqual([]);
  });

  test('goes with a transaction that is rolled back', async () => {
    const before = await version();
    await expect(
      shared.host.run(async (m) => {
        await shared.access.denyPermission(userId, tenantId, held, {}, m);
        expect(await shared.access.can(userId, tenantId, held, m)).toBe(false);
        throw new Error('undo');
      }),
    ).rejects.toThrow('undo');
    expect(await can(held)).toBe(true);
    expect(await version()).toBe(before);
  });

  test('is one entry when 50 enter it at once, and the log tells them in the order of the versions', async () => {
    const before = await version();
    const calls = Array.from({ length: 50 }, (_, index) =>
      index % 2 === 0
        ? shared.access.grantPermission(userId, tenantId, other, { reason: `${index}` })
        : shared.access.denyPermission(userId, tenantId, other, { reason: `${index}` }),
    );
    expect(await outcomes(calls)).toEqual({ ok: 50 });
    const [entry, ...more] = await shared.access.getDirectPermissions(userId, tenantId);
    expect(more).toEqual([]);
    expect(await version()).toBe(before + 50);
    const told = (await linesOf(shared.dataSource, userId)).filter(({ type }) => type.endsWith('permission_changed'));
    // Each tells what the one before it left.
    const chain = new Map(told.map(({ before: was, after }) => [JSON.stringify(was), after]));
    expect(chain.size).toBe(50);
    let last: unknown = null;
    for (let count = 0; count < 50; count += 1) last = chain.get(JSON.stringify(last));
    expect(last).toMatchObject({ effect: entry?.effect, reason: entry?.reason });
  });

  test('waits for another change of the access, and follows it', async () => {
    const late = await waitingFor(
      shared,
      (m) => shared.operations.deleteUserAccess(m, userId, tenantId),
      () => shared.access.grantPermission(userId, tenantId, other),
    );
    expect(late).toMatchObject({ status: 'rejected', reason: { code: 'ACCESS_NOT_FOUND' } });
  });

  test('is entered for every guard that has one of the name, because a question names none', async () => {
    const name = unique('both');
    for (const guard of ['portal', 'partner', 'admin']) await shared.permissions.createPermission({ name, guard });
    await shared.access.denyPermission(userId, tenantId, name);
    const listed = await shared.access.getDirectPermissions(userId, tenantId);
    expect(listed.map(({ guard }) => guard)).toEqual(['partner', 'portal']);
    await shared.access.revokePermission(userId, tenantId, name);
    expect(await shared.access.getDirectPermissions(userId, tenantId)).toEqual([]);
  });

  test('is there on the platform too, apart from any tenant', async () => {
    const { access } = shared;
    const [root, wild] = (await addPermissions(shared, 2, 'admin')) as [string, string];
    await access.setPlatformAccessRoles(userId, [await addRole(shared, { guard: 'admin', permissions: [root] })]);
    shared.events.length = 0;
    expect(await access.grantPlatformPermission(userId, wild, { expiresAt: inAnHour() })).toBe(true);
    expect(await access.denyPlatformPermission(userId, root)).toBe(true);
    expect(shared.events.map(({ name }) => name)).toEqual(
      Array.from({ length: 2 }, () => 'nest_auth.platform_access.permission_changed'),
    );
    expect(await access.getPlatformPermissions(userId)).toEqual([wild]);
    expect(await access.canOnPlatform(userId, root)).toBe(false);
    expect((await access.getPlatformGrants(userId))?.can(wild)).toBe(true);
    expect((await access.getDirectPlatformPermissions(userId)).map(({ permission }) => permission).toSorted()).toEqual(
      [root, wild].toSorted(),
    );
    expect(await access.revokePlatformPermission(userId, root)).toBe(true);
    expect(await access.canOnPlatform(userId, root)).toBe(true);
    expect([await can(wild), await can(root)]).toEqual([false, false]);
    await letExpire('platform_access_permissions');
    expect(await access.canOnPlatform(userId, wild)).toBe(false);
    const of = { code: 'PERMISSION_NOT_FOUND' };
    await expect(access.grantPlatformPermission(userId, held)).rejects.toMatchObject(of);
    await expect(access.grantPlatformPermission(uuidv7(), root)).rejects.toMatchObject({ code: 'ACCESS_NOT_FOUND' });
  });

  test.each([null, undefined, ''])('SEC-67 is no platform’s because the tenant is missing: %p', async (missing) => {
    const { access } = shared;
    const [root, wild] = (await addPermissions(shared, 2, 'admin')) as [string, string];
    await access.setPlatformAccessRoles(userId, [await addRole(shared, { guard: 'admin', permissions: [root] })]);
    const tenant = missing as never;
    for (const call of [
      access.grantPermission(userId, tenant, wild),
      access.denyPermission(userId, tenant, root),
      access.revokePermission(userId, tenant, root),
      access.getDirectPermissions(userId, tenant),
    ])
      await expect(call).rejects.toMatchObject({ code: 'VALIDATION_FAILED' });
    expect(await access.getPlatformPermissions(userId)).toEqual([root]);
    expect(await access.getDirectPlatformPermissions(userId)).toEqual([]);
  });
});

describe('what is granted for a time', () => {
  test('is over at once when its time has come, and the explanation says so', async () => {
    const second = await addRole(shared, { tenantId, permissions: [other] });
    const expiresAt = inAnHour();
    expect(await shared.access.grantAccessRole(userId, tenantId, second, { expiresAt })).toEqual({
      added: [second],
      removed: [],
    });
    expect(await can(other)).toBe(true);
    const grants = await shared.access.getGrants(userId, tenantId);
    expect(grants?.validUntil).toEqual(expiresAt);
    expect(grants?.validForMs).toBeGreaterThan(3_500_000);
    expect((await shared.access.explain(userId, tenantId, other)).path).toMatchObject([
      { role: { id: second }, expiresAt },
    ]);
    await letExpire('user_access_roles');
    expect(await can(other)).toBe(false);
    expect(await shared.access.getPermissions(userId, tenantId)).toEqual([held]);
    expect((await shared.access.getRoles(userId, tenantId)).map(({ id }) => id)).toEqual([roleId]);
    expect((await shared.access.getGrants(userId, tenantId))?.validUntil).toBeNull();
    const { reason, missing } = await shared.access.explain(userId, tenantId, other);
    expect([reason, missing?.role?.id]).toEqual(['GRANT_EXPIRED', second]);
    expect(missing?.expiredAt?.getTime()).toBeLessThan(Date.now());
    expect((await shared.access.explain(userId, tenantId, held)).allowed).toBe(true);
  });

  test('is over in the middle of a transaction, and not when it ends', async () => {
    await shared.host.run(async (m) => {
      await shared.access.grantPermission(userId, tenantId, other, {}, m);
      await m.query(
        `update nest_auth_user_access_permissions set expires_at = statement_timestamp() + interval '400 milliseconds' where user_id = $1`,
        [userId],
      );
      expect(await shared.access.can(userId, tenantId, other, m)).toBe(true);
      await until('its time', async () => !(await shared.access.can(userId, tenantId, other, m)));
      const { reason, missing } = await shared.access.explain(userId, tenantId, other, m);
      expect([reason, missing?.direct?.permission]).toEqual(['GRANT_EXPIRED', other]);
    });
  });

  test('stops being denied when the denial runs out', async () => {
    const expiresAt = inAnHour();
    await shared.access.denyPermission(userId, tenantId, held, { expiresAt });
    expect(await can(held)).toBe(false);
    expect((await shared.access.getGrants(userId, tenantId))?.validUntil).toEqual(expiresAt);
    await letExpire('user_access_permissions');
    expect(await can(held)).toBe(true);
    expect((await shared.access.explain(userId, tenantId, held)).reason).toBe('GRANTED');
  });

  test('is the first of several moments at which something changes by itself', async () => {
    const [soon, later] = [inAnHour(), new Date(Date.now() + 7_200_000)];
    const second = await addRole(shared, { tenantId, permissions: [other] });
    await shared.access.grantAccessRole(userId, tenantId, second, { expiresAt: later });
    await shared.access.denyPermission(userId, tenantId, held, { expiresAt: soon });
    expect((await shared.access.getGrants(userId, tenantId))?.validUntil).toEqual(soon);
  });

  test('is given another time, or none, by granting it again, and keeps it when roles are set or added', async () => {
    const { access, operations, dataSource } = shared;
    const [soon, later] = [inAnHour(), new Date(Date.now() + 7_200_000)];
    const expiry = async (): Promise<Date | null | undefined> => (await access.getGrants(userId, tenantId))?.validUntil;
    await access.grantAccessRole(userId, tenantId, roleId, { expiresAt: soon });
    expect(await expiry()).toEqual(soon);
    expect(await access.grantAccessRole(userId, tenantId, roleId, { expiresAt: new Date(soon) })).toEqual({
      added: [],
      removed: [],
    });
    await access.grantAccessRole(userId, tenantId, roleId, { expiresAt: later });
    expect(await expiry()).toEqual(later);
    const nothing = { added: [], removed: [] };
    expect(await access.addUserAccessRoles(userId, tenantId, [roleId])).toEqual(nothing);
    expect(await operations.roles.setUserAccessRoles(dataSource.manager, userId, tenantId, [roleId])).toEqual(nothing);
    expect(await expiry()).toEqual(later);
    await letExpire('user_access_roles');
    expect(await can(held)).toBe(false);
    // Not held any more, so that adding it gives it anew.
    expect(await access.addUserAccessRoles(userId, tenantId, [roleId])).toEqual({ added: [roleId], removed: [] });
    expect([await can(held), await expiry()]).toEqual([true, null]);
    await access.grantAccessRole(userId, tenantId, roleId, { expiresAt: soon });
    await access.grantAccessRole(userId, tenantId, roleId);
    expect([await can(held), await expiry()]).toEqual([true, null]);
  });

  test('is refused for a moment that has gone by, and its expired rest is taken like any other role', async () => {
    const { access } = shared;
    const past = { expiresAt: new Date(Date.now() - 60_000) };
    await refusedInside(shared, 'VALIDATION_FAILED', (m) => access.grantAccessRole(userId, tenantId, roleId, past, m));
    await refusedInside(shared, 'VALIDATION_FAILED', (m) =>
      access.grantAccessRole(userId, tenantId, roleId, { expiresAt: NaN as never }, m),
    );
    await refusedInside(shared, 'ROLE_NOT_FOUND', (m) => access.grantAccessRole(userId, tenantId, uuidv7(), {}, m));
    expect(await can(held)).toBe(true);
    await access.grantAccessRole(userId, tenantId, roleId, { expiresAt: inAnHour() });
    await letExpire('user_access_roles');
    expect(await access.removeUserAccessRoles(userId, tenantId, [roleId])).toEqual({ added: [], removed: [roleId] });
    await shared.roles.deleteRole(roleId);
  });

  test('makes the access that is missing, and is there on the platform', async () => {
    const [person, { access }] = [await addUser(shared), shared];
    await access.grantAccessRole(person, tenantId, roleId, { expiresAt: inAnHour() });
    expect(await access.can(person, tenantId, held)).toBe(true);
    const [root] = (await addPermissions(shared, 1, 'admin')) as [string];
    const admin = await addRole(shared, { guard: 'admin', permissions: [root] });
    await access.grantPlatformAccessRole(userId, admin, { expiresAt: inAnHour() });
    expect(await access.canOnPlatform(userId, root)).toBe(true);
    await letExpire('platform_access_roles');
    expect([await access.canOnPlatform(userId, root), await access.getPlatformGrants(userId)]).toEqual([false, null]);
    await expect(access.grantPlatformAccessRole(userId, roleId)).rejects.toMatchObject({ code: 'ROLE_SCOPE_MISMATCH' });
  });
});

describe('what has run out', () => {
  const left = async (): Promise<number[]> => {
    const [row] = await shared.dataSource.query<[{ counts: number[] }]>(
      `select array[(select count(*) from nest_auth_user_access_roles where user_id = $1),
        (select count(*) from nest_auth_user_access_permissions where user_id = $1),
        (select count(*) from nest_auth_platform_access_roles where user_id = $1),
        (select count(*) from nest_auth_platform_access_permissions where user_id = $1)]::integer[] as counts`,
      [userId],
    );
    return row.counts;
  };

  test('is removed with an activity and an event as if somebody had, and nothing else is', async () => {
    const { access } = shared;
    const [root] = (await addPermissions(shared, 1, 'admin')) as [string];
    const admin = await addRole(shared, { guard: 'admin', permissions: [root] });
    const second = await addRole(shared, { tenantId });
    const third = await addRole(shared, { tenantId });
    const expiresAt = inAnHour();
    for (const role of [second, third]) await access.grantAccessRole(userId, tenantId, role, { expiresAt });
    await access.grantPermission(userId, tenantId, other, { expiresAt, reason: 'stands in' });
    await access.denyPermission(userId, tenantId, held);
    await access.grantPlatformAccessRole(userId, admin, { expiresAt });
    await access.grantPlatformPermission(userId, root, { expiresAt });
    await access.purgeExpiredGrants();
    expect(await left()).toEqual([3, 2, 1, 1]);
    const tables = [
      'user_access_roles',
      'user_access_permissions',
      'platform_access_roles',
      'platform_access_permissions',
    ];
    for (const table of tables) await letExpire(table);
    const { length } = await linesOf(shared.dataSource, userId);
    const before = await version();
    shared.events.length = 0;
    expect(await access.purgeExpiredGrants({ batchSize: 1 })).toEqual({ roles: 3, permissions: 2 });
    expect(await access.purgeExpiredGrants()).toEqual({ roles: 0, permissions: 0 });
    expect(await left()).toEqual([1, 1, 0, 0]);
    // One each, because a batch of one is a statement each.
    expect(await version()).toBe(before + 3);
    const told = (await linesOf(shared.dataSource, userId)).slice(length);
    expect(told.map(({ type, subject, tenantId: of }) => [type, subject, of])).toEqual([
      ['nest_auth.user_access.changed', 'user_access', tenantId],
      ['nest_auth.user_access.changed', 'user_access', tenantId],
      ['nest_auth.platform_access.changed', 'platform_access', null],
      ['nest_auth.user_access.permission_changed', 'user_access', tenantId],
      ['nest_auth.platform_access.permission_changed', 'platform_access', null],
    ]);
    const roles = [told[0], told[1]].map((line) => line?.details);
    expect(roles.flatMap((details) => details?.['removed'])).toEqual(expect.arrayContaining([second, third]));
    expect(told[1]?.after).toEqual({ roleIds: [roleId] });
    expect(told[3]).toMatchObject({
      before: { effect: 'grant', reason: 'stands in' },
      after: null,
      details: { permission: other, expired: true },
    });
    expect(shared.events.map(({ name }) => name)).toEqual(told.map(({ type }) => type));
    expect(await access.can(userId, tenantId, held)).toBe(false);
  });

  test('is one activity an access in a batch, whoever else is in it', async () => {
    const others = [userId, await addUser(shared), await addUser(shared)];
    const roles = [await addRole(shared, { tenantId }), await addRole(shared, { tenantId })];
    for (const person of others) {
      for (const role of roles) await shared.access.grantAccessRole(person, tenantId, role, { expiresAt: inAnHour() });
      await shared.dataSource.query(
        `update nest_auth_user_access_roles set expires_at = now() where user_id = $1 and expires_at is not null`,
        [person],
      );
    }
    shared.events.length = 0;
    const { result, sent } = await counting(shared, () => shared.access.purgeExpiredGrants());
    expect(result).toEqual({ roles: 6, permissions: 0 });
    expect(sent).toHaveLength(4);
    expect(shared.events).toHaveLength(3);
    for (const person of others) {
      const last = (await linesOf(shared.dataSource, person)).at(-1);
      expect(last?.details?.['removed']).toEqual(roles.toSorted());
    }
  });

  test('stays when it is given more time while the job waits for it', async () => {
    await shared.access.grantAccessRole(userId, tenantId, roleId, { expiresAt: inAnHour() });
    await letExpire('user_access_roles');
    const purge = await waitingFor(
      shared,
      (m) => shared.access.grantAccessRole(userId, tenantId, roleId, { expiresAt: inAnHour() }, m),
      () => shared.access.purgeExpiredGrants(),
    );
    expect(purge).toMatchObject({ status: 'fulfilled', value: { roles: 0 } });
    expect(await can(held)).toBe(true);
  });

  test('is left alone by a signal, and by options that are none', async () => {
    await shared.access.grantPermission(userId, tenantId, other, { expiresAt: inAnHour() });
    await letExpire('user_access_permissions');
    expect(await shared.access.purgeExpiredGrants({ signal: AbortSignal.abort() })).toEqual({
      roles: 0,
      permissions: 0,
    });
    const refused = { code: 'VALIDATION_FAILED' };
    await expect(shared.access.purgeExpiredGrants({ batchSize: 0 })).rejects.toMatchObject(refused);
    await expect(shared.access.purgeExpiredGrants({ limit: 1 } as never)).rejects.toMatchObject(refused);
    expect(await left()).toEqual([1, 1, 0, 0]);
    await expect(
      shared.host.run(async (m) => {
        expect((await shared.access.purgeExpiredGrants({}, m)).permissions).toBeGreaterThan(0);
        throw new Error('undo');
      }),
    ).rejects.toThrow('undo');
    expect(await left()).toEqual([1, 1, 0, 0]);
  });
});

import { describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { NIL_UUID, RoleGuardEnum, TenantModeEnum } from '../../../src/index.js';
import { createTestDatabase } from '../../support/database.js';
import { freshEmail, type NestApp, startNestApp } from '../../support/nest-app.js';
import { accounts, apiKeys, codeOf, KEYS } from './fixture.js';

const SCOPES = ['documents.read'];

async function withApp<T>(mode: TenantModeEnum, fn: (app: NestApp, roleId: string) => Promise<T>): Promise<T> {
  const database = await createTestDatabase();
  const app = await startNestApp(database.url, { auth: { ...KEYS, tenant: { mode } } });
  try {
    await app.permissions.createPermission({ name: SCOPES[0] as string, guard: RoleGuardEnum.PORTAL });
    const role = { name: 'reader', guard: RoleGuardEnum.PORTAL, isSystem: true, permissions: SCOPES };
    return await fn(app, (await app.roles.createRole(role)).id);
  } finally {
    await app.close();
    await database.drop();
  }
}

describe('without tenants', () => {
  it('the built-in one need not be named, and there is no other', async () => {
    await withApp(TenantModeEnum.DISABLED, async (app, roleId) => {
      const { id: userId } = await app.users.createUser({ email: freshEmail(), roleIds: [roleId] });
      const mine = await apiKeys(app).createApiKey({ owner: { userId }, name: 'mine', scopes: SCOPES });
      expect(await apiKeys(app).authenticateApiKey(mine.secret)).toMatchObject({ userId, tenantId: NIL_UUID });
      const { id: serviceAccountId } = await accounts(app).create({ name: 'robot' });
      const owner = { serviceAccountId };
      const robot = await apiKeys(app).createApiKey({ owner, name: 'ci', scopes: SCOPES });
      expect(await apiKeys(app).authenticateApiKey(robot.secret)).toMatchObject({
        serviceAccountId,
        tenantId: NIL_UUID,
      });
      expect((await accounts(app).list()).items).toMatchObject([{ id: serviceAccountId }]);
      await accounts(app).disable(serviceAccountId);
      expect(await codeOf(apiKeys(app).authenticateApiKey(robot.secret))).toBe('API_KEY_INVALID');
      expect(await codeOf(accounts(app).create({ tenantId: uuidv7(), name: 'x' }))).toBe('TENANT_NOT_FOUND');
      const elsewhere = { userId, tenantId: uuidv7() };
      const made = apiKeys(app).createApiKey({ owner: elsewhere, name: 'x', scopes: SCOPES });
      expect(await codeOf(made)).toBe('TENANT_NOT_FOUND');
      // The platform is something else.
      const platform = apiKeys(app).createApiKey({ owner: { userId, tenantId: null }, name: 'x', scopes: SCOPES });
      expect(await codeOf(platform)).toBe('GRANT_NOT_HELD');
    });
  });
});

describe('where every tenant has people of its own', () => {
  it('a key works in the tenant of its user, and an account in its own', async () => {
    await withApp(TenantModeEnum.ISOLATED, async (app, roleId) => {
      const [{ id: one }, { id: two }] = [
        await app.tenants.createTenant({ name: 'One', slug: 'one' }),
        await app.tenants.createTenant({ name: 'Two', slug: 'two' }),
      ];
      const { id: userId } = await app.users.createUser({ email: freshEmail(), roleIds: [roleId] }, one);
      const make = (tenantId: string) =>
        apiKeys(app).createApiKey({ owner: { userId, tenantId }, name: 'mine', scopes: SCOPES });
      const mine = await make(one);
      expect(await apiKeys(app).authenticateApiKey(mine.secret)).toMatchObject({ userId, tenantId: one });
      expect(await codeOf(make(two))).toBe('ACCESS_NOT_FOUND');
      expect(await codeOf(accounts(app).create({ name: 'robot' }))).toBe('VALIDATION_FAILED');
      const { id: serviceAccountId } = await accounts(app).create({ tenantId: two, name: 'robot' });
      const owner = { serviceAccountId, tenantId: two };
      const robot = await apiKeys(app).createApiKey({ owner, name: 'ci', scopes: SCOPES });
      expect(await apiKeys(app).authenticateApiKey(robot.secret)).toMatchObject({ tenantId: two });
      const wrong = apiKeys(app).createApiKey({ owner: { ...owner, tenantId: one }, name: 'x', scopes: SCOPES });
      expect(await codeOf(wrong)).toBe('SERVICE_ACCOUNT_NOT_FOUND');
    });
  });
});

import { beforeAll, describe, expect, it } from '@jest/globals';

import { AccessStatusEnum, NestAuthEvents } from '../../../src/index.js';
import { freshEmail, startNestApp, useNestApp } from '../../support/nest-app.js';
import { auth, AUTH, PASSWORD, query } from '../session/fixture.js';
import { account, apiKeys, codeOf, type Ground, keyOf, KEYS, layGround, lives, member, READ } from './fixture.js';

const app = useNestApp({ auth: KEYS });
let ground: Ground;

beforeAll(async () => {
  ground = await layGround(app);
});

interface Owned {
  readonly userId: string;
  readonly keyId: string;
  readonly answer: () => Promise<unknown>;
}

/** A reader with a key that is good. */
async function reader(tenantId = ground.tenantId): Promise<Owned> {
  const { id: userId } = await member(app, tenantId, ground.reader);
  const { apiKey, secret } = await keyOf(app, userId, tenantId);
  const answer = (): Promise<unknown> => codeOf(apiKeys(app).authenticateApiKey(secret));
  expect(await answer()).toBeNull();
  return { userId, keyId: apiKey.id, answer };
}

const revocationsOf = async (userId: string): Promise<unknown[]> =>
  query(
    app.url,
    `select details->>'reason' as reason, details->'keyIds' as ids, tenant_id from nest_auth_activities
     where user_id = $1 and type = $2`,
    [userId, NestAuthEvents.API_KEY_REVOKED],
  );

async function ownTenant(): Promise<string> {
  const slug = `own-${crypto.randomUUID()}`;
  return (await app.tenants.createTenant({ name: 'Own', slug })).id;
}

describe('SEC-45 a key is over with its user', () => {
  it.each<[string, (id: string) => Promise<unknown>]>([
    ['deactivated', (id) => lives(app).deactivateById(id)],
    ['disabled', (id) => lives(app).disableById(id)],
    [
      'soft-deleted',
      (id) =>
        lives(app)
          .disableById(id)
          .then(() => lives(app).softDeleteById(id)),
    ],
    ['deleted', (id) => app.users.deleteUser(id)],
  ])('who is %s', async (_, end) => {
    const { userId, answer } = await reader();
    await end(userId);
    expect(await answer()).toBe('API_KEY_INVALID');
  });

  it('who comes back: the key does not', async () => {
    const { userId, keyId, answer } = await reader();
    const { length } = app.events;
    await lives(app).deactivateById(userId);
    await lives(app).reactivateById(userId);
    expect(await answer()).toBe('API_KEY_INVALID');
    const { items } = await apiKeys(app).listApiKeys({ userId });
    expect(items).toMatchObject([{ id: keyId, revokedReason: 'user_not_active' }]);
    expect(await revocationsOf(userId)).toEqual([
      { reason: 'user_not_active', ids: [keyId], tenant_id: ground.tenantId },
    ]);
    const told = app.events.slice(length).filter(({ name }) => name === NestAuthEvents.API_KEY_REVOKED);
    expect(told).toMatchObject([{ owner: { userId }, keyIds: [keyId], reason: 'user_not_active' }]);
  });

  it('who comes back, also when a process that knows no keys has sent the user away', async () => {
    const without = await startNestApp(app.url, { auth: AUTH });
    const { userId, keyId, answer } = await reader();
    await lives(without).deactivateById(userId);
    await lives(without).reactivateById(userId);
    await without.close();
    expect(await answer()).toBe('API_KEY_INVALID');
    const { items } = await apiKeys(app).listApiKeys({ userId });
    expect(items).toMatchObject([{ id: keyId, revokedAt: null }]);
    const { secret } = await keyOf(app, userId, ground.tenantId);
    expect(await codeOf(apiKeys(app).authenticateApiKey(secret))).toBeNull();
  });

  it('of many at once, each of whom is told of', async () => {
    const owned = [await reader(), await reader(), await reader()];
    await app.users.runInTransaction(async () => {
      for (const { userId } of owned) await lives(app).deactivateById(userId);
    });
    for (const { userId, keyId, answer } of owned) {
      expect(await answer()).toBe('API_KEY_INVALID');
      expect(await revocationsOf(userId)).toMatchObject([{ ids: [keyId] }]);
    }
  });

  it('and is as it was when what ended the user is rolled back', async () => {
    const { userId, answer } = await reader();
    const undo = new Error('undo');
    const undone = app.users.runInTransaction(async () => {
      await lives(app).deactivateById(userId);
      expect(await answer()).toBe('API_KEY_INVALID');
      throw undo;
    });
    await expect(undone).rejects.toBe(undo);
    expect(await answer()).toBeNull();
  });
});

describe('SEC-45 a key is over with its access', () => {
  it('that is suspended, also when it is active again', async () => {
    const { userId, keyId, answer } = await reader();
    await app.access.setUserAccessStatus(userId, ground.tenantId, AccessStatusEnum.SUSPENDED);
    expect(await answer()).toBe('API_KEY_INVALID');
    await app.access.setUserAccessStatus(userId, ground.tenantId, AccessStatusEnum.ACTIVE);
    expect(await answer()).toBe('API_KEY_INVALID');
    expect(await revocationsOf(userId)).toEqual([{ reason: 'access_ended', ids: [keyId], tenant_id: ground.tenantId }]);
  });

  it('that is suspended by a process that knows no keys', async () => {
    const { userId, answer } = await reader();
    const status = (to: string): Promise<unknown> =>
      query(app.url, 'update nest_auth_user_accesses set status = $2 where user_id = $1', [userId, to]);
    await status('suspended');
    expect(await answer()).toBe('API_KEY_INVALID');
    await status('active');
  });

  it('that is taken away, also when it is given again', async () => {
    const { userId, answer } = await reader();
    await app.users.deleteUserAccess(userId, ground.tenantId);
    expect(await answer()).toBe('API_KEY_INVALID');
    await app.access.addUserAccessRoles(userId, ground.tenantId, [ground.reader]);
    expect(await answer()).toBe('API_KEY_INVALID');
    expect((await apiKeys(app).listApiKeys({ userId })).items).toEqual([]);
  });

  it('and that in another tenant goes on', async () => {
    const { userId, answer } = await reader();
    await app.access.addUserAccessRoles(userId, ground.otherTenantId, [ground.reader]);
    const { secret } = await keyOf(app, userId, ground.otherTenantId);
    await app.users.deleteUserAccess(userId, ground.tenantId);
    expect([await answer(), await codeOf(apiKeys(app).authenticateApiKey(secret))]).toEqual(['API_KEY_INVALID', null]);
  });
});

describe('SEC-63 a key opens nothing in a tenant', () => {
  it('that is not active', async () => {
    const tenantId = await ownTenant();
    const { answer } = await reader(tenantId);
    const owner = { serviceAccountId: await account(app, tenantId), tenantId };
    const { secret } = await apiKeys(app).createApiKey({ owner, name: 'ci', scopes: [READ] });
    const ofAccount = (): Promise<unknown> => codeOf(apiKeys(app).authenticateApiKey(secret));
    await app.tenants.updateTenant(tenantId, { isActive: false });
    expect([await answer(), await ofAccount()]).toEqual(['API_KEY_INVALID', 'API_KEY_INVALID']);
    await app.tenants.updateTenant(tenantId, { isActive: true });
    expect([await answer(), await ofAccount()]).toEqual([null, null]);
  });

  it('that is deleted, and its service accounts go with it', async () => {
    const tenantId = await ownTenant();
    const owner = { serviceAccountId: await account(app, tenantId), tenantId };
    const { secret } = await apiKeys(app).createApiKey({ owner, name: 'ci', scopes: [READ] });
    await app.tenants.deleteTenant(tenantId);
    expect(await codeOf(apiKeys(app).authenticateApiKey(secret))).toBe('API_KEY_INVALID');
    for (const table of ['nest_auth_service_accounts', 'nest_auth_service_account_keys']) {
      expect(await query(app.url, `select 1 from ${table} where tenant_id = $1`, [tenantId])).toEqual([]);
    }
  });
});

describe('the end of a key', () => {
  it('SEC-44 is by the clock of the database, also in a transaction that goes on', async () => {
    const { keyId, answer } = await reader();
    await app.users.runInTransaction(async (manager) => {
      expect(await answer()).toBeNull();
      await manager.query(
        `update nest_auth_api_keys set expires_at = date_trunc('milliseconds', clock_timestamp()) where id = $1`,
        [keyId],
      );
      expect(await answer()).toBe('API_KEY_INVALID');
    });
  });

  it('SEC-44 is not told by the clock of the process', async () => {
    const { keyId, answer } = await reader();
    const real = Date.now;
    try {
      Date.now = () => real() + 400 * 86_400_000;
      expect(await answer()).toBeNull();
      Date.now = () => real() - 400 * 86_400_000;
      await query(app.url, 'update nest_auth_api_keys set expires_at = now() where id = $1', [keyId]);
      expect(await answer()).toBe('API_KEY_INVALID');
    } finally {
      Date.now = real;
    }
  });

  it('is for good', async () => {
    const { userId, keyId, answer } = await reader();
    await apiKeys(app).revokeApiKey({ userId, tenantId: ground.tenantId }, keyId);
    expect(await answer()).toBe('API_KEY_INVALID');
    expect(await codeOf(apiKeys(app).rotateApiKey({ userId }, keyId))).toBe('API_KEY_NOT_FOUND');
    expect(await answer()).toBe('API_KEY_INVALID');
  });

  it('comes to all keys of the owner at once', async () => {
    const { userId, keyId, answer } = await reader();
    const { apiKey } = await keyOf(app, userId, ground.tenantId);
    expect(await apiKeys(app).revokeAllApiKeys({ userId, tenantId: null })).toBe(0);
    expect(await apiKeys(app).revokeAllApiKeys({ userId })).toBe(2);
    expect(await answer()).toBe('API_KEY_INVALID');
    expect(await revocationsOf(userId)).toEqual([
      { reason: 'revoked', ids: [keyId, apiKey.id].toSorted(), tenant_id: ground.tenantId },
    ]);
  });
});

describe('a key is no second factor, and is asked for none', () => {
  it.each(['required', 'always'] as const)(
    'in a tenant that begins to say %s: sessions end, keys go on',
    async (policy) => {
      const tenantId = await ownTenant();
      const login = { email: freshEmail(), password: PASSWORD };
      const { id: userId } = await app.users.createUser({ ...login, roleIds: [ground.reader] }, tenantId);
      const mine = await keyOf(app, userId, tenantId);
      const serviceAccountId = await account(app, tenantId);
      const robot = { owner: { serviceAccountId, tenantId }, name: 'ci', scopes: [READ] };
      const its = await apiKeys(app).createApiKey(robot);
      const { accessToken } = await auth(app).signIn({ ...login, tenantId });
      await app.tenants.updateTenant(tenantId, { secondFactorPolicy: policy });
      expect(await codeOf(auth(app).me(accessToken))).toBe('ACCESS_TOKEN_INVALID');
      expect(await codeOf(auth(app).signIn({ ...login, tenantId }))).toBe('SECOND_FACTOR_ENROLMENT_REQUIRED');
      expect(await apiKeys(app).authenticateApiKey(mine.secret)).toMatchObject({ userId, tenantId });
      expect(await apiKeys(app).authenticateApiKey(its.secret)).toMatchObject({ serviceAccountId, tenantId });
      const { secret } = await apiKeys(app).rotateApiKey({ userId, tenantId }, mine.apiKey.id);
      expect(await apiKeys(app).authenticateApiKey(secret)).toMatchObject({ userId, tenantId });
      await apiKeys(app).revokeAllApiKeys({ userId, tenantId });
      expect(await codeOf(apiKeys(app).authenticateApiKey(secret))).toBe('API_KEY_INVALID');
    },
  );
});

import { describe, expect, it } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';

import { AccessGate, AccessStatusEnum } from '../../../src/index.js';
import { until } from '../../support/until.js';
import { useRlsApp } from '../../support/rls-app.js';
import { withClient } from '../../support/database.js';
import { accounts, apiKeys, codeOf, KEYS, lives } from './fixture.js';

const app = useRlsApp({ auth: { ...KEYS, guard: { apiKeys: true } } });

const SCOPES = ['documents:read'];
type Place = 'a' | 'b';
const inTenant = <T>(place: Place, fn: () => Promise<T>): Promise<T> => app.tenant.run(app[place].id, fn);

/** A new member of the tenant, with a key. */
async function memberKey(place: Place) {
  const { id: tenantId, role } = app[place];
  return inTenant(place, async () => {
    const { id: userId } = await app.users.createUser({ email: `${uuidv7()}@example.com`, roleIds: [role] }, tenantId);
    const owner = { userId, tenantId };
    return { ...(await apiKeys(app).createApiKey({ owner, name: 'mine', scopes: SCOPES })), owner };
  });
}

async function accountKey(place: Place) {
  const { id: tenantId } = app[place];
  return inTenant(place, async () => {
    const { id: serviceAccountId } = await accounts(app).create({ tenantId, name: uuidv7() });
    const owner = { serviceAccountId, tenantId };
    return { ...(await apiKeys(app).createApiKey({ owner, name: 'ci', scopes: SCOPES })), owner };
  });
}

describe('with row-level security', () => {
  it('whose a key is, is found out without any tenant to run in, and its use is noted', async () => {
    for (const { secret, owner } of [await memberKey('a'), await accountKey('a')]) {
      expect(await apiKeys(app).authenticateApiKey(secret)).toMatchObject({ tenantId: owner.tenantId });
      const used = async (): Promise<boolean> => {
        const { items } = await inTenant('a', () => apiKeys(app).listApiKeys(owner));
        return items[0]?.lastUsedAt != null;
      };
      await until('the use is noted', used);
      const inside = inTenant('a', () => app.users.runInTransaction(() => apiKeys(app).authenticateApiKey(secret)));
      expect(await codeOf(inside)).toBe('TENANT_CONTEXT_MISMATCH');
      expect(await codeOf(inTenant('b', () => apiKeys(app).authenticateApiKey(secret)))).toBeNull();
    }
  });

  it('SEC-61 a tenant looks after its own accounts and keys, and finds no others', async () => {
    for (const { apiKey, secret, owner } of [await memberKey('a'), await accountKey('a')]) {
      await inTenant('b', async () => {
        expect((await apiKeys(app).listApiKeys(owner)).items).toEqual([]);
        expect(await codeOf(apiKeys(app).revokeApiKey(owner, apiKey.id))).toBe('API_KEY_NOT_FOUND');
        expect(await codeOf(apiKeys(app).rotateApiKey(owner, apiKey.id))).toBe('API_KEY_NOT_FOUND');
        expect(await apiKeys(app).revokeAllApiKeys(owner)).toBe(0);
      });
      expect(await codeOf(apiKeys(app).authenticateApiKey(secret))).toBeNull();
      await inTenant('a', async () => {
        const rotated = await apiKeys(app).rotateApiKey(owner, apiKey.id, { overlapSeconds: 60 });
        expect(rotated.apiKey.version).toBe(2);
        await apiKeys(app).revokeApiKey(owner, apiKey.id);
      });
      expect(await codeOf(apiKeys(app).authenticateApiKey(secret))).toBe('API_KEY_INVALID');
    }
    const { owner } = await accountKey('a');
    const { serviceAccountId: id, tenantId } = owner;
    await inTenant('b', async () => {
      expect(await accounts(app).get(id, tenantId)).toBeNull();
      for (const change of ['disable', 'enable', 'delete'] as const) {
        expect(await codeOf(accounts(app)[change](id, tenantId))).toBe('SERVICE_ACCOUNT_NOT_FOUND');
      }
      expect(await codeOf(accounts(app).create({ tenantId, name: 'x' }))).toBe('TENANT_NOT_FOUND');
      const made = apiKeys(app).createApiKey({ owner, name: 'x', scopes: SCOPES });
      expect(await codeOf(made)).toBe('SERVICE_ACCOUNT_NOT_FOUND');
    });
    await inTenant('a', async () => {
      expect((await accounts(app).disable(id, tenantId)).isActive).toBe(false);
      await accounts(app).delete(id, tenantId);
    });
  });

  it('SEC-63 without a tenant nothing of this is done', async () => {
    const { owner } = await accountKey('a');
    const calls = [
      () => accounts(app).create({ tenantId: owner.tenantId, name: 'x' }),
      () => accounts(app).list({ tenantId: owner.tenantId }),
      () => apiKeys(app).listApiKeys(owner),
      () => apiKeys(app).createApiKey({ owner, name: 'x', scopes: SCOPES }),
    ];
    for (const call of calls) expect(await codeOf(call())).toBe('TENANT_REQUIRED');
  });

  it('SEC-45 a key ends with its access, when the tenant itself takes it away, and with its user', async () => {
    const { owner, secret } = await memberKey('a');
    const status = (to: AccessStatusEnum) =>
      inTenant('a', () => app.access.setUserAccessStatus(owner.userId, owner.tenantId, to));
    await status(AccessStatusEnum.SUSPENDED);
    await status(AccessStatusEnum.ACTIVE);
    expect(await codeOf(apiKeys(app).authenticateApiKey(secret))).toBe('API_KEY_INVALID');
    const other = await memberKey('a');
    await app.tenant.withoutTenant('test', () => lives(app).deactivateById(other.owner.userId));
    expect(await codeOf(apiKeys(app).authenticateApiKey(other.secret))).toBe('API_KEY_INVALID');
    const third = await memberKey('a');
    await inTenant('a', () => app.users.deleteUserAccess(third.owner.userId, third.owner.tenantId));
    expect(await codeOf(apiKeys(app).authenticateApiKey(third.secret))).toBe('API_KEY_INVALID');
  });

  it('what runs by a key runs in its tenant, and sees no other', async () => {
    await memberKey('b');
    const gate = app.context.get(AccessGate);
    for (const { secret, owner } of [await memberKey('a'), await accountKey('a')]) {
      const principal = await gate.authenticateApiKey(secret);
      await gate.assert(principal, { permissions: ['documents:read'] });
      const seen = await gate.runAs(principal, () =>
        app.dataSource.query('select distinct tenant_id from nest_auth_user_accesses'),
      );
      expect(seen).toEqual([{ tenant_id: owner.tenantId }]);
    }
  });

  it('no statement of the application gets around it', async () => {
    const mine = await memberKey('a');
    await accountKey('b');
    const theirs = await accountKey('a');
    const columns = `name, scopes, secret_hash, expires_at`;
    const values = `'x', array['*'], 'h', now() + interval '1 day'`;
    const attempts = [
      `insert into nest_auth_service_account_keys (tenant_id, id, service_account_id, ${columns})
        values ('${theirs.owner.tenantId}', gen_random_uuid(), '${theirs.owner.serviceAccountId}', ${values})`,
      `insert into nest_auth_service_accounts (tenant_id, id, name)
        values ('${theirs.owner.tenantId}', gen_random_uuid(), 'x')`,
      `insert into nest_auth_api_keys (user_id, realm_id, tenant_id, id, ${columns})
        values ('${mine.owner.userId}', '00000000-0000-0000-0000-000000000000', '${mine.owner.tenantId}', gen_random_uuid(), ${values})`,
      `insert into nest_auth_api_keys (user_id, realm_id, tenant_id, id, ${columns})
        values ('${app.b.users[0]}', '00000000-0000-0000-0000-000000000000', null, gen_random_uuid(), ${values})`,
    ];
    for (const sql of attempts) {
      const outcome = await inTenant('b', () => codeOf(app.dataSource.query(sql)));
      expect([sql, outcome]).toEqual([sql, '42501']);
    }
    await inTenant('b', async () => {
      for (const table of ['nest_auth_api_keys', 'nest_auth_service_account_keys', 'nest_auth_service_accounts']) {
        const rows = await app.dataSource.query(
          `select 1 from ${table} where tenant_id is distinct from '${app.b.id}'`,
        );
        expect(rows).toEqual([]);
      }
      const [changed] = await app.dataSource.query<[unknown[], number]>(
        `update nest_auth_api_keys set scopes = array['*'] where user_id = '${mine.owner.userId}' returning id`,
      );
      expect(changed).toEqual([]);
    });
    const { rows } = await withClient(app.database.url, (client) =>
      client.query(`select scopes from nest_auth_api_keys where id = $1`, [mine.apiKey.id]),
    );
    expect(rows).toEqual([{ scopes: SCOPES }]);
  });
});

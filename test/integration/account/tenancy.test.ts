import { describe, expect, it } from '@jest/globals';
import { v4 as uuidv4 } from 'uuid';

import { NIL_UUID, TenantModeEnum } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, freshPhone, outcomesOf, startNestApp, times, useNestApp } from '../../support/nest-app.js';
import { createTestDatabase } from '../../support/database.js';
import { brokenUsers, countRows } from '../../support/tables.js';

const isolated = useNestApp({ pool: 20, auth: { tenant: { mode: TenantModeEnum.ISOLATED } } });
const shared = useNestApp();

describe('ISOLATED tenancy', () => {
  it('takes one email and phone in two tenants for two people', async () => {
    const login = { email: freshEmail(), phone: freshPhone() };
    const { tenantId, otherTenantId } = isolated.seed;
    const here = await isolated.users.createUser(login, tenantId);
    const there = await isolated.users.createUser(login, otherTenantId);
    expect(here.id).not.toBe(there.id);
    expect(await isolated.users.getUserByEmail(login.email, tenantId)).toMatchObject({ id: here.id });
    expect(await isolated.users.getUserByPhone(login.phone, otherTenantId)).toMatchObject({ id: there.id });
    await expect(isolated.users.createUser(login, tenantId)).rejects.toMatchObject({ code: 'EMAIL_ALREADY_EXISTS' });
    const tenants = await isolated.users.getTenantsByEmail(login.email);
    expect(tenants.map(({ id }) => id).toSorted()).toEqual([tenantId, otherTenantId].toSorted());
    expect(await isolated.users.getTenantsByPhone(login.phone)).toHaveLength(2);
  });

  it('names no tenant of a user who is not active there, or of a tenant that is not', async () => {
    const email = freshEmail();
    const user = await isolated.users.createUser({ email }, isolated.seed.tenantId);
    await isolated.users.updateUserStatus(user.id, false);
    expect(await isolated.users.getTenantsByEmail(email)).toEqual([]);
  });

  it('needs a tenant for every look-up and creation by email or phone', async () => {
    const calls = [
      () => isolated.users.createUser({ email: freshEmail() }),
      () => isolated.users.createUsers([{ email: freshEmail() }]),
      () => isolated.users.getUserByEmail(freshEmail()),
      () => isolated.users.getUserByPhone(freshPhone()),
      () => isolated.users.emailExists(freshEmail()),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'TENANT_REQUIRED' });
  });

  it('puts platform users into the nil realm, where no tenant has anybody', async () => {
    const email = freshEmail();
    const { tenantId, admin } = isolated.seed;
    const root = await isolated.users.createPlatformUser({ email, platformRoleIds: [admin] });
    const member = await isolated.users.createUser({ email }, tenantId);
    expect(root.realmId).toBe(NIL_UUID);
    expect(member.realmId).toBe(tenantId);
    expect(await isolated.users.getPlatformUserByEmail(email)).toMatchObject({ id: root.id });
    const both = isolated.users.createUser({ email: freshEmail(), platformRoleIds: [admin] }, tenantId);
    await expect(both).rejects.toMatchObject({ code: 'TENANT_SCOPE_MISMATCH' });
    await expect(member.getPlatformAccess(true)).rejects.toMatchObject({ code: 'TENANT_SCOPE_MISMATCH' });
    await expect(isolated.users.ensureUserAccess(member.id, isolated.seed.otherTenantId)).rejects.toMatchObject({
      code: 'TENANT_SCOPE_MISMATCH',
    });
    await expect(isolated.users.createUser({ email }, NIL_UUID)).rejects.toMatchObject({ code: 'TENANT_NOT_FOUND' });
  });

  it('cannot be broken by raw SQL', async () => {
    const user = await isolated.users.createUser({ email: freshEmail() }, isolated.seed.tenantId);
    const there = await isolated.users.createUser({ email: freshEmail() }, isolated.seed.otherTenantId);
    await withClient(isolated.url, async (client) => {
      const refused = (sql: string, values: unknown[]) =>
        expect(client.query(sql, values)).rejects.toMatchObject({ code: expect.stringMatching(/^23/) });
      await refused('update nest_auth_users set realm_id = $2 where id = $1', [user.id, there.realmId]);
      await refused('update nest_auth_identities set realm_id = $2 where user_id = $1', [user.id, there.realmId]);
      await refused('insert into nest_auth_user_accesses (user_id, tenant_id, realm_id) values ($1, $2, $3)', [
        user.id,
        there.realmId,
        user.realmId,
      ]);
      await refused('insert into nest_auth_platform_accesses (user_id, realm_id) values ($1, $2)', [
        user.id,
        user.realmId,
      ]);
    });
  });

  it('makes one user an email and tenant of 50 creations at once in two tenants', async () => {
    const email = freshEmail();
    const { tenantId, otherTenantId } = isolated.seed;
    const { won, codes } = await outcomesOf(
      times(50, (index) => isolated.users.createUser({ email }, index % 2 ? tenantId : otherTenantId)),
    );
    expect(won).toHaveLength(2);
    expect(codes).toEqual({ EMAIL_ALREADY_EXISTS: 48 });
    expect(await brokenUsers(isolated.url)).toEqual([]);
  });

  it('changes an email to one that another tenant has', async () => {
    const email = freshEmail();
    await isolated.users.createUser({ email }, isolated.seed.otherTenantId);
    const user = await isolated.users.createUser({ email: freshEmail() }, isolated.seed.tenantId);
    expect(await isolated.users.updateUser(user.id, { email })).toMatchObject({ email });
  });
});

describe('SHARED tenancy', () => {
  it('takes one email for one person, whichever the tenant', async () => {
    const email = freshEmail();
    const { tenantId, otherTenantId } = shared.seed;
    const user = await shared.users.createUser({ email }, tenantId);
    await expect(shared.users.createUser({ email }, otherTenantId)).rejects.toMatchObject({
      code: 'EMAIL_ALREADY_EXISTS',
    });
    await expect(shared.users.createUser({ email })).rejects.toMatchObject({ code: 'EMAIL_ALREADY_EXISTS' });
    expect(await shared.users.getUserByEmail(email)).toMatchObject({ id: user.id });
    expect(await shared.users.getUserByEmail(email, otherTenantId)).toBeNull();
    await shared.users.ensureUserAccess(user.id, otherTenantId);
    expect(await shared.users.getUserByEmail(email, otherTenantId)).toMatchObject({ id: user.id });
    await withClient(shared.url, (client) =>
      expect(
        client.query(`insert into nest_auth_users (id, realm_id, email, email_norm) values ($1, $2, $3, $3)`, [
          uuidv4(),
          NIL_UUID,
          email,
        ]),
      ).rejects.toMatchObject({ constraint: 'nest_auth_users_realm_email_uq' }),
    );
  });

  it('gives no access without a tenant', async () => {
    const { id } = await shared.users.createUser({ email: freshEmail() });
    expect(await countRows(shared.url, 'nest_auth_user_accesses', 'user_id = $1', [id])).toBe(0);
  });

  it('gives access to the default tenant that is configured', async () => {
    const app = await startNestApp(shared.url, { auth: { tenant: { defaultTenantId: shared.seed.tenantId } } });
    const { id } = await app.users.createUser({ email: freshEmail(), roleIds: [shared.seed.member] });
    expect(await app.users.isUserInTenant(id, shared.seed.tenantId)).toBe(true);
    await app.close();
  });
});

describe('DISABLED tenancy', () => {
  it('gives every user access to the built-in tenant, and knows no other', async () => {
    const { url, drop } = await createTestDatabase();
    const app = await startNestApp(url, { auth: { tenant: { mode: TenantModeEnum.DISABLED } } });
    const role = await app.roles.createRole({ name: 'member', guard: 'portal' });
    const { id } = await app.users.createUser({ email: freshEmail(), roleIds: [role.id] });
    expect(await app.users.isUserInTenant(id, NIL_UUID)).toBe(true);
    expect(await app.users.getUserTenants(id)).toMatchObject([{ id: NIL_UUID }]);
    await expect(app.users.createUser({ email: freshEmail() }, uuidv4())).rejects.toMatchObject({
      code: 'TENANT_NOT_FOUND',
    });
    await app.close();
    await drop();
  });
});

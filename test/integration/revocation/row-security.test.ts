import { describe, expect, it } from '@jest/globals';

import { recordStatements } from '../../support/wire.js';
import { useRlsApp } from '../../support/rls-app.js';
import { auth, NEVER_OLD, options } from './fixture.js';

const app = useRlsApp({ auth: options(NEVER_OLD) });

const mayIn = (userId: string, tenantId: string): Promise<boolean> =>
  app.access.can(userId, tenantId, 'documents:read');

describe('SEC-69 with row-level security, what is kept', () => {
  it('for one tenant is no answer in another one, and none without any', async () => {
    const [user = ''] = app.a.users;
    expect(await app.tenant.run(app.a.id, () => mayIn(user, app.a.id))).toBe(true);
    const again = await recordStatements(() => app.tenant.run(app.a.id, () => mayIn(user, app.a.id)));
    expect(again).toMatchObject({ result: true, statements: [] });
    expect(await app.tenant.run(app.b.id, () => mayIn(user, app.a.id))).toBe(false);
    await expect(mayIn(user, app.a.id)).rejects.toMatchObject({ code: 'TENANT_REQUIRED' });
    await expect(app.access.getGrants(user, app.a.id)).rejects.toMatchObject({ code: 'TENANT_REQUIRED' });
  });

  it('for the platform is no answer for a tenant', async () => {
    const [user = ''] = app.b.users;
    expect(await app.tenant.withoutTenant('test', () => mayIn(user, app.b.id))).toBe(true);
    expect(await app.tenant.run(app.a.id, () => mayIn(user, app.b.id))).toBe(false);
  });

  it('goes in every scope when it is taken away in one', async () => {
    const { id } = await app.tenant.run(app.a.id, () =>
      app.users.createUser({ email: 'scopes@example.com', roleIds: [app.a.role] }, app.a.id),
    );
    const inTenant = (): Promise<boolean> => app.tenant.run(app.a.id, () => mayIn(id, app.a.id));
    const onPlatform = (): Promise<boolean> => app.tenant.withoutTenant('test', () => mayIn(id, app.a.id));
    expect([await inTenant(), await onPlatform()]).toEqual([true, true]);
    await app.tenant.run(app.a.id, () => app.users.setUserAccessRoles(id, app.a.id, []));
    expect([await inTenant(), await onPlatform()]).toEqual([false, false]);
  });

  it('lets nobody authenticate inside a transaction of a tenant', async () => {
    const password = 'correct horse battery staple';
    const email = 'rls-revocation@example.com';
    const input = { email, password: await app.passwords.hash(password) };
    await app.tenant.withoutTenant('seed', () => app.users.createUser(input, app.a.id));
    const { accessToken } = await auth(app).signIn({ email, password, tenantId: app.a.id });
    await expect(auth(app).authenticate(accessToken)).resolves.toMatchObject({ tenantId: app.a.id });
    const inside = app.tenant.run(app.a.id, () =>
      app.users.runInTransaction(() => auth(app).authenticate(accessToken)),
    );
    await expect(inside).rejects.toMatchObject({ code: 'TENANT_CONTEXT_MISMATCH' });
  });
});

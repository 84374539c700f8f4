import { describe, expect, it } from '@jest/globals';

import { NestAuthUser } from '../../../src/index.js';
import { freshEmail, freshPhone } from '../../support/nest-app.js';
import { useRlsApp } from '../../support/rls-app.js';
import { recordStatements } from '../../support/wire.js';

const app = useRlsApp();

describe('the flows of one tenant under row-level security', () => {
  it('creates a user with everything in one statement between BEGIN and COMMIT', async () => {
    const { statements } = await recordStatements(() =>
      app.tenant.run(app.a.id, () =>
        app.users.createUser({ email: freshEmail(), phone: freshPhone(), roleIds: [app.a.role, app.member] }, app.a.id),
      ),
    );
    expect(statements).toHaveLength(3);
    expect(statements[0]).toBe(`START TRANSACTION; SET LOCAL nest_auth.tenant_id = '${app.a.id}'`);
    expect(statements[2]).toBe('COMMIT');
  });

  it('creates a user step by step in a transaction', async () => {
    const email = freshEmail();
    const phone = freshPhone();
    const id = await app.tenant.run(app.a.id, () =>
      app.users.runInTransaction(async (manager) => {
        const user = await app.users.createUser({ email, phone }, undefined, undefined, manager);
        await user.setPassword('correct horse battery staple');
        await user.findOrCreateIdentity('google', email, manager);
        await manager.save(user);
        const access = await user.getUserAccess(app.a.id, true, manager);
        await access.assignRoles([app.member], manager);
        return user.id;
      }),
    );
    const found = await app.tenant.run(app.a.id, () => app.access.getPermissions(id, app.a.id));
    expect(found).toEqual(['documents:read']);
  });

  it('changes roles, reads permissions, lists members and ends an access', async () => {
    await app.tenant.run(app.a.id, async () => {
      const user = await app.users.createUser({ email: freshEmail() }, app.a.id);
      await app.users.setUserAccessRoles(user.id, app.a.id, [app.a.role]);
      expect(await app.access.getPermissions(user.id, app.a.id)).toEqual(['documents:read']);
      await app.users.setUserAccessRoles(user.id, app.a.id, [app.member]);
      const listed = await app.users.getUsers({ tenantId: app.a.id });
      expect(listed.map(({ id }) => id)).toContain(user.id);
      expect(await app.users.getUserByEmail(user.email as string, app.a.id)).not.toBeNull();
      await app.users.deleteUserAccess(user.id, app.a.id);
      expect(await app.users.getUserById(user.id)).toBeNull();
    });
  });

  it('makes, changes and removes roles of the tenant', async () => {
    await app.tenant.run(app.a.id, async () => {
      const role = await app.roles.createRole({
        name: 'temporary',
        guard: 'portal',
        tenantId: app.a.id,
        permissions: ['documents:read'],
      });
      await app.roles.updateRole(role.id, { description: 'changed' });
      await app.roles.setRolePermissions(role.id, []);
      await app.roles.addRolePermissions(role.id, ['documents:read']);
      expect(await app.roles.getRoleById(role.id)).toMatchObject({ description: 'changed' });
      await app.roles.deleteRole(role.id);
      expect(await app.roles.getRoleById(role.id)).toBeNull();
    });
  });

  it('imports many users', async () => {
    const rows = Array.from({ length: 40 }, () => ({ email: freshEmail(), roleIds: [app.member] }));
    const { created } = await app.tenant.run(app.a.id, () => app.users.createUsers(rows, { tenantId: app.a.id }));
    expect(created).toBe(40);
  });

  it('says no more than that a login cannot be used when another tenant has it', async () => {
    const taken = { email: freshEmail(), phone: freshPhone() };
    await app.tenant.run(app.b.id, () => app.users.createUser(taken, app.b.id));
    await app.tenant.run(app.a.id, async () => {
      const unavailable = expect.objectContaining({ code: 'LOGIN_UNAVAILABLE', details: {} });
      await expect(app.users.createUser({ email: taken.email }, app.a.id)).rejects.toEqual(unavailable);
      await expect(app.users.createUser({ phone: taken.phone }, app.a.id)).rejects.toEqual(unavailable);
      const { rows } = await app.users.createUsers([{ email: taken.email }], { tenantId: app.a.id });
      expect(rows[0]).toMatchObject({ error: { code: 'LOGIN_UNAVAILABLE' } });
      // Within a transaction the conflict leaves it usable.
      await app.users.runInTransaction(async () => {
        await expect(app.users.createUser({ email: taken.email }, app.a.id)).rejects.toEqual(unavailable);
        await app.users.createUser({ email: freshEmail() }, app.a.id);
      });
    });
  });

  it('lets repositories work outside of a transaction too, for their tenant only', async () => {
    const repository = app.dataSource.getRepository(NestAuthUser);
    const inA = await app.tenant.run(app.a.id, () => repository.find());
    const inB = await app.tenant.run(app.b.id, () => repository.find());
    expect(inB.map(({ id }) => id)).toEqual(expect.arrayContaining([...app.b.users]));
    expect(inA.map(({ id }) => id)).toEqual(expect.arrayContaining([...app.a.users]));
    expect(inA.filter(({ id }) => inB.some((user) => user.id === id))).toEqual([]);
  });
});

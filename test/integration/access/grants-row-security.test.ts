import { describe, expect, jest, test } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import { AccessService, NIL_UUID, RoleGuardEnum } from '../../../src/index.js';
import { useRlsApp } from '../../support/rls-app.js';

jest.setTimeout(120_000);

const app = useRlsApp();

const access = (): AccessService => app.context.get(AccessService);
const member = (): string => app.a.users[0] as string;

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    (answer) => answer,
    (error: { code?: string; driverError?: { code?: string } }) => error.driverError?.code ?? error.code,
  );

async function role(tenantId: string | null, name: string): Promise<string> {
  const make = () =>
    app.roles.createRole({
      name,
      guard: RoleGuardEnum.PORTAL,
      ...(tenantId === null ? { isSystem: true } : { tenantId }),
    });
  const { id } = await (tenantId === null
    ? app.tenant.withoutTenant('make a role of the system', make)
    : app.tenant.run(tenantId, make));
  return id;
}

describe('a tenant behind row-level security', () => {
  test('lets its roles inherit from its own and from those of the system, which grant its members something', async () => {
    const [top, own] = [await role(app.a.id, 'top'), await role(app.a.id, 'own')];
    await app.tenant.run(app.a.id, async () => {
      await app.roles.setRoleParents(own, [app.member]);
      await app.roles.setRoleParents(top, [own]);
      await access().grantAccessRole(member(), app.a.id, top);
      expect(await access().can(member(), app.a.id, 'documents:read')).toBe(true);
      const read = await app.roles.getRoleById(own, { relations: { parents: true } });
      expect(read?.parents?.map(({ id }) => id)).toEqual([app.member]);
      expect(await codeOf(app.roles.setRoleParents(own, [top]))).toBe('ROLE_CYCLE');
    });
  });

  test('SEC-61 changes neither what the system nor what another tenant inherits, nor sees the latter', async () => {
    const [base, below] = [await role(null, 'base'), await role(null, 'below')];
    const [theirs, theirParent] = [await role(app.b.id, 'theirs'), await role(app.b.id, 'their-parent')];
    await app.tenant.run(app.b.id, () => app.roles.setRoleParents(theirs, [theirParent, base]));
    await app.tenant.withoutTenant('let a role of the system inherit', () => app.roles.setRoleParents(base, [below]));
    const own = await role(app.a.id, 'mine');
    await app.tenant.run(app.a.id, async () => {
      expect(await codeOf(app.roles.setRoleParents(own, [theirs]))).toBe('ROLE_NOT_FOUND');
      expect(await codeOf(app.roles.setRoleParents(theirs, [own]))).toBe('ROLE_NOT_FOUND');
      expect(await codeOf(app.roles.removeRoleParents(base, [below]))).toBe('ROW_SECURITY_REFUSED');
      expect(await codeOf(app.roles.setRoleParents(base, [own]))).not.toEqual({ added: [own], removed: [below] });
      const seen = await app.dataSource.query<{ role_id: string }[]>('select role_id from nest_auth_role_parents');
      expect(seen.map(({ role_id }) => role_id)).toContain(base);
      expect(seen.map(({ role_id }) => role_id)).not.toContain(theirs);
      const graphs = await app.dataSource.query<{ owner: string }[]>(
        'select owner_tenant_id as owner from nest_auth_role_graphs',
      );
      expect(graphs.map(({ owner }) => owner)).not.toContain(app.b.id);
    });
  });

  test('grants and denies its own members, and sees and writes of others nothing', async () => {
    await app.tenant.run(app.b.id, () =>
      access().grantPermission(app.b.users[0] as string, app.b.id, 'documents:read'),
    );
    const attacks: ((m: EntityManager) => Promise<unknown>)[] = [
      (m) => m.query('select 1 from nest_auth_user_access_permissions where tenant_id = $1', [app.b.id]),
      (m) =>
        m
          .query('delete from nest_auth_user_access_permissions where tenant_id = $1 returning 1', [app.b.id])
          .then(([rows]) => rows),
      (m) => m.query('select 1 from nest_auth_platform_access_permissions'),
      (m) =>
        m.query(
          `insert into nest_auth_user_access_permissions (user_id, tenant_id, permission_id, guard, effect)
           select $1, $2, id, guard, 'grant' from nest_auth_permissions where name = 'documents:read'`,
          [app.b.users[1], app.b.id],
        ),
      (m) =>
        m.query(
          `insert into nest_auth_role_parents (role_id, parent_id, role_tenant_id, parent_tenant_id, guard)
           values ($1, $2, $3, $4, 'portal')`,
          [app.b.role, app.member, app.b.id, NIL_UUID],
        ),
      (m) =>
        m
          .query('update nest_auth_role_graphs set version = 9 where owner_tenant_id <> $1 returning 1', [app.a.id])
          .then(([rows]) => rows),
      (m) => m.query('insert into nest_auth_role_graphs (owner_tenant_id) values ($1)', [NIL_UUID]),
    ];
    await app.tenant.run(app.a.id, async () => {
      expect(await access().denyPermission(member(), app.a.id, 'documents:read')).toBe(true);
      expect(await access().can(member(), app.a.id, 'documents:read')).toBe(false);
      expect(await access().revokePermission(member(), app.a.id, 'documents:read')).toBe(true);
      expect(await codeOf(access().grantPermission(app.b.users[0] as string, app.b.id, 'documents:read'))).toEqual(
        expect.stringMatching(/^(ACCESS_NOT_FOUND|TENANT_CONTEXT_MISMATCH|ROW_SECURITY_REFUSED)$/),
      );
    });
    const refused = (answer: unknown): boolean => answer === '42501' || (Array.isArray(answer) && answer.length === 0);
    for (const attack of attacks) {
      const answer = await codeOf(app.tenant.run(app.a.id, () => app.dataSource.transaction(attack)));
      expect([attack.toString(), refused(answer)]).toEqual([attack.toString(), true]);
    }
  });

  test('has what runs out removed by the platform', async () => {
    await app.tenant.run(app.a.id, () =>
      access().grantPermission(member(), app.a.id, 'documents:read', { expiresAt: new Date(Date.now() + 3_600_000) }),
    );
    await app.tenant.withoutTenant('let it run out', () =>
      app.dataSource.query('update nest_auth_user_access_permissions set expires_at = now() where user_id = $1', [
        member(),
      ]),
    );
    const removed = await app.tenant.withoutTenant('remove it', () => access().purgeExpiredGrants());
    expect(removed.permissions).toBeGreaterThan(0);
  });
});

import { describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';

import {
  NestAuthRole,
  NestAuthUser,
  NestAuthUserAccess,
  type NestAuthErrorCode,
  NIL_UUID,
} from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail } from '../../support/nest-app.js';
import { useRlsApp } from '../../support/rls-app.js';
import { dumpTables } from '../../support/tables.js';

const app = useRlsApp();

/** What tenant A tries runs on its own, so that a refusal leaves the next one a usable transaction. */
async function tryAsA(fn: (manager: EntityManager) => Promise<unknown>): Promise<unknown> {
  try {
    return await app.tenant.run(app.a.id, () => app.dataSource.transaction(fn));
  } catch (error) {
    return (error as { driverError?: { code?: string } }).driverError?.code ?? (error as { code?: string }).code;
  }
}

const codeOf = (call: Promise<unknown>): Promise<NestAuthErrorCode | 'none'> =>
  call.then(
    () => 'none' as const,
    (error: { code: NestAuthErrorCode }) => error.code,
  );

const VISIBLE: readonly (readonly [table: string, sql: string])[] = [
  ['tenants', 'select id from nest_auth_tenants'],
  ['users', 'select id from nest_auth_users'],
  ['identities', 'select user_id as id from nest_auth_identities'],
  ['accesses', 'select tenant_id as id from nest_auth_user_accesses'],
  ['access roles', 'select tenant_id as id from nest_auth_user_access_roles'],
  ['roles', 'select id from nest_auth_roles'],
  ['role permissions', 'select role_id as id from nest_auth_role_permissions'],
];

describe('what a tenant sees', () => {
  it.each(VISIBLE)('of %s by raw SQL nothing belongs to another tenant', async (_table, sql) => {
    const rows = (await tryAsA((manager) => manager.query(sql))) as { id: string }[];
    expect(rows.length).toBeGreaterThan(0);
    const foreign = [app.b.id, app.b.role, ...app.b.users];
    expect(rows.filter(({ id }) => foreign.includes(id))).toEqual([]);
  });

  it('nothing of the platform', async () => {
    expect(await tryAsA((manager) => manager.query('select * from nest_auth_platform_accesses'))).toEqual([]);
    expect(await tryAsA((manager) => manager.query('select * from nest_auth_platform_access_roles'))).toEqual([]);
  });

  it('nothing by repositories, query builders, counts and relations', async () => {
    await app.tenant.run(app.a.id, async () => {
      const users = app.dataSource.getRepository(NestAuthUser);
      const [id] = app.b.users;
      expect(await users.findOneBy({ id: id as string })).toBeNull();
      expect(await users.existsBy({ id: id as string })).toBe(false);
      expect(await app.dataSource.getRepository(NestAuthUserAccess).countBy({ tenantId: app.b.id })).toBe(0);
      expect(await users.createQueryBuilder('u').where('u.id = :id or true', { id }).getCount()).toBeLessThan(10);
      const roles = await app.dataSource.getRepository(NestAuthRole).createQueryBuilder('r').getMany();
      expect(roles.map((role) => role.id)).not.toContain(app.b.role);
      const accesses = await app.dataSource.getRepository(NestAuthUserAccess).find({ relations: { user: true } });
      expect(accesses.filter(({ tenantId }) => tenantId !== app.a.id)).toEqual([]);
    });
  });

  it('nothing at all without a tenant, but system roles and permissions', async () => {
    const counts = await app.dataSource.query<
      { users: number; accesses: number; roles: number; permissions: number }[]
    >(
      `select (select count(*) from nest_auth_users)::integer as users,
        (select count(*) from nest_auth_user_accesses)::integer as accesses,
        (select count(*) from nest_auth_roles)::integer as roles,
        (select count(*) from nest_auth_permissions)::integer as permissions`,
    );
    expect(counts).toEqual([{ users: 0, accesses: 0, roles: 2, permissions: 2 }]);
  });
});

const B_USER = () => app.b.users[0] as string;
const A_USER = () => app.a.users[0] as string;

/** Each answers no row, or is refused. */
const ATTACKS: Record<string, (manager: EntityManager) => Promise<unknown>> = {
  'an update of users': (m) =>
    m.query(`update nest_auth_users set metadata = '{"a":1}' where id = $1 returning id`, [B_USER()]),
  'a deletion of users': (m) => m.query('delete from nest_auth_users where id = $1 returning id', [B_USER()]),
  'a truncation': (m) => m.query('truncate nest_auth_users cascade'),
  'an access into the other tenant': (m) =>
    m.query('insert into nest_auth_user_accesses (user_id, tenant_id, realm_id) values ($1, $2, $3)', [
      A_USER(),
      app.b.id,
      NIL_UUID,
    ]),
  'an access that makes a stranger a member': (m) =>
    m.query('insert into nest_auth_user_accesses (user_id, tenant_id, realm_id) values ($1, $2, $3)', [
      B_USER(),
      app.a.id,
      NIL_UUID,
    ]),
  'an access that changes hands': (m) =>
    m.query('update nest_auth_user_accesses set user_id = $1 where user_id = $2', [B_USER(), app.a.users[1]]),
  'an access that moves': (m) =>
    m.query('update nest_auth_user_accesses set tenant_id = $1 where user_id = $2', [app.b.id, app.a.users[1]]),
  'a login for a stranger': (m) =>
    m.query(
      `insert into nest_auth_identities (provider_id, provider, realm_id, user_id) values ('x', 'google', $2, $1)`,
      [B_USER(), NIL_UUID],
    ),
  'a login for a stranger who is named as new first': async (m) => {
    await m.query(
      `insert into nest_auth_users (id, realm_id, email, email_norm) values ($1, $2, 'n@example.com', 'n@example.com') on conflict do nothing`,
      [B_USER(), NIL_UUID],
    );
    return m.query(
      `insert into nest_auth_identities (provider_id, provider, realm_id, user_id) values ('x', 'google', $2, $1)`,
      [B_USER(), NIL_UUID],
    );
  },
  'an upsert over a stranger': (m) =>
    m.query(
      `insert into nest_auth_users (id, realm_id, email, email_norm) values ($1, $2, 'n@example.com', 'n@example.com')
       on conflict (id) do update set metadata = '{"a":1}'`,
      [B_USER(), NIL_UUID],
    ),
  'a change of the email of a member who may belong to others': (m) =>
    m.query(`update nest_auth_users set email = 'n@example.com', email_norm = 'n@example.com' where id = $1`, [
      A_USER(),
    ]),
  'a member taken into the own realm': (m) =>
    m.query('update nest_auth_users set realm_id = $1 where id = $2', [app.a.id, A_USER()]),
  'a member deleted for everybody': (m) =>
    m.query('delete from nest_auth_users where id = $1 returning id', [A_USER()]),
  'a role for the other tenant': (m) =>
    m.query(
      `insert into nest_auth_roles (id, tenant_id, owner_tenant_id, guard, name) values (gen_random_uuid(), $1, $1, 'portal', 'x')`,
      [app.b.id],
    ),
  'a role of the system': (m) =>
    m.query(`insert into nest_auth_roles (id, guard, name, is_system) values (gen_random_uuid(), 'portal', 'x', true)`),
  'a role of the system taken over': (m) =>
    m.query(`update nest_auth_roles set tenant_id = $1, owner_tenant_id = $1, is_system = false where id = $2`, [
      app.a.id,
      app.admin,
    ]),
  'a change of a system role': (m) =>
    m.query(`update nest_auth_roles set is_active = false where id = $1`, [app.member]),
  'a permission for a system role': (m) =>
    m.query(
      `insert into nest_auth_role_permissions (role_id, permission_id, guard)
       select r.id, p.id, r.guard from nest_auth_roles r join nest_auth_permissions p on p.guard = r.guard where r.is_system`,
    ),
  'a permission taken from a system role': (m) =>
    m.query('delete from nest_auth_role_permissions where role_id = $1 returning role_id', [app.member]),
  'a new permission': (m) =>
    m.query(`insert into nest_auth_permissions (id, guard, name) values (gen_random_uuid(), 'portal', 'x')`),
  'a changed permission': (m) => m.query(`update nest_auth_permissions set name = 'x'`),
  'a platform access': (m) =>
    m.query('insert into nest_auth_platform_accesses (user_id, realm_id) values ($1, $2)', [A_USER(), NIL_UUID]),
  'a new tenant': (m) => m.query(`insert into nest_auth_tenants (id, name, slug) values (gen_random_uuid(), 'x', 'x')`),
  'a change of the other tenant': (m) =>
    m.query(`update nest_auth_tenants set name = 'x' where id = $1 returning id`, [app.b.id]),
};

/** Nothing was matched, or the server said no. */
function expectRepelled(answer: unknown): void {
  // A change answers its rows and how many there were.
  const rows = Array.isArray(answer) && Array.isArray(answer[0]) ? (answer[0] as unknown[]) : answer;
  const said = Array.isArray(rows) ? `${rows.length} rows` : rows;
  expect(['0 rows', '42501', '23503', '23505', '23514']).toContain(said);
}

describe('what a tenant changes', () => {
  it.each(Object.entries(ATTACKS))('%s touches nothing of anybody else', async (_name, attack) => {
    const before = await dumpTables(app.database.url);
    expectRepelled(await tryAsA(attack));
    expect(await dumpTables(app.database.url)).toEqual(before);
  });

  it('without a where clause is its own alone', async () => {
    await tryAsA((m) => m.query(`update nest_auth_roles set description = 'taken' where tenant_id is not null`));
    await tryAsA((m) => m.query('delete from nest_auth_user_access_roles'));
    const { rows } = await withClient(app.database.url, (client) =>
      client.query(
        `select array(select tenant_id from nest_auth_roles where description = 'taken') as taken,
          array(select tenant_id from nest_auth_user_access_roles) as kept`,
      ),
    );
    expect(rows).toEqual([{ taken: [app.a.id], kept: [app.b.id] }]);
  });

  it('needs the platform for what concerns other tenants too', async () => {
    const refused = app.tenant.run(app.a.id, () => app.users.updateUser(A_USER(), { email: freshEmail() }));
    expect(await codeOf(refused)).toBe('ROW_SECURITY_REFUSED');
    const allowed = app.tenant.withoutTenant('the person changes the own email', () =>
      app.users.updateUser(A_USER(), { email: freshEmail() }),
    );
    expect(await codeOf(allowed)).toBe('none');
  });
});

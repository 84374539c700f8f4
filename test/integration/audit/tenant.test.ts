import { describe, expect, it } from '@jest/globals';

import { AccessStatusEnum, IdentityContext, type NestAuthTenant } from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail } from '../../support/nest-app.js';
import { useRlsApp } from '../../support/rls-app.js';
import { unique, useAccess, waitingFor } from '../access/fixture.js';
import { asAdmin, linesOf, WHO } from './lines.js';

describe('a tenant', () => {
  const shared = useAccess();

  const create = (): Promise<NestAuthTenant> => {
    const slug = unique('audited');
    return asAdmin(() =>
      shared.tenants.createTenant({ name: 'Acme', slug, metadata: { plan: 'free', smtp: { password: 'x' } } }),
    );
  };

  it('is told when it is made, changed and deleted, with who did it, and not when nothing is done', async () => {
    const { id, slug } = await create();
    const { id: other } = await create();
    await asAdmin(() => shared.tenants.updateTenant(id, { name: 'Acme Inc', metadata: { plan: null } }));
    await asAdmin(() => shared.tenants.updateTenant(id, { name: 'Acme Inc' }));
    const taken = shared.tenants.updateTenant(other, { slug, name: 'Taken' });
    await expect(taken).rejects.toMatchObject({ code: 'TENANT_ALREADY_EXISTS' });
    await expect(shared.tenants.createTenant({ name: 'Again', slug })).rejects.toMatchObject({
      code: 'TENANT_ALREADY_EXISTS',
    });
    await asAdmin(() => shared.tenants.deleteTenant(id));
    await expect(shared.tenants.deleteTenant(id)).rejects.toMatchObject({ code: 'TENANT_NOT_FOUND' });
    const about = { ...WHO, subject: 'tenant', userId: null, tenantId: id, details: null };
    const defaults = { isActive: true, secondFactorPolicy: 'optional' };
    expect(await linesOf(shared.dataSource, id)).toEqual([
      {
        ...about,
        type: 'nest_auth.tenant.created',
        before: null,
        after: { name: 'Acme', slug, ...defaults, metadata: { plan: 'free', smtp: '[redacted]' } },
      },
      {
        ...about,
        type: 'nest_auth.tenant.updated',
        before: { name: 'Acme', metadata: { plan: 'free' } },
        after: { name: 'Acme Inc', metadata: { plan: null } },
      },
      {
        ...about,
        type: 'nest_auth.tenant.deleted',
        before: { name: 'Acme Inc', slug, ...defaults, metadata: { smtp: '[redacted]' } },
        after: null,
      },
    ]);
    expect(await linesOf(shared.dataSource, other)).toHaveLength(1);
  });

  it('renamed 10 times at once makes an unbroken chain', async () => {
    const { id } = await create();
    const names = Array.from({ length: 10 }, (_, index) => `Name ${index}`);
    await Promise.all(names.map((name) => shared.tenants.updateTenant(id, { name })));
    const [, ...changes] = await linesOf(shared.dataSource, id);
    expect(changes).toHaveLength(10);
    for (const [index, { before }] of changes.entries()) {
      expect(before).toEqual(index === 0 ? { name: 'Acme' } : changes[index - 1]?.after);
    }
  });

  it('changed while another change waits for COMMIT is told as that left it, and a change rolled back is not', async () => {
    const { id } = await create();
    await waitingFor(
      shared,
      (m) => shared.tenants.updateTenant(id, { description: 'first' }, m),
      () => shared.tenants.updateTenant(id, { description: 'second' }),
    );
    const undone = shared.host.run(async (m) => {
      await shared.tenants.updateTenant(id, { description: 'third' }, m);
      throw new Error('undo');
    });
    await expect(undone).rejects.toThrow('undo');
    const [, ...changes] = await linesOf(shared.dataSource, id);
    expect(changes.map(({ before, after }) => [before, after])).toEqual([
      [{ description: null }, { description: 'first' }],
      [{ description: 'first' }, { description: 'second' }],
    ]);
  });
});

describe('under row-level security', () => {
  const app = useRlsApp();
  const count = async (where = 'true'): Promise<number> => {
    const sql = `select count(*)::integer as count from nest_auth_activities where ${where}`;
    const [row] = await app.dataSource.query<{ count: number }[]>(sql);
    return row?.count ?? -1;
  };
  const bypasses = async (reason: string): Promise<unknown[]> => {
    const { rows } = await withClient(app.database.url, (client) =>
      client.query(
        `select actor_id, tenant_id, details from nest_auth_activities
         where type = 'nest_auth.tenant.bypassed' and details ->> 'reason' = $1`,
        [reason],
      ),
    );
    return rows;
  };

  it('a tenant sees what happened in it, and nothing of another one', async () => {
    const user = await app.tenant.run(app.a.id, async () => {
      const made = await app.users.createUser({ email: freshEmail() }, app.a.id);
      await app.users.setUserAccessRoles(made.id, app.a.id, [app.a.role]);
      await app.access.setUserAccessStatus(made.id, app.a.id, AccessStatusEnum.SUSPENDED);
      await app.users.updateUser(made.id, { metadata: { seen: true } }).catch(() => undefined);
      await app.roles.updateRole(app.a.role, { description: unique('text') });
      await app.tenants.updateTenant(app.a.id, { description: unique('text') });
      return made.id;
    });
    await app.tenant.run(app.a.id, async () => {
      expect(await count(`user_id = '${user}'`)).toBeGreaterThanOrEqual(3);
      expect(await count(`subject_id in ('${app.a.role}', '${app.a.id}')`)).toBeGreaterThanOrEqual(4);
      expect(await count(`tenant_id is distinct from '${app.a.id}'`)).toBe(0);
    });
    await app.tenant.run(app.b.id, async () => {
      expect(await count(`user_id = '${user}' or subject_id in ('${app.a.role}', '${app.a.id}')`)).toBe(0);
      expect(await count()).toBeGreaterThan(0);
    });
    expect(await count()).toBe(0);
  });

  it('what the context says of another tenant does not stop a change of a person who belongs to none', async () => {
    const created = IdentityContext.run({ tenantId: app.b.id }, () =>
      app.tenant.run(app.a.id, () => app.users.createUser({ email: freshEmail() }, app.a.id)),
    );
    const { id } = await created;
    await app.tenant.run(app.a.id, async () => expect(await count(`user_id = '${id}'`)).toBe(1));
  });

  it('nobody names another tenant, changes or removes a row, or reads a partition past its table', async () => {
    const { a, b } = app;
    const insert = (tenantId: string) =>
      `insert into nest_auth_activities (id, occurred_at, xid, type, actor_type, subject_type, tenant_id)
       values (gen_random_uuid(), now(), 1, 'x', 'system', 'x', '${tenantId}')`;
    const [part] = await app.dataSource.query<{ name: string }[]>(
      `select tableoid::regclass::text as name from (select tableoid from pg_class limit 0) t
       union all select inhrelid::regclass::text from pg_inherits where inhparent = 'nest_auth_activities'::regclass
         and inhrelid::regclass::text like '%' || to_char(now() at time zone 'UTC', 'YYYY_MM')`,
    );
    await app.tenant.run(a.id, async () => {
      await expect(app.dataSource.query(insert(b.id))).rejects.toMatchObject({ driverError: { code: '42501' } });
      await app.dataSource.query(insert(a.id));
      // The test application was granted all on every table, as hosts do.
      expect(await app.dataSource.query(`select 1 from ${part?.name}`)).toEqual([]);
      const [, changed] = await app.dataSource.query<[unknown, number]>(`update nest_auth_activities set type = 'y'`);
      const [, removed] = await app.dataSource.query<[unknown, number]>('delete from nest_auth_activities');
      expect([changed, removed]).toEqual([0, 0]);
    });
    const { rows } = await withClient(app.database.url, (client) =>
      client.query(`select 1 from nest_auth_activities where type = 'y'`),
    );
    expect(rows).toEqual([]);
    const { rows: policies } = await withClient(app.database.url, (client) =>
      client.query(
        `select cmd from pg_policies where tablename = 'nest_auth_activities' and cmd not in ('SELECT', 'INSERT')
           and permissive = 'PERMISSIVE'`,
      ),
    );
    expect(policies).toEqual([]);
  });

  it('a bypass is on record before its work begins, with actor and tenant, and stays when the work is rolled back', async () => {
    const reason = unique('report');
    const failing = IdentityContext.run({ actor: { type: 'user', id: 'ann' } }, () =>
      app.tenant.run(app.a.id, () =>
        app.tenant.withoutTenant(reason, () =>
          app.users.runInTransaction(async () => {
            expect(await bypasses(reason)).toHaveLength(1);
            throw new Error('undo');
          }),
        ),
      ),
    );
    await expect(failing).rejects.toThrow('undo');
    expect(await bypasses(reason)).toEqual([{ actor_id: 'ann', tenant_id: app.a.id, details: { reason } }]);
  });

  it('a bypass inside a platform transaction belongs to it, while the one that opened it stays', async () => {
    const [outer, inner] = [unique('outer'), unique('inner')];
    const run = (fails: boolean): Promise<void> =>
      app.tenant.withoutTenant(outer, () =>
        app.users.runInTransaction(async () => {
          await app.tenant.withoutTenant(inner, () => app.users.getUsers());
          if (fails) throw new Error('undo');
        }),
      );
    await expect(run(true)).rejects.toThrow('undo');
    expect([await bypasses(outer), await bypasses(inner)].map(({ length }) => length)).toEqual([1, 0]);
    await run(false);
    expect([await bypasses(outer), await bypasses(inner)].map(({ length }) => length)).toEqual([2, 1]);
  });

  it('a bypass that cannot be recorded does not happen', async () => {
    await withClient(app.database.url, (client) =>
      client.query(
        `alter table nest_auth_activities add constraint never check (type <> 'nest_auth.tenant.bypassed') not valid`,
      ),
    );
    let ran = false;
    const work = (): void => void (ran = true);
    await expect(app.tenant.withoutTenant('unrecorded', work)).rejects.toMatchObject({ name: 'NestAuthError' });
    await withClient(app.database.url, (client) =>
      client.query('alter table nest_auth_activities drop constraint never'),
    );
    expect(ran).toBe(false);
  });
});

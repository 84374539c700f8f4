import { EventEmitter2 } from '@nestjs/event-emitter';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  NestAuthEvents,
  runOutsideTransaction,
  type TenantBypass,
  type TenantBypassedEvent,
  TenantContext,
} from '../../../src/index.js';
import { withClient } from '../../support/database.js';
import { freshEmail, startNestApp } from '../../support/nest-app.js';
import { useRlsApp } from '../../support/rls-app.js';
import { connectAs, createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';

const bypasses: TenantBypass[] = [];
const unrecorded = new Error('the record could not be written');
let refuseBypass = false;
const app = useRlsApp({
  auth: {
    rls: {
      onBypass: async (bypass) => {
        if (refuseBypass) throw unrecorded;
        bypasses.push(bypass);
      },
    },
  },
});

const bypassed = (): TenantBypassedEvent[] =>
  app.events.filter((event): event is TenantBypassedEvent => event.name === NestAuthEvents.TENANT_BYPASSED);
const code = (value: string): unknown => expect.objectContaining({ code: value });

describe('the tenant context', () => {
  it('refuses our calls that have no tenant, inside and outside of a transaction', async () => {
    await expect(app.users.getUsers()).rejects.toEqual(code('TENANT_REQUIRED'));
    await expect(app.users.runInTransaction(() => app.users.getUsers())).rejects.toEqual(code('TENANT_REQUIRED'));
  });

  it('refuses another tenant, and the platform, inside a running transaction', async () => {
    await app.tenant.run(app.a.id, () =>
      app.users.runInTransaction(async () => {
        await expect(app.tenant.run(app.b.id, () => app.users.getUsers())).rejects.toEqual(
          code('TENANT_CONTEXT_MISMATCH'),
        );
        await expect(app.tenant.withoutTenant('because', () => app.users.getUsers())).rejects.toEqual(
          code('TENANT_CONTEXT_MISMATCH'),
        );
        // The transaction is still the one of its tenant.
        expect(await app.users.getUserById(app.a.users[0] as string)).not.toBeNull();
      }),
    );
  });

  it('refuses a tenant in a transaction that was opened without one', async () => {
    const entered = app.dataSource.transaction(() => app.tenant.run(app.a.id, () => app.users.getUsers()));
    await expect(entered).rejects.toEqual(code('TENANT_CONTEXT_MISMATCH'));
  });

  it('refuses the manager of another tenant, whoever hands it over', async () => {
    await app.tenant.run(app.a.id, () =>
      app.dataSource.transaction(async (manager) => {
        const stolen = runOutsideTransaction(() => app.tenant.run(app.b.id, () => manager.query('select 1')));
        await expect(stolen).rejects.toEqual(code('TENANT_CONTEXT_MISMATCH'));
      }),
    );
  });

  it('allows the same tenant again, and another one on a connection of its own', async () => {
    await app.tenant.run(app.a.id, () =>
      app.users.runInTransaction(async () => {
        const same = await app.tenant.run(app.a.id.toUpperCase(), () => app.users.getUsers());
        const other = await runOutsideTransaction(() => app.tenant.run(app.b.id, () => app.users.getUsers()));
        expect(same.map(({ id }) => id).toSorted()).toEqual([...app.a.users].toSorted());
        expect(other.map(({ id }) => id).toSorted()).toEqual([...app.b.users].toSorted());
      }),
    );
  });

  it('keeps its tenant through savepoints, retries and isolation levels', async () => {
    const read = (): Promise<{ tenant: string }[]> =>
      app.dataSource.query(`select current_setting('nest_auth.tenant_id', true) as tenant`);
    await app.tenant.run(app.a.id, () =>
      app.users.runInTransaction(
        async (manager) => {
          await manager.transaction(async (inner) => {
            expect(await inner.query(`select current_setting('nest_auth.tenant_id') as t`)).toEqual([{ t: app.a.id }]);
          });
          expect(await manager.query(`select current_setting('nest_auth.tenant_id') as t`)).toEqual([{ t: app.a.id }]);
        },
        { isolation: 'SERIALIZABLE', timeoutMs: 5_000 },
      ),
    );
    expect((await read())[0]?.tenant || null).toBeNull();
    expect(await app.tenant.run(app.b.id, read)).toEqual([{ tenant: app.b.id }]);
  });

  it('serves statements that are sent at once on one runner', async () => {
    await app.tenant.run(app.a.id, async () => {
      const runner = app.dataSource.createQueryRunner();
      try {
        const answers = await Promise.all(
          Array.from({ length: 5 }, () =>
            runner.query('select count(*)::integer as count from nest_auth_user_accesses'),
          ),
        );
        expect(answers).toEqual(answers.map(() => [{ count: 2 }]));
      } finally {
        await runner.release();
      }
    });
  });

  it('gives the connection back without a tenant after a failure', async () => {
    await app.tenant.run(app.a.id, async () => {
      await expect(app.dataSource.query('select 1 / 0')).rejects.toMatchObject({ driverError: { code: '22012' } });
      await expect(app.dataSource.transaction((m) => m.query('select 1 / 0'))).rejects.toMatchObject({
        driverError: { code: '22012' },
      });
    });
    const rows = await Promise.all(
      Array.from({ length: 5 }, () =>
        app.dataSource.query<{ tenant: string | null; role: string }[]>(
          `select nullif(current_setting('nest_auth.tenant_id', true), '') as tenant, current_user as role, pg_sleep(0.02)`,
        ),
      ),
    );
    expect(rows.map(([row]) => [row?.tenant, row?.role])).toEqual(rows.map(() => [null, app.database.roles.app]));
  });

  it('refuses ids that are none, and tenants that cannot be', async () => {
    await expect(app.tenant.run("x'; reset role; --", () => 1)).rejects.toEqual(code('VALIDATION_FAILED'));
    await expect(app.tenant.run('00000000-0000-0000-0000-000000000000', () => 1)).rejects.toEqual(
      code('TENANT_NOT_FOUND'),
    );
  });
});

describe('withoutTenant', () => {
  it('sees every tenant, and tells that it did, also when its work fails', async () => {
    const before = bypassed().length;
    const failing = app.tenant.run(app.a.id, () =>
      app.tenant.withoutTenant('monthly report', async () => {
        expect(app.tenant.tenantId).toBeNull();
        expect((await app.users.getUsers()).length).toBeGreaterThan(3);
        throw new Error('later');
      }),
    );
    await expect(failing).rejects.toThrow('later');
    expect(bypassed().slice(before)).toEqual([
      expect.objectContaining({ reason: 'monthly report', tenantId: app.a.id }),
    ]);
    expect(bypasses.at(-1)).toEqual({ reason: 'monthly report', tenantId: app.a.id });
  });

  it('waits for the COMMIT when it joins a platform transaction', async () => {
    const before = bypassed().length;
    await app.tenant.withoutTenant('outer', () =>
      app.users.runInTransaction(async () => {
        await app.tenant.withoutTenant('inner', () => app.users.createPlatformUser({ email: freshEmail() }));
        expect(
          bypassed()
            .slice(before)
            .map(({ reason }) => reason),
        ).toEqual(['outer']);
      }),
    );
    expect(
      bypassed()
        .slice(before)
        .map(({ reason }) => reason),
    ).toEqual(['outer', 'inner']);
  });

  it('does nothing without a reason, or when it cannot be recorded', async () => {
    let ran = false;
    const work = (): void => void (ran = true);
    await expect(app.tenant.withoutTenant('  ', work)).rejects.toEqual(code('VALIDATION_FAILED'));
    refuseBypass = true;
    await expect(app.tenant.withoutTenant('unrecorded', work)).rejects.toBe(unrecorded);
    refuseBypass = false;
    expect(ran).toBe(false);
  });

  it('does the work of the platform: tenants, system roles, deletions', async () => {
    await app.tenant.withoutTenant('set up a tenant', async () => {
      const tenant = await app.tenants.createTenant({ name: 'New', slug: 'new' });
      const user = await app.users.createUser({ email: freshEmail(), platformRoleIds: [app.admin] }, tenant.id);
      expect(await app.access.getPlatformPermissions(user.id)).toEqual([]);
      await app.users.deleteUser(user.id);
      await app.tenants.deleteTenant(tenant.id);
    });
    expect(app.context.get(EventEmitter2)).toBeDefined();
  });
});

describe('the check at the start', () => {
  let database: RlsDatabase;
  beforeAll(async () => {
    database = await createRlsDatabase();
  });
  afterAll(() => database.drop());

  const start = async (url = database.appUrl): Promise<string> => {
    try {
      const started = await startNestApp(database.url, {
        auth: { rls: true },
        pool: 2,
        dataSource: connectAs(url) as never,
      });
      await started.close();
      return 'started';
    } catch (error) {
      return (error as Error).message;
    }
  };
  const alter = (sql: string): Promise<unknown> => withClient(database.url, (client) => client.query(sql));

  it('lets the application role start', async () => {
    expect(await start()).toBe('started');
  });

  it('refuses a superuser', async () => {
    expect(await start(database.url)).toMatch(/is a superuser/);
  });

  /** Up to PostgreSQL 15 the attribute of the role counts, later what it was when the grant was made. */
  const grantAnew = (role: string, inherit: 'inherit' | 'noinherit'): string =>
    `revoke ${database.roles.platform} from ${role}; alter role ${role} ${inherit};
      grant ${database.roles.platform} to ${role}`;

  const faults: readonly (readonly [what: string, said: RegExp, breaks: () => string, mends: () => string])[] = [
    [
      'a role with BYPASSRLS',
      /has BYPASSRLS/,
      () => `alter role ${database.roles.app} bypassrls`,
      () => `alter role ${database.roles.app} nobypassrls`,
    ],
    [
      'a role that inherits the platform',
      /inherits/,
      () => grantAnew(database.roles.app, 'inherit'),
      () => grantAnew(database.roles.app, 'noinherit'),
    ],
    [
      'a role that cannot become the platform',
      /no member/,
      () => `revoke ${database.roles.platform} from ${database.roles.app}`,
      () => `grant ${database.roles.platform} to ${database.roles.app}`,
    ],
    [
      'a platform with BYPASSRLS',
      /has BYPASSRLS; its policies/,
      () => `alter role ${database.roles.platform} bypassrls`,
      () => `alter role ${database.roles.platform} nobypassrls`,
    ],
    [
      'a table without row-level security',
      /nest_auth_users has no row-level security/,
      () => 'alter table nest_auth_users disable row level security',
      () => 'alter table nest_auth_users enable row level security',
    ],
    [
      'a table that is not forced',
      /nest_auth_roles is not under FORCE/,
      () => 'alter table nest_auth_roles no force row level security',
      () => 'alter table nest_auth_roles force row level security',
    ],
    [
      'a table without its wall',
      /nest_auth_tenants has lost/,
      () =>
        'alter policy nest_auth_tenants_tenant_wall on nest_auth_tenants rename to kept; drop policy kept on nest_auth_tenants',
      () =>
        `create policy nest_auth_tenants_tenant_wall on nest_auth_tenants as restrictive to ${database.roles.app} using (true)`,
    ],
  ];
  it.each(faults)('refuses %s', async (_what, said, breaks, mends) => {
    await alter(breaks());
    expect(await start()).toMatch(said);
    await alter(mends());
    expect(await start()).toBe('started');
  });

  it('refuses the owner while a table is not forced', async () => {
    await alter(`${grantAnew(database.roles.owner, 'noinherit')};
      alter table nest_auth_roles no force row level security`);
    expect(await start(database.ownerUrl)).toMatch(/and the application owns it/);
    await alter('alter table nest_auth_roles force row level security');
  });
});

describe('without the option', () => {
  it('the context says that it would protect nothing', async () => {
    const plain = await startNestApp(app.database.url, { pool: 2 });
    try {
      await expect(plain.context.get(TenantContext).run(app.a.id, () => 1)).rejects.toEqual(code('INVALID_OPTIONS'));
      await expect(plain.context.get(TenantContext).withoutTenant('x', () => 1)).rejects.toEqual(
        code('INVALID_OPTIONS'),
      );
    } finally {
      await plain.close();
    }
  });
});

import { afterAll, beforeAll } from '@jest/globals';

import { type NestAuthModuleOptions, RoleGuardEnum, TenantContext } from '../../src/index.js';
import { withClient } from './database.js';
import { freshEmail, type NestApp, type NestAppOptions, startNestApp } from './nest-app.js';
import { connectAs, createRlsDatabase, type RlsDatabase } from './rls-database.js';

/** A tenant with two members, one of them with a role of its own. */
export interface RlsTenant {
  readonly id: string;
  readonly role: string;
  readonly users: readonly string[];
}

export interface RlsApp extends NestApp {
  readonly tenant: TenantContext;
  readonly database: RlsDatabase;
  readonly a: RlsTenant;
  readonly b: RlsTenant;
  /** A system role of the portal, and one of the platform. */
  readonly member: string;
  readonly admin: string;
}

export interface RlsAppOptions {
  readonly auth?: NestAuthModuleOptions;
  readonly pool?: number;
  readonly dataSource?: NestAppOptions['dataSource'];
  readonly imports?: NestAppOptions['imports'];
  readonly providers?: NestAppOptions['providers'];
  /** Tables of the host, made by the owner. */
  readonly tables?: string;
}

/** An application that is bound by row-level security, with two tenants. */
export async function startRlsApp(
  database: RlsDatabase,
  options: RlsAppOptions = {},
): Promise<Omit<RlsApp, 'a' | 'b' | 'member' | 'admin'>> {
  const { owner, app: appRole, platform } = database.roles;
  if (options.tables !== undefined)
    await withClient(database.ownerUrl, (client) => client.query(options.tables as string));
  const app = await startNestApp(database.url, {
    auth: { rls: true, ...options.auth },
    pool: options.pool ?? 5,
    imports: options.imports,
    providers: options.providers,
    dataSource: { ...connectAs(database.appUrl), ...options.dataSource } as NestAppOptions['dataSource'] & object,
  });
  await withClient(database.url, (client) =>
    client.query(`alter table app_users owner to ${owner};
      grant select, insert, update, delete on all tables in schema public to ${appRole}, ${platform}`),
  );
  return { ...app, tenant: app.context.get(TenantContext), database };
}

export async function seedTenants(
  app: Omit<RlsApp, 'a' | 'b' | 'member' | 'admin'>,
): Promise<Pick<RlsApp, 'a' | 'b' | 'member' | 'admin'>> {
  return app.tenant.withoutTenant('seed the test', async () => {
    await app.permissions.createPermissions([
      { name: 'documents:read', guard: RoleGuardEnum.PORTAL },
      { name: 'tenants:read', guard: RoleGuardEnum.ADMIN },
    ]);
    const member = await app.roles.createRole({
      name: 'member',
      guard: RoleGuardEnum.PORTAL,
      isSystem: true,
      permissions: ['documents:read'],
    });
    const admin = await app.roles.createRole({ name: 'root', guard: RoleGuardEnum.ADMIN, isSystem: true });
    await app.users.createPlatformUser({ email: freshEmail(), platformRoleIds: [admin.id] });
    return { a: await seedTenant(app, 'a'), b: await seedTenant(app, 'b'), member: member.id, admin: admin.id };
  });
}

/** Must run for the whole platform. */
export async function seedTenant(app: NestApp, slug: string): Promise<RlsTenant> {
  const { id } = await app.tenants.createTenant({ name: slug, slug });
  const role = await app.roles.createRole({
    name: `own-${slug}`,
    guard: RoleGuardEnum.PORTAL,
    tenantId: id,
    permissions: ['documents:read'],
  });
  const one = await app.users.createUser({ email: freshEmail(), roleIds: [role.id] }, id);
  const two = await app.users.createUser({ email: freshEmail() }, id);
  return { id, role: role.id, users: [one.id, two.id] };
}

/** A row for each table in which the package keeps account of its own work: an empty one proves nothing. */
const ACCOUNTS = `
  insert into nest_auth_activity_seals (position, month, from_xid, from_id, to_xid, to_id, activities, digest, hash,
    is_keyed, sealed_at) values (1, '2020-01', 1, gen_random_uuid(), 1, gen_random_uuid(), 1, 'd', 'h', false, now());
  insert into nest_auth_subscriptions (name, position_xid, position_id) values ('crm', 1, gen_random_uuid());
  insert into nest_auth_dead_letters (subscription, activity_id, xid, type, attempts, error)
    values ('crm', gen_random_uuid(), 1, 'nest_auth.user.created', 1, 'down');
  insert into nest_auth_job_runs (job, slot, status, started_by, started_at, finished_at)
    values ('nightly', now(), 'succeeded', 'test', now(), now())`;

/** One such application for the tests of this file, on a database of its own. */
export function useRlsApp(options: RlsAppOptions = {}): RlsApp {
  const fixture = {} as RlsApp;
  beforeAll(async () => {
    const app = await startRlsApp(await createRlsDatabase(), options);
    await withClient(app.database.url, (client) => client.query(ACCOUNTS));
    Object.assign(fixture, app, await seedTenants(app));
  });
  afterAll(async () => {
    await fixture.close();
    await fixture.database.drop();
  });
  return fixture;
}

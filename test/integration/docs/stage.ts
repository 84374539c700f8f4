import { EventEmitter2 } from '@nestjs/event-emitter';
import {
  ActivityService,
  IdentityFeedService,
  LifecycleDependents,
  TenantContext,
  TenantModeEnum,
  UserLifecycleService,
} from '../../../src/index.js';
import { createTestDatabase, withClient } from '../../support/database.js';
import { AppUser, type NestApp, startNestApp } from '../../support/nest-app.js';
import { startRlsApp } from '../../support/rls-app.js';
import { createRlsDatabase } from '../../support/rls-database.js';

/** Types of the names that a snippet may use without declaring them. Text, so that no other file sees them. */
export const NAMES = `
import type { EventEmitter2 } from '@nestjs/event-emitter';
import type {
  AccessService, ActivityService, IdentityFeedService, LifecycleDependents, NestAuthUser, PasswordService, PermissionService, RoleService, TenantContext, TenantService, UserLifecycleService, UserService,
} from 'nest-auth-identity';
import type { DataSource, EntityManager, Repository } from 'typeorm';
import { AppUser as AppUserEntity } from '../../../support/nest-app.js';

declare global {
  var users: UserService;
  var tenants: TenantService;
  var roles: RoleService;
  var permissions: PermissionService;
  var access: AccessService;
  var lifecycle: UserLifecycleService;
  var dependents: LifecycleDependents;
  var activities: ActivityService;
  var feed: IdentityFeedService;
  var passwords: PasswordService;
  var tenantContext: TenantContext;
  var dataSource: DataSource;
  var eventEmitter: EventEmitter2;
  var AppUser: typeof AppUserEntity;
  type AppUser = AppUserEntity;
  /** Injected by the host with @InjectRepository(AppUser): knows nothing of a transaction. */
  var appUsers: Repository<AppUserEntity>;
  var tenantId: string;
  var otherTenantId: string;
  var memberRoleId: string;
  var adminRoleId: string;
  /** A user that exists, with an AppUser. */
  var userId: string;
}
`;

/** A running application with what the names stand for. */
export interface Stage {
  /** Makes the database as a snippet expects to find it, and puts the names into the global scope. */
  set(): Promise<void>;
  sql(text: string): Promise<void>;
  close(): Promise<void>;
}

/** An application, and how work for no tenant is done in it. */
interface Ground {
  readonly url: string;
  readonly app: NestApp;
  readonly asPlatform: <T>(fn: () => Promise<T>) => Promise<T>;
  drop(): Promise<void>;
}

async function openGround(mode: TenantModeEnum): Promise<Ground> {
  const { url, drop } = await createTestDatabase();
  return { url, app: await startNestApp(url, { auth: { tenant: { mode } } }), asPlatform: (fn) => fn(), drop };
}

/** With row-level security; in SHARED tenancy only, which is what the pages show. */
async function openWalledGround(): Promise<Ground> {
  const database = await createRlsDatabase();
  const app = await startRlsApp(database);
  const asPlatform = <T>(fn: () => Promise<T>): Promise<T> => app.tenant.withoutTenant('set the stage', fn);
  return { url: database.url, app, asPlatform, drop: () => database.drop() };
}

export async function openStage(mode: TenantModeEnum, walled = false): Promise<Stage> {
  const database = walled ? await openWalledGround() : await openGround(mode);
  const { app } = database;
  const known = await database.asPlatform(() => populate(app, mode));
  return {
    set: async () => {
      app.context.get(EventEmitter2).removeAllListeners();
      await withClient(database.url, (client) =>
        client.query('truncate nest_auth_users, nest_auth_identities cascade'),
      );
      const tenant = mode === TenantModeEnum.ISOLATED ? known.tenantId : undefined;
      const { id } = await database.asPlatform(() => app.users.createUser({ email: 'existing@example.com' }, tenant));
      await app.manager.insert(AppUser, { authUserId: id, displayName: 'Existing' });
      Object.assign(globalThis, {
        ...known,
        ...servicesOf(app),
        lifecycle: app.context.get(UserLifecycleService),
        dependents: app.context.get(LifecycleDependents),
        activities: app.context.get(ActivityService),
        feed: app.context.get(IdentityFeedService),
        tenantContext: app.context.get(TenantContext),
        eventEmitter: app.context.get(EventEmitter2),
        AppUser,
        appUsers: app.dataSource.getRepository(AppUser),
        userId: id,
      });
      process.env['DATABASE_URL'] = database.url;
    },
    sql: async (text) => {
      await withClient(database.url, (client) => client.query(text));
    },
    close: async () => {
      await app.close();
      await database.drop();
    },
  };
}

function servicesOf({ users, tenants, roles, permissions, access, passwords, dataSource }: NestApp): object {
  return { users, tenants, roles, permissions, access, passwords, dataSource };
}

interface Known {
  readonly memberRoleId: string;
  readonly adminRoleId: string;
  readonly tenantId?: string;
  readonly otherTenantId?: string;
}

async function populate({ roles, permissions, tenants }: NestApp, mode: TenantModeEnum): Promise<Known> {
  await permissions.createPermission({ name: 'invoices:read', guard: 'portal' });
  const member = await roles.createRole({
    name: 'member',
    guard: 'portal',
    isSystem: true,
    permissions: ['invoices:read'],
  });
  const admin = await roles.createRole({ name: 'operator', guard: 'admin', isSystem: true });
  const ids = { memberRoleId: member.id, adminRoleId: admin.id };
  if (mode === TenantModeEnum.DISABLED) return ids;
  const acme = await tenants.createTenant({ name: 'Acme', slug: 'acme' });
  const other = await tenants.createTenant({ name: 'Other', slug: 'other' });
  return { ...ids, tenantId: acme.id, otherTenantId: other.id };
}

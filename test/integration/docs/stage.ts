import { EventEmitter2 } from '@nestjs/event-emitter';
import { TenantModeEnum } from '../../../src/index.js';
import { createTestDatabase, withClient } from '../../support/database.js';
import { AppUser, type NestApp, startNestApp } from '../../support/nest-app.js';

/** Types of the names that a snippet may use without declaring them. Text, so that no other file sees them. */
export const NAMES = `
import type { EventEmitter2 } from '@nestjs/event-emitter';
import type {
  AccessService, NestAuthUser, PasswordService, PermissionService, RoleService, TenantService, UserService,
} from 'nest-auth-identity';
import type { DataSource, EntityManager, Repository } from 'typeorm';
import { AppUser as AppUserEntity } from '../../../support/nest-app.js';

declare global {
  var users: UserService;
  var tenants: TenantService;
  var roles: RoleService;
  var permissions: PermissionService;
  var access: AccessService;
  var passwords: PasswordService;
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

export async function openStage(mode: TenantModeEnum): Promise<Stage> {
  const database = await createTestDatabase();
  const app = await startNestApp(database.url, { auth: { tenant: { mode } } });
  const known = await populate(app, mode);
  return {
    set: async () => {
      app.context.get(EventEmitter2).removeAllListeners();
      await withClient(database.url, (client) => client.query('truncate nest_auth_users cascade'));
      const tenant = mode === TenantModeEnum.ISOLATED ? known.tenantId : undefined;
      const { id } = await app.users.createUser({ email: 'existing@example.com' }, tenant);
      await app.manager.insert(AppUser, { authUserId: id, displayName: 'Existing' });
      Object.assign(globalThis, {
        ...known,
        ...servicesOf(app),
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

import {
  ApiKeyService,
  IdentityContext,
  type IssuedApiKey,
  type NestAuthModuleOptions,
  type NestAuthUser,
  RoleGuardEnum,
  ServiceAccountService,
  UserLifecycleService,
} from '../../../src/index.js';
import { freshEmail, type NestApp } from '../../support/nest-app.js';
import { AUTH } from '../session/fixture.js';

export const KEYS: NestAuthModuleOptions = { ...AUTH, apiKeys: {} };

export const apiKeys = ({ context }: NestApp): ApiKeyService => context.get(ApiKeyService);
export const accounts = ({ context }: NestApp): ServiceAccountService => context.get(ServiceAccountService);
export const lives = ({ context }: NestApp): UserLifecycleService => context.get(UserLifecycleService);

/** What the roles of these tests grant. */
export const READ = 'invoices.read';
export const PAY = 'invoices.pay';
const PERMISSIONS = [READ, PAY, 'invoices.*', 'reports.read', '*'];

export interface Ground {
  readonly tenantId: string;
  readonly otherTenantId: string;
  readonly reader: string;
  readonly everything: string;
  readonly operator: string;
}

let serial = 0;

/** Two tenants, and roles to read, to do everything, and to read tenants on the platform. */
export async function layGround(app: NestApp): Promise<Ground> {
  serial += 1;
  const name = (what: string): string => `${what}-${process.pid}-${serial}`;
  const { PORTAL, ADMIN } = RoleGuardEnum;
  await app.permissions.createPermissions([
    ...PERMISSIONS.map((permission) => ({ name: permission, guard: PORTAL })),
    { name: 'tenants.read', guard: ADMIN },
  ]);
  const role = async (what: string, guard: RoleGuardEnum, permissions: string[]): Promise<string> =>
    (await app.roles.createRole({ name: name(what), guard, isSystem: true, permissions })).id;
  return {
    tenantId: (await app.tenants.createTenant({ name: 'One', slug: name('one') })).id,
    otherTenantId: (await app.tenants.createTenant({ name: 'Two', slug: name('two') })).id,
    reader: await role('reader', PORTAL, [READ]),
    everything: await role('everything', PORTAL, ['*']),
    operator: await role('operator', ADMIN, ['tenants.read']),
  };
}

/** A member of the tenant who has this role. */
export function member(app: NestApp, tenantId: string, roleId: string): Promise<NestAuthUser> {
  return app.users.createUser({ email: freshEmail(), roleIds: [roleId] }, tenantId);
}

export async function account(app: NestApp, tenantId: string): Promise<string> {
  serial += 1;
  return (await accounts(app).create({ tenantId, name: `robot-${serial}` })).id;
}

/** A key that a user has made without anybody's context, such as a script does. */
export function keyOf(app: NestApp, userId: string, tenantId: string, scopes = [READ]): Promise<IssuedApiKey> {
  return apiKeys(app).createApiKey({ owner: { userId, tenantId }, name: 'a key', scopes });
}

export function actingAs<T>(userId: string, fn: () => Promise<T>): Promise<T> {
  return IdentityContext.run({ actor: { type: 'user', id: userId } }, fn);
}

/** The code of a refusal; null when there was none. */
export function codeOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => null,
    (error: { code?: string }) => error.code ?? error,
  );
}

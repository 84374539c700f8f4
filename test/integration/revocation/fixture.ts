import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll } from '@jest/globals';

import { AuthService, generateSessionKeys, type NestAuthModuleOptions, RoleGuardEnum } from '../../../src/index.js';
import type { SignInResult } from '../../../src/index.js';
import { createTestDatabase, withClient } from '../../support/database.js';
import { freshEmail, type NestApp, type Seed, seed, startNestApp } from '../../support/nest-app.js';

export const PASSWORD = 'correct horse battery staple';
const CHEAP = { memoryKiB: 7_168, iterations: 5, parallelism: 1 };

export const keys = generateSessionKeys();

/**
 * One application for the tests of this file, on a database with the triggers: also where the others are spread over a
 * cluster, which has none.
 */
export function useToldApp(
  revocation: NestAuthModuleOptions['revocation'],
): NestApp & { readonly url: string; readonly seed: Seed } {
  const fixture = {} as NestApp & { url: string; seed: Seed; drop?: () => Promise<void> };
  beforeAll(async () => {
    const { url, drop } = await createTestDatabase({ plain: true });
    const app = await startNestApp(url, { auth: options(revocation) });
    Object.assign(fixture, app, { url, drop, seed: await seed(app) });
  });
  afterAll(async () => {
    await fixture.close();
    await fixture.drop?.();
  });
  return fixture;
}

/** Longer than any test: what was read goes only when somebody says so. */
export const NEVER_OLD = { maxStaleMs: 60_000, cacheSeconds: 3_600 };

export function options(revocation: NestAuthModuleOptions['revocation']): NestAuthModuleOptions {
  return { session: { keys }, password: CHEAP, ...(revocation === undefined ? {} : { revocation }) };
}

export const auth = ({ context }: NestApp): AuthService => context.get(AuthService);

/** Somebody who may read documents in a tenant by a role of the system, and by nothing else. */
export interface Holder {
  readonly userId: string;
  readonly tenantId: string;
  readonly roleId: string;
  readonly permissionId: string;
  readonly permission: string;
}

export async function holder(app: NestApp): Promise<Holder & { email: string }> {
  const unique = randomUUID().slice(0, 8);
  const permission = `documents:read-${unique}`;
  const guard = RoleGuardEnum.PORTAL;
  const { id: tenantId } = await app.tenants.createTenant({ name: 'Acme', slug: `acme-${unique}` });
  const { id: permissionId } = await app.permissions.createPermission({ name: permission, guard });
  const role = await app.roles.createRole({ name: `r-${unique}`, guard, isSystem: true, permissions: [permission] });
  const email = freshEmail();
  const input = { email, password: await app.passwords.hash(PASSWORD), roleIds: [role.id] };
  const { id: userId } = await app.users.createUser(input, tenantId);
  return { userId, tenantId, roleId: role.id, permissionId, permission, email };
}

/** A holder who is signed in. */
export async function signedIn(app: NestApp): Promise<Holder & SignInResult & { readonly email: string }> {
  const found = await holder(app);
  const { email, tenantId } = found;
  return { ...found, ...(await auth(app).signIn({ email, password: PASSWORD, tenantId })), tenantId };
}

export function may(app: NestApp, { userId, tenantId, permission }: Holder): Promise<boolean> {
  return app.access.can(userId, tenantId, permission);
}

/** Whether the access token still gets somebody in. */
export function isLive(app: NestApp, { accessToken }: SignInResult): Promise<boolean> {
  return auth(app)
    .authenticate(accessToken)
    .then(
      () => true,
      (error: { code?: string }) => {
        if (error.code !== 'ACCESS_TOKEN_INVALID') throw error;
        return false;
      },
    );
}

export function query<Row extends object>(url: string, sql: string, values: unknown[] = []): Promise<Row[]> {
  return withClient(url, async (client) => (await client.query<Row>(sql, values)).rows);
}

/** Changes something that nobody is told of: no trigger runs. */
export function behindTheBack(url: string, sql: string, values: unknown[] = []): Promise<unknown> {
  return withClient(url, async (client) => {
    await client.query('set session_replication_role = replica');
    await client.query(sql, values);
  });
}

import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ModuleMetadata } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';

import {
  AuthService,
  NestAuthEntities,
  NestAuthExceptionFilter,
  NestAuthModule,
  type NestAuthModuleOptions,
  PasswordService,
  PermissionService,
  RoleGuardEnum,
  RoleService,
  type SignInResult,
  TenantService,
  UserService,
} from '../../../src/index.js';
import { PREPARED } from '../../support/connection-mode.js';
import { createTestDatabase } from '../../support/database.js';
import { freshEmail } from '../../support/nest-app.js';
import { AUTH, PASSWORD } from '../session/fixture.js';

export interface GuardedOptions {
  readonly auth?: NestAuthModuleOptions;
  readonly guardAllRoutes?: boolean;
  readonly controllers?: ModuleMetadata['controllers'];
  readonly providers?: ModuleMetadata['providers'];
  readonly imports?: ModuleMetadata['imports'];
  /** @default true */
  readonly filter?: boolean;
}

/** The part of an application that is not about its controllers. */
export function appOn(url: string, options: GuardedOptions) {
  const { auth = {}, guardAllRoutes = false, controllers = [], providers = [], imports = [], filter = true } = options;
  return Test.createTestingModule({
    imports: [
      EventEmitterModule.forRoot(),
      TypeOrmModule.forRoot({ type: 'postgres', url, entities: [...NestAuthEntities], retryAttempts: 0 }),
      NestAuthModule.forRoot({ statements: { prepared: PREPARED }, ...AUTH, ...auth, guardAllRoutes }),
      ...imports,
    ],
    controllers,
    providers: [...providers, ...(filter ? [{ provide: APP_FILTER, useClass: NestAuthExceptionFilter }] : [])],
  });
}

export interface Guarded {
  readonly app: NestExpressApplication;
  readonly url: string;
  readonly names: Names;
  close(): Promise<void>;
}

/** What the decorators of these tests name; made before the application starts, as its check demands. */
export interface Names {
  readonly tenantId: string;
  readonly otherTenantId: string;
  readonly clerk: string;
  readonly manager: string;
  readonly wildcard: string;
  readonly operator: string;
}

/** A real application that listens, on a database of its own with tenants, roles and permissions. */
export async function startGuarded(options: GuardedOptions): Promise<Guarded> {
  const database = await createTestDatabase();
  const names = await makeNames(database.url);
  const module = await appOn(database.url, options).compile();
  const app = module.createNestApplication<NestExpressApplication>({ logger: false });
  await app.listen(0, '127.0.0.1');
  const close = async (): Promise<void> => {
    await app.close();
    await database.drop();
  };
  return { app, url: database.url, names, close };
}

/** With an application of their own, which has nothing that is guarded. */
export async function makeNames(url: string): Promise<Names> {
  const module = await appOn(url, {}).compile();
  await module.init();
  const [roles, permissions, tenants] = [
    module.get(RoleService),
    module.get(PermissionService),
    module.get(TenantService),
  ];
  const { PORTAL, ADMIN } = RoleGuardEnum;
  const portal = ['invoices.read', 'invoices.pay', 'invoices.*', 'reports.read', '*'];
  await permissions.createPermissions([
    ...portal.map((name) => ({ name, guard: PORTAL })),
    ...['tenants.read', 'tenants.write'].map((name) => ({ name, guard: ADMIN })),
  ]);
  const make = async (name: string, guard: RoleGuardEnum, granted: string[]): Promise<string> =>
    (await roles.createRole({ name, guard, isSystem: true, permissions: granted })).id;
  const made = {
    tenantId: (await tenants.createTenant({ name: 'Acme', slug: 'acme' })).id,
    otherTenantId: (await tenants.createTenant({ name: 'Other', slug: 'other' })).id,
    clerk: await make('clerk', PORTAL, ['invoices.read']),
    manager: await make('manager', PORTAL, ['invoices.read', 'invoices.pay', 'reports.read']),
    wildcard: await make('accountant', PORTAL, ['invoices.*']),
    operator: await make('operator', ADMIN, ['tenants.read']),
  };
  // A tenant's own: no name of a decorator.
  await roles.createRole({ name: 'dispatcher', guard: PORTAL, tenantId: made.tenantId });
  await module.close();
  return made;
}

export interface Person extends SignInResult {
  readonly email: string;
}

/** Somebody with these roles in a tenant, signed in there. */
export async function signInAs({ app, names }: Guarded, roleIds: string[], tenantId = names.tenantId): Promise<Person> {
  const email = freshEmail();
  const password = await app.get(PasswordService).hash(PASSWORD);
  await app.get(UserService).createUser({ email, password, roleIds }, tenantId);
  return { ...(await app.get(AuthService).signIn({ email, password: PASSWORD, tenantId })), email };
}

/** Somebody with these roles on the platform, signed in there. */
export async function signInOnPlatform({ app }: Guarded, platformRoleIds: string[]): Promise<Person> {
  const email = freshEmail();
  const password = await app.get(PasswordService).hash(PASSWORD);
  await app.get(UserService).createPlatformUser({ email, password, platformRoleIds });
  return { ...(await app.get(AuthService).signIn({ email, password: PASSWORD })), email };
}

export interface Answer {
  readonly status: number;
  readonly code: unknown;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface Sent {
  readonly method?: string;
  readonly token?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: unknown;
}

/** With `node:http`, which sends path and headers as they are. */
export function send({ app }: Pick<Guarded, 'app'>, path: string, sent: Sent = {}): Promise<Answer> {
  const { port } = app.getHttpServer().address() as AddressInfo;
  const { method = 'GET', token, headers = {}, body } = sent;
  const text = body === undefined ? undefined : JSON.stringify(body);
  const all = {
    ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(text.length) }),
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...headers,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers: all }, (response) => {
      let received = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (received += chunk));
      response.on('end', () => {
        const read = readBody(received);
        const { code } = (read ?? {}) as { code?: unknown };
        resolve({ status: response.statusCode ?? 0, code, body: read, headers: response.headers });
      });
    }).on('error', reject);
    outgoing.end(text);
  });
}

function readBody(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

export const unique = (): string => randomUUID().slice(0, 8);

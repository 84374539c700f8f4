import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll } from '@jest/globals';
import { EventEmitter2, EventEmitterModule } from '@nestjs/event-emitter';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import { TypeOrmModule, type TypeOrmModuleOptions } from '@nestjs/typeorm';
import type { INestApplicationContext, ModuleMetadata } from '@nestjs/common';
import {
  Column,
  DataSource,
  type DataSourceOptions,
  type EntityManager,
  Entity,
  PrimaryGeneratedColumn,
} from 'typeorm';

import {
  AccessService,
  ActivityService,
  NestAuthEntities,
  type NestAuthEvent,
  NestAuthModule,
  type NestAuthModuleOptions,
  PasswordService,
  PermissionService,
  RoleGuardEnum,
  RoleService,
  TenantService,
  UserService,
} from '../../src/index.js';
import { PREPARED } from './connection-mode.js';
import { createTestDatabase, REFERS_TO_USER, withClient } from './database.js';

/** The host's own row beside the auth user; its foreign key restricts. */
@Entity({ name: 'app_users' })
export class AppUser {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column({ name: 'auth_user_id', type: 'uuid', unique: true })
  authUserId!: string;

  @Column({ name: 'display_name', type: 'text', nullable: true })
  displayName!: string | null;
}

/** A real Nest application with the services a host would inject. */
export interface NestApp {
  readonly context: INestApplicationContext;
  readonly dataSource: DataSource;
  readonly manager: EntityManager;
  readonly users: UserService;
  readonly tenants: TenantService;
  readonly roles: RoleService;
  readonly permissions: PermissionService;
  readonly access: AccessService;
  readonly activities: ActivityService;
  readonly passwords: PasswordService;
  /** Every event that was delivered, in order. */
  readonly events: NestAuthEvent[];
  close(): Promise<void>;
}

export interface NestAppOptions {
  readonly auth?: NestAuthModuleOptions;
  /** Connections at most. @default 10 */
  readonly pool?: number;
  readonly dataSource?: Partial<DataSourceOptions>;
  readonly imports?: ModuleMetadata['imports'] | undefined;
  readonly providers?: ModuleMetadata['providers'] | undefined;
  /** Puts something else in the place of a provider of the package. */
  readonly override?: (module: TestingModuleBuilder) => TestingModuleBuilder;
}

export async function startNestApp(url: string, options: NestAppOptions = {}): Promise<NestApp> {
  await withClient(url, (client) =>
    client.query(`create table if not exists app_users (
      id uuid primary key default gen_random_uuid(),
      auth_user_id uuid not null unique ${REFERS_TO_USER},
      display_name text check (display_name <> 'refused'))`),
  );
  let opened: DataSource | undefined;
  const { override = (builder) => builder } = options;
  const builder = Test.createTestingModule({
    imports: [
      EventEmitterModule.forRoot(),
      TypeOrmModule.forRootAsync({
        useFactory: () =>
          ({
            type: 'postgres',
            url,
            poolSize: options.pool ?? 10,
            entities: [...NestAuthEntities, AppUser],
            retryAttempts: 0,
            ...options.dataSource,
          }) as TypeOrmModuleOptions,
        dataSourceFactory: async (settings) =>
          (opened = await new DataSource(settings as DataSourceOptions).initialize()),
      }),
      ...(options.imports ?? [NestAuthModule.forRoot({ statements: { prepared: PREPARED }, ...options.auth })]),
    ],
    providers: options.providers ?? [],
  });
  const module = await override(builder)
    .compile()
    .catch(async (error: unknown) => {
      // Nest leaves open what it had made before a module refused to start.
      await opened?.destroy();
      throw error;
    });
  // What is reported after COMMIT is asserted where it matters; elsewhere it is noise.
  module.useLogger(false);
  const context = await module.init();
  const events: NestAuthEvent[] = [];
  context.get(EventEmitter2).onAny((_name: string | string[], event: NestAuthEvent) => void events.push(event));
  const dataSource = context.get(DataSource);
  return {
    context,
    dataSource,
    manager: dataSource.manager,
    users: context.get(UserService),
    tenants: context.get(TenantService),
    roles: context.get(RoleService),
    permissions: context.get(PermissionService),
    access: context.get(AccessService),
    activities: context.get(ActivityService),
    passwords: context.get(PasswordService),
    events,
    close: () => context.close(),
  };
}

/** Two tenants and roles of every kind. */
export interface Seed {
  readonly tenantId: string;
  readonly otherTenantId: string;
  /** Portal roles of the system. */
  readonly member: string;
  readonly editor: string;
  /** Owned by `otherTenantId`. */
  readonly foreign: string;
  /** Of the admin guard. */
  readonly admin: string;
}

export async function seed({ tenants, roles, permissions }: NestApp): Promise<Seed> {
  const unique = randomUUID().slice(0, 8);
  const tenant = await tenants.createTenant({ name: 'Acme', slug: `acme-${unique}` });
  const other = await tenants.createTenant({ name: 'Other', slug: `other-${unique}` });
  const [read, write] = [`documents:read-${unique}`, `documents:write-${unique}`];
  await permissions.createPermissions([
    { name: read, guard: RoleGuardEnum.PORTAL },
    { name: write, guard: RoleGuardEnum.PORTAL },
  ]);
  const portal = { guard: RoleGuardEnum.PORTAL, isSystem: true };
  const member = await roles.createRole({ ...portal, name: `member-${unique}`, permissions: [read] });
  const editor = await roles.createRole({ ...portal, name: `editor-${unique}`, permissions: [read, write] });
  const foreign = await roles.createRole({ name: `own-${unique}`, guard: RoleGuardEnum.PORTAL, tenantId: other.id });
  const admin = await roles.createRole({ name: `root-${unique}`, guard: RoleGuardEnum.ADMIN, isSystem: true });
  return {
    tenantId: tenant.id,
    otherTenantId: other.id,
    member: member.id,
    editor: editor.id,
    foreign: foreign.id,
    admin: admin.id,
  };
}

export interface NestAppFixture extends NestApp {
  readonly url: string;
  readonly seed: Seed;
}

/** One application with seeded tenants and roles for the tests of this file, on a database of its own. */
export function useNestApp(options: NestAppOptions = {}): NestAppFixture {
  const fixture = {} as NestAppFixture & { drop?: () => Promise<void> };
  beforeAll(async () => {
    const { url, drop } = await createTestDatabase();
    const app = await startNestApp(url, options);
    Object.assign(fixture, app, { url, drop, seed: await seed(app) });
  });
  afterAll(async () => {
    await fixture.close();
    await fixture.drop?.();
  });
  return fixture;
}

let serial = 0;

/** An address that no other test uses. */
export function freshEmail(): string {
  serial += 1;
  return `person-${process.pid}-${serial}@example.com`;
}

/** A valid mobile number that no other test of the file uses. */
export function freshPhone(): string {
  serial += 1;
  return `+4915112${String(100_000 + serial)}`;
}

/** Settles all, and says how many succeeded and with which codes the others failed. */
export async function outcomesOf<T>(
  calls: readonly Promise<T>[],
): Promise<{ won: T[]; codes: Record<string, number>; errors: unknown[] }> {
  const settled = await Promise.allSettled(calls);
  const won = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const errors = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  const codes: Record<string, number> = {};
  for (const error of errors) {
    const { code = String(error) } = error as { code?: string };
    codes[code] = (codes[code] ?? 0) + 1;
  }
  return { won, codes, errors };
}

export function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

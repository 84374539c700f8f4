import { Controller, Get, Param, Post } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import {
  AccessGate,
  AuthService,
  CurrentTenant,
  NestAuthEntities,
  NestAuthExceptionFilter,
  NestAuthModule,
  Permissions,
  PlatformOnly,
  TenantContext,
  UserService,
} from '../../../src/index.js';
import { PREPARED } from '../../support/connection-mode.js';
import { connectAs, createRlsDatabase, type RlsDatabase } from '../../support/rls-database.js';
import { type RlsApp, seedTenants, startRlsApp } from '../../support/rls-app.js';
import { freshEmail } from '../../support/nest-app.js';
import { AUTH, PASSWORD } from '../session/fixture.js';
import { type Guarded, send } from './fixture.js';

@Controller('users')
class UserController {
  constructor(
    private readonly users: UserService,
    private readonly dataSource: DataSource,
    private readonly tenants: TenantContext,
  ) {}

  @Permissions('documents:read')
  @Get('count')
  async count(@CurrentTenant() tenantId: string) {
    const [row] = await this.dataSource.query<{ tenants: number }[]>(
      'select count(distinct tenant_id)::int as tenants from nest_auth_user_accesses',
    );
    return { ...row, tenantId, context: this.tenants.tenantId };
  }

  @Get('one/:id')
  async one(@Param('id') id: string) {
    return { found: (await this.users.getUserById(id)) !== null };
  }

  @Permissions('documents:read')
  @Post('rename/:id')
  async rename(@Param('id') id: string) {
    await this.users.updateUserMetadata(id, { renamed: true });
    return {};
  }

  @PlatformOnly()
  @Get('platform')
  async platform() {
    const context = this.tenants.tenantId;
    const rows = await this.tenants.withoutTenant('counting tenants', () =>
      this.dataSource.query<unknown[]>('select id from nest_auth_tenants'),
    );
    return { context, tenants: rows.length };
  }

  @PlatformOnly()
  @Get('forgotten')
  forgotten() {
    return this.users.getUsers();
  }
}

let database: RlsDatabase;
let seeded: RlsApp;
let guarded: Pick<Guarded, 'app'>;
beforeAll(async () => {
  database = await createRlsDatabase();
  const started = await startRlsApp(database, { auth: AUTH });
  seeded = { ...started, ...(await seedTenants(started)) };
  const module = await Test.createTestingModule({
    imports: [
      EventEmitterModule.forRoot(),
      TypeOrmModule.forRoot({
        ...connectAs(database.appUrl),
        entities: [...NestAuthEntities],
        retryAttempts: 0,
        poolSize: 4,
      }),
      NestAuthModule.forRoot({ statements: { prepared: PREPARED }, ...AUTH, rls: true, guardAllRoutes: true }),
    ],
    controllers: [UserController],
    providers: [{ provide: APP_FILTER, useClass: NestAuthExceptionFilter }],
  }).compile();
  const app = module.createNestApplication({ logger: false });
  await app.listen(0, '127.0.0.1');
  guarded = { app: app as unknown as Guarded['app'] };
});
afterAll(async () => {
  await guarded.app.close();
  await seeded.close();
  await database.drop();
});

async function signedIn(tenantId: string, roleIds: string[]): Promise<{ token: string; userId: string }> {
  const email = freshEmail();
  const password = await seeded.passwords.hash(PASSWORD);
  await seeded.tenant.withoutTenant('seed', () => seeded.users.createUser({ email, password, roleIds }, tenantId));
  const { accessToken, userId } = await guarded.app.get(AuthService).signIn({ email, password: PASSWORD, tenantId });
  return { token: accessToken, userId };
}

async function operator(): Promise<string> {
  const email = freshEmail();
  const password = await seeded.passwords.hash(PASSWORD);
  await seeded.tenant.withoutTenant('seed', () =>
    seeded.users.createPlatformUser({ email, password, platformRoleIds: [seeded.admin] }),
  );
  return (await guarded.app.get(AuthService).signIn({ email, password: PASSWORD })).accessToken;
}

describe('with row-level security a guarded handler', () => {
  it('runs in the tenant of the session, down to its own SQL', async () => {
    for (const { id } of [seeded.a, seeded.b]) {
      const { token } = await signedIn(id, [seeded.member]);
      const { body } = await send(guarded, '/users/count', { token });
      expect(body).toEqual({ tenants: 1, tenantId: id, context: id });
    }
  });

  it('SEC-61 finds nobody of another tenant, and changes nobody there', async () => {
    const { token } = await signedIn(seeded.a.id, [seeded.member]);
    const [own, other] = [seeded.a.users[0] ?? '', seeded.b.users[0] ?? ''];
    expect((await send(guarded, `/users/one/${own}`, { token })).body).toEqual({ found: true });
    expect((await send(guarded, `/users/one/${other}`, { token })).body).toEqual({ found: false });
    const nobody = '01900000-0000-7000-8000-000000000000';
    const missing = await send(guarded, `/users/rename/${nobody}`, { method: 'POST', token });
    const foreign = await send(guarded, `/users/rename/${other}`, { method: 'POST', token });
    expect(foreign).toMatchObject({ status: 404, code: 'USER_NOT_FOUND' });
    expect(JSON.stringify(foreign.body)).toBe(JSON.stringify(missing.body).replace(nobody, other));
  });

  it('of the platform works for no tenant, and says why where it needs all', async () => {
    const token = await operator();
    const { body } = await send(guarded, '/users/platform', { token });
    expect(body).toMatchObject({ context: null, tenants: expect.any(Number) });
    expect((await send(guarded, '/users/forgotten', { token })).status).toBeGreaterThanOrEqual(400);
  });

  it('SEC-68 keeps 100 requests of two tenants apart on four connections', async () => {
    const people = [await signedIn(seeded.a.id, [seeded.member]), await signedIn(seeded.b.id, [seeded.member])];
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        send(guarded, '/users/count', { token: people[index % 2]?.token ?? '' }),
      ),
    );
    answers.forEach(({ body }, index) => {
      const { id } = index % 2 === 0 ? seeded.a : seeded.b;
      expect(body).toEqual({ tenants: 1, tenantId: id, context: id });
    });
  });
});

describe('AccessGate with row-level security', () => {
  it('needs no tenant to run in, and works in that of the session', async () => {
    const gate = guarded.app.get(AccessGate);
    const { token } = await signedIn(seeded.a.id, [seeded.member]);
    const principal = await gate.authenticate(token);
    await gate.assert(principal, { permissions: ['documents:read'] });
    const tenants = guarded.app.get(TenantContext);
    await tenants.run(seeded.a.id, () => gate.assert(principal, { permissions: ['documents:read'] }));
    expect(await gate.runAs(principal, () => tenants.tenantId)).toBe(seeded.a.id);
    expect(tenants.tenantId).toBeNull();
  });
});

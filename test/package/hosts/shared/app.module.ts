import { Injectable, Module } from '@nestjs/common';
import { EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  NestAuthEntities,
  NestAuthEvents,
  NestAuthMigrations,
  NestAuthModule,
  RoleGuardEnum,
  RoleService,
  TenantModeEnum,
  TenantService,
  UserCreatedEvent,
  UserService,
} from 'nest-auth-identity';
import { AppUser, CreateAppUsers1800000000000 } from './app-user.entity.js';

@Injectable()
export class Welcome {
  readonly events: UserCreatedEvent[] = [];

  @OnEvent(NestAuthEvents.USER_CREATED)
  onUserCreated(event: UserCreatedEvent): void {
    this.events.push(event);
  }
}

/** Its constructor's types are read from the decorator metadata: what a host does to inject the package's services. */
@Injectable()
export class Registration {
  constructor(
    private readonly users: UserService,
    private readonly tenants: TenantService,
    private readonly roles: RoleService,
  ) {}

  async openShop(): Promise<{ tenantId: string; roleId: string }> {
    const tenant = await this.tenants.createTenant({ name: 'Corner shop', slug: 'corner-shop' });
    const role = await this.roles.createRole({ name: 'customer', guard: RoleGuardEnum.PORTAL, isSystem: true });
    return { tenantId: tenant.id, roleId: role.id };
  }

  register(email: string, shop: { tenantId: string; roleId: string }, fail?: Error): Promise<string> {
    return this.users.runInTransaction(async (manager) => {
      const input = { email, password: 'correct horse battery staple', roleIds: [shop.roleId] };
      const user = await this.users.createUser(input, shop.tenantId, undefined, manager);
      await manager.insert(AppUser, { authUserId: user.id, fullName: email });
      if (fail) throw fail;
      return user.id;
    });
  }

  /** A conflict inside a transaction, after which the same transaction goes on. */
  registerOneOf(emails: readonly string[], shop: { tenantId: string; roleId: string }): Promise<unknown[]> {
    return this.users.runInTransaction(async (manager) => {
      const outcomes: unknown[] = [];
      for (const email of emails) {
        outcomes.push(
          await this.users.createUser({ email }, shop.tenantId, undefined, manager).catch((e: unknown) => e),
        );
      }
      return outcomes;
    });
  }
}

const url = process.env['DATABASE_URL'];
if (url === undefined) throw new Error('DATABASE_URL is not set');

@Module({
  imports: [
    EventEmitterModule.forRoot(),
    TypeOrmModule.forRoot({
      type: 'postgres',
      url,
      entities: [...NestAuthEntities, AppUser],
      migrations: [...NestAuthMigrations, CreateAppUsers1800000000000],
      migrationsRun: true,
    }),
    NestAuthModule.forRoot({ tenant: { mode: TenantModeEnum.SHARED } }),
  ],
  providers: [Welcome, Registration],
})
export class AppModule {}

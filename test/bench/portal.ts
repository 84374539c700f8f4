import 'reflect-metadata';
import { Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Column, Entity, In, PrimaryColumn } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import {
  AccessService,
  ActivityService,
  AuthService,
  type HashedPassword,
  NestAuthEntities,
  NestAuthModule,
  type NestAuthModuleOptions,
  NestAuthRole,
  PasswordService,
  RoleGuardEnum,
  RoleService,
  UserLifecycleService,
  UserService,
  UserStatisticsService,
} from '../../src/index.js';
import { POOL_SIZE } from './environment.js';
import type { PortalUser } from './floor.js';

@Entity({ name: 'app_users' })
class AppUser {
  @PrimaryColumn('uuid')
  id!: string;

  @Column({ name: 'auth_user_id', type: 'uuid' })
  authUserId!: string;

  @Column({ name: 'display_name', type: 'text' })
  displayName!: string;
}

@Module({})
class BenchModule {}

/** A portal user whose password was hashed before anything is measured. */
export interface NewPortalUser extends Omit<PortalUser, 'passwordHash'> {
  readonly password: HashedPassword;
}

export interface PortalOptions {
  readonly prepared?: boolean;
  readonly pool?: number;
  readonly auth?: NestAuthModuleOptions;
}

/** An application as a host would write it, over one database. */
export class Portal {
  readonly users: UserService;
  readonly access: AccessService;
  readonly auth: AuthService;
  readonly activities: ActivityService;
  readonly roles: RoleService;
  readonly passwords: PasswordService;
  readonly lifecycle: UserLifecycleService;
  readonly statistics: UserStatisticsService;

  private constructor(private readonly context: INestApplicationContext) {
    this.users = context.get(UserService);
    this.access = context.get(AccessService);
    this.auth = context.get(AuthService);
    this.activities = context.get(ActivityService);
    this.roles = context.get(RoleService);
    this.passwords = context.get(PasswordService);
    this.lifecycle = context.get(UserLifecycleService);
    this.statistics = context.get(UserStatisticsService);
  }

  static async open(
    url: string,
    { prepared = true, pool = POOL_SIZE, auth = {} }: PortalOptions = {},
  ): Promise<Portal> {
    const module = {
      module: BenchModule,
      imports: [
        EventEmitterModule.forRoot(),
        TypeOrmModule.forRoot({
          type: 'postgres',
          url,
          poolSize: pool,
          entities: [...NestAuthEntities, AppUser],
          retryAttempts: 0,
        }),
        NestAuthModule.forRoot({ statements: { prepared }, ...auth }),
      ],
    };
    return new Portal(await NestFactory.createApplicationContext(module, { logger: ['error'] }));
  }

  /** The auth user with all it has in one call, and the row of the host, in one transaction. */
  createInOneCall({ email, phone, password, tenantId, roleId }: NewPortalUser): Promise<string> {
    return this.users.runInTransaction(async (manager) => {
      const { id } = await this.users.createUser({ email, phone, password, roleIds: [roleId] }, tenantId);
      await manager.insert(AppUser, { id: uuidv7(), authUserId: id, displayName: email });
      return id;
    });
  }

  /** The documented flow in single steps. */
  createStepByStep({ email, phone, password, tenantId, roleId }: NewPortalUser): Promise<string> {
    return this.users.runInTransaction(async (manager) => {
      const user = await this.users.createUser({ email, phone }, undefined, undefined, manager);
      await user.setPassword(password, manager);
      await user.findOrCreateIdentity('phone', phone, manager);
      await user.findOrCreateIdentity('email', email, manager);
      await manager.save(user);
      const roles = await manager.find(NestAuthRole, {
        where: { id: In([roleId]), guard: RoleGuardEnum.PORTAL },
        select: { id: true },
      });
      const access = await user.getUserAccess(tenantId, true, manager);
      await access.assignRoles(
        roles.map(({ id }) => id),
        manager,
      );
      await manager.insert(AppUser, { id: uuidv7(), authUserId: user.id, displayName: email });
      return user.id;
    });
  }

  close(): Promise<void> {
    return this.context.close();
  }
}

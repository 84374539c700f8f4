import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  NestAuthEntities,
  NestAuthExceptionFilter,
  NestAuthMigrations,
  NestAuthModule,
  type NestAuthModuleOptions,
} from 'nest-auth-identity';
import { AppUsers1800000000000 } from '../migrations/1800000000000-app-users.js';
import { AppUser } from './app-user.entity.js';
import { ActivityFeed, Outbox } from './outbox.js';
import {
  AdminController,
  HealthController,
  MailController,
  PortalController,
  UserController,
} from './portal.controllers.js';
import { PortalUserService } from './portal-user.service.js';

/** The whole application: its database, the package, and what it builds on it. */
@Module({})
export class PortalModule {
  static connectedTo(url: string, auth: NestAuthModuleOptions = {}): DynamicModule {
    return {
      module: PortalModule,
      imports: [
        EventEmitterModule.forRoot(),
        TypeOrmModule.forRoot({
          type: 'postgres',
          url,
          entities: [...NestAuthEntities, AppUser],
          // The schema is made by migrations only, the package's and then the application's.
          migrations: [...NestAuthMigrations, AppUsers1800000000000],
          migrationsRun: true,
          retryAttempts: 0,
        }),
        TypeOrmModule.forFeature([AppUser]),
        NestAuthModule.forRoot(auth),
      ],
      controllers: [PortalController, AdminController, UserController, MailController, HealthController],
      providers: [PortalUserService, Outbox, ActivityFeed, { provide: APP_FILTER, useClass: NestAuthExceptionFilter }],
    };
  }
}

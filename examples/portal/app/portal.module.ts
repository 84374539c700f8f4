import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { ScheduleModule } from '@nestjs/schedule';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  IdentityContextMiddleware,
  NestAuthEntities,
  NestAuthExceptionFilter,
  NestAuthMigrations,
  NestAuthModule,
  type NestAuthModuleOptions,
} from 'nest-auth-identity';
import { NestAuthScheduleModule } from 'nest-auth-identity/schedule';
import { AppUsers1800000000000 } from '../migrations/1800000000000-app-users.js';
import { Announcements } from './announcements.js';
import { AppUser } from './app-user.entity.js';
import {
  AdminController,
  HealthController,
  MailController,
  PortalController,
  UserController,
} from './portal.controllers.js';
import { PortalUserService } from './portal-user.service.js';
import { AppMail, WelcomeMail } from './welcome-mail.js';

/** The whole application: its database, the package, and what it builds on it. */
@Module({})
export class PortalModule implements NestModule {
  static connectedTo(url: string, auth: NestAuthModuleOptions = {}): DynamicModule {
    return {
      module: PortalModule,
      imports: [
        EventEmitterModule.forRoot(),
        TypeOrmModule.forRoot({
          type: 'postgres',
          url,
          entities: [...NestAuthEntities, AppUser, AppMail],
          // The schema is made by migrations only, the package's and then the application's.
          migrations: [...NestAuthMigrations, AppUsers1800000000000],
          migrationsRun: true,
          retryAttempts: 0,
        }),
        TypeOrmModule.forFeature([AppUser, AppMail]),
        NestAuthModule.forRoot(auth),
        ScheduleModule.forRoot(),
        // Those that take something away are off until somebody wants them.
        NestAuthScheduleModule.forRoot({ jobs: { 'disable-deactivated-users': { enabled: true } } }),
      ],
      controllers: [PortalController, AdminController, UserController, MailController, HealthController],
      providers: [
        PortalUserService,
        WelcomeMail,
        Announcements,
        { provide: APP_FILTER, useClass: NestAuthExceptionFilter },
      ],
    };
  }

  /** The activities of a request tell its address and its id. */
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(IdentityContextMiddleware).forRoutes('{*path}');
  }
}

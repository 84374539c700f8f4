import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { ScheduleModule } from '@nestjs/schedule';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  generateSessionKeys,
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
import { AuthController } from './auth.controller.js';
import {
  AdminController,
  HealthController,
  MailController,
  PortalController,
  UserController,
} from './portal.controllers.js';
import { PortalRoles } from './portal.roles.js';
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
        NestAuthModule.forRoot({
          // An application in use keeps its keys: with new ones at each start, everybody has to sign in again.
          session: { keys: generateSessionKeys() },
          ...auth,
          // Whatever is not @Public needs somebody who is signed in.
          guardAllRoutes: true,
        }),
        ScheduleModule.forRoot(),
        // Those that take something away are off until somebody wants them.
        NestAuthScheduleModule.forRoot({ jobs: { 'disable-deactivated-users': { enabled: true } } }),
      ],
      controllers: [
        AuthController,
        PortalController,
        AdminController,
        UserController,
        MailController,
        HealthController,
      ],
      providers: [
        PortalUserService,
        PortalRoles,
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

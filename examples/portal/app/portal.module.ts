import { randomBytes } from 'node:crypto';
import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { ScheduleModule } from '@nestjs/schedule';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  type DeliveryLinks,
  generateSessionKeys,
  IdentityContextMiddleware,
  NestAuthEntities,
  NestAuthExceptionFilter,
  NestAuthMigrations,
  NestAuthModule,
  type NestAuthModuleOptions,
} from 'nest-auth-identity';
import { NestAuthScheduleModule } from 'nest-auth-identity/schedule';
import { CapturingSender } from 'nest-auth-identity/testing';
import { AppUsers1800000000000 } from '../migrations/1800000000000-app-users.js';
import { Announcements } from './announcements.js';
import { ApiKeyController } from './api-key.controller.js';
import { AppUser } from './app-user.entity.js';
import { AuthController } from './auth.controller.js';
import { CAPTURED_MAILS, CapturedMailController } from './captured-mail.controller.js';
import { InvitationController, InvitedController } from './invitation.controller.js';
import {
  AdminController,
  HealthController,
  MailController,
  PortalController,
  UserController,
} from './portal.controllers.js';
import { PortalRoles } from './portal.roles.js';
import { PortalUserService } from './portal-user.service.js';
import { EmailController, PasswordController } from './recovery.controller.js';
import { SecondFactorController } from './second-factor.controller.js';
import { AppMail, WelcomeMail } from './welcome-mail.js';

/** Pages that a front end would have. Behind the `#`, the token reaches no server but by what the page sends. */
const page = (name: string): string => `https://portal.example.com/${name}#{token}`;
const LINKS: DeliveryLinks = {
  invitation: page('invitation'),
  emailVerification: page('verify-email'),
  emailChange: page('confirm-email'),
  passwordReset: page('reset-password'),
};

/** The whole application: its database, the package, and what it builds on it. */
@Module({})
export class PortalModule implements NestModule {
  /** Without `auth.delivery.sender` mails are kept instead of sent, and a route shows them. */
  static connectedTo(url: string, auth: NestAuthModuleOptions = {}): DynamicModule {
    const captured = auth.delivery?.sender === undefined ? new CapturingSender() : undefined;
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
          // An application in use keeps its keys: with new ones at each start, everybody has to sign in again, the links
          // in mails are dead, and no code of an authenticator is right any more.
          session: { keys: generateSessionKeys() },
          secrets: { keys: [{ id: 'first', secret: randomBytes(32).toString('base64') }] },
          twoFactor: { issuer: 'Portal' },
          apiKeys: {},
          guard: { apiKeys: true },
          ...auth,
          delivery: { links: LINKS, ...(captured === undefined ? {} : { sender: captured }), ...auth.delivery },
          // Whatever is not @Public needs somebody who is signed in.
          guardAllRoutes: true,
        }),
        ScheduleModule.forRoot(),
        // Those that take something away are off until somebody wants them.
        NestAuthScheduleModule.forRoot({ jobs: { 'disable-deactivated-users': { enabled: true } } }),
      ],
      controllers: [
        AuthController,
        SecondFactorController,
        PasswordController,
        EmailController,
        ApiKeyController,
        InvitationController,
        InvitedController,
        PortalController,
        AdminController,
        UserController,
        MailController,
        HealthController,
        ...(captured === undefined ? [] : [CapturedMailController]),
      ],
      providers: [
        ...(captured === undefined ? [] : [{ provide: CAPTURED_MAILS, useValue: captured }]),
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

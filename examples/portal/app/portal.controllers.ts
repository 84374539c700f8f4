import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import {
  AccessService,
  ActivityService,
  type NestAuthActivity,
  NestAuthError,
  type NestAuthUser,
  UserService,
} from 'nest-auth-identity';
import { DataSource, In, Repository } from 'typeorm';
import { AppUser } from './app-user.entity.js';
import { PortalUserService } from './portal-user.service.js';
import { readNewAdmin, readNewPortalUser, readUserChange } from './request-bodies.js';
import { AppMail } from './welcome-mail.js';

// There is no sign-in here, so everybody who reaches the port may do everything: main.ts binds it to 127.0.0.1 only.

@Controller('portal/users')
export class PortalController {
  constructor(private readonly portal: PortalUserService) {}

  @Post()
  create(@Body() body: unknown): Promise<AppUser> {
    return this.portal.createPortalUser(readNewPortalUser(body));
  }
}

@Controller('admin/users')
export class AdminController {
  constructor(private readonly portal: PortalUserService) {}

  @Post()
  create(@Body() body: unknown): Promise<AppUser> {
    return this.portal.createAdmin(readNewAdmin(body));
  }
}

/** Users are named by the id of their auth user: it is what a session or token would carry. */
@Controller('users')
export class UserController {
  constructor(
    private readonly portal: PortalUserService,
    private readonly users: UserService,
    private readonly access: AccessService,
    private readonly activities: ActivityService,
    @InjectRepository(AppUser) private readonly appUsers: Repository<AppUser>,
  ) {}

  @Get()
  async list(@Query('tenantId') tenantId?: string, @Query('after') after?: string) {
    const { items, nextCursor } = await this.users.getUsersPage({
      ...(tenantId === undefined ? {} : { tenantId }),
      ...(after === undefined ? {} : { after }),
    });
    const profiles = await this.appUsers.findBy({ authUserId: In(items.map(({ id }) => id)) });
    const byId = new Map(profiles.map((profile) => [profile.authUserId, profile]));
    return { items: items.map((user) => summaryOf(user, byId.get(user.id))), nextCursor };
  }

  @Get(':id')
  async get(@Param('id') id: string) {
    const user = await this.users.getUserById(id);
    if (user === null) throw new NestAuthError('USER_NOT_FOUND', 'There is no such user');
    const profile = await this.appUsers.findOneBy({ authUserId: id });
    const tenants = [];
    for (const tenant of await this.users.getUserTenants(id)) {
      tenants.push({ id: tenant.id, slug: tenant.slug, permissions: await this.access.getPermissions(id, tenant.id) });
    }
    return { ...summaryOf(user, profile), tenants, platformPermissions: await this.access.getPlatformPermissions(id) };
  }

  /** Newest first; also of somebody who is gone. */
  @Get(':id/timeline')
  async timeline(@Param('id') id: string, @Query('after') after?: string) {
    const page = after === undefined ? {} : { after };
    const { items, nextCursor } = await this.activities.findActivities({ userId: id }, page);
    return { items: items.map(entryOf), nextCursor };
  }

  @Patch(':id')
  update(@Param('id') id: string, @Body() body: unknown): Promise<AppUser> {
    return this.portal.updateUser(id, readUserChange(body));
  }

  @Delete(':id')
  @HttpCode(204)
  delete(@Param('id') id: string): Promise<void> {
    return this.portal.deleteUser(id);
  }
}

@Controller('mails')
export class MailController {
  constructor(@InjectRepository(AppMail) private readonly mails: Repository<AppMail>) {}

  @Get()
  list(): Promise<AppMail[]> {
    return this.mails.find({ order: { createdAt: 'DESC', eventId: 'DESC' }, take: 20 });
  }
}

@Controller('health')
export class HealthController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  async check(): Promise<{ status: 'ok' }> {
    await this.dataSource.query('SELECT 1');
    return { status: 'ok' };
  }
}

function summaryOf({ id, email, phone, status }: NestAuthUser, profile: AppUser | null | undefined) {
  const { displayName = null, dateOfBirth = null, locale = null } = profile ?? {};
  return { authUserId: id, email, phone, status, displayName, dateOfBirth, locale };
}

function entryOf({ occurredAt, type, actorType, actorId, ip, requestId, before, after }: NestAuthActivity) {
  return { occurredAt, type, actor: { type: actorType, id: actorId }, ip, requestId, before, after };
}

import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import {
  AccessService,
  ActivityService,
  CurrentTenant,
  type GetUsersOptions,
  type NestAuthActivity,
  NestAuthError,
  type NestAuthUser,
  Permissions,
  PlatformOnly,
  Public,
  UserService,
} from 'nest-auth-identity';
import { DataSource, In, Repository } from 'typeorm';
import { AppUser } from './app-user.entity.js';
import { PortalUserService } from './portal-user.service.js';
import { readNewUser, readUserChange } from './request-bodies.js';
import { AppMail } from './welcome-mail.js';

/** The members of a tenant, for those who run it. The tenant is that of the session; no request can name another. */
@Controller('portal/users')
export class PortalController {
  constructor(
    private readonly portal: PortalUserService,
    private readonly users: UserService,
    @InjectRepository(AppUser) private readonly appUsers: Repository<AppUser>,
  ) {}

  @Permissions('members.invite')
  @Post()
  create(@CurrentTenant() tenantId: string, @Body() body: unknown): Promise<AppUser> {
    return this.portal.createPortalUser({ ...readNewUser(body), tenantId });
  }

  @Permissions('members.read')
  @Get()
  list(@CurrentTenant() tenantId: string, @Query('after') after?: string) {
    return pageOf(this.users, this.appUsers, { tenantId, ...(after === undefined ? {} : { after }) });
  }

  /** Takes the member out of the tenant, and out of what is open there; the person stays. */
  @Permissions('members.remove')
  @Delete(':id')
  @HttpCode(204)
  async remove(@CurrentTenant() tenantId: string, @Param('id') id: string): Promise<void> {
    if (await this.users.deleteUserAccess(id, tenantId)) return;
    throw new NestAuthError('USER_NOT_FOUND', 'There is no such member');
  }
}

@PlatformOnly()
@Controller('admin/users')
export class AdminController {
  constructor(private readonly portal: PortalUserService) {}

  @Permissions('users.write')
  @Post()
  create(@Body() body: unknown): Promise<AppUser> {
    return this.portal.createAdmin(readNewUser(body));
  }
}

/** Everybody, for those who run the platform. Users are named by the id of their auth user, as in a session. */
@PlatformOnly()
@Controller('users')
export class UserController {
  constructor(
    private readonly portal: PortalUserService,
    private readonly users: UserService,
    private readonly access: AccessService,
    private readonly activities: ActivityService,
    @InjectRepository(AppUser) private readonly appUsers: Repository<AppUser>,
  ) {}

  @Permissions('users.read')
  @Get()
  list(@Query('tenantId') tenantId?: string, @Query('after') after?: string) {
    return pageOf(this.users, this.appUsers, {
      ...(tenantId === undefined ? {} : { tenantId }),
      ...(after === undefined ? {} : { after }),
    });
  }

  @Permissions('users.read')
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
  @Permissions('users.read')
  @Get(':id/timeline')
  async timeline(@Param('id') id: string, @Query('after') after?: string) {
    const page = after === undefined ? {} : { after };
    const { items, nextCursor } = await this.activities.findActivities({ userId: id }, page);
    return { items: items.map(entryOf), nextCursor };
  }

  @Permissions('users.write')
  @Patch(':id')
  update(@Param('id') id: string, @Body() body: unknown): Promise<AppUser> {
    return this.portal.updateUser(id, readUserChange(body));
  }

  @Permissions('users.write')
  @Delete(':id')
  @HttpCode(204)
  delete(@Param('id') id: string): Promise<void> {
    return this.portal.deleteUser(id);
  }
}

@PlatformOnly()
@Controller('mails')
export class MailController {
  constructor(@InjectRepository(AppMail) private readonly mails: Repository<AppMail>) {}

  @Permissions('users.read')
  @Get()
  list(): Promise<AppMail[]> {
    return this.mails.find({ order: { createdAt: 'DESC', eventId: 'DESC' }, take: 20 });
  }
}

@Public()
@Controller('health')
export class HealthController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  async check(): Promise<{ status: 'ok' }> {
    await this.dataSource.query('SELECT 1');
    return { status: 'ok' };
  }
}

async function pageOf(users: UserService, appUsers: Repository<AppUser>, options: GetUsersOptions) {
  const { items, nextCursor } = await users.getUsersPage(options);
  const profiles = await appUsers.findBy({ authUserId: In(items.map(({ id }) => id)) });
  const byId = new Map(profiles.map((profile) => [profile.authUserId, profile]));
  return { items: items.map((user) => summaryOf(user, byId.get(user.id))), nextCursor };
}

function summaryOf({ id, email, phone, status }: NestAuthUser, profile: AppUser | null | undefined) {
  const { displayName = null, dateOfBirth = null, locale = null } = profile ?? {};
  return { authUserId: id, email, phone, status, displayName, dateOfBirth, locale };
}

function entryOf({ occurredAt, type, actorType, actorId, ip, requestId, before, after }: NestAuthActivity) {
  return { occurredAt, type, actor: { type: actorType, id: actorId }, ip, requestId, before, after };
}

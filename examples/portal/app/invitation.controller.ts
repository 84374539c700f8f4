import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { CurrentTenant, type Invitation, InvitationService, Permissions, Public } from 'nest-auth-identity';
import { PortalUserService } from './portal-user.service.js';
import { readAcceptance, readInvitation, readToken } from './request-bodies.js';

/** For those who run a tenant. Whoever invites answers for it: the package looks at what they hold, now and at the end. */
@Controller('portal/invitations')
export class InvitationController {
  constructor(private readonly invitations: InvitationService) {}

  @Permissions('members.invite')
  @Post()
  async send(@CurrentTenant() tenantId: string, @Body() body: unknown): Promise<Invitation> {
    // Only the mail has the token; it is in no answer.
    const { invitation } = await this.invitations.sendInvitation({ ...readInvitation(body), tenantId });
    return invitation;
  }

  @Permissions('members.invite')
  @Get()
  list(@CurrentTenant() tenantId: string, @Query('after') after?: string) {
    return this.invitations.listInvitations({ tenantId, ...(after === undefined ? {} : { after }) });
  }

  @Permissions('members.invite')
  @Post(':id/resend')
  @HttpCode(200)
  async resend(@CurrentTenant() tenantId: string, @Param('id') id: string): Promise<Invitation> {
    const { invitation } = await this.invitations.resendInvitation(id, tenantId);
    return invitation;
  }

  @Permissions('members.invite')
  @Delete(':id')
  @HttpCode(204)
  async revoke(@CurrentTenant() tenantId: string, @Param('id') id: string): Promise<void> {
    await this.invitations.revokeInvitation(id, tenantId);
  }
}

/** For whoever has got the mail. The token is in the body: an address of a page is written down in many places. */
@Public()
@Controller('invitations')
export class InvitedController {
  constructor(
    private readonly invitations: InvitationService,
    private readonly portal: PortalUserService,
  ) {}

  @Post('preview')
  @HttpCode(200)
  async preview(@Body() body: unknown) {
    const { invitation, tenantName, hasAccount } = await this.invitations.getInvitationByToken(readToken(body));
    return { tenantName, email: invitation.email, expiresAt: invitation.expiresAt, hasAccount };
  }

  @Post('accept')
  async accept(@Body() body: unknown): Promise<{ authUserId: string }> {
    // Whoever has the mail need not be signed in: of an account that was there before they learn nothing by it.
    const { authUserId } = await this.portal.acceptInvitation(readAcceptance(body));
    return { authUserId };
  }

  @Post('decline')
  @HttpCode(204)
  async decline(@Body() body: unknown): Promise<void> {
    await this.invitations.declineInvitation({ token: readToken(body) });
  }
}

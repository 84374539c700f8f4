import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import {
  type AuthPrincipal,
  CurrentUser,
  PasswordRecoveryService,
  Public,
  VerificationService,
} from 'nest-auth-identity';
import { PortalUserService } from './portal-user.service.js';
import { readEmailChange, readForgotten, readPasswordChange, readReset, readToken } from './request-bodies.js';

/** A password that was forgotten, or is to be another one. */
@Controller('auth/password')
export class PasswordController {
  constructor(private readonly recovery: PasswordRecoveryService) {}

  /** One answer for everybody, known or not. */
  @Public()
  @Post('forgotten')
  @HttpCode(202)
  async forgotten(@Body() body: unknown): Promise<void> {
    await this.recovery.requestPasswordReset(readForgotten(body));
  }

  /** Ends every session, and signs nobody in. */
  @Public()
  @Post('reset')
  @HttpCode(204)
  async reset(@Body() body: unknown): Promise<void> {
    await this.recovery.resetPassword(readReset(body));
  }

  /** Ends every session but this one. */
  @Post()
  @HttpCode(204)
  async change(@CurrentUser() { userId, sessionId }: AuthPrincipal, @Body() body: unknown): Promise<void> {
    await this.recovery.changePassword({ ...readPasswordChange(body), userId, keepSessionId: sessionId });
  }
}

/** Whose an email is, and another one. Whoever follows a link from a mail need not be signed in. */
@Controller('auth/email')
export class EmailController {
  constructor(
    private readonly verification: VerificationService,
    private readonly portal: PortalUserService,
  ) {}

  @Post('verification')
  @HttpCode(202)
  async request(@CurrentUser() { userId }: AuthPrincipal): Promise<void> {
    await this.verification.requestEmailVerification(userId);
  }

  @Public()
  @Post('verify')
  @HttpCode(204)
  async verify(@Body() body: unknown): Promise<void> {
    await this.verification.verifyEmail({ token: readToken(body) });
  }

  @Post()
  @HttpCode(202)
  async change(@CurrentUser() { userId }: AuthPrincipal, @Body() body: unknown): Promise<void> {
    await this.verification.requestEmailChange({ ...readEmailChange(body), userId });
  }

  @Public()
  @Post('confirm')
  @HttpCode(200)
  async confirm(@Body() body: unknown): Promise<{ email: string | null }> {
    // The address may have been mistyped: whoever gets the mail learns nothing else of the person.
    const { email } = await this.portal.confirmEmailChange(readToken(body));
    return { email };
  }
}

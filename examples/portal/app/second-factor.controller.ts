import { Body, Controller, Get, Header, HttpCode, Post } from '@nestjs/common';
import { type AuthPrincipal, CurrentUser, Public, type SessionTokens, TwoFactorService } from 'nest-auth-identity';
import { tokensOf } from './auth.controller.js';
import { readCode, readCurrentPassword, readSecondStep } from './request-bodies.js';

/** A second factor for oneself, and the step of signing in that asks for it. */
@Controller('auth')
export class SecondFactorController {
  constructor(private readonly twoFactor: TwoFactorService) {}

  /** The secret for the authenticator, also as a QR code in SVG. It counts from when a code has shown that it works. */
  @Post('second-factor')
  @Header('cache-control', 'no-store')
  enable(@CurrentUser() { userId }: AuthPrincipal, @Body() body: unknown) {
    return this.twoFactor.enableTwoFactor(userId, { currentPassword: readCurrentPassword(body) });
  }

  @Post('second-factor/confirm')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  confirm(@CurrentUser() { userId, sessionId }: AuthPrincipal, @Body() body: unknown) {
    return this.twoFactor.verifyTwoFactorSetup(userId, readCode(body), { keepSessionId: sessionId });
  }

  @Get('second-factor')
  list(@CurrentUser() { userId }: AuthPrincipal) {
    return this.twoFactor.listSecondFactors(userId);
  }

  /** By the challenge that `/auth/sign-in` has answered, and a code or a recovery code. */
  @Public()
  @Post('sign-in/second-factor')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  async complete(@Body() body: unknown): Promise<SessionTokens> {
    return tokensOf(await this.twoFactor.completeSignIn(readSecondStep(body)));
  }
}

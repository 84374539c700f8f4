import { Body, Controller, Delete, Get, Header, HttpCode, Param, Post, UnauthorizedException } from '@nestjs/common';
import {
  type AccessGrants,
  AuthService,
  type AuthPrincipal,
  CurrentAccess,
  CurrentUser,
  type NestAuthSession,
  Public,
  SecondFactorRequiredError,
  SessionService,
  type SessionTokens,
  type SignInResult,
} from 'nest-auth-identity';
import { readRefreshToken, readSignIn, readSwitch } from './request-bodies.js';

/**
 * From signing in to being out everywhere. Whoever has a refresh token proves by it who they are, so that these routes
 * are public; the others need an access token, as every route of the application does.
 */
@Controller('auth')
export class AuthController {
  constructor(
    private readonly auth: AuthService,
    private readonly sessions: SessionService,
  ) {}

  @Public()
  @Post('sign-in')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  async signIn(@Body() body: unknown): Promise<SessionTokens> {
    return tokensOf(await this.auth.signIn(readSignIn(body)).catch(tellingChallenge));
  }

  @Public()
  @Post('refresh')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  refresh(@Body() body: unknown): Promise<SessionTokens> {
    return this.auth.refresh(readRefreshToken(body));
  }

  @Public()
  @Post('switch')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  switch(@Body() body: unknown): Promise<SessionTokens> {
    const { refreshToken, tenantId } = readSwitch(body);
    return this.auth.switchTenant(refreshToken, tenantId);
  }

  /** Also with a token that is used up: nobody should stay signed in because of an old one. */
  @Public()
  @Post('sign-out')
  @HttpCode(204)
  async signOut(@Body() body: unknown): Promise<void> {
    await this.auth.signOut(readRefreshToken(body));
  }

  @Post('sign-out-everywhere')
  @HttpCode(200)
  async signOutEverywhere(@CurrentUser() { userId }: AuthPrincipal): Promise<{ ended: number }> {
    return { ended: await this.sessions.revokeAllSessions(userId) };
  }

  @Get('me')
  me(@CurrentUser() { userId, sessionId, tenantId }: AuthPrincipal, @CurrentAccess() { roles }: AccessGrants) {
    return { userId, sessionId, tenantId, roles };
  }

  @Get('sessions')
  async list(@CurrentUser() { userId, sessionId }: AuthPrincipal) {
    const sessions = await this.sessions.getSessions(userId);
    return { items: sessions.map((session) => ({ ...deviceOf(session), isThis: session.id === sessionId })) };
  }

  /** One's own only: that of somebody else is none of one's sessions, and answers 404. */
  @Delete('sessions/:id')
  @HttpCode(204)
  end(@CurrentUser() { userId }: AuthPrincipal, @Param('id') id: string): Promise<void> {
    return this.sessions.revokeSession(userId, id);
  }
}

/** Who the user is, `me` tells. */
export function tokensOf({ user: _isLookedAtByMe, ...tokens }: SignInResult): SessionTokens {
  return tokens;
}

/** The error itself tells nobody its challenge, so that no log has it: only who has shown the password gets it, here. */
function tellingChallenge(error: unknown): never {
  if (!(error instanceof SecondFactorRequiredError)) throw error;
  const { code, message, challenge } = error;
  throw new UnauthorizedException({ statusCode: 401, code, message, challenge });
}

function deviceOf({ id, tenantId, createdAt, lastSeenAt, ip, userAgent }: NestAuthSession) {
  return { id, tenantId, createdAt, lastSeenAt, ip, userAgent };
}

import { Body, Controller, Delete, Get, Header, HttpCode, Param, Post } from '@nestjs/common';
import { ApiKeyService, type AuthPrincipal, CurrentTenant, CurrentUser } from 'nest-auth-identity';
import { readApiKey } from './request-bodies.js';

/** Keys for scripts that work in one's own name, in the tenant of the session, and no further than their scopes. */
@Controller('auth/api-keys')
export class ApiKeyController {
  constructor(private readonly keys: ApiKeyService) {}

  /** The only time that the secret of the key is told. */
  @Post()
  @Header('cache-control', 'no-store')
  create(@CurrentUser() { userId }: AuthPrincipal, @CurrentTenant() tenantId: string, @Body() body: unknown) {
    return this.keys.createApiKey({ ...readApiKey(body), owner: { userId, tenantId } });
  }

  @Get()
  list(@CurrentUser() { userId }: AuthPrincipal, @CurrentTenant() tenantId: string) {
    return this.keys.listApiKeys({ userId, tenantId });
  }

  @Delete(':id')
  @HttpCode(204)
  async revoke(@CurrentUser() { userId }: AuthPrincipal, @CurrentTenant() tenantId: string, @Param('id') id: string) {
    await this.keys.revokeApiKey({ userId, tenantId }, id);
  }
}

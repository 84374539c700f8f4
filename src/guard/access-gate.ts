import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { AccessGrants } from '../access/access-grants.js';
import { AccessService } from '../access/access.service.js';
import { ApiKeyService } from '../api-key/api-key.service.js';
import type { ApiKeyPrincipal } from '../api-key/api-key.types.js';
import { isNestAuthError } from '../errors/nest-auth.error.js';
import { TenantContext } from '../isolation/tenant-context.js';
import { AuthService } from '../session/auth.service.js';
import { AccessCalls } from './access-calls.js';
import { fulfils, readRequirement } from './access-plan.policy.js';
import { AccessRefusedError } from './access-refused.error.js';
import { GuardSettings } from './guard.settings.js';
import type { AccessRequirement, AuthPrincipal, Principal, ServicePrincipal } from './guard.types.js';

/**
 * Who calls, and what they may do: what every guard asks, and for code that no guard runs for, such as a message
 * handler, a socket or a job.
 *
 * The tenant is that of the verified session, and is never passed. With row-level security these calls find their
 * scope themselves.
 */
@Injectable()
export class AccessGate {
  constructor(
    private readonly auth: AuthService,
    private readonly access: AccessService,
    private readonly tenants: TenantContext,
    private readonly calls: AccessCalls,
    private readonly settings: GuardSettings,
    private readonly keys: ApiKeyService,
  ) {}

  /**
   * Whose an access token is: refused when the session, the user, the access or the tenant has ended. Ask again for
   * every message of a connection that stays open.
   *
   * Transaction: as `AuthService.authenticate`. Errors: `ACCESS_TOKEN_INVALID`, `INVALID_OPTIONS`.
   */
  async authenticate(token: string, manager?: EntityManager): Promise<AuthPrincipal> {
    const claims = await this.auth.authenticate(token, manager).catch((error: unknown) => {
      throw isNestAuthError(error, 'ACCESS_TOKEN_INVALID') ? new AccessRefusedError(error.code, error) : error;
    });
    const { userId, sessionId, tenantId, expiresAt } = claims;
    return Object.freeze({ type: 'user', userId, sessionId, tenantId, expiresAt });
  }

  /**
   * Whose an API key is, as `ApiKeyService.authenticateApiKey`; for code that no guard runs for. Whether keys are good
   * enough there is for that code to say.
   *
   * Transaction: as there. Errors: `API_KEY_INVALID`, `INVALID_OPTIONS`.
   */
  async authenticateApiKey(key: string, manager?: EntityManager): Promise<ApiKeyPrincipal> {
    return this.keys.authenticateApiKey(key, manager).catch((error: unknown) => {
      throw isNestAuthError(error, 'API_KEY_INVALID') ? new AccessRefusedError(error.code, error) : error;
    });
  }

  /** Whose a service's token is. Asks no database. Errors: `ACCESS_TOKEN_INVALID` for all but those of `guard.services`. */
  async authenticateService(token: string): Promise<ServicePrincipal> {
    const service = this.settings.findService(token);
    if (service === null) throw new AccessRefusedError('ACCESS_TOKEN_INVALID');
    return service;
  }

  /**
   * Refuses whoever does not have what is asked for; a session that is in no tenant has nothing there, a service has
   * neither roles nor the platform, and a key has no roles, and the permissions of its user as far as its scopes go.
   *
   * Transaction: as `AccessService.getGrants`; a service's is one without. Errors: `PERMISSION_DENIED`, which does not
   * tell what is missing; `VALIDATION_FAILED` for a requirement that asks for nothing.
   */
  async assert(principal: Principal, requirement: AccessRequirement, manager?: EntityManager): Promise<void> {
    const demand = readRequirement(requirement);
    const grants = await this.getGrants(principal, demand.platform, manager);
    if (!fulfils(grants, demand)) throw new AccessRefusedError('PERMISSION_DENIED');
  }

  /**
   * All that the caller may do in the tenant of the session, or on the platform; one that grants nothing where there is
   * no access.
   *
   * Transaction: as `AccessService.getGrants`.
   */
  async getGrants(principal: Principal, platform = false, manager?: EntityManager): Promise<AccessGrants> {
    if (principal.type === 'service') return grantsOfService(principal, platform);
    if (principal.type === 'api_key') return this.#grantsOfKey(principal, platform, manager);
    return this.#grantsOfUser(principal, platform, manager);
  }

  /** Of a key that works elsewhere nothing: one in a tenant never reaches the platform, nor the other way round. */
  async #grantsOfKey(principal: ApiKeyPrincipal, platform: boolean, manager?: EntityManager): Promise<AccessGrants> {
    const { tenantId, scopes, expiresAt } = principal;
    if (platform !== (tenantId === null)) return nothing(principal.userId ?? '', platform ? null : tenantId);
    if (principal.kind === 'user') return (await this.#grantsOfUser(principal, platform, manager)).scopedTo(scopes);
    return new AccessGrants({ userId: '', tenantId, roles: [], granted: scopes, denied: [], validUntil: expiresAt });
  }

  async #grantsOfUser(
    { userId, tenantId }: Pick<AuthPrincipal, 'userId' | 'tenantId'>,
    platform: boolean,
    manager?: EntityManager,
  ): Promise<AccessGrants> {
    const grants = platform
      ? await this.tenants.asPlatform(() => this.access.getPlatformGrants(userId, manager))
      : tenantId !== null && (await this.#inTenant(tenantId, () => this.access.getGrants(userId, tenantId, manager)));
    return grants || nothing(userId, platform ? null : tenantId);
  }

  /**
   * Runs `fn` as this caller, as a guarded handler runs: activities tell the user, tenant and session, or the service,
   * and with row-level security nothing of another tenant can be read or changed.
   *
   * Transaction: opens none. Errors: `TENANT_CONTEXT_MISMATCH` inside a transaction of another tenant.
   */
  async runAs<T>(principal: Principal, fn: () => Promise<T> | T): Promise<T> {
    return this.calls.enter(
      {
        principal,
        tenantId: principal.type === 'service' ? null : principal.tenantId,
        grants: () => this.getGrants(principal),
      },
      fn,
    );
  }

  /** In the tenant that the code runs for already, or beside all of them: which rows count is in the statement. */
  #inTenant<T>(tenantId: string, fn: () => Promise<T>): Promise<T> {
    return this.tenants.tenantId === tenantId ? fn() : this.tenants.asPlatform(fn);
  }
}

function grantsOfService({ permissions }: ServicePrincipal, platform: boolean): AccessGrants {
  return new AccessGrants({
    userId: '',
    tenantId: null,
    roles: [],
    granted: platform ? [] : permissions,
    denied: [],
    validUntil: null,
  });
}

function nothing(userId: string, tenantId: string | null): AccessGrants {
  return new AccessGrants({ userId, tenantId, roles: [], granted: [], denied: [], validUntil: null });
}

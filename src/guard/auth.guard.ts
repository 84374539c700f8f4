import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { AccessGrants } from '../access/access-grants.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { AccessCalls } from './access-calls.js';
import { AccessGate } from './access-gate.js';
import { guardOf, kindOfGuard, planOfHandler } from './access-marks.js';
import { type AccessPlan, demandsAnything, fulfils } from './access-plan.policy.js';
import { AccessRefusedError } from './access-refused.error.js';
import type { Principal } from './guard.types.js';
import { GuardLog } from './guard.log.js';
import { bearerOf } from './request.policy.js';

/**
 * Lets in whoever is signed in, and has what the decorators ask for; for `@Public` everybody, for `@ServiceOnly` the
 * services. Register it for the whole application by the option `guardAllRoutes`.
 *
 * Each guard of this package enforces every decorator of this package, so that none can be left without its guard.
 * Needs an access token as `Authorization: Bearer …`, or with the option `guard.apiKeys` an API key, there or as
 * `X-API-Key: …`; there is nothing else by which anybody is known, and the tenant is that of the session, or of the key. Elsewhere than over HTTP and GraphQL extend it, and say where the token is.
 *
 * Errors: `UNAUTHENTICATED`, `ACCESS_TOKEN_INVALID` and `API_KEY_INVALID` (401), `PERMISSION_DENIED` (403), which do not tell what was
 * missing; the log does.
 */
@Injectable()
@guardOf('user')
export class AuthGuard implements CanActivate {
  constructor(
    private readonly gate: AccessGate,
    private readonly calls: AccessCalls,
    private readonly log: GuardLog,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const plan = this.#plan(context);
    if (plan.audience === 'public') {
      this.calls.keep(context, null);
      return true;
    }
    let principal: Principal | undefined;
    try {
      principal = await this.#authenticate(context, plan);
      await this.#judge(principal, plan);
    } catch (error) {
      this.log.refused(context, plan, principal, error);
      throw error;
    }
    this.#keep(context, principal, plan);
    return true;
  }

  /** The token of a call; override it for a transport whose messages have no headers. */
  protected readToken(context: ExecutionContext): string | null {
    return bearerOf(context);
  }

  #plan(context: ExecutionContext): AccessPlan {
    const [type, handler] = [context.getClass(), context.getHandler()];
    const plan = planOfHandler(type, handler, kindOfGuard(this) ?? 'user');
    if (plan.problems.length === 0) return plan;
    throw new NestAuthError('GUARD_MISCONFIGURED', `${type.name}.${handler.name} ${plan.problems.join('; ')}`);
  }

  async #authenticate(context: ExecutionContext, { audience, services }: AccessPlan): Promise<Principal> {
    const token = this.readToken(context);
    const key = audience === 'user' ? this.calls.findKey(token, context) : null;
    if (key !== null) return this.gate.authenticateApiKey(key);
    if (token === null) throw new AccessRefusedError('UNAUTHENTICATED');
    if (audience === 'user') return this.gate.authenticate(token);
    const service = await this.gate.authenticateService(token);
    if (services.every((names) => names.length === 0 || names.includes(service.name))) return service;
    throw new AccessRefusedError('PERMISSION_DENIED');
  }

  async #judge(principal: Principal, { demand, takesApiKeys }: AccessPlan): Promise<void> {
    if (principal.type === 'api_key' && !takesApiKeys) throw new AccessRefusedError('PERMISSION_DENIED');
    if (!demandsAnything(demand)) return;
    const grants = await this.gate.getGrants(principal, demand.platform);
    if (!fulfils(grants, demand)) throw new AccessRefusedError('PERMISSION_DENIED');
  }

  #keep(context: ExecutionContext, principal: Principal, { demand: { platform } }: AccessPlan): void {
    let grants: Promise<AccessGrants> | undefined;
    this.calls.keep(context, {
      principal,
      tenantId: principal.type === 'service' || platform ? null : principal.tenantId,
      grants: () => (grants ??= this.gate.getGrants(principal, platform)),
    });
  }
}

/** As {@link AuthGuard}, for handlers that have `@Roles`: on one that has none nobody is let in. */
@Injectable()
@guardOf('roles')
export class RolesGuard extends AuthGuard {}

/** As {@link AuthGuard}, for handlers that have `@Permissions`: on one that has none nobody is let in. */
@Injectable()
@guardOf('permissions')
export class PermissionsGuard extends AuthGuard {}

/** As {@link AuthGuard}, and as if `@PlatformOnly` stood on every handler that it guards. */
@Injectable()
@guardOf('platform')
export class PlatformGuard extends AuthGuard {}

/** Lets in services and no person, as if `@ServiceOnly` stood on every handler that it guards. */
@Injectable()
@guardOf('service')
export class ServiceGuard extends AuthGuard {}

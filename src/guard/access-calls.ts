import { AsyncLocalStorage } from 'node:async_hooks';
import type { ExecutionContext } from '@nestjs/common';
import type { AccessGrants } from '../access/access-grants.js';
import { ActorTypeEnum, type IdentityFacts } from '../audit/activity.types.js';
import { IdentityContext } from '../audit/identity-context.js';
import { TenantContext } from '../isolation/tenant-context.js';
import type { Principal } from './guard.types.js';
import { apiKeyOf, callKeyOf, requestOf } from './request.policy.js';

/** A call that was let in. */
export interface AccessCall {
  readonly principal: Principal;
  /** Null where it works for no tenant: on the platform, for a service, and for a session that is in none. */
  readonly tenantId: string | null;
  grants(): Promise<AccessGrants>;
}

/** By what stands for a call. Nothing that a client sends can put anything here. */
const calls = new WeakMap<object, KeptCall | null>();
const running = new AsyncLocalStorage<AccessCall>();

interface KeptCall extends AccessCall {
  /** An application may have two of them, for two databases. */
  readonly keeper: AccessCalls;
}

/** The call that a parameter belongs to; null where nobody had to sign in. */
export function findCall(context: ExecutionContext): AccessCall | null {
  for (const key of [callKeyOf(context), requestOf(context)]) {
    const call = key === undefined ? undefined : calls.get(key);
    if (call !== undefined) return call;
  }
  return running.getStore() ?? null;
}

/** Runs what was let in: activities tell who does it, and row-level security is bound to the tenant. */
export class AccessCalls {
  /** `keyPrefix` is how API keys begin; undefined where they let nobody in. */
  constructor(
    private readonly tenants: TenantContext,
    private readonly keyPrefix?: string,
  ) {}

  /**
   * The API key that a call brings: a Bearer token that begins like one, which no other does, or where there is no token
   * what the header for keys holds. Of two that could say who calls, one does.
   */
  findKey(token: string | null, context: ExecutionContext): string | null {
    if (this.keyPrefix === undefined) return null;
    if (token === null) return apiKeyOf(context);
    return token.startsWith(this.keyPrefix) ? token : null;
  }

  /** Keeps what a guard has found out, for what runs behind it; null for a call that anybody may make. */
  keep(context: ExecutionContext, call: AccessCall | null): void {
    const kept = call === null ? null : { ...call, keeper: this };
    calls.set(callKeyOf(context), kept);
    const request = requestOf(context);
    // For the fields below an operation of GraphQL, which no guard runs for.
    if (kept !== null && request !== undefined) calls.set(request, kept);
  }

  /** The call that this very context was let in for, and that is not running yet. */
  of(context: ExecutionContext): AccessCall | null {
    const call = calls.get(callKeyOf(context));
    return call?.keeper === this && call !== running.getStore() ? call : null;
  }

  enter<T>(call: AccessCall, fn: () => Promise<T> | T): Promise<T> {
    const { tenantId } = call;
    return running.run(call, () =>
      IdentityContext.run(factsOf(call), async () =>
        tenantId !== null && this.tenants.isEnforced ? this.tenants.run(tenantId, fn) : fn(),
      ),
    );
  }
}

function factsOf({ principal, tenantId }: AccessCall): IdentityFacts {
  if (principal.type === 'service') return { actor: { type: ActorTypeEnum.SERVICE, id: principal.name } };
  const tenant = tenantId === null ? {} : { tenantId };
  if (principal.type === 'user') {
    const { userId, sessionId } = principal;
    return { actor: { type: ActorTypeEnum.USER, id: userId }, sessionId, ...tenant };
  }
  const { keyId, scopes } = principal;
  const actor =
    principal.kind === 'user'
      ? { type: ActorTypeEnum.USER, id: principal.userId }
      : { type: ActorTypeEnum.SERVICE, id: principal.serviceAccountId };
  return { actor, apiKey: { id: keyId, tenantId: principal.tenantId, scopes }, ...tenant };
}

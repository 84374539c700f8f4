import { createParamDecorator, type ExecutionContext, type PipeTransform, type Type } from '@nestjs/common';
import type { AccessGrants } from '../access/access-grants.js';
import type { ApiKeyPrincipal, UserKeyPrincipal } from '../api-key/api-key.types.js';
import { type AccessCall, findCall } from './access-calls.js';
import { AccessRefusedError } from './access-refused.error.js';
import type { AuthPrincipal, ServicePrincipal } from './guard.types.js';

export interface CurrentOptions {
  /** Null instead of a refusal. @default false */
  readonly optional?: boolean;
}

/** As Nest makes them, written down by what its versions 11 and 12 both have. */
type Pipes = (PipeTransform | Type<PipeTransform>)[];
type Current = (...pipes: Pipes) => ParameterDecorator;
type CurrentOr = (options?: CurrentOptions | Pipes[number], ...pipes: Pipes) => ParameterDecorator;

/**
 * Who is signed in, an {@link AuthPrincipal}; with the key of a user, where `guard.apiKeys` lets it in, a
 * {@link UserKeyPrincipal}, which has no `sessionId`. Asks no database; `AuthService.me` has the whole user.
 *
 * Errors: `UNAUTHENTICATED` where no guard has let a user in, such as a `@Public` handler, or by the key of a service
 * account; with `optional` null.
 */
export const CurrentUser: CurrentOr = createParamDecorator(
  (options: CurrentOptions | undefined, context): AuthPrincipal | UserKeyPrincipal | null =>
    missingAs(options, () => userOf(context)),
);

/**
 * The API key by which somebody calls, an {@link ApiKeyPrincipal}.
 *
 * Errors: `UNAUTHENTICATED` where nobody was let in by a key; with `optional` null.
 */
export const CurrentApiKey: CurrentOr = createParamDecorator(
  (options: CurrentOptions | undefined, context): ApiKeyPrincipal | null =>
    missingAs(options, () => {
      const { principal } = callOf(context);
      if (principal.type !== 'api_key') throw new AccessRefusedError('UNAUTHENTICATED');
      return principal;
    }),
);

/**
 * Id of the tenant that the session is in, or in which the API key works, as it was verified; nothing of the request can
 * change it.
 *
 * Errors: `TENANT_REQUIRED` for a session or key in none and on a `@PlatformOnly` handler, with `optional` null;
 * `UNAUTHENTICATED`.
 */
export const CurrentTenant: CurrentOr = createParamDecorator(
  (options: CurrentOptions | undefined, context): string | null =>
    missingAs(options, () => {
      const { tenantId } = memberCallOf(context);
      if (tenantId === null) throw new AccessRefusedError('TENANT_REQUIRED');
      return tenantId;
    }),
);

/**
 * What the user, or the service account, may do, {@link AccessGrants}: in the tenant of the session or the key, or on a
 * `@PlatformOnly` handler on the platform. For a key it ends where the scopes do. Where there is no access it grants
 * nothing.
 *
 * Errors: `UNAUTHENTICATED`.
 */
export const CurrentAccess: Current = createParamDecorator((_data: undefined, context): Promise<AccessGrants> => {
  return memberCallOf(context).grants();
});

/** The service that calls, a {@link ServicePrincipal}. Errors: `UNAUTHENTICATED` where none was let in. */
export const CurrentService: Current = createParamDecorator((_data: undefined, context): ServicePrincipal => {
  const { principal } = callOf(context);
  if (principal.type !== 'service') throw new AccessRefusedError('UNAUTHENTICATED');
  return principal;
});

function userOf(context: ExecutionContext): AuthPrincipal | UserKeyPrincipal {
  const { principal } = callOf(context);
  if (principal.type === 'user' || (principal.type === 'api_key' && principal.kind === 'user')) return principal;
  throw new AccessRefusedError('UNAUTHENTICATED');
}

/** A call of somebody who belongs to a tenant, or to the platform. */
function memberCallOf(context: ExecutionContext): AccessCall {
  const call = callOf(context);
  if (call.principal.type === 'service') throw new AccessRefusedError('UNAUTHENTICATED');
  return call;
}

function callOf(context: ExecutionContext): AccessCall {
  const call = findCall(context);
  if (call === null) throw new AccessRefusedError('UNAUTHENTICATED');
  return call;
}

function missingAs<T>(options: CurrentOptions | undefined, read: () => T): T | null {
  if (options?.optional !== true) return read();
  try {
    return read();
  } catch (error) {
    if (error instanceof AccessRefusedError) return null;
    throw error;
  }
}

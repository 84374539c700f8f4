import 'reflect-metadata';
import type { ExecutionContext } from '@nestjs/common';

/** The part of a request, of Express or Fastify, that is read. */
interface Request {
  readonly headers?: Readonly<Record<string, unknown>>;
}

/** The context of a GraphQL operation: of Apollo on Express, or on Fastify, or of Mercurius. */
interface GraphQLContext {
  readonly req?: Request;
  readonly request?: Request;
  readonly reply?: { readonly request?: Request };
}

/** RFC 6750, section 2.1; the scheme's case does not matter (RFC 9110, section 11.1). */
const BEARER = /^Bearer +([\w.~+/-]+=*)$/i;
const MAX_LENGTH = 8_192;

/** The token of the `Authorization` header, the only place where that of a session is looked for; null for none or another scheme. */
export function bearerOf(context: ExecutionContext): string | null {
  const header = requestOf(context)?.headers?.['authorization'];
  if (typeof header !== 'string' || header.length > MAX_LENGTH) return null;
  return BEARER.exec(header)?.[1] ?? null;
}

/** What the header `X-API-Key` holds; null for none. */
export function apiKeyOf(context: ExecutionContext): string | null {
  const header = requestOf(context)?.headers?.['x-api-key'];
  return typeof header === 'string' && header.length <= MAX_LENGTH ? header : null;
}

/**
 * What stands for this one call, for guard, interceptor and parameter alike: the request, or what GraphQL makes for each
 * operation, because one request may hold many of them.
 */
export function callKeyOf(context: ExecutionContext): object {
  const type = context.getType<string>();
  const info = type === 'graphql' ? context.getArgByIndex<unknown>(3) : undefined;
  const key: unknown = type === 'http' ? context.switchToHttp().getRequest() : info;
  return isObject(key) ? key : context.getArgs();
}

/** Undefined where there is no HTTP request: then nobody can be signed in by a header. */
export function requestOf(context: ExecutionContext): Request | undefined {
  const type = context.getType<string>();
  const found: unknown =
    type === 'http' ? context.switchToHttp().getRequest() : type === 'graphql' ? ofGraphQL(context) : null;
  return isObject(found) ? found : undefined;
}

function ofGraphQL(context: ExecutionContext): unknown {
  // A reference of a federation has no arguments, so that its context comes one earlier.
  const isReference = Reflect.getMetadata('graphql:resolve_reference', context.getHandler()) === true;
  const graphql = context.getArgByIndex<unknown>(isReference ? 1 : 2) as GraphQLContext | null | undefined;
  return graphql?.req ?? graphql?.request ?? graphql?.reply?.request;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

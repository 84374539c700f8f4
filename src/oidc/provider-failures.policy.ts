import { NestAuthError } from '../errors/nest-auth.error.js';

/** Codes of `openid-client` for a provider that could not be asked, or has answered with a fault of its own. */
const UNREACHABLE = new Set([
  'OAUTH_TIMEOUT',
  'OAUTH_ABORT',
  // The provider does not know the application: that is nothing the person could help.
  'OAUTH_WWW_AUTHENTICATE_CHALLENGE',
  'OAUTH_RESPONSE_IS_NOT_CONFORM',
  'OAUTH_RESPONSE_IS_NOT_JSON',
  'OAUTH_PARSE_ERROR',
  'OAUTH_HTTP_REQUEST_FORBIDDEN',
  'OAUTH_REQUEST_PROTOCOL_FORBIDDEN',
  'OAUTH_MISSING_SERVER_METADATA',
  'OAUTH_INVALID_SERVER_METADATA',
]);

/** What a provider answers when it has the trouble itself (RFC 6749, 4.1.2.1), or with this application and not with a person. */
const OWN_TROUBLE = new Set([
  'server_error',
  'temporarily_unavailable',
  'invalid_client',
  'unauthorized_client',
  'unsupported_grant_type',
  'unsupported_response_type',
  'invalid_scope',
  'invalid_request',
]);

/** Parts of the errors of `openid-client`, of which some also hold tokens. */
interface ClientFailure {
  readonly code?: unknown;
  /** What the provider has answered in `error`. */
  readonly error?: unknown;
  readonly status?: unknown;
}

/** The provider could not be asked for what it is. */
export function notDiscovered(name: string, error: unknown): NestAuthError {
  if (error instanceof NestAuthError) return error;
  return unavailable(name, codeOf(error) ?? 'no connection');
}

/**
 * What went wrong with somebody who came back. Only codes are kept of it: the error of the library, its causes and what
 * the provider writes may quote tokens, codes and claims.
 */
export function notProven(name: string, error: unknown): NestAuthError {
  if (error instanceof NestAuthError) return error;
  const { error: answered, status } = (error ?? {}) as ClientFailure;
  const code = codeOf(error);
  if (typeof answered === 'string') {
    if (OWN_TROUBLE.has(answered) || (typeof status === 'number' && status >= 500)) return unavailable(name, answered);
    if (code === 'OAUTH_AUTHORIZATION_RESPONSE_ERROR')
      return new NestAuthError(
        'EXTERNAL_SIGN_IN_DENIED',
        `The sign-in by ${name} was declined, by the person or there`,
      );
    return invalidAnswer(name, /^[a-z_]{1,40}$/.test(answered) ? answered : 'an unknown error');
  }
  // Without a code: a connection that failed, whatever the platform calls that.
  if (code === undefined || UNREACHABLE.has(code)) return unavailable(name, code ?? 'no connection');
  return invalidAnswer(name, code);
}

function codeOf(error: unknown): string | undefined {
  const { code } = (error ?? {}) as ClientFailure;
  return typeof code === 'string' && /^[A-Z_]{1,60}$/.test(code) ? code : undefined;
}

export function unavailable(name: string, why: string): NestAuthError {
  return new NestAuthError('PROVIDER_UNAVAILABLE', `The identity provider ${name} cannot be used: ${why}`);
}

export function invalidAnswer(name: string, why: string): NestAuthError {
  return new NestAuthError('EXTERNAL_SIGN_IN_INVALID', `The answer of ${name} cannot be believed: ${why}`);
}

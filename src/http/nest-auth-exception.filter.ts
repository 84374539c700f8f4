import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import {
  NEST_AUTH_ERRORS,
  NestAuthError,
  type NestAuthErrorCode,
  type SecondFactorRequiredError,
} from '../errors/nest-auth.error.js';

/** The part of an HTTP response, of Express or Fastify, that the filter uses. */
interface HttpResponse {
  status(code: number): { json?(body: unknown): unknown; send(body: unknown): unknown };
  header?(name: string, value: string): unknown;
}

/** What every 401 must tell (RFC 9110, section 11.6.1), in the words of RFC 6750. */
const CHALLENGES: Partial<Record<NestAuthErrorCode, string>> = {
  UNAUTHENTICATED: 'Bearer',
  INVALID_CREDENTIALS: 'Bearer',
  SECOND_FACTOR_REQUIRED: 'Bearer',
  SECOND_FACTOR_ENROLMENT_REQUIRED: 'Bearer',
  SECOND_FACTOR_INVALID: 'Bearer',
  REFRESH_TOKEN_INVALID: 'Bearer',
  ACCESS_TOKEN_INVALID: 'Bearer error="invalid_token"',
};

/**
 * Answers our errors with the status of their code. What is the server's own fault is not explained to the client.
 *
 * For HTTP it writes `{ statusCode, code, message, details }`, and the `challenge` of a sign-in that waits for more; elsewhere (GraphQL, RPC) it hands on an `HttpException`
 * with the same body, from which their drivers take the code. Use it with `app.useGlobalFilters(new …())`.
 */
@Catch(NestAuthError)
export class NestAuthExceptionFilter implements ExceptionFilter<NestAuthError> {
  catch(error: NestAuthError, host: ArgumentsHost): unknown {
    const { status } = NEST_AUTH_ERRORS[error.code];
    const body = bodyOf(error, status);
    if (host.getType() !== 'http') throw new HttpException(body, status, { cause: error });
    const answer = host.switchToHttp().getResponse<HttpResponse>();
    const challenge = CHALLENGES[error.code];
    if (challenge !== undefined) answer.header?.('www-authenticate', challenge);
    const { retryAfterSeconds } = error.details;
    if (retryAfterSeconds !== undefined) answer.header?.('retry-after', String(retryAfterSeconds));
    const response = answer.status(status);
    return response.json === undefined ? response.send(body) : response.json(body);
  }
}

function bodyOf(error: NestAuthError, statusCode: number): Record<string, unknown> {
  const { code, message, details } = error;
  if (statusCode >= 500) return { statusCode, code, message: NEST_AUTH_ERRORS[code].meaning };
  const { issues, fields, ids, retryAfterSeconds } = details;
  // By what it has and not by its class: another copy of the package may have thrown it.
  const { challenge } = error as Partial<SecondFactorRequiredError>;
  const body = { statusCode, code, message, details: { issues, fields, ids, retryAfterSeconds } };
  return challenge === undefined ? body : { ...body, challenge };
}

import { isIP } from 'node:net';
import { Injectable, type NestMiddleware } from '@nestjs/common';
import { v4 as uuidv4 } from 'uuid';
import { IdentityContext } from '../audit/identity-context.js';

/** The part of a request, of Express or Fastify, that is read. */
interface HttpRequest {
  /** What the server takes for the client's address; with `trust proxy` that of a header. */
  readonly ip?: string | undefined;
  readonly socket?: { readonly remoteAddress?: string | undefined };
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

interface HttpResponse {
  setHeader?(name: string, value: string): unknown;
}

const REQUEST_ID = 'x-request-id';
/** Ids as proxies and clients make them: no space, nothing that could forge a line of a log. */
const WELL_FORMED = /^[\w.:=+/@-]{8,128}$/;

/**
 * Fills `IdentityContext` from the HTTP request: address, user agent and request id. Every activity that the request
 * leads to tells them.
 *
 * Whether a proxy is believed is decided by Express (`app.set('trust proxy', …)`). The request id is that of the header
 * `x-request-id` when it is well-formed, else a new UUID; the response carries it. Who the caller is, it does not know:
 * set the actor where you authenticate.
 */
@Injectable()
export class IdentityContextMiddleware implements NestMiddleware<HttpRequest, HttpResponse> {
  use(request: HttpRequest, response: HttpResponse, next: () => void): void {
    const requestId = requestIdOf(request);
    response.setHeader?.(REQUEST_ID, requestId);
    const ip = addressOf(request.ip ?? request.socket?.remoteAddress);
    const userAgent = headerOf(request, 'user-agent');
    IdentityContext.run(
      { requestId, ...(ip === undefined ? {} : { ip }), ...(userAgent === undefined ? {} : { userAgent }) },
      next,
    );
  }
}

function requestIdOf(request: HttpRequest): string {
  const given = headerOf(request, REQUEST_ID);
  return given !== undefined && WELL_FORMED.test(given) ? given : uuidv4();
}

/** An address that PostgreSQL takes: without the zone of a link, and IPv4 as such. Undefined for what is none. */
function addressOf(address: string | undefined): string | undefined {
  const [plain = ''] = (address ?? '').split('%');
  const mapped = /^::ffff:([\d.]+)$/i.exec(plain)?.[1] ?? plain;
  return isIP(mapped) === 0 ? undefined : mapped;
}

function headerOf({ headers }: HttpRequest, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

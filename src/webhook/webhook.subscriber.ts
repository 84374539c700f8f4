import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { DeliveryContext, IdentityEvent, Subscriber } from '../feed/feed.types.js';
import { isPublic, lookupPublic, PrivateAddressError } from './public-address.js';
import { sign } from './webhook.signature.js';
import type { WebhookOptions } from './webhook.types.js';

const DEFAULTS = { timeoutMs: 10_000, maxAttempts: 12, backoffMs: 5_000, startFrom: 'now' } as const;

/** The receiver's answer was none of success. */
class RefusedByReceiverError extends Error {
  override readonly name = 'RefusedByReceiverError';

  constructor(status: number) {
    super(`status ${status}`);
  }
}

/** A durable subscriber that posts each event to an address. */
export function webhookSubscriber(webhook: WebhookOptions): Subscriber {
  const { timeoutMs, maxAttempts, backoffMs, startFrom } = { ...DEFAULTS, ...webhook };
  const handle = async (event: IdentityEvent, { signal }: DeliveryContext): Promise<void> => {
    if (webhook.tenantId !== undefined && webhook.tenantId !== event.tenantId) return;
    await post(webhook, event, signal);
  };
  return {
    name: `webhook:${webhook.name}`,
    handlers: new Map(webhook.types.map((type) => [type, handle])),
    startFrom,
    maxAttempts,
    backoffMs,
    timeoutMs,
    transactional: false,
  };
}

/** Rejects unless the receiver answers with 2xx. A redirect is an answer like any other: it is not followed. */
async function post(webhook: WebhookOptions, event: IdentityEvent, signal: AbortSignal): Promise<void> {
  const url = new URL(webhook.url);
  const body = JSON.stringify(event);
  // Of each attempt: the receiver refuses what was signed long ago.
  const timestamp = Math.floor(Date.now() / 1000);
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'user-agent': 'nest-auth-identity',
    'webhook-id': event.id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': sign(webhook.secrets, event.id, timestamp, body),
  };
  const isGuarded = webhook.allowPrivateAddresses !== true;
  if (isGuarded) refuseLiteral(url);
  const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
  await new Promise<void>((resolve, reject) => {
    const outgoing = send(url, {
      method: 'POST',
      headers,
      signal,
      agent: false,
      ...(isGuarded ? { lookup: lookupPublic } : {}),
    });
    outgoing.on('error', reject);
    outgoing.on('response', ({ statusCode = 0 }) => {
      // What it says beyond that is of no use, and could be endless.
      outgoing.destroy();
      if (statusCode >= 200 && statusCode < 300) resolve();
      else reject(new RefusedByReceiverError(statusCode));
    });
    outgoing.end(body);
  });
}

/** A host that is an address already is not looked up. */
function refuseLiteral({ hostname }: URL): void {
  const address = hostname.replace(/^\[|\]$/g, '');
  if (isIP(address) !== 0 && !isPublic(address)) throw new PrivateAddressError();
}

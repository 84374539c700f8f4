import { createHmac, timingSafeEqual } from 'node:crypto';
import { NestAuthError } from '../errors/nest-auth.error.js';

const PREFIX = 'whsec_';
const MIN_BYTES = 24;
const MAX_BYTES = 64;

/** The key of a secret; undefined when it is none. */
export function keyOf(secret: unknown): Buffer | undefined {
  if (typeof secret !== 'string' || !secret.startsWith(PREFIX)) return undefined;
  const text = secret.slice(PREFIX.length);
  const key = Buffer.from(text, 'base64');
  // Node ignores what is not base64: only what it would write itself was meant.
  const isExact = key.toString('base64').replaceAll('=', '') === text.replaceAll('=', '');
  return isExact && key.length >= MIN_BYTES && key.length <= MAX_BYTES ? key : undefined;
}

/** The value of `webhook-signature`: one for each secret. https://www.standardwebhooks.com */
export function sign(secrets: readonly string[], id: string, timestamp: number, body: string): string {
  return secrets.map((secret) => `v1,${signature(secret, id, timestamp, body)}`).join(' ');
}

/** What a receiver passes on of a request. */
export interface ReceivedWebhook {
  /** With names in lower case, as Node gives them. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The bytes as they came, before any parser. */
  readonly body: string | Uint8Array;
}

/**
 * Whether a request was signed with one of the secrets, not long ago. For receivers; pass the raw body.
 *
 * A delivery can come twice: keep the `webhook-id` of those that were handled.
 *
 * Errors: `INVALID_OPTIONS` for a malformed secret.
 *
 * @param options.toleranceSeconds - How far the signed time may be from this process's clock. @default 300
 */
export function verifyWebhook(
  { headers, body }: ReceivedWebhook,
  secrets: readonly string[],
  { toleranceSeconds = 300 }: { readonly toleranceSeconds?: number } = {},
): boolean {
  for (const secret of secrets) if (keyOf(secret) === undefined) throw malformed();
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': given } = headers;
  if (typeof id !== 'string' || typeof time !== 'string' || typeof given !== 'string') return false;
  const timestamp = Number(time);
  if (!/^\d{1,12}$/.test(time) || Math.abs(Date.now() / 1000 - timestamp) > toleranceSeconds) return false;
  const text = typeof body === 'string' ? body : Buffer.from(body).toString('utf8');
  const expected = secrets.map((secret) => Buffer.from(signature(secret, id, timestamp, text)));
  return given
    .split(' ')
    .filter((one) => one.startsWith('v1,'))
    .map((one) => Buffer.from(one.slice(3)))
    .some((one) => expected.some((wanted) => one.length === wanted.length && timingSafeEqual(one, wanted)));
}

function signature(secret: string, id: string, timestamp: number, body: string): string {
  const key = keyOf(secret);
  if (key === undefined) throw malformed();
  return createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
}

function malformed(): NestAuthError {
  return new NestAuthError(
    'INVALID_OPTIONS',
    `A webhook secret must be ${PREFIX} and base64 of ${MIN_BYTES} to ${MAX_BYTES} random bytes`,
    { details: { option: 'secrets' } },
  );
}

import { isUuid } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { keyOf } from './webhook.signature.js';
import type { WebhookOptions } from './webhook.types.js';

const FIELDS = new Set<string>([
  'name',
  'url',
  'types',
  'secrets',
  'tenantId',
  'allowPrivateAddresses',
  'timeoutMs',
  'maxAttempts',
  'backoffMs',
  'startFrom',
] satisfies (keyof WebhookOptions)[]);

/** Refuses, by name and place, webhooks that could not be delivered or would not be safe. Event types are checked with those of the subscribers. */
export function checkWebhooks(webhooks: readonly WebhookOptions[]): readonly WebhookOptions[] {
  if (!Array.isArray(webhooks)) refuse('webhooks', 'must be an array');
  webhooks.forEach((webhook, index) => check(webhook, `webhooks[${index}]`));
  const names = webhooks.map(({ name }) => name);
  if (new Set(names).size < names.length) refuse('webhooks', 'must have different names');
  return webhooks;
}

function check(webhook: WebhookOptions, option: string): void {
  for (const field of Object.keys(webhook)) if (!FIELDS.has(field)) refuse(`${option}.${field}`, 'is not an option');
  const { name, url, types, secrets, tenantId, allowPrivateAddresses = false } = webhook;
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9._-]{0,79}$/.test(name)) {
    refuse(`${option}.name`, "must be lower-case letters, digits, '-', '_' and '.'");
  }
  if (typeof allowPrivateAddresses !== 'boolean') refuse(`${option}.allowPrivateAddresses`, 'must be true or false');
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const protocols = allowPrivateAddresses ? ['https:', 'http:'] : ['https:'];
  if (parsed === undefined || !protocols.includes(parsed.protocol)) refuse(`${option}.url`, 'must be an https address');
  if (parsed.username !== '' || parsed.password !== '') refuse(`${option}.url`, 'must hold no user and password');
  if (!Array.isArray(types) || types.length === 0) refuse(`${option}.types`, "must name events, or '*'");
  if (!Array.isArray(secrets) || secrets.length === 0 || secrets.some((secret) => keyOf(secret) === undefined)) {
    refuse(`${option}.secrets`, 'must each be whsec_ and base64 of 24 to 64 random bytes');
  }
  if (tenantId !== undefined && !isUuid(tenantId)) refuse(`${option}.tenantId`, 'must be the UUID of a tenant');
}

function refuse(option: string, message: string): never {
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

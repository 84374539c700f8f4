import { createPrivateKey } from 'node:crypto';
import { isIP } from 'node:net';
import { NestAuthError } from '../errors/nest-auth.error.js';

/** A provider that speaks OpenID Connect, and this application's account there. */
export interface OpenIdConnectOptions {
  /** Lower-case letters, digits, `_` and `-`. A part of the key of its accounts: keep it. */
  readonly name: string;
  /** As the provider writes it, such as `https://accounts.example.com`. Its endpoints are discovered when they are needed. */
  readonly issuer: string;
  readonly clientId: string;
  /** One of secret and private key is needed. */
  readonly clientSecret?: string | undefined;
  /** How the secret is sent. @default 'client_secret_basic', which every provider has to know (RFC 6749, 2.3.1) */
  readonly clientAuthentication?: 'client_secret_basic' | 'client_secret_post' | undefined;
  /** PKCS #8 in PEM, for `private_key_jwt` (RFC 7523): of P-256, Ed25519, or RSA with 2048 bits or more. */
  readonly privateKey?: string | undefined;
  /** Names the private key, if the provider knows several. */
  readonly privateKeyId?: string | undefined;
  /** The callback of this application, as the provider has it. Never made from a request. */
  readonly redirectUri: string;
  /** @default ['openid', 'email', 'profile'] */
  readonly scopes?: readonly string[] | undefined;
  /** Further parameters of the authorization request, such as `prompt` or `hd`. */
  readonly parameters?: Readonly<Record<string, string>> | undefined;
  /** @default false */
  readonly signUp?: boolean | undefined;
  /** @default false */
  readonly trustsEmail?: boolean | undefined;
  /** @default false */
  readonly linkVerifiedEmail?: boolean | undefined;
  /** Milliseconds for one request to the provider, 100 to 30000. @default 5000 */
  readonly timeoutMs?: number | undefined;
  /** Seconds that the clocks of provider and application may differ, at most 60. @default 5 */
  readonly clockToleranceSeconds?: number | undefined;
  /** Allows plain HTTP to this machine itself, for tests. @default false */
  readonly allowInsecureRequests?: boolean | undefined;
}

/** With what the application shows to the provider who it is. */
export type ClientCredentials =
  | { readonly secret: string; readonly inBody: boolean }
  | { readonly privateKey: string; readonly algorithm: string; readonly keyId: string | undefined };

/** The options, checked and with the defaults. */
export interface OpenIdConnectSettings {
  readonly issuer: URL;
  readonly clientId: string;
  readonly credentials: ClientCredentials;
  readonly redirectUri: string;
  readonly scope: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly timeoutSeconds: number;
  readonly clockToleranceSeconds: number;
  readonly insecure: boolean;
}

const FIELDS: readonly (keyof OpenIdConnectOptions)[] = [
  'name',
  'issuer',
  'clientId',
  'clientSecret',
  'clientAuthentication',
  'privateKey',
  'privateKeyId',
  'redirectUri',
  'scopes',
  'parameters',
  'signUp',
  'trustsEmail',
  'linkVerifiedEmail',
  'timeoutMs',
  'clockToleranceSeconds',
  'allowInsecureRequests',
];

/** What the flow itself sets. */
const OWN_PARAMETERS = new Set([
  'client_id',
  'code_challenge',
  'code_challenge_method',
  'nonce',
  'redirect_uri',
  'request',
  'request_uri',
  'response_mode',
  'response_type',
  'scope',
  'state',
]);

/** Fills in defaults and refuses, by name, what is wrong; never repeats a value. */
export function readOptions(options: OpenIdConnectOptions): OpenIdConnectSettings {
  for (const name of Object.keys(options)) {
    if (!FIELDS.some((known) => known === name)) refuse(name, `is not an option; known are ${FIELDS.join(', ')}`);
  }
  const { clientId, scopes = ['openid', 'email', 'profile'] } = options;
  const { parameters = {}, timeoutMs = 5_000, clockToleranceSeconds = 5, allowInsecureRequests = false } = options;
  if (typeof allowInsecureRequests !== 'boolean') refuse('allowInsecureRequests', 'must be true or false');
  if (!isText(clientId)) refuse('clientId', 'must be a text');
  if (!Array.isArray(scopes) || !scopes.every(isToken) || !scopes.includes('openid'))
    refuse('scopes', 'must be an array of names with openid');
  for (const [name, value] of Object.entries(parameters)) {
    if (OWN_PARAMETERS.has(name) || typeof value !== 'string')
      refuse(`parameters.${name}`, 'must be a text, and of none that the flow sets itself');
  }
  return {
    issuer: readUrl('issuer', options.issuer, allowInsecureRequests),
    clientId,
    credentials: readCredentials(options),
    redirectUri: readUrl('redirectUri', options.redirectUri, allowInsecureRequests).href,
    scope: scopes.join(' '),
    parameters,
    timeoutSeconds: within('timeoutMs', timeoutMs, 100, 30_000) / 1_000,
    clockToleranceSeconds: within('clockToleranceSeconds', clockToleranceSeconds, 0, 60),
    insecure: allowInsecureRequests,
  };
}

function readUrl(option: string, text: unknown, insecure: boolean): URL {
  if (typeof text !== 'string' || !URL.canParse(text)) refuse(option, 'must be an absolute URL');
  const url = new URL(text);
  if (url.hash !== '' || url.username !== '' || url.password !== '' || url.search !== '')
    refuse(option, 'must have no query, no fragment and no password');
  if (url.pathname.includes('/.well-known/')) refuse(option, 'must be without /.well-known/, which follows from it');
  if (url.protocol === 'https:' || (insecure && url.protocol === 'http:' && isThisMachine(url.hostname))) return url;
  return refuse(option, 'must be https; allowInsecureRequests allows http to this machine itself');
}

function isThisMachine(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'));
}

function readCredentials({
  clientSecret,
  clientAuthentication = 'client_secret_basic',
  privateKey,
  privateKeyId,
}: OpenIdConnectOptions): ClientCredentials {
  if ((clientSecret === undefined) === (privateKey === undefined))
    refuse('clientSecret', 'or privateKey must be given, one of the two');
  if (privateKey !== undefined) return { privateKey, algorithm: algorithmOf(privateKey), keyId: privateKeyId };
  if (!isText(clientSecret)) refuse('clientSecret', 'must be a text');
  if (clientAuthentication !== 'client_secret_basic' && clientAuthentication !== 'client_secret_post')
    refuse('clientAuthentication', 'must be client_secret_basic or client_secret_post');
  return { secret: clientSecret, inBody: clientAuthentication === 'client_secret_post' };
}

function algorithmOf(pem: string): string {
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPrivateKey(pem);
    if (type === 'ed25519') return 'EdDSA';
    if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256';
    if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2_048) return 'RS256';
  } catch {
    // What the library says may quote the key.
  }
  return refuse('privateKey', 'cannot be read as PKCS #8 in PEM of P-256, Ed25519, or RSA with 2048 bits or more');
}

function within(option: string, value: unknown, min: number, max: number): number {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  return refuse(option, `must be a whole number, ${min} to ${max}`);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isToken(value: unknown): boolean {
  return typeof value === 'string' && /^[\x21\x23-\x5B\x5D-\x7E]+$/.test(value);
}

function refuse(name: string, message: string): never {
  const option = `openIdConnect.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `${option} ${message}`, { details: { option } });
}

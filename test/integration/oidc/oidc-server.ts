import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jest } from '@jest/globals';
import { exportJWK, generateKeyPair } from 'jose';
import { type ClientMetadata, Provider } from 'oidc-provider';

/** Nobody listens there: the browser of the tests stops when it is sent there. */
export const CALLBACK = 'http://127.0.0.1:9/callback';
export const CLIENT = { id: 'portal', secret: 'the secret of the portal at its provider' };

/** Who can sign in at the provider: what it says about them, by their id there. */
type Accounts = Map<string, { email?: string; email_verified?: boolean; name?: string }>;

export interface OidcServer {
  readonly issuer: string;
  readonly accounts: Accounts;
  close(): Promise<void>;
}

/** A real provider of OpenID Connect on this machine; `client` is what it knows about the application. */
export async function startOidcServer(
  client: Partial<ClientMetadata> = { client_secret: CLIENT.secret },
): Promise<OidcServer> {
  const accounts: Accounts = new Map();
  const { server, origin } = await listen();
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  // That it keeps all in memory, and has a sign-in page for development, is what is wanted here.
  const warnings = jest.spyOn(console, 'warn').mockImplementation(() => undefined);
  const provider = new Provider(origin, {
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig' }] },
    ttl: { Interaction: 60, Session: 60, Grant: 60, AccessToken: 60, IdToken: 60, AuthorizationCode: 60 },
    clients: [{ client_id: CLIENT.id, redirect_uris: [CALLBACK], response_types: ['code'], ...client }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    cookies: { keys: ['of these tests'] },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...accounts.get(sub) }) }),
  });
  warnings.mockRestore();
  // Whatever goes wrong in it is part of the answer, and told by that.
  provider.on('server_error', () => undefined);
  const answer = provider.callback();
  server.on('request', (request, response) => void answer(request, response));
  return { issuer: origin, accounts, close: () => closeServer(server) };
}

/** A server on a port of its own; what it answers is added later, when the port is known. */
export async function listen(): Promise<{ server: Server; origin: string }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

export function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Follows the provider as a browser does, signs in as `sub`, consents, and answers with which URL it comes back. */
export async function signInAt(url: string, sub: string, choice: 'sign in' | 'cancel' = 'sign in'): Promise<string> {
  const cookies = new Map<string, string>();
  let next = url;
  let form: URLSearchParams | undefined;
  for (let step = 0; step < 20; step += 1) {
    const response = await fetch(next, {
      method: form === undefined ? 'GET' : 'POST',
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form === undefined ? {} : { body: form }),
    });
    keep(cookies, response.headers.getSetCookie());
    const location = response.headers.get('location');
    if (location?.startsWith(CALLBACK)) return location;
    form = undefined;
    if (location !== null) {
      next = new URL(location, next).href;
      continue;
    }
    const page = await response.text();
    const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1];
    if (prompt === undefined) throw new Error(`no form but: ${page.replaceAll(/<(style|head)>[\s\S]*<\/\1>/g, '')}`);
    if (choice === 'cancel') next = `${next}/abort`;
    else form = new URLSearchParams({ prompt, login: sub, password: 'any' });
  }
  throw new Error('the provider sends the browser around');
}

function keep(cookies: Map<string, string>, received: readonly string[]): void {
  for (const line of received) {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
    if (value === '') cookies.delete(name);
    else cookies.set(name, value);
  }
}

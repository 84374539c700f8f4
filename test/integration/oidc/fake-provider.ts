import type { IncomingMessage } from 'node:http';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { closeServer, listen } from './oidc-server.js';

/** What a provider does that does not keep to the rules; what is left out it does as it should. */
export interface Misbehaviour {
  /** Claims that are other than they should be; undefined leaves one out. */
  readonly claims?: (issuer: string) => Readonly<Record<string, unknown>>;
  /** How the ID token is signed, instead of with the published key. */
  readonly sign?: (claims: JWTPayload) => Promise<string> | string;
  readonly metadata?: (issuer: string) => Readonly<Record<string, unknown>>;
  /** Claims at the endpoint for them, which there is only then. */
  readonly userInfo?: Readonly<Record<string, unknown>>;
  /** Of a path: a status instead of the answer, or no answer at all. */
  readonly fails?: Readonly<Record<string, number | 'silence'>>;
}

export interface FakeProvider {
  readonly issuer: string;
  /** What the next requests meet. */
  misbehave(how: Misbehaviour): void;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** The parameters of the token request that came last. */
  readonly tokenRequest: () => URLSearchParams;
  /** Goes with the callback, as the code: the nonce that the application has sent. */
  codeFor(url: string): string;
  close(): Promise<void>;
}

export const FAKE_CLIENT = { id: 'portal', secret: 'the secret of the portal at a fake' };
const [CODE, ACCESS_TOKEN] = ['code', 'the access token of a fake'];

/** A server that speaks as much of OpenID Connect as a sign-in needs, and lies where it is told to. */
export async function startFakeProvider(): Promise<FakeProvider> {
  const { server, origin: issuer } = await listen();
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' };
  let how: Misbehaviour = {};
  let tokenRequest = new URLSearchParams();
  const asked: string[] = [];

  const idToken = async (nonce: string): Promise<string> => {
    const now = Math.floor(Date.now() / 1_000);
    const usual = { iss: issuer, sub: 'mallory', aud: FAKE_CLIENT.id, iat: now, exp: now + 60, nonce };
    const claims = { ...usual, ...how.claims?.(issuer) } as JWTPayload;
    if (how.sign !== undefined) return how.sign(claims);
    return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(privateKey);
  };
  const answers: Record<string, (request: IncomingMessage) => unknown> = {
    '/.well-known/openid-configuration': () => ({
      issuer,
      authorization_endpoint: `${issuer}/auth`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/jwks`,
      ...(how.userInfo === undefined ? {} : { userinfo_endpoint: `${issuer}/me` }),
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
      ...how.metadata?.(issuer),
    }),
    '/jwks': () => ({ keys: [jwk] }),
    '/me': () => ({ sub: 'mallory', ...how.userInfo }),
    '/token': async (request) => {
      tokenRequest = new URLSearchParams(await bodyOf(request));
      const nonce = (tokenRequest.get('code') ?? '').slice(CODE.length);
      return { access_token: ACCESS_TOKEN, token_type: 'Bearer', id_token: await idToken(nonce) };
    },
  };
  server.on('request', (request, response) => {
    const { pathname } = new URL(request.url ?? '', issuer);
    asked.push(pathname);
    const failure = how.fails?.[pathname];
    if (failure === 'silence') return;
    response.setHeader('content-type', 'application/json');
    if (failure !== undefined) return void response.writeHead(failure).end('{"error":"server_error"}');
    void Promise.resolve(answers[pathname]?.(request)).then((answer) => response.end(JSON.stringify(answer)));
  });
  return {
    issuer,
    asked,
    misbehave: (next) => void (how = next),
    tokenRequest: () => tokenRequest,
    codeFor: (url) => `${CODE}${new URL(url).searchParams.get('nonce') ?? ''}`,
    close: () => closeServer(server),
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

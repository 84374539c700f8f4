import { importPKCS8 } from 'jose';
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  clockTolerance,
  type Configuration,
  discovery,
  enableNonRepudiationChecks,
  fetchUserInfo,
  PrivateKeyJwt,
  randomNonce,
  randomPKCECodeVerifier,
} from 'openid-client';
import type {
  ExternalBeginning,
  ExternalCallback,
  ExternalIdentity,
  ExternalRequest,
  IdentityProvider,
} from '../external/external.types.js';
import {
  type ClientCredentials,
  type OpenIdConnectOptions,
  type OpenIdConnectSettings,
  readOptions,
} from './open-id-connect.options.js';
import { invalidAnswer, notDiscovered, notProven, unavailable } from './provider-failures.policy.js';

/** How long the endpoints of a provider are taken for known. */
const DISCOVERY_MS = 3_600_000;

/**
 * A provider of OpenID Connect, for the option `identityProviders`: the code flow with PKCE (S256), nonce, and an ID token
 * whose signature, issuer, audience and times are verified.
 *
 * Nobody is asked before somebody signs in. Throws `INVALID_OPTIONS`.
 */
export function openIdConnect(options: OpenIdConnectOptions): IdentityProvider {
  return new OpenIdConnectProvider(options, readOptions(options));
}

class OpenIdConnectProvider implements IdentityProvider {
  readonly name: string;
  readonly signUp: boolean | undefined;
  readonly trustsEmail: boolean | undefined;
  readonly linkVerifiedEmail: boolean | undefined;
  /** Hidden from whoever prints the options: it holds the secret. */
  readonly #settings: OpenIdConnectSettings;
  #known: { readonly configuration: Configuration; readonly until: number } | undefined;
  #asking: Promise<Configuration> | undefined;

  constructor({ name, signUp, trustsEmail, linkVerifiedEmail }: OpenIdConnectOptions, settings: OpenIdConnectSettings) {
    this.name = name;
    this.signUp = signUp;
    this.trustsEmail = trustsEmail;
    this.linkVerifiedEmail = linkVerifiedEmail;
    this.#settings = settings;
  }

  async begin({ state }: ExternalRequest): Promise<ExternalBeginning> {
    const configuration = await this.#configuration();
    const { redirectUri, scope, parameters } = this.#settings;
    const verifier = randomPKCECodeVerifier();
    const nonce = randomNonce();
    const url = buildAuthorizationUrl(configuration, {
      ...parameters,
      redirect_uri: redirectUri,
      scope,
      state,
      nonce,
      code_challenge: await calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    });
    return { url: url.href, private: { verifier, nonce } };
  }

  async complete(
    { params, state }: ExternalCallback,
    { verifier, nonce }: Readonly<Record<string, string>>,
  ): Promise<ExternalIdentity> {
    if (verifier === undefined || nonce === undefined) throw invalidAnswer(this.name, 'NOTHING_KEPT');
    const configuration = await this.#configuration();
    // The address is that of the options, whatever the request said that it was.
    const callback = new URL(this.#settings.redirectUri);
    callback.search = params.toString();
    try {
      const tokens = await authorizationCodeGrant(configuration, callback, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      const claims = tokens.claims();
      if (claims === undefined) throw invalidAnswer(this.name, 'NO_ID_TOKEN');
      return identityOf(claims, await this.#profile(configuration, tokens.access_token, claims));
    } catch (error) {
      throw notProven(this.name, error);
    }
  }

  /** What the provider tells only at its endpoint for that; what the ID token says is signed, and comes first. */
  async #profile(
    configuration: Configuration,
    accessToken: string,
    { sub, email }: { readonly sub: string; readonly email?: unknown },
  ): Promise<object> {
    const wantsEmail = this.#settings.scope.split(' ').includes('email');
    if (email !== undefined || !wantsEmail || configuration.serverMetadata().userinfo_endpoint === undefined) return {};
    return fetchUserInfo(configuration, accessToken, sub);
  }

  /** Asked for once by all who wait for it, and not again for a while. */
  async #configuration(): Promise<Configuration> {
    if (this.#known !== undefined && this.#known.until > Date.now()) return this.#known.configuration;
    this.#asking ??= this.#discover().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  async #discover(): Promise<Configuration> {
    const { issuer, clientId, credentials, timeoutSeconds, clockToleranceSeconds, insecure } = this.#settings;
    try {
      const configuration = await discovery(
        issuer,
        clientId,
        { [clockTolerance]: clockToleranceSeconds },
        await authenticationBy(credentials),
        {
          timeout: timeoutSeconds,
          execute: [enableNonRepudiationChecks, ...(insecure ? [allowInsecureRequests] : [])],
        },
      );
      // The library lets a provider of many issuers pass; which of them may vouch for whom is not known here.
      if (new URL(configuration.serverMetadata().issuer).href !== issuer.href)
        throw unavailable(this.name, 'ISSUER_MISMATCH');
      this.#known = { configuration, until: Date.now() + DISCOVERY_MS };
      return configuration;
    } catch (error) {
      throw notDiscovered(this.name, error);
    }
  }
}

async function authenticationBy(credentials: ClientCredentials): Promise<ClientAuth> {
  if ('secret' in credentials) {
    return credentials.inBody ? ClientSecretPost(credentials.secret) : ClientSecretBasic(credentials.secret);
  }
  const { privateKey, algorithm, keyId } = credentials;
  const key = await importPKCS8(privateKey, algorithm);
  return PrivateKeyJwt(keyId === undefined ? key : { key, kid: keyId });
}

function identityOf(idToken: Readonly<Record<string, unknown>>, profile: object): ExternalIdentity {
  const claims: Readonly<Record<string, unknown>> = { ...profile, ...idToken };
  const { name } = claims;
  // From one of the two: whether an email is verified is said of that email only.
  const { email, email_verified: verified } = (idToken['email'] === undefined ? profile : idToken) as typeof claims;
  return {
    issuer: String(idToken['iss']),
    subject: String(idToken['sub']),
    email: typeof email === 'string' ? email : undefined,
    emailVerified: verified === true,
    name: typeof name === 'string' ? name : undefined,
    claims,
  };
}

import { generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';

import { generateSessionKeys, type IdentityProvider, NestAuthModule } from '../../../src/index.js';
import { openIdConnect, type OpenIdConnectOptions } from '../../../src/oidc/index.js';
import { paperProvider } from '../../support/paper-provider.js';

const pemOf = (type: 'rsa' | 'ec' | 'ed25519', options: object = {}): string =>
  generateKeyPairSync(type as 'rsa', options as { modulusLength: number })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();

const GOOD: OpenIdConnectOptions = {
  name: 'corp',
  issuer: 'https://accounts.example.com',
  clientId: 'portal',
  clientSecret: 'secret',
  redirectUri: 'https://portal.example.com/callback',
};
const BY_KEY = { ...GOOD, clientSecret: undefined };

describe('SEC-66: openIdConnect', () => {
  it.each<[string, Partial<Record<keyof OpenIdConnectOptions | 'typo', unknown>>]>([
    ['issuer', { issuer: undefined }],
    ['issuer', { issuer: 'accounts.example.com' }],
    ['issuer', { issuer: 'http://accounts.example.com' }],
    ['issuer', { issuer: 'http://127.0.0.1:3000' }],
    ['issuer', { issuer: 'http://accounts.example.com', allowInsecureRequests: true }],
    ['issuer', { issuer: 'http://127.evil.example', allowInsecureRequests: true }],
    ['issuer', { issuer: 'https://accounts.example.com?tenant=x' }],
    ['issuer', { issuer: 'https://accounts.example.com/.well-known/openid-configuration' }],
    ['clientId', { clientId: undefined }],
    ['clientId', { clientId: '' }],
    ['clientSecret', { clientSecret: undefined }],
    ['clientSecret', { clientSecret: '' }],
    ['clientSecret', { privateKey: pemOf('ed25519') }],
    ['clientAuthentication', { clientAuthentication: 'none' }],
    ['privateKey', { clientSecret: undefined, privateKey: 'not a key' }],
    ['privateKey', { clientSecret: undefined, privateKey: pemOf('rsa', { modulusLength: 1_024 }) }],
    ['privateKey', { clientSecret: undefined, privateKey: pemOf('ec', { namedCurve: 'secp521r1' }) }],
    ['redirectUri', { redirectUri: undefined }],
    ['redirectUri', { redirectUri: '/callback' }],
    ['redirectUri', { redirectUri: 'http://portal.example.com/callback' }],
    ['redirectUri', { redirectUri: 'https://portal.example.com/callback#here' }],
    ['scopes', { scopes: ['email'] }],
    ['scopes', { scopes: ['openid', 'two words'] }],
    ['parameters.state', { parameters: { state: 'mine' } }],
    ['parameters.nonce', { parameters: { nonce: 'mine' } }],
    ['parameters.code_challenge_method', { parameters: { code_challenge_method: 'plain' } }],
    ['timeoutMs', { timeoutMs: 0 }],
    ['timeoutMs', { timeoutMs: 60_000 }],
    ['clockToleranceSeconds', { clockToleranceSeconds: 3_600 }],
    ['allowInsecureRequests', { allowInsecureRequests: 'no' }],
    ['typo', { typo: true }],
  ])('refuses a wrong %s: %j', (option, wrong) => {
    const make = (): IdentityProvider => openIdConnect({ ...GOOD, ...wrong } as OpenIdConnectOptions);
    expect(make).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option: `openIdConnect.${option}` } }),
    );
  });

  it.each([
    ['a secret', GOOD],
    ['a key of P-256', { ...BY_KEY, privateKey: pemOf('ec', { namedCurve: 'prime256v1' }) }],
    ['a key of Ed25519', { ...BY_KEY, privateKey: pemOf('ed25519'), privateKeyId: 'one' }],
    ['a key of RSA', { ...BY_KEY, privateKey: pemOf('rsa', { modulusLength: 2_048 }) }],
    ['this machine, for tests', { ...GOOD, issuer: 'http://127.0.0.1:3000', allowInsecureRequests: true }],
  ])('takes %s, and shows none of it', (_, options) => {
    const shown = inspect(openIdConnect(options), { depth: 10, showHidden: true });
    expect(shown).not.toMatch(/secret|PRIVATE KEY/);
  });
});

describe('SEC-66: the options of signing in by providers', () => {
  const session = { keys: generateSessionKeys() };
  const paper = paperProvider('paper');
  const start = (options: object): unknown => NestAuthModule.forRoot(options);

  it.each<[string, object]>([
    ['identityProviders', { identityProviders: [paper] }],
    ['identityProviders', { session, identityProviders: paper }],
    ['identityProviders[0]', { session, identityProviders: [null] }],
    ['identityProviders[0]', { session, identityProviders: [{ name: 'half', begin: () => undefined }] }],
    ['identityProviders[0].name', { session, identityProviders: [{ ...paper, name: 'Paper Inc.' }] }],
    ['identityProviders[0].name', { session, identityProviders: [{ ...paper, name: 'email' }] }],
    ['identityProviders[1].name', { session, identityProviders: [paper, paper] }],
    ['identityProviders[0].signUp', { session, identityProviders: [{ ...paper, signUp: 'no' }] }],
    ['identityProviders[0].linkVerifiedEmail', { session, identityProviders: [{ ...paper, linkVerifiedEmail: true }] }],
    ['externalSignIn.flowSeconds', { externalSignIn: { flowSeconds: 3_600 } }],
    ['externalSignIn.providerTimeoutMs', { externalSignIn: { providerTimeoutMs: 0 } }],
    ['externalSignIn.redirectTargets', { externalSignIn: { redirectTargets: '/' } }],
    ['externalSignIn.redirectTargets', { externalSignIn: { redirectTargets: ['*'] } }],
    ['externalSignIn.redirectTargets', { externalSignIn: { redirectTargets: ['//portal.example.com'] } }],
    ['externalSignIn.typo', { externalSignIn: { typo: 1 } }],
  ])('%s: %#', (option, options) => {
    expect(() => start(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option } }));
  });

  it('are taken when they make sense', () => {
    const options = {
      session,
      identityProviders: [paper, openIdConnect(GOOD)],
      externalSignIn: { redirectTargets: ['/'] },
    };
    expect(start(options)).toBeDefined();
  });
});

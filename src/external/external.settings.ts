import { LOGIN_PROVIDERS } from '../account/account.types.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import type { ExternalSignInOptions, IdentityProvider } from './external.types.js';
import { isAllowedTarget, readTarget } from './redirect.policy.js';

const DEFAULTS = {
  redirectTargets: [],
  flowSeconds: 600,
  providerTimeoutMs: 10_000,
} as const satisfies Required<ExternalSignInOptions>;

export const EXTERNAL_SIGN_IN_FIELDS = Object.keys(DEFAULTS);

const RANGES = { flowSeconds: [30, 600], providerTimeoutMs: [100, 60_000] } as const;
const NAME = /^[a-z][a-z0-9_-]{0,62}$/;
const SWITCHES = ['signUp', 'trustsEmail', 'linkVerifiedEmail'] as const;

/** What an application has configured about identity providers, checked and with the defaults. */
export class ExternalSettings {
  readonly flowSeconds: number;
  readonly providerTimeoutMs: number;
  readonly #redirectTargets: readonly string[];
  readonly #providers: ReadonlyMap<string, IdentityProvider>;

  /** `signsIn`: whether there are keys, without which nobody could be let in by a provider either. */
  constructor(providers: readonly IdentityProvider[], options: ExternalSignInOptions, signsIn: boolean) {
    const given = { ...DEFAULTS, ...options };
    for (const [name, [min, max]] of Object.entries(RANGES)) {
      const value = given[name as keyof typeof RANGES];
      if (!Number.isInteger(value) || value < min || value > max)
        refuse(`externalSignIn.${name}`, `must be a whole number, ${min} to ${max}`);
    }
    const { redirectTargets } = given;
    if (!Array.isArray(redirectTargets) || !redirectTargets.every((target) => readTarget(target) !== null))
      refuse('externalSignIn.redirectTargets', 'must be an array of absolute URLs of http(s), or paths');
    this.flowSeconds = given.flowSeconds;
    this.providerTimeoutMs = given.providerTimeoutMs;
    this.#redirectTargets = redirectTargets;
    this.#providers = readProviders(providers);
    if (this.#providers.size > 0 && !signsIn)
      refuse('identityProviders', 'needs session.keys: without, nobody can be signed in');
  }

  get names(): string[] {
    return [...this.#providers.keys()];
  }

  /** Throws `PROVIDER_NOT_FOUND`. */
  provider(name: unknown): IdentityProvider {
    const found = typeof name === 'string' ? this.#providers.get(name) : undefined;
    if (found !== undefined) return found;
    throw new NestAuthError('PROVIDER_NOT_FOUND', 'No identity provider of this name is in identityProviders');
  }

  allows(redirectTo: string): boolean {
    return isAllowedTarget(redirectTo, this.#redirectTargets);
  }
}

function readProviders(providers: readonly IdentityProvider[]): Map<string, IdentityProvider> {
  if (!Array.isArray(providers)) refuse('identityProviders', 'must be an array');
  const byName = new Map<string, IdentityProvider>();
  providers.forEach((provider: IdentityProvider | null, index) => {
    const option = `identityProviders[${index}]`;
    if (typeof provider !== 'object' || provider === null) refuse(option, 'must be an identity provider');
    const { name } = provider;
    if (typeof name !== 'string' || !NAME.test(name))
      refuse(`${option}.name`, 'must be of lower-case letters, digits, _ and -');
    if (LOGIN_PROVIDERS.some((own) => own === name) || byName.has(name)) refuse(`${option}.name`, 'is taken');
    if (typeof provider.begin !== 'function' || typeof provider.complete !== 'function')
      refuse(option, 'must have begin and complete');
    for (const field of SWITCHES) {
      if (provider[field] !== undefined && typeof provider[field] !== 'boolean')
        refuse(`${option}.${field}`, 'must be true or false');
    }
    if (provider.linkVerifiedEmail === true && provider.trustsEmail !== true)
      refuse(`${option}.linkVerifiedEmail`, 'needs trustsEmail');
    byName.set(name, provider);
  });
  return byName;
}

function refuse(option: string, message: string): never {
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

import type { ExternalFlow, ExternalIdentity, IdentityProvider } from '../../src/index.js';

export interface Rules {
  readonly signUp?: boolean;
  readonly trustsEmail?: boolean;
  readonly linkVerifiedEmail?: boolean;
}

/** A provider without a network, which believes the browser: for what is decided after a provider has answered. */
export function paperProvider(name: string, rules: Rules = {}): IdentityProvider {
  return {
    name,
    ...rules,
    begin: async ({ state }) => ({ url: `https://paper.example/?state=${state}`, private: { kept: name } }),
    complete: async ({ params }, { kept }) => {
      if (kept !== name) throw new Error('what was kept is not what was given');
      return JSON.parse(params.get('code') ?? '') as ExternalIdentity;
    },
  };
}

/** Somebody at a provider of paper. */
export function somebodyElsewhere(subject: string, about: Partial<ExternalIdentity> = {}): ExternalIdentity {
  return { issuer: 'https://paper.example', subject, emailVerified: false, claims: {}, ...about };
}

/** The callback with which the browser comes back from a provider of paper. */
export function paperCallback({ url }: ExternalFlow, who: ExternalIdentity): string {
  const state = new URL(url).searchParams.get('state') ?? '';
  return `/callback?${new URLSearchParams({ state, code: JSON.stringify(who) }).toString()}`;
}

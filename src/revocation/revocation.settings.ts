import { NestAuthError } from '../errors/nest-auth.error.js';
import type { RevocationOptions } from './revocation.types.js';

const DEFAULTS: RevocationOptions = {
  cache: true,
  listen: false,
  maxEntries: 10_000,
  maxStaleMs: 1_000,
  cacheSeconds: 60,
};

export const REVOCATION_FIELDS = Object.keys(DEFAULTS);

const RANGES = {
  maxEntries: [1, 1_000_000],
  // A shorter one would not outlive the statement that read it, a longer one is no promise any more.
  maxStaleMs: [50, 60_000],
  cacheSeconds: [1, 3_600],
} as const;

/** What an application has configured about the caches, checked and with the defaults. */
export class RevocationSettings implements RevocationOptions {
  readonly cache: boolean;
  readonly listen: boolean;
  readonly maxEntries: number;
  readonly maxStaleMs: number;
  readonly cacheSeconds: number;

  constructor(options: Partial<RevocationOptions> = {}) {
    const given = { ...DEFAULTS, ...options };
    for (const name of ['cache', 'listen'] as const) {
      if (typeof given[name] !== 'boolean') refuse(name, 'must be true or false');
    }
    for (const [name, [min, max]] of Object.entries(RANGES)) {
      const value = given[name as keyof typeof RANGES];
      if (!Number.isInteger(value) || value < min || value > max)
        refuse(name, `must be a whole number, ${min} to ${max}`);
    }
    if (given.listen && !given.cache) refuse('listen', 'means nothing with revocation.cache: false');
    this.cache = given.cache;
    this.listen = given.listen;
    this.maxEntries = given.maxEntries;
    this.maxStaleMs = given.maxStaleMs;
    this.cacheSeconds = given.cacheSeconds;
  }
}

function refuse(name: string, message: string): never {
  const option = `revocation.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

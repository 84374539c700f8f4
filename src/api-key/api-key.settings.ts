import { NestAuthError } from '../errors/nest-auth.error.js';
import type { ApiKeyOptions } from './api-key.types.js';

const DEFAULTS = {
  prefix: 'nak_',
  defaultDays: 90,
  maxDays: 365,
  rotationOverlapSeconds: 0,
} as const satisfies Required<ApiKeyOptions>;

export const API_KEY_FIELDS = Object.keys(DEFAULTS);

const PREFIX = /^[a-z][a-z0-9]{1,30}_$/;
/** That of the tokens of `guard.services`. */
const TAKEN = 'nasvc_';
const MAX_DAYS = 3_650;
const DAY = 86_400;
/** A week: longer, and nobody remembers that there are two. */
export const MAX_OVERLAP_SECONDS = 7 * DAY;

/** What an application has configured about API keys, checked and with the defaults. */
export class ApiKeySettings {
  readonly isInUse: boolean;
  readonly prefix: string;
  readonly defaultDays: number;
  readonly maxDays: number;
  readonly rotationOverlapSeconds: number;

  /** `isAsked` says that something else needs them, so that they are in use without the group. */
  constructor(options?: ApiKeyOptions, isAsked = false) {
    const { prefix, defaultDays, maxDays, rotationOverlapSeconds } = { ...DEFAULTS, ...options };
    if (typeof prefix !== 'string' || !PREFIX.test(prefix) || prefix === TAKEN) {
      refuse('prefix', `must be of lower-case letters and digits, a letter first and _ last, and not ${TAKEN}`);
    }
    wholeNumber('maxDays', maxDays, 1, MAX_DAYS);
    wholeNumber('defaultDays', defaultDays, 1, maxDays);
    wholeNumber('rotationOverlapSeconds', rotationOverlapSeconds, 0, MAX_OVERLAP_SECONDS);
    this.isInUse = options !== undefined || isAsked;
    this.prefix = prefix;
    this.defaultDays = defaultDays;
    this.maxDays = maxDays;
    this.rotationOverlapSeconds = rotationOverlapSeconds;
  }

  /** Throws `INVALID_OPTIONS` where keys are not in use: then nothing would end them with their owner. */
  assertInUse(): void {
    if (this.isInUse) return;
    throw new NestAuthError('INVALID_OPTIONS', 'API keys need the option apiKeys, which may be {}', {
      details: { option: 'apiKeys' },
    });
  }
}

function wholeNumber(name: string, value: unknown, min: number, max: number): void {
  const fits = typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
  if (!fits) refuse(name, `must be a whole number, ${min} to ${max}`);
}

function refuse(name: string, message: string): never {
  const option = `apiKeys.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

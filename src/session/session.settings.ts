import { NestAuthError } from '../errors/nest-auth.error.js';
import { type LoadedKey, loadKey } from './session-keys.policy.js';
import type { SessionOptions } from './session.types.js';
import { SIGN_UP_MODES, type SignUpMode } from './sign-up.types.js';

const DEFAULTS = {
  keys: [],
  issuer: 'nest-auth-identity',
  audience: 'nest-auth-identity',
  accessTokenSeconds: 300,
  reuseWindowSeconds: 10,
  idleMinutes: 10_080,
  maxMinutes: 43_200,
  keepEndedDays: 30,
  signUp: 'closed',
} as const satisfies Required<SessionOptions>;

export const SESSION_FIELDS = Object.keys(DEFAULTS);

const YEAR_IN_MINUTES = 525_600;
const RANGES = {
  accessTokenSeconds: [10, 3_600],
  reuseWindowSeconds: [0, 300],
  idleMinutes: [1, YEAR_IN_MINUTES],
  maxMinutes: [1, YEAR_IN_MINUTES],
  keepEndedDays: [0, 3_650],
} as const;

/** What an application has configured about sessions, checked and with the defaults. */
export class SessionSettings {
  readonly issuer: string;
  readonly audience: string;
  readonly accessTokenSeconds: number;
  readonly reuseWindowSeconds: number;
  readonly idleSeconds: number;
  readonly maxSeconds: number;
  readonly keepEndedDays: number;
  readonly signUp: SignUpMode;
  readonly #keys: readonly LoadedKey[];

  /** `defaultRegion` is that of phone numbers without a country code. */
  constructor(
    options: SessionOptions = {},
    readonly defaultRegion?: string,
  ) {
    const given = { ...DEFAULTS, ...options };
    for (const [name, [min, max]] of Object.entries(RANGES)) {
      const value = given[name as keyof typeof RANGES];
      if (!Number.isInteger(value) || value < min || value > max)
        refuse(name, `must be a whole number, ${min} to ${max}`);
    }
    for (const name of ['issuer', 'audience'] as const) {
      if (typeof given[name] !== 'string' || given[name] === '') refuse(name, 'must be a text');
    }
    this.issuer = given.issuer;
    this.audience = given.audience;
    this.accessTokenSeconds = given.accessTokenSeconds;
    this.reuseWindowSeconds = given.reuseWindowSeconds;
    this.idleSeconds = given.idleMinutes * 60;
    this.maxSeconds = given.maxMinutes * 60;
    if (!SIGN_UP_MODES.includes(given.signUp)) refuse('signUp', `must be one of ${SIGN_UP_MODES.join(', ')}`);
    this.keepEndedDays = given.keepEndedDays;
    this.signUp = given.signUp;
    this.#keys = readKeys(given.keys);
  }

  /** Whether anybody can sign in here. */
  get isInUse(): boolean {
    return this.#keys.length > 0;
  }

  /** The keys, the signing one first. Throws `INVALID_OPTIONS` when there are none: none is ever made up. */
  get keys(): readonly [LoadedKey, ...LoadedKey[]] {
    const [first, ...rest] = this.#keys;
    if (first === undefined) refuse('keys', 'is needed to sign in; generateSessionKeys() makes one to keep');
    return [first, ...rest];
  }
}

function readKeys(keys: SessionOptions['keys']): LoadedKey[] {
  if (!Array.isArray(keys)) refuse('keys', 'must be an array of JSON Web Keys');
  const loaded = keys.map((key, index) => {
    const read = loadKey(key);
    return typeof read === 'string' ? refuse(`keys[${index}]`, read) : read;
  });
  if (new Set(loaded.map(({ kid }) => kid)).size < loaded.length) refuse('keys', 'must have a kid of its own each');
  if (loaded[0] !== undefined && loaded[0].privateKey === undefined) refuse('keys[0]', 'must be private: it signs');
  return loaded;
}

function refuse(name: string, message: string): never {
  const option = `session.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

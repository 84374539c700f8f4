import { NestAuthError } from '../errors/nest-auth.error.js';

/** How many passwords may be tried against an account. */
export interface LockoutOptions {
  /** Tries from one network that are not delayed; what comes back with the right password starts anew. @default 5 */
  readonly freeAttempts?: number;
  /** Seconds in which the network is refused after those; each further try doubles them. @default 1 */
  readonly delaySeconds?: number;
  /** As long as that becomes. @default 900 */
  readonly maxDelaySeconds?: number;
  /**
   * Failed tries from all networks within `windowMinutes`, at most 100 (NIST SP 800-63B). Beyond it only those networks
   * go on from which the user has signed in before.
   * @default 100
   */
  readonly maxFailures?: number;
  /** Minutes after which the counting begins anew, and every block has ended. @default 1440 (a day) */
  readonly windowMinutes?: number;
}

const DEFAULTS: Required<LockoutOptions> = {
  freeAttempts: 5,
  delaySeconds: 1,
  maxDelaySeconds: 900,
  maxFailures: 100,
  windowMinutes: 1_440,
};

export const LOCKOUT_FIELDS = Object.keys(DEFAULTS);

const RANGES: Readonly<Record<keyof LockoutOptions, readonly [min: number, max: number]>> = {
  freeAttempts: [1, 100],
  delaySeconds: [1, 86_400],
  maxDelaySeconds: [1, 86_400],
  maxFailures: [1, 100],
  windowMinutes: [1, 43_200],
};

/** What an application has configured about lockout, checked and with the defaults. */
export class LockoutSettings {
  readonly freeAttempts: number;
  readonly delaySeconds: number;
  readonly maxDelaySeconds: number;
  readonly maxFailures: number;
  readonly windowSeconds: number;

  constructor(options: LockoutOptions = {}) {
    const given = { ...DEFAULTS, ...options };
    for (const [name, [min, max]] of Object.entries(RANGES)) {
      const value = given[name as keyof LockoutOptions];
      if (!Number.isInteger(value) || value < min || value > max)
        refuse(name, `must be a whole number, ${min} to ${max}`);
    }
    if (given.freeAttempts > given.maxFailures) refuse('freeAttempts', 'must not be more than maxFailures');
    if (given.delaySeconds > given.maxDelaySeconds) refuse('delaySeconds', 'must not be more than maxDelaySeconds');
    this.freeAttempts = given.freeAttempts;
    this.delaySeconds = given.delaySeconds;
    this.maxDelaySeconds = given.maxDelaySeconds;
    this.maxFailures = given.maxFailures;
    this.windowSeconds = given.windowMinutes * 60;
  }
}

function refuse(name: string, message: string): never {
  const option = `lockout.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

import { NestAuthError } from '../errors/nest-auth.error.js';
import { SECOND_FACTOR_POLICIES, type SecondFactorPolicy } from '../tenant/tenant.types.js';
import type { SecondFactorKind } from './second-factor.types.js';

/** Second factors. What they keep secret is encrypted by `secrets.keys`. */
export interface TwoFactorOptions {
  /** What authenticators call the application. @default 'nest-auth-identity' */
  readonly issuer?: string;
  /** Steps of 30 seconds before and after the present one whose codes are taken, too; 0 to 2. @default 1 */
  readonly window?: number;
  /** Seconds in which the second factor has to follow the first, 30 to 600 (OWASP ASVS 6.5.5). @default 300 */
  readonly challengeSeconds?: number;
  /** Answers that one challenge takes, 1 to 10. @default 5 */
  readonly challengeAttempts?: number;
  /**
   * Wrong codes of a user, one after another over all challenges, within `failureMinutes`, at most 100 (NIST SP 800-63B).
   * Beyond it only a recovery code helps. @default 20
   */
  readonly maxFailures?: number;
  /** Minutes after which that counting begins anew. @default 1440 (a day) */
  readonly failureMinutes?: number;
  /** Days that a device is trusted when `completeSignIn` is asked to, 1 to 365. @default 30 */
  readonly trustedDeviceDays?: number;
  /**
   * What is demanded of whoever has access to the platform, in whichever tenant they sign in; as `secondFactorPolicy` of
   * a tenant. @default 'optional'
   */
  readonly platform?: SecondFactorPolicy;
  /**
   * What can be enrolled, `totp` always among it. Codes by email or SMS are weaker than an authenticator (NIST SP 800-63B) and need `delivery`.
   * @default ['totp']
   */
  readonly methods?: readonly SecondFactorKind[];
}

const DEFAULTS = {
  window: 1,
  challengeSeconds: 300,
  challengeAttempts: 5,
  maxFailures: 20,
  failureMinutes: 1_440,
  trustedDeviceDays: 30,
} as const satisfies Required<Omit<TwoFactorOptions, 'issuer' | 'platform' | 'methods'>>;

const METHODS = ['totp', 'email', 'sms'] as const satisfies readonly SecondFactorKind[];

export const TWO_FACTOR_FIELDS = ['issuer', 'platform', 'methods', ...Object.keys(DEFAULTS)];

const RANGES: Readonly<Record<keyof typeof DEFAULTS, readonly [min: number, max: number]>> = {
  window: [0, 2],
  challengeSeconds: [30, 600],
  challengeAttempts: [1, 10],
  maxFailures: [1, 100],
  failureMinutes: [1, 43_200],
  trustedDeviceDays: [1, 365],
};

const MAX_ISSUER = 64;

/** What an application has configured about second factors, checked and with the defaults. */
export class TwoFactorSettings {
  readonly issuer: string;
  readonly window: number;
  readonly challengeSeconds: number;
  readonly challengeAttempts: number;
  readonly maxFailures: number;
  readonly failureSeconds: number;
  readonly trustedDeviceSeconds: number;
  readonly platform: SecondFactorPolicy;
  readonly methods: readonly SecondFactorKind[];

  constructor(options: TwoFactorOptions = {}) {
    const { issuer = 'nest-auth-identity', platform = 'optional', methods = ['totp'] } = options;
    const given = { ...DEFAULTS, ...options };
    for (const [name, [min, max]] of Object.entries(RANGES)) {
      const value = given[name as keyof typeof DEFAULTS];
      if (!Number.isInteger(value) || value < min || value > max)
        refuse(name, `must be a whole number, ${min} to ${max}`);
    }
    // It stands before a colon in the label of the account.
    if (typeof issuer !== 'string' || issuer.trim() === '' || issuer.length > MAX_ISSUER || issuer.includes(':'))
      refuse('issuer', `must be a name of at most ${MAX_ISSUER} characters, without a colon`);
    if (!SECOND_FACTOR_POLICIES.includes(platform))
      refuse('platform', `must be one of ${SECOND_FACTOR_POLICIES.join(', ')}`);
    if (!Array.isArray(methods) || !methods.includes('totp') || !methods.every((method) => METHODS.includes(method)))
      refuse('methods', `must be totp, and some of ${METHODS.join(', ')}`);
    this.platform = platform;
    this.methods = [...new Set<SecondFactorKind>(methods)];
    this.issuer = issuer;
    this.window = given.window;
    this.challengeSeconds = given.challengeSeconds;
    this.challengeAttempts = given.challengeAttempts;
    this.maxFailures = given.maxFailures;
    this.failureSeconds = given.failureMinutes * 60;
    this.trustedDeviceSeconds = given.trustedDeviceDays * 86_400;
  }
}

function refuse(name: string, message: string): never {
  const option = `twoFactor.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

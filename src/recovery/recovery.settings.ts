import { NestAuthError } from '../errors/nest-auth.error.js';
import type { ProofForm, RecoveryOptions, RecoveryPurpose } from './recovery.types.js';

const DEFAULTS: Required<RecoveryOptions> = {
  verificationMinutes: 1_440,
  emailChangeMinutes: 60,
  passwordResetMinutes: 30,
  codeMinutes: 10,
  codeAttempts: 5,
  recentSignInMinutes: 10,
};

export const RECOVERY_FIELDS = Object.keys(DEFAULTS);

/** A code is out of band for ten minutes at most (OWASP ASVS 6.5.5); a link to a password for a day. */
const RANGES: Readonly<Record<keyof RecoveryOptions, readonly [min: number, max: number]>> = {
  verificationMinutes: [1, 43_200],
  emailChangeMinutes: [1, 1_440],
  passwordResetMinutes: [1, 1_440],
  codeMinutes: [1, 10],
  codeAttempts: [1, 10],
  recentSignInMinutes: [1, 60],
};

/** What an application has configured about links and codes, checked and with the defaults. */
export class RecoverySettings {
  readonly codeAttempts: number;
  readonly recentSignInSeconds: number;
  readonly #minutes: Required<RecoveryOptions>;

  constructor(options: RecoveryOptions = {}) {
    const given = { ...DEFAULTS, ...options };
    for (const [name, [min, max]] of Object.entries(RANGES)) {
      const value = given[name as keyof RecoveryOptions];
      if (!Number.isInteger(value) || value < min || value > max)
        refuse(name, `must be a whole number, ${min} to ${max}`);
    }
    this.codeAttempts = given.codeAttempts;
    this.recentSignInSeconds = given.recentSignInMinutes * 60;
    this.#minutes = given;
  }

  /** How long what is made now is good. */
  secondsOf(purpose: RecoveryPurpose, form: ProofForm): number {
    const { codeMinutes, passwordResetMinutes, emailChangeMinutes, verificationMinutes } = this.#minutes;
    if (form === 'code') return codeMinutes * 60;
    if (purpose === 'password_reset') return passwordResetMinutes * 60;
    return (purpose === 'email_change' ? emailChangeMinutes : verificationMinutes) * 60;
  }
}

function refuse(name: string, message: string): never {
  const option = `recovery.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}

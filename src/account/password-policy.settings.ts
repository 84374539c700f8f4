import { NestAuthError } from '../errors/nest-auth.error.js';
import type { BreachCheckOptions, PasswordPolicyOptions } from './password-policy.types.js';

/** The most that may be asked for is the least that has to be taken (NIST SP 800-63B-4, 3.1.1.2). */
const LENGTHS = { default: 15, min: 8, max: 64 } as const;
const TIMEOUTS_MS = { default: 2_000, min: 100, max: 30_000 } as const;
/** Each one costs a hash whenever a password is chosen. */
const HISTORY = { min: 0, max: 24 } as const;
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];
const FAIL_MODES: readonly unknown[] = ['allow', 'refuse'];

const FIELDS: Readonly<Record<keyof PasswordPolicyOptions, true>> = {
  minLength: true,
  contextWords: true,
  breachCheck: true,
  history: true,
};
const BREACH_FIELDS: Readonly<Record<keyof BreachCheckOptions, true>> = {
  source: true,
  timeoutMs: true,
  onFailure: true,
};

export const PASSWORD_POLICY_FIELDS = Object.keys(FIELDS);

/** What an application has configured about the passwords it accepts, checked and with the defaults. */
export class PasswordPolicySettings {
  readonly minLength: number;
  readonly contextWords: readonly string[];
  readonly breachCheck: Required<BreachCheckOptions> | null;
  readonly history: number;

  constructor({
    minLength = LENGTHS.default,
    contextWords = [],
    breachCheck,
    history = 0,
  }: PasswordPolicyOptions = {}) {
    assertWhole('minLength', minLength, LENGTHS);
    assertWhole('history', history, HISTORY);
    if (!Array.isArray(contextWords) || !contextWords.every((word) => typeof word === 'string' && word.trim() !== ''))
      refuse('contextWords', 'must be an array of words');
    this.minLength = minLength;
    this.contextWords = [...contextWords];
    this.breachCheck = breachCheck === undefined ? null : readBreachCheck(breachCheck);
    this.history = history;
  }
}

function readBreachCheck(given: BreachCheckOptions): Required<BreachCheckOptions> {
  if (typeof given !== 'object' || given === null) refuse('breachCheck', 'must be an object with a source');
  for (const name of Object.keys(given)) {
    if (!(name in BREACH_FIELDS)) refuse(`breachCheck.${name}`, 'is no option');
  }
  const { source, timeoutMs = TIMEOUTS_MS.default, onFailure = 'allow' } = given;
  assertWhole('breachCheck.timeoutMs', timeoutMs, TIMEOUTS_MS);
  if (!FAIL_MODES.includes(onFailure)) refuse('breachCheck.onFailure', "must be 'allow' or 'refuse'");
  if (typeof source !== 'function' && !isSafeUrl(source))
    refuse('breachCheck.source', 'must be a URL of https, or a function');
  return { source, timeoutMs, onFailure };
}

/** Five characters of a hash tell little, but not to everybody on the way. */
function isSafeUrl(source: unknown): boolean {
  if (typeof source !== 'string' || !URL.canParse(source)) return false;
  const { protocol, hostname } = new URL(source);
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.includes(hostname));
}

function assertWhole(name: string, value: unknown, { min, max }: { min: number; max: number }): void {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max)
    refuse(name, `must be a whole number, ${min} to ${max}`);
}

function refuse(name: string, message: string): never {
  throw new NestAuthError('INVALID_OPTIONS', `password.${name} ${message}`, {
    details: { option: `password.${name}` },
  });
}

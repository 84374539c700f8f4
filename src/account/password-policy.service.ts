import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { InputIssues } from '../errors/input.js';
import { NestAuthError } from '../errors/nest-auth.error.js';
import { isInTransaction } from '../transaction/registry.js';
import { TransactionHost } from '../transaction/transaction-host.js';
import { isBreached } from './breach-check.js';
import { frequentPasswords } from './frequent-passwords.js';
import {
  isMadeOfCommon,
  isPredictable,
  lengthOf,
  lengthWithout,
  termsOfEmail,
  termsOfPhone,
} from './guessable-password.policy.js';
import { PasswordPolicySettings } from './password-policy.settings.js';
import type { PasswordAbout, PasswordIssue, PasswordIssueCode } from './password-policy.types.js';
import { assertPasswordSize } from './password.service.js';

const ABOUT = ['email', 'phone', 'identifiers'] as const satisfies readonly (keyof PasswordAbout)[];
const MAX_IDENTIFIERS = 100;

/** Judges passwords that people choose: by length, and by what others would guess. No rules of composition, no expiry. */
@Injectable()
export class PasswordPolicy {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly settings: PasswordPolicySettings,
  ) {}

  /** Characters that a password has at least, for a form to say so. */
  get minLength(): number {
    return this.settings.minLength;
  }

  /**
   * What to change about a password, all of it at once; nothing when it is accepted. For forms that tell while somebody
   * types or before they send: everything that takes a plain password asks by itself.
   *
   * Touches no database. The look-up of leaked passwords (`password.breachCheck`), if there is one, is not made while a
   * transaction runs; `breachCheck.onFailure` says what that means. Ask before the transaction then, and pass a hash of
   * `PasswordService.hash` to what runs inside. Source: NIST SP 800-63B-4, 3.1.1.2; OWASP ASVS 6.2.
   *
   * @throws `VALIDATION_FAILED` for what is no string of 1 to 4096 bytes; `PASSWORD_CHECK_UNAVAILABLE`.
   */
  async check(password: string, about: PasswordAbout = {}, manager?: EntityManager): Promise<PasswordIssue[]> {
    assertPasswordSize(password);
    checkAbout(about);
    const issues = await this.#guessable(password, about);
    // Others are asked about a password that would be taken, and about no other.
    if (issues.length === 0 && (await this.#hasLeaked(password, manager))) issues.push(issue('BREACHED', LEAKED));
    return issues;
  }

  /**
   * Refuses a password that should not be used. As {@link check}.
   *
   * @throws `PASSWORD_REFUSED`, whose `details.issues` tells what to change; those of {@link check}.
   */
  async assertAcceptable(password: string, about: PasswordAbout = {}, manager?: EntityManager): Promise<void> {
    const issues = await this.check(password, about, manager);
    if (issues.length === 0) return;
    const list = issues.map(({ message }) => message).join('; ');
    throw new NestAuthError('PASSWORD_REFUSED', `The password ${list}`, { details: { issues } });
  }

  async #guessable(password: string, about: PasswordAbout): Promise<PasswordIssue[]> {
    const { minLength, contextWords } = this.settings;
    const issues: PasswordIssue[] = [];
    const isLongEnough = lengthOf(password) >= minLength;
    if (!isLongEnough) issues.push(issue('TOO_SHORT', `must have at least ${minLength} characters`));
    if (isPredictable(password, minLength)) issues.push(issue('PREDICTABLE', PREDICTABLE));
    if (isMadeOfCommon(password, await frequentPasswords())) issues.push(issue('TOO_COMMON', COMMON));
    const known = [...contextWords, ...knownOf(about)];
    if (isLongEnough && lengthWithout(password, known) < minLength) issues.push(issue('PERSONAL', personal(minLength)));
    return issues;
  }

  async #hasLeaked(password: string, manager: EntityManager | undefined): Promise<boolean> {
    const { breachCheck } = this.settings;
    if (breachCheck === null) return false;
    const held = this.transactions.pin(manager);
    try {
      if (held !== undefined && isInTransaction(held)) throw new Error('A transaction was running');
      return await isBreached(password, breachCheck);
    } catch (error) {
      if (breachCheck.onFailure === 'refuse') throw unavailable(error);
      this.transactions.report('A password was taken without the look-up of leaked ones, which failed', error);
      return false;
    }
  }
}

const LEAKED = 'must be another: this one has leaked, here or elsewhere';
const PREDICTABLE = 'must not repeat itself, or go along the alphabet or a keyboard';
const COMMON = 'must not be one that many people use, or made of two such; three words and more are fine';

function personal(minLength: number): string {
  return `must have ${minLength} characters beside email, phone, names and the name of the application`;
}

function issue(code: PasswordIssueCode, message: string): PasswordIssue {
  return { path: 'password', code, message };
}

function checkAbout(about: PasswordAbout): void {
  const issues = new InputIssues();
  issues.fields(about, ABOUT);
  const { email, phone, identifiers = [] } = about;
  for (const [path, value] of Object.entries({ email, phone })) {
    if (value != null && typeof value !== 'string') issues.add(path, 'must be a string');
  }
  if (!Array.isArray(identifiers) || identifiers.length > MAX_IDENTIFIERS)
    issues.add('identifiers', `must be an array of at most ${MAX_IDENTIFIERS}`);
  else if (!identifiers.every((one) => typeof one === 'string')) issues.add('identifiers', 'must be strings');
  issues.refuse('The password cannot be judged');
}

function knownOf({ email, phone, identifiers = [] }: PasswordAbout): string[] {
  return [
    ...(email == null ? [] : termsOfEmail(email)),
    ...(phone == null ? [] : termsOfPhone(phone)),
    ...identifiers.flatMap(partsOf),
  ];
}

/** Of "Ada King Lovelace" each name counts, too. */
function partsOf(identifier: string): string[] {
  return [identifier, ...identifier.split(/[^\p{L}\p{N}]+/u)];
}

function unavailable(cause: unknown): NestAuthError {
  return new NestAuthError(
    'PASSWORD_CHECK_UNAVAILABLE',
    'Whether the password has leaked cannot be told now; try later',
    {
      cause,
    },
  );
}

import type { ValidationIssue } from '../errors/nest-auth.error.js';

/** Why a password is refused. */
export type PasswordIssueCode =
  /** Shorter than `password.minLength`. */
  | 'TOO_SHORT'
  /** Used by many, or made of two such passwords with a few digits or signs. */
  | 'TOO_COMMON'
  /** Repeats itself, or goes along the alphabet or a keyboard. */
  | 'PREDICTABLE'
  /** Too short without what is known of the person and of the application. */
  | 'PERSONAL'
  /** Known to the look-up of leaked passwords. */
  | 'BREACHED'
  /** The user's current one, or one of the last `password.history`. */
  | 'REUSED';

/** What to change about a password. Never holds the password. */
export interface PasswordIssue extends ValidationIssue {
  readonly path: 'password';
  /** For translations; `message` may change, this does not. */
  readonly code: PasswordIssueCode;
}

/** What is known of the person whose password it is: others know it, too. */
export interface PasswordAbout {
  readonly email?: string | null;
  readonly phone?: string | null;
  /** Names of the person, of a company and the like; at most 100. */
  readonly identifiers?: readonly string[];
}

/** Asks others whether a password has leaked, without telling them the password. */
export interface BreachCheckOptions {
  /**
   * A range API: `GET <url><first five characters of the SHA-1>` answers `<the other 35>:<count>` a line, as that of
   * Have I Been Pwned at `https://api.pwnedpasswords.com/range/` does. Or a function that is given the SHA-1 in capital
   * hexadecimal digits, and says whether it is a leaked one's.
   */
  readonly source: string | ((sha1: string, signal: AbortSignal) => Promise<boolean>);
  /** Milliseconds after which the look-up has failed. @default 2000 */
  readonly timeoutMs?: number;
  /**
   * What a failed look-up means, and one that cannot be made because a transaction is running: `allow` goes by the other
   * rules, `refuse` throws `PASSWORD_CHECK_UNAVAILABLE`.
   * @default 'allow'
   */
  readonly onFailure?: 'allow' | 'refuse';
}

/** Which passwords are accepted. */
export interface PasswordPolicyOptions {
  /**
   * Characters that a password has at least: Unicode code points, composed (NFC). 15 is what NIST SP 800-63B-4 asks of a
   * password that lets somebody in alone; less, 8 at least, is for applications in which everybody has a second factor.
   * @default 15
   */
  readonly minLength?: number;
  /** What everybody would try here: names of the application, of the company. @default [] */
  readonly contextWords?: readonly string[];
  /** @default none: the list that comes with the package is asked, and nobody else */
  readonly breachCheck?: BreachCheckOptions;
  /**
   * How many passwords of a user are remembered beside the current one: none of them is taken again by `resetPassword`,
   * `changePassword` and `setPassword`. 24 at most: as many hashes are computed whenever somebody chooses a password.
   * @default 0
   */
  readonly history?: number;
}

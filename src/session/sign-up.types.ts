import type { NestAuthUser } from '../account/user.entity.js';
import type { Metadata } from '../account/account.types.js';
import type { SessionTokens } from './session.types.js';

/** Who may make an account. `closed`: nobody. `pending`: everybody, and it is not usable yet. `open`: everybody. */
export const SIGN_UP_MODES = ['closed', 'pending', 'open'] as const;
export type SignUpMode = (typeof SIGN_UP_MODES)[number];

/** What somebody may say about themselves. Roles, status, ids and whether a login is verified are not among it. */
export interface SignUpInput {
  /** An email or a phone number, or both. */
  readonly email?: string | null | undefined;
  readonly phone?: string | null | undefined;
  readonly phoneCountryCode?: string | null | undefined;
  readonly password: string;
  /** In `ISOLATED` tenancy required, and the tenant that the user becomes a member of. Elsewhere refused. */
  readonly tenantId?: string | null | undefined;
  /** What the application keeps about the user. Whoever passes it on from a stranger chooses the keys. */
  readonly metadata?: Metadata | undefined;
}

/** What became of a sign-up. As JSON it says to everybody the same, unless `session.signUp` is `open`. */
export class SignUpResult {
  readonly #user: NestAuthUser | null;

  constructor(
    /** `pending` also when nobody was made, because the login is taken. */
    readonly status: 'pending' | 'active',
    /** With `open`; null where a hook has kept the user from being active. */
    readonly session: SessionTokens | null,
    user: NestAuthUser | null,
  ) {
    this.#user = user;
  }

  /**
   * Who was made; null when the login was taken. For trusted code only, which mails the one a link and the other a
   * warning: in no answer, and no JSON of this.
   */
  createdUser(): NestAuthUser | null {
    return this.#user;
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { EntityManager } from 'typeorm';
import type { CreateUserOperations, Creation } from '../account/create-user.operations.js';
import { aboutUser } from '../account/password-about.policy.js';
import type { PasswordPolicy } from '../account/password-policy.service.js';
import type { PasswordService } from '../account/password.service.js';
import type { NestAuthUser } from '../account/user.entity.js';
import { InputIssues } from '../errors/input.js';
import { isNestAuthError, NestAuthError } from '../errors/nest-auth.error.js';
import { type Tenancy } from '../tenant/tenancy.js';
import { TenantModeEnum } from '../tenant/tenant.types.js';
import { isInTransaction } from '../transaction/registry.js';
import type { TransactionHost } from '../transaction/transaction-host.js';
import type { AuthOperations } from './auth.operations.js';
import type { SessionSettings } from './session.settings.js';
import { type SignUpInput, SignUpResult } from './sign-up.types.js';

const FIELDS = ['email', 'phone', 'phoneCountryCode', 'password', 'tenantId', 'metadata'];

/** That somebody else has a login. */
const TAKEN = ['EMAIL_ALREADY_EXISTS', 'PHONE_ALREADY_EXISTS', 'IDENTITY_ALREADY_EXISTS', 'LOGIN_UNAVAILABLE'] as const;

/**
 * As long as a sign-up takes that must not tell what it found. The code of the host that runs in a creation takes as
 * long as it likes, and runs only where there is one: nothing but waiting makes up for that.
 */
const PENDING_MS = 500;

/** A new user; the stamp is that of a row that nobody has changed. */
const FIRST_STAMP = 1;

/** Making one's own account. */
export class SignUpOperations {
  constructor(
    private readonly transactions: TransactionHost,
    private readonly creations: CreateUserOperations,
    private readonly passwords: PasswordService,
    private readonly policy: PasswordPolicy,
    private readonly auth: AuthOperations,
    private readonly tenancy: Tenancy,
    private readonly settings: SessionSettings,
  ) {}

  /** Refuses what can be refused without the database, before a password is hashed for nothing. */
  plan(input: SignUpInput): Creation {
    const issues = new InputIssues();
    issues.fields(input, FIELDS);
    const { password, tenantId, ...about } = input;
    if (typeof password !== 'string') issues.add('password', 'must be a string');
    if (about.email == null && about.phone == null) issues.add('email', 'or phone is needed');
    if (tenantId != null && this.tenancy.mode !== TenantModeEnum.ISOLATED)
      issues.add('tenantId', 'is a part of the login only in ISOLATED tenancy: nobody makes themselves a member');
    issues.refuse('The sign-up cannot be tried');
    const isActive = this.settings.signUp === 'open';
    const data = { ...defined(about), isActive };
    return this.creations.plan(data, null, tenantId ?? undefined, { source: 'signup' }, false);
  }

  async signUp(manager: EntityManager | undefined, planned: Creation, password: string): Promise<SignUpResult> {
    const begun = performance.now();
    // It says nothing about the login: that is looked at afterwards.
    await this.policy.assertAcceptable(password, aboutUser(planned.input), manager);
    const { phc } = await this.passwords.hash(password);
    const creation = { ...planned, passwordHash: phc };
    if (this.settings.signUp === 'open') return this.#open(manager, creation);
    const user = await this.#create(manager, creation).catch((error: unknown) => {
      if (TAKEN.some((code) => isNestAuthError(error, code))) return null;
      throw error;
    });
    // Not with a connection in hand.
    const isHeld = manager !== undefined && isInTransaction(manager);
    if (!isHeld) await sleep(Math.max(0, PENDING_MS - (performance.now() - begun)));
    return new SignUpResult('pending', null, user);
  }

  async #open(manager: EntityManager | undefined, creation: Creation): Promise<SignUpResult> {
    const user = await this.#create(manager, creation);
    const proven = { id: user.id, security_stamp: FIRST_STAMP };
    const opened = user.isActive ? await this.auth.open(manager, proven, null) : null;
    if (opened === null) return new SignUpResult('pending', null, user);
    return new SignUpResult('active', await this.auth.admit(opened), opened.user);
  }

  #create(manager: EntityManager | undefined, creation: Creation): Promise<NestAuthUser> {
    return this.transactions.perform(this.creations.needsTransaction, manager, (m) =>
      this.creations.create(m, creation),
    );
  }
}

export function signUpClosed(): NestAuthError {
  return new NestAuthError('SIGN_UP_CLOSED', `Nobody can sign up here; set the option session.signUp`);
}

/** What was left out is not there at all. */
function defined<T extends object>(given: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as never;
}

import type { SecondFactorChallenge } from '../mfa/second-factor.types.js';

/**
 * Every code this package throws, with the HTTP status the exception filter answers with.
 * The list is the source of the code union, of the filter's mapping and of `docs/errors.md`.
 */
export const NEST_AUTH_ERRORS = {
  // Input
  VALIDATION_FAILED: { status: 400, meaning: 'The input is malformed; `details.issues` names each field.' },
  TENANT_REQUIRED: { status: 400, meaning: 'The call needs a tenant in this tenancy mode.' },
  // Conflicts decided by a unique index
  EMAIL_ALREADY_EXISTS: { status: 409, meaning: 'Another user of the same realm has this email.' },
  PHONE_ALREADY_EXISTS: { status: 409, meaning: 'Another user of the same realm has this phone number.' },
  IDENTITY_ALREADY_EXISTS: { status: 409, meaning: 'Another user of the same realm has this provider account.' },
  TENANT_ALREADY_EXISTS: { status: 409, meaning: 'A tenant with this slug exists.' },
  ROLE_ALREADY_EXISTS: { status: 409, meaning: 'A role with this name exists in the same guard and owner.' },
  PERMISSION_ALREADY_EXISTS: { status: 409, meaning: 'A permission with this name exists in the guard.' },
  SERVICE_ACCOUNT_ALREADY_EXISTS: { status: 409, meaning: 'The tenant has a service account of this name.' },
  LOGIN_UNAVAILABLE: {
    status: 409,
    meaning: 'With row-level security: a login of the input is taken, in a tenant that the caller cannot see.',
  },
  STALE_VERSION: { status: 409, meaning: 'The row has changed since it was read.' },
  IDENTITY_MISMATCH: {
    status: 409,
    meaning: "An email or phone identity must equal the user's own; use updateEmail or updatePhone.",
  },
  // Signing in
  INVALID_CREDENTIALS: { status: 401, meaning: 'The sign-in is refused; it is not told why.' },
  SIGN_UP_CLOSED: { status: 403, meaning: 'Nobody can make an account by themselves here.' },
  RATE_LIMITED: { status: 429, meaning: 'Too many calls; `details.retryAfterSeconds` says when the next one may be.' },
  ACCESS_TOKEN_INVALID: {
    status: 401,
    meaning: 'The access token is not one of ours, has expired, or its session has ended.',
  },
  REFRESH_TOKEN_INVALID: { status: 401, meaning: 'The refresh token is unknown or used, or its session has ended.' },
  API_KEY_INVALID: {
    status: 401,
    meaning: 'The API key is not one of ours, was revoked, has expired, or its owner has ended.',
  },
  SECRET_UNREADABLE: {
    status: 500,
    meaning: 'A stored secret cannot be decrypted: its key is not configured any more, or it was changed.',
  },
  // Verification and recovery
  ONE_TIME_TOKEN_INVALID: {
    status: 400,
    meaning: 'The link or the code is not good, or is no longer; it is not told why.',
  },
  REAUTHENTICATION_REQUIRED: {
    status: 403,
    meaning: 'The user has no password and has not signed in recently enough to do this.',
  },
  // Second factor
  SECOND_FACTOR_REQUIRED: {
    status: 401,
    meaning: 'A second factor must be shown first; nothing else is wrong.',
  },
  SECOND_FACTOR_INVALID: {
    status: 401,
    meaning: 'The code, or the challenge that it is for, is not good or is no longer; it is not told which.',
  },
  SECOND_FACTOR_ALREADY_ENABLED: { status: 409, meaning: 'The user has a second factor of this kind already.' },
  SECOND_FACTOR_NOT_ENABLED: { status: 409, meaning: 'The user has no second factor, or has not begun to enrol one.' },
  ADDRESS_NOT_VERIFIED: {
    status: 409,
    meaning: 'The user has not shown that the email or the phone number is theirs.',
  },
  TRUSTED_DEVICE_NOT_FOUND: { status: 404, meaning: 'The user has no such trusted device.' },
  SECOND_FACTOR_ENROLMENT_REQUIRED: {
    status: 401,
    meaning: 'The tenant, or the platform, demands a second factor, and the user has enrolled none yet.',
  },
  // Signing in by a provider
  EXTERNAL_SIGN_IN_INVALID: {
    status: 401,
    meaning: 'The answer of a provider fits no sign-in that this browser has begun, or cannot be believed.',
  },
  EXTERNAL_SIGN_IN_DENIED: { status: 401, meaning: 'The person, or the provider, has declined the sign-in.' },
  LINK_REQUIRED: {
    status: 409,
    meaning: 'A user has the email that the provider has verified; the account has to be linked by that user.',
  },
  LAST_SIGN_IN_METHOD: { status: 409, meaning: 'The account is the only way in that the user has.' },
  PROVIDER_NOT_FOUND: { status: 404, meaning: 'No identity provider of this name is configured.' },
  PROVIDER_UNAVAILABLE: { status: 503, meaning: 'The identity provider does not answer, or not as agreed.' },
  UNAUTHENTICATED: { status: 401, meaning: 'The call needs somebody who is signed in, and carries no access token.' },
  PERMISSION_DENIED: { status: 403, meaning: 'The caller may not do this; it is not told what is missing.' },
  // Invitations
  INVITATION_INVALID: {
    status: 404,
    meaning: 'The invitation is unknown, used, replaced or expired, or what it leads to is not there any more.',
  },
  INVITATION_NOT_FOR_USER: { status: 403, meaning: 'The invitation went to another address than that of the user.' },
  INVITATION_EMAIL_UNVERIFIED: {
    status: 409,
    meaning: 'The account with the invited address has not verified it.',
  },
  INVITATION_ALREADY_PENDING: {
    status: 409,
    meaning: 'The address has an invitation to the tenant already; `details.ids` names it.',
  },
  INVITATION_NOT_FOUND: { status: 404, meaning: 'The tenant has no such invitation.' },
  INVITATION_NOT_PENDING: { status: 409, meaning: 'The invitation was accepted, declined or revoked.' },
  // Missing
  SESSION_NOT_FOUND: { status: 404, meaning: 'The user has no such session, or it has ended.' },
  API_KEY_NOT_FOUND: { status: 404, meaning: 'The owner has no such API key, or it is over.' },
  SERVICE_ACCOUNT_NOT_FOUND: { status: 404, meaning: 'The tenant has no such service account.' },
  USER_NOT_FOUND: { status: 404, meaning: 'No such user.' },
  TENANT_NOT_FOUND: { status: 404, meaning: 'No such tenant, or it is not active.' },
  ROLE_NOT_FOUND: { status: 404, meaning: 'No such role, or it is not active.' },
  PERMISSION_NOT_FOUND: { status: 404, meaning: 'No such permission in the guard.' },
  SUBSCRIPTION_NOT_FOUND: { status: 404, meaning: 'No durable subscriber of this name has ever run.' },
  DEAD_LETTER_NOT_FOUND: { status: 404, meaning: 'The subscriber has given up on no such event.' },
  ACCESS_NOT_FOUND: { status: 404, meaning: 'The user has no such access.' },
  // Refused
  ROLE_SCOPE_MISMATCH: { status: 422, meaning: 'The role belongs to another tenant, or to another guard.' },
  TENANT_SCOPE_MISMATCH: { status: 422, meaning: "The tenant lies outside the user's realm." },
  ROLE_IN_USE: { status: 409, meaning: 'The role is still assigned, or another role inherits from it.' },
  ROLE_CYCLE: { status: 422, meaning: 'The role would inherit from itself.' },
  ROLE_DEPTH_EXCEEDED: {
    status: 422,
    meaning: 'Roles of one owner would inherit from one another over more than eight steps.',
  },
  PERMISSION_IN_USE: {
    status: 409,
    meaning: 'The permission is still granted to a role, or granted or denied to an access.',
  },
  TENANT_IN_USE: { status: 409, meaning: 'The tenant still has users, roles or accesses.' },
  USER_IN_USE: { status: 409, meaning: 'A row of the host application still refers to the user.' },
  LAST_OWNER: { status: 409, meaning: 'A tenant would be left without an owner; `details.tenantIds` names it.' },
  OWNER_NOT_FOUND: { status: 404, meaning: 'The user does not own the tenant.' },
  GRANT_NOT_HELD: {
    status: 403,
    meaning: 'The actor would give what the actor does not hold; `details.permissions` names it.',
  },
  API_KEY_ROTATION_PENDING: {
    status: 409,
    meaning: 'The secret before the last rotation is still good, and an API key has two at most.',
  },
  // The life of a user
  USER_ALREADY_ACTIVE: { status: 409, meaning: 'The user is active already.' },
  USER_ALREADY_INACTIVE: { status: 409, meaning: 'The user is inactive already.' },
  USER_ALREADY_DISABLED: { status: 409, meaning: 'The user is disabled already.' },
  USER_NOT_PENDING: { status: 409, meaning: 'The user is not pending.' },
  USER_NOT_ACTIVE: { status: 409, meaning: 'The user is not active.' },
  USER_NOT_INACTIVE: { status: 409, meaning: 'The user is not inactive.' },
  USER_NOT_DISABLED: { status: 409, meaning: 'The user is not disabled.' },
  USER_DISABLED: { status: 409, meaning: 'The user is disabled, which is for good.' },
  USER_NOT_SOFT_DELETED: { status: 409, meaning: 'The user is not soft-deleted.' },
  USER_SOFT_DELETED: { status: 409, meaning: 'The user is soft-deleted.' },
  USER_NOT_SCHEDULED_FOR_DELETION: { status: 409, meaning: 'The user is not scheduled for deletion.' },
  USER_SCHEDULED_FOR_DELETION: { status: 409, meaning: 'The user is scheduled for deletion.' },
  SCHEDULED_DELETION_NOT_REACHED: { status: 409, meaning: 'The date of the scheduled deletion has not come.' },
  USER_STILL_ACTIVE: { status: 409, meaning: 'The user has signed in or was activated within the grace period.' },
  GRACE_PERIOD_NOT_OVER: { status: 409, meaning: 'The grace period of the state that the user is in is not over.' },
  USER_ON_LEGAL_HOLD: { status: 409, meaning: 'A legal hold keeps the user from being deleted, softly or for good.' },
  USER_NOT_ON_LEGAL_HOLD: { status: 409, meaning: 'No legal hold keeps the user.' },
  USER_BUSY: { status: 409, meaning: 'Another transaction holds the user; only in the results of a batch.' },
  // Misuse
  ENTITY_WRITE_REFUSED: { status: 500, meaning: 'This column is not written through the ORM; call the named method.' },
  RELATION_NOT_LOADED: { status: 500, meaning: 'A pure helper needs a relation that was not loaded.' },
  // The activity log
  ACTIVITY_APPEND_ONLY: {
    status: 500,
    meaning: 'The activity log and its seals are never changed, deleted or truncated.',
  },
  AUDIT_OWNER_REQUIRED: {
    status: 500,
    meaning: 'Partitions of the activity log are looked after by the role that owns its tables.',
  },
  ACTIVITY_LOG_RESTORED: {
    status: 500,
    meaning:
      "The server's transaction ids are behind the activity log, or a position in it: another server had seen more.",
  },
  // Transactions
  TRANSACTION_ABORTED: { status: 500, meaning: 'A statement failed inside the transaction, so it was rolled back.' },
  TRANSACTION_ESCAPED: { status: 500, meaning: 'A query left the running transaction.' },
  TRANSACTION_ENDED: { status: 500, meaning: 'The manager was used after its transaction had ended.' },
  TRANSACTION_BUSY: { status: 500, meaning: 'The callback settled while work on its manager was still running.' },
  TRANSACTION_TIMEOUT: { status: 503, meaning: 'The transaction took longer than `timeoutMs`.' },
  TRANSACTION_CONFLICT: { status: 503, meaning: 'Deadlock or serialization failure; the whole call can be retried.' },
  LOCK_TIMEOUT: { status: 503, meaning: 'A lock was not granted in time.' },
  STATEMENT_TIMEOUT: { status: 503, meaning: 'A statement was cancelled.' },
  COMMIT_OUTCOME_UNKNOWN: { status: 503, meaning: 'The connection was lost after COMMIT was sent.' },
  CONNECTION_LOST: { status: 503, meaning: 'The connection was lost before COMMIT; nothing was written.' },
  CONNECTION_UNAVAILABLE: { status: 503, meaning: 'No connection could be had from the pool.' },
  AMBIGUOUS_DATA_SOURCE: { status: 500, meaning: 'Several DataSources share the entity and none was named.' },
  // Tenants in the database
  TENANT_CONTEXT_MISMATCH: { status: 500, meaning: 'Code of one tenant ran in a transaction of another scope.' },
  ROW_SECURITY_REFUSED: { status: 403, meaning: 'Row-level security, or a missing privilege, refused the statement.' },
  // Passwords
  PASSWORD_REFUSED: {
    status: 422,
    meaning:
      'The password is too short, what others would guess, or one that the user had before; `details.issues` tells what to change.',
  },
  PASSWORD_CHECK_UNAVAILABLE: {
    status: 503,
    meaning: 'Whether the password has leaked cannot be told now, and `password.breachCheck` asks to be sure.',
  },
  HASHING_BUSY: { status: 503, meaning: 'The queue of passwords to hash is full.' },
  // Wiring and the rest
  GUARD_MISCONFIGURED: {
    status: 500,
    meaning:
      'Decorators of access contradict themselves, name what does not exist, or have no guard that enforces them.',
  },
  INVALID_OPTIONS: { status: 500, meaning: 'An option is wrong; `details.option` names it.' },
  DATABASE_ERROR: { status: 500, meaning: 'PostgreSQL refused a statement for a reason that has no code of its own.' },
} as const satisfies Record<string, { status: number; meaning: string }>;

/** A literal error code. Switch on it; messages may change, codes do not. */
export type NestAuthErrorCode = keyof typeof NEST_AUTH_ERRORS;

/** One malformed field. `message` never repeats the value. */
export interface ValidationIssue {
  readonly path: string;
  readonly message: string;
  /** Where one field can be wrong in several ways, which it is: with `PASSWORD_REFUSED`, a `PasswordIssueCode`. */
  readonly code?: string;
}

/** Structured facts of an error. Which ones are present depends on the code. Never secrets, never values of secrets. */
export interface NestAuthErrorDetails {
  readonly issues?: readonly ValidationIssue[];
  /** Names of the fields in conflict, all of them, not only the first. */
  readonly fields?: readonly string[];
  readonly ids?: readonly string[];
  /** Tenants that are concerned, at most 100. */
  readonly tenantIds?: readonly string[];
  /** Names of permissions, at most 100. */
  readonly permissions?: readonly string[];
  readonly option?: string;
  readonly sqlState?: string;
  readonly constraint?: string;
  readonly table?: string;
  /** The frames of the host's own code that led to the error. */
  readonly hostStack?: readonly string[];
  /** Running the whole transaction, or the one call, again is safe: nothing was kept. Absent where that is not so. */
  readonly retryable?: boolean;
  /** Whole seconds until the next call may be. */
  readonly retryAfterSeconds?: number;
}

/**
 * The one class of every error this package throws.
 *
 * Test with `error instanceof NestAuthError && error.code === 'USER_NOT_FOUND'`, or with
 * {@link isNestAuthError}, which also holds when two copies of the package are loaded.
 */
export class NestAuthError<Code extends NestAuthErrorCode = NestAuthErrorCode> extends Error {
  readonly code: Code;
  readonly details: NestAuthErrorDetails;

  constructor(code: Code, message: string, options: { details?: NestAuthErrorDetails; cause?: unknown } = {}) {
    super(message);
    this.name = 'NestAuthError';
    this.code = code;
    this.details = options.details ?? {};
    // Not enumerable, as the language defines it: a logger that spreads the error does not print driver values.
    if (options.cause !== undefined) {
      Object.defineProperty(this, 'cause', { value: options.cause, configurable: true, writable: true });
    }
  }
}

/** True when `error` is ours and, if a code is given, has that code. */
export function isNestAuthError<Code extends NestAuthErrorCode = NestAuthErrorCode>(
  error: unknown,
  code?: Code,
): error is NestAuthError<Code> {
  if (!(error instanceof Error) || error.name !== 'NestAuthError') return false;
  const actual = (error as { code?: unknown }).code;
  return code === undefined ? typeof actual === 'string' && actual in NEST_AUTH_ERRORS : actual === code;
}

/**
 * The first factor was right, and the user has a second one. `AuthService` and everything else that signs in throws it;
 * `TwoFactorService.completeSignIn` takes the token.
 */
export class SecondFactorRequiredError extends NestAuthError<'SECOND_FACTOR_REQUIRED'> {
  readonly #challenge: SecondFactorChallenge;

  constructor(challenge: SecondFactorChallenge) {
    super('SECOND_FACTOR_REQUIRED', 'A second factor is needed; pass challenge.token to completeSignIn');
    this.#challenge = challenge;
  }

  /** For the client. No property of its own, so that nothing that logs or copies the error has the token. */
  get challenge(): SecondFactorChallenge {
    return this.#challenge;
  }
}

/**
 * The first factor was right, and the tenant or the platform demands a second one, of which the user has none yet.
 * `RequiredEnrolmentService` takes the token, and nothing else does.
 */
export class SecondFactorEnrolmentRequiredError extends NestAuthError<'SECOND_FACTOR_ENROLMENT_REQUIRED'> {
  readonly #challenge: SecondFactorChallenge;

  constructor(challenge: SecondFactorChallenge) {
    super(
      'SECOND_FACTOR_ENROLMENT_REQUIRED',
      'A second factor has to be enrolled first; pass challenge.token to beginEnrolment and completeEnrolment',
    );
    this.#challenge = challenge;
  }

  /** For the client; as that of {@link SecondFactorRequiredError}. */
  get challenge(): SecondFactorChallenge {
    return this.#challenge;
  }
}

/** What became of a transaction whose COMMIT was sent and never answered. */
export type CommitOutcome = 'committed' | 'aborted' | 'unknown';

/**
 * COMMIT was sent and the connection was lost before the answer came.
 *
 * The work may or may not be durable, so it is never retried blindly. `resolve()` asks the server.
 */
export class CommitOutcomeUnknownError extends NestAuthError<'COMMIT_OUTCOME_UNKNOWN'> {
  readonly #resolve: () => Promise<CommitOutcome>;

  constructor(resolve: () => Promise<CommitOutcome>, cause: unknown) {
    super('COMMIT_OUTCOME_UNKNOWN', 'The connection was lost after COMMIT was sent; call resolve() for the outcome', {
      cause,
    });
    this.#resolve = resolve;
  }

  /**
   * Asks PostgreSQL for the outcome on a fresh connection, waiting while it is still in progress.
   * `unknown` when the transaction held no statement of this package that could report its id.
   */
  resolve(): Promise<CommitOutcome> {
    return this.#resolve();
  }
}

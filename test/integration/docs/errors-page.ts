import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { NEST_AUTH_ERRORS, type NestAuthErrorCode } from '../../../src/errors/nest-auth.error.js';

/**
 * The tables of docs/errors.md, made from the list of codes. After a change of a code run
 * `node --import ./test/support/typescript.mjs test/integration/docs/errors-page.ts`; a test fails until then.
 */
export const PAGE = 'docs/errors.md';

const START = '<!-- errors: made by test/integration/docs/errors-page.ts -->';
const END = '<!-- errors: end -->';

/** What a reader does about it. The type makes a code without advice an error. */
const ADVICE: Record<NestAuthErrorCode, string> = {
  VALIDATION_FAILED: 'Show `details.issues` beside the fields.',
  TENANT_REQUIRED: 'Pass `tenantId`, or call the method for platform users.',
  EMAIL_ALREADY_EXISTS: 'Tell the person, or look the user up. `details.fields` names every login that is taken.',
  PHONE_ALREADY_EXISTS: 'As for the email.',
  IDENTITY_ALREADY_EXISTS:
    'The account at the provider is linked to somebody else: sign in with it, or unlink it there.',
  TENANT_ALREADY_EXISTS: 'Choose another slug.',
  ROLE_ALREADY_EXISTS: 'Choose another name, or use the role that exists.',
  PERMISSION_ALREADY_EXISTS: 'Use the permission that exists; `createPermissions` does that by itself.',
  SERVICE_ACCOUNT_ALREADY_EXISTS: 'Choose another name, or use the service account that exists.',
  LOGIN_UNAVAILABLE: 'Say that this login cannot be used, and no more; let the person be invited instead.',
  STALE_VERSION: 'Read again, apply the change again.',
  IDENTITY_MISMATCH: 'Call `updateEmail` or `updatePhone`, which changes both.',
  INVALID_CREDENTIALS: 'Answer 401 and nothing else. Why is in the activity `nest_auth.user.login_failed`.',
  SIGN_UP_CLOSED: 'Set `session.signUp`, or do not offer it.',
  RATE_LIMITED: 'Answer 429 with `Retry-After`. The filter for exceptions does.',
  ACCESS_TOKEN_INVALID: 'Answer 401; the client calls `refresh`.',
  API_KEY_INVALID: 'Answer 401. Whoever calls needs another key; the list of keys says what became of this one.',
  UNAUTHENTICATED: 'Answer 401; the client sends the access token, or lets the person sign in.',
  PERMISSION_DENIED: 'Answer 403. What was missing is in the log of `NestAuthGuard`; `explain` says why.',
  REFRESH_TOKEN_INVALID: 'Answer 401; the person signs in again.',
  ONE_TIME_TOKEN_INVALID: 'Let the person ask for another one; after a few wrong codes, too.',
  REAUTHENTICATION_REQUIRED: 'Let the person sign in again, and pass that session.',
  SECOND_FACTOR_REQUIRED:
    'Ask for the code, and call `completeSignIn` with the challenge of the error; without a challenge, let the person sign in to the tenant by name.',
  SECOND_FACTOR_INVALID:
    'Ask for another code; when the challenge has run out or was tried too often, let the person sign in again.',
  SECOND_FACTOR_ALREADY_ENABLED: 'Show that it is enabled; to replace it, `disableTwoFactor` first.',
  SECOND_FACTOR_NOT_ENABLED: 'Begin with `enableTwoFactor`.',
  ADDRESS_NOT_VERIFIED:
    'Let the person verify the address first: `requestEmailVerification` or `requestPhoneVerification`.',
  TRUSTED_DEVICE_NOT_FOUND: 'List the devices again; it was revoked, has expired, or is another user’s.',
  SECOND_FACTOR_ENROLMENT_REQUIRED:
    'Let the person enrol a second factor with the challenge of the error; without one, commit the transaction that has made the user, and let the person sign in.',
  SECRET_UNREADABLE: 'Put the key that the message names back into `secrets.keys`, behind the newest.',
  INVITATION_INVALID:
    'Say that the invitation cannot be used any more, and let the person ask for another. Why is in `cause`, at most.',
  INVITATION_NOT_FOR_USER: 'Let the person sign out, and in as the one who was invited.',
  INVITATION_EMAIL_UNVERIFIED: 'Let the person verify the email, or reset the password, and follow the link again.',
  INVITATION_ALREADY_PENDING: 'Offer to send that one again: `resendInvitation` with the id of `details.ids`.',
  INVITATION_NOT_FOUND: 'As for a tenant.',
  INVITATION_NOT_PENDING: 'Read the list again; send a new invitation.',
  EXTERNAL_SIGN_IN_INVALID: 'Send the person back to the sign-in page; a new sign-in begins there.',
  EXTERNAL_SIGN_IN_DENIED: 'Send the person back to the sign-in page, without an error: they have cancelled.',
  LINK_REQUIRED: 'Let the person sign in as before, and link the account from there: `beginLink`.',
  LAST_SIGN_IN_METHOD: 'Let the person set a password, or link another account, first.',
  PROVIDER_NOT_FOUND: 'Answer 404, or configure the provider: `identityProviders`.',
  PROVIDER_UNAVAILABLE: 'Offer another way in, and to try again later. The message has the code of what went wrong.',
  SESSION_NOT_FOUND: 'Answer 404, and load the list of sessions again.',
  API_KEY_NOT_FOUND: 'Answer 404, and load the list of keys again.',
  SERVICE_ACCOUNT_NOT_FOUND: 'Answer 404, and load the list of service accounts again.',
  USER_NOT_FOUND: 'Answer 404. The user may have been deleted a moment ago.',
  TENANT_NOT_FOUND: 'Answer 404, or activate the tenant. In `DISABLED` tenancy only the nil UUID is a tenant.',
  ROLE_NOT_FOUND: '`details.ids` names the roles. Load the list of roles again.',
  PERMISSION_NOT_FOUND: '`details.fields` names the unknown permissions. Create them first.',
  SUBSCRIPTION_NOT_FOUND: 'Pass a name that `getSubscriptions` lists.',
  DEAD_LETTER_NOT_FOUND: 'Pass an event id that `getDeadLetters` lists.',
  ACCESS_NOT_FOUND: 'Make the access first: `ensureUserAccess`.',
  ROLE_SCOPE_MISMATCH: '`details.ids` names the roles. Offer roles of the system and of this tenant only.',
  TENANT_SCOPE_MISMATCH: 'In `ISOLATED` tenancy a user belongs to one tenant. Create a user in the other one.',
  ROLE_IN_USE:
    'Take the role away from its holders and from the roles that inherit from it first, or set `isActive: false`.',
  ROLE_CYCLE: '`details.ids` names the roles that already inherit from this one. Take that away first.',
  ROLE_DEPTH_EXCEEDED: 'Let the role inherit from the ones at the end of the line.',
  PERMISSION_IN_USE:
    'Take the permission away from roles and accesses first; deny with `denyPermission` what must not be used.',
  TENANT_IN_USE: 'Delete users, accesses and roles first, or set `isActive: false`.',
  USER_IN_USE: 'Delete your rows first, in the same transaction. `details.table` names the table.',
  LAST_OWNER:
    '`details.tenantIds` names the tenants. Make somebody else an owner, `AccessService.transferOwnership`, or deactivate the tenant first. In a batch the user is left out.',
  OWNER_NOT_FOUND: 'Ask `AccessService.getOwners` who owns the tenant.',
  GRANT_NOT_HELD:
    '`details.permissions` names what is missing. Let somebody grant it who holds it, or run the call as `SYSTEM` or `SERVICE`.',
  API_KEY_ROTATION_PENDING:
    'Wait until `previousExpiresAt`, or pass `overlapSeconds: 0`, after which the newest secret alone is good.',
  USER_ALREADY_ACTIVE: 'Nothing to do.',
  USER_ALREADY_INACTIVE: 'Nothing to do.',
  USER_ALREADY_DISABLED: 'Nothing to do.',
  USER_NOT_PENDING: 'Somebody inactive is reactivated: `reactivateById`.',
  USER_NOT_ACTIVE: 'Somebody pending is deactivated by `deactivatePendingUser`.',
  USER_NOT_INACTIVE: 'Somebody pending is activated: `activateById`.',
  USER_NOT_DISABLED: 'Disable the user first: `disableById`.',
  USER_DISABLED: 'Disabling is for good. Delete the user, or create another.',
  USER_NOT_SOFT_DELETED: 'Soft-delete the user first; or there is nothing to restore.',
  USER_SOFT_DELETED: 'Nothing to do, or `restoreById` first.',
  USER_NOT_SCHEDULED_FOR_DELETION: 'Schedule the deletion first; or there is nothing to cancel.',
  USER_SCHEDULED_FOR_DELETION: 'Nothing to do, or `cancelDeletionById` first.',
  SCHEDULED_DELETION_NOT_REACHED: 'Wait until `scheduledDeletionAt`.',
  USER_STILL_ACTIVE: 'Leave the user as it is, or call `deactivateById`, which asks for no grace period.',
  GRACE_PERIOD_NOT_OVER: 'Wait, or call the method that asks for no grace period.',
  USER_ON_LEGAL_HOLD: 'Call `releaseLegalHold` first, if you may.',
  USER_NOT_ON_LEGAL_HOLD: 'Nothing to do.',
  USER_BUSY: 'The next run of the batch will find the user again.',
  ENTITY_WRITE_REFUSED: 'A mistake in the code: call the method that the message names.',
  RELATION_NOT_LOADED: 'A mistake in the code: load the relation, or ask `AccessService`.',
  ACTIVITY_APPEND_ONLY:
    'A mistake in the code, or an attempt: write another activity. Old months go by `maintainPartitions`.',
  AUDIT_OWNER_REQUIRED: 'Call it where the migrations run, as their role.',
  ACTIVITY_LOG_RESTORED:
    'After restoring a dump, [raise the transaction ids](audit.md#restoring-a-dump); after a failover, [replay the subscribers](durable-events.md#after-a-restored-dump-or-a-failover).',
  TRANSACTION_ABORTED: 'Read `cause`. Do not swallow errors inside a transaction; use a savepoint.',
  TRANSACTION_ESCAPED: 'A mistake in the code: pass `manager`. `details.hostStack` names the line.',
  TRANSACTION_ENDED: 'A mistake in the code: await every call, and do not keep the manager.',
  TRANSACTION_BUSY: 'A mistake in the code: await every call.',
  TRANSACTION_TIMEOUT: 'Make the work smaller, or `timeoutMs` larger.',
  TRANSACTION_CONFLICT: 'Call again. If it is frequent, write rows in one order everywhere.',
  LOCK_TIMEOUT: 'Call again. Look for transactions that stay open.',
  STATEMENT_TIMEOUT: "Look at the statement, or at the server's `statement_timeout`.",
  COMMIT_OUTCOME_UNKNOWN: 'Call `error.resolve()`. Never repeat blindly.',
  CONNECTION_LOST: 'Call again: nothing was kept.',
  CONNECTION_UNAVAILABLE: 'Call again. A larger pool, or shorter transactions.',
  AMBIGUOUS_DATA_SOURCE: 'A mistake in the code: pass the manager of the DataSource that `NestAuthModule` was given.',
  TENANT_CONTEXT_MISMATCH: 'A mistake in the code: enter the tenant before the transaction begins.',
  ROW_SECURITY_REFUSED: 'Answer 403. What concerns other tenants too needs `withoutTenant`.',
  PASSWORD_REFUSED:
    'Tell the person what `details.issues` says, by `code`, and ask for another password; `PasswordPolicy.check` tells before the form is sent',
  PASSWORD_CHECK_UNAVAILABLE:
    'The service of `password.breachCheck` does not answer: try later, or set its `onFailure` to `allow`',
  HASHING_BUSY: 'Answer 503 with `Retry-After`. More `password.maxConcurrent`, or more replicas.',
  GUARD_MISCONFIGURED: '`details.issues` names each handler; the application does not start until all are right.',
  INVALID_OPTIONS: 'Correct the option; the application does not start with it.',
  DATABASE_ERROR: 'Read `cause`, `details.sqlState` and `details.constraint`. Tell us if it is frequent.',
};

const GROUPS: readonly (readonly [title: string, belongs: (status: number) => boolean])[] = [
  ['Answers for the caller (4xx)', (status) => status < 500],
  ['Try again later (503)', (status) => status === 503],
  ['Mistakes in the code or the wiring (500)', (status) => status === 500],
];

/** The part of the page between the two comments. */
function errorTables(): string {
  const codes = Object.keys(NEST_AUTH_ERRORS) as NestAuthErrorCode[];
  const tables = GROUPS.map(([title, belongs]) => {
    const rows = codes
      .filter((code) => belongs(NEST_AUTH_ERRORS[code].status))
      .map(
        (code) =>
          `| \`${code}\` | ${NEST_AUTH_ERRORS[code].status} | ${NEST_AUTH_ERRORS[code].meaning} | ${ADVICE[code]} |`,
      );
    return [`### ${title}`, '', '| Code | HTTP | Meaning | What to do |', '|---|---|---|---|', ...rows].join('\n');
  });
  return `${START}\n\n${tables.join('\n\n')}\n\n${END}`;
}

/** The page with tables that are up to date. */
export function errorsPage(page: string): string {
  const start = page.indexOf(START);
  const end = page.indexOf(END);
  return page.slice(0, start) + errorTables() + page.slice(end + END.length);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(PAGE, errorsPage(readFileSync(PAGE, 'utf8')));

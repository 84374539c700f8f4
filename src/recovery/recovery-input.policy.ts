import { normaliseEmail, type Normalised, normalisePhone } from '../account/contact.policy.js';
import { InputIssues } from '../errors/input.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import type {
  AddressChangeInput,
  EmailChangeInput,
  PasswordChangeInput,
  PasswordResetInput,
  PasswordResetRequest,
  PhoneChangeInput,
  ProofForm,
  ProofInput,
  RequestVerificationOptions,
} from './recovery.types.js';

/** What is asked for, in the form in which it is looked up. */
export interface PreparedReset {
  readonly realmId: string;
  /** Null for what cannot be an email: nobody has it. */
  readonly email: string | null;
  readonly tenantId: string | null;
}

/** Only mistakes of the caller are refused: whether somebody has the email is told to nobody. */
export function prepareResetRequest(input: PasswordResetRequest, tenancy: Tenancy): PreparedReset {
  const issues = new InputIssues();
  issues.fields(input, ['email', 'tenantId', 'platform']);
  const { email, tenantId = null, platform = false } = input;
  if (typeof email !== 'string') issues.add('email', 'must be a string');
  if (tenantId !== null) issues.uuid('tenantId', tenantId);
  if (typeof platform !== 'boolean') issues.add('platform', 'must be true or false');
  else if (platform && tenantId !== null) issues.add('platform', 'excludes tenantId: its users belong to no tenant');
  issues.refuse('The password reset cannot be asked for');
  const named = tenantId === null ? null : tenancy.named(tenantId).toLowerCase();
  const normalised = normaliseEmail(email);
  return {
    realmId: platform ? NIL_UUID : tenancy.realmOf(named),
    email: 'value' in normalised ? normalised.value : null,
    tenantId: named,
  };
}

export function checkReset(input: PasswordResetInput): void {
  const issues = new InputIssues();
  issues.fields(input, ['token', 'password']);
  if (typeof input.token !== 'string') issues.add('token', 'must be a string');
  if (typeof input.password !== 'string') issues.add('password', 'must be a string');
  issues.refuse('The password cannot be reset');
}

export function checkPasswordChange(input: PasswordChangeInput): void {
  const issues = new InputIssues();
  issues.fields(input, ['userId', 'currentPassword', 'newPassword', 'keepSessionId']);
  issues.uuid('userId', input.userId);
  if (typeof input.currentPassword !== 'string') issues.add('currentPassword', 'must be a string');
  if (typeof input.newPassword !== 'string') issues.add('newPassword', 'must be a string');
  if (input.keepSessionId !== undefined) issues.uuid('keepSessionId', input.keepSessionId);
  issues.refuse('The password cannot be changed');
}

/** A form that is asked for. */
export function readForm(options: RequestVerificationOptions): ProofForm {
  const issues = new InputIssues();
  issues.fields(options, ['by']);
  const { by = 'link' } = options;
  if (by !== 'link' && by !== 'code') issues.add('by', "must be 'link' or 'code'");
  issues.refuse('The verification cannot be asked for');
  return by;
}

/** Refuses anything but a token, or a code and whose it is. */
export function checkProof(input: ProofInput, forms: readonly ProofForm[]): void {
  const issues = new InputIssues();
  const isLink = forms.length === 1 ? forms[0] === 'link' : (input as { token?: unknown } | null)?.token !== undefined;
  issues.fields(input, isLink ? ['token'] : ['userId', 'code']);
  const { token, userId, code } = input;
  if (isLink && typeof token !== 'string') issues.add('token', 'must be a string');
  if (!isLink) issues.uuid('userId', userId);
  if (!isLink && typeof code !== 'string') issues.add('code', 'must be a string');
  issues.refuse('Nothing can be proven by that');
}

/** A new address as it is stored, and as it is compared. */
export interface NewAddress {
  readonly typed: string;
  readonly norm: string;
}

export function prepareEmailChange(input: EmailChangeInput): NewAddress {
  return prepareChange(input, 'email', (typed) => ({ typed: typed.trim(), norm: normaliseEmail(typed) }));
}

export function preparePhoneChange(input: PhoneChangeInput, defaultRegion: string | undefined): NewAddress {
  return prepareChange(input, 'phone', (typed) => {
    const norm = normalisePhone(typed, { defaultRegion });
    return { typed: 'value' in norm ? norm.value : '', norm };
  });
}

function prepareChange(
  input: AddressChangeInput & { readonly email?: unknown; readonly phone?: unknown },
  login: 'email' | 'phone',
  normalise: (typed: string) => { readonly typed: string; readonly norm: Normalised },
): NewAddress {
  const issues = new InputIssues();
  issues.fields(input, ['userId', login, 'currentPassword', 'sessionId', 'code', 'recoveryCode']);
  const { userId, currentPassword, sessionId, code, recoveryCode } = input;
  issues.uuid('userId', userId);
  for (const [path, secret] of Object.entries({ currentPassword, code, recoveryCode }))
    if (secret !== undefined && typeof secret !== 'string') issues.add(path, 'must be a string');
  if (sessionId !== undefined) issues.uuid('sessionId', sessionId);
  const typed = input[login];
  const read = typeof typed === 'string' ? normalise(typed) : null;
  if (read === null) issues.add(login, 'must be a string');
  else if ('issue' in read.norm) issues.add(login, read.norm.issue);
  issues.refuse(`The ${login} cannot be changed`);
  const { typed: address, norm } = read as { typed: string; norm: { value: string } };
  return { typed: address, norm: norm.value };
}

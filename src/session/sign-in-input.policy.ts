import { normaliseEmail, normalisePhone } from '../account/contact.policy.js';
import { InputIssues } from '../errors/input.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { NIL_UUID } from '../tenant/tenant.types.js';
import { readRefreshToken } from './refresh-token.policy.js';
import type { DeviceContext, SignInContext, SignInInput } from './session.types.js';

/** What to look for. */
export interface PreparedSignIn {
  readonly realmId: string;
  readonly provider: 'email' | 'phone';
  /** Null for what cannot be a login: nobody has it. */
  readonly login: string | null;
  readonly password: string;
  /** The tenant that was named; null for none. */
  readonly tenantId: string | null;
  /** Of the token of a device that may be trusted; null for none. */
  readonly deviceHash: Buffer | null;
}

const FIELDS = ['email', 'phone', 'password', 'tenantId', 'platform'];

/** Only mistakes of the caller are refused here: what depends on who is asked for has one answer, and that comes later. */
export function prepareSignIn(
  input: SignInInput,
  deviceHash: Buffer | null,
  tenancy: Tenancy,
  region: string | undefined,
): PreparedSignIn {
  const issues = new InputIssues();
  issues.fields(input, FIELDS);
  const { email, phone, password, tenantId = null, platform = false } = input;
  if ((email === undefined) === (phone === undefined)) issues.add('email', 'or phone must be given, one of the two');
  if (email !== undefined && typeof email !== 'string') issues.add('email', 'must be a string');
  if (phone !== undefined && typeof phone !== 'string') issues.add('phone', 'must be a string');
  if (typeof password !== 'string') issues.add('password', 'must be a string');
  if (tenantId !== null) issues.uuid('tenantId', tenantId);
  if (typeof platform !== 'boolean') issues.add('platform', 'must be true or false');
  else if (platform && tenantId !== null) issues.add('platform', 'excludes tenantId: its users belong to no tenant');
  issues.refuse('The sign-in cannot be tried');
  const named = tenantId === null ? null : tenancy.named(tenantId).toLowerCase();
  const normalised =
    email === undefined ? normalisePhone(phone as string, { defaultRegion: region }) : normaliseEmail(email);
  return {
    realmId: platform ? NIL_UUID : tenancy.realmOf(named),
    provider: email === undefined ? 'phone' : 'email',
    login: 'value' in normalised ? normalised.value : null,
    password,
    tenantId: named,
    deviceHash,
  };
}

/** The hash of the device's token, apart from the rest; null for none, and for what cannot be one. */
export function deviceOf(context: DeviceContext): SignInContext & { readonly deviceHash: Buffer | null } {
  const issues = new InputIssues();
  issues.fields(context, ['ip', 'userAgent', 'deviceToken']);
  const { deviceToken, ...from } = context;
  if (deviceToken !== undefined && typeof deviceToken !== 'string') issues.add('deviceToken', 'must be a string');
  issues.refuse('The context of the sign-in cannot be used');
  return { ...from, deviceHash: readRefreshToken(deviceToken)?.hash ?? null };
}

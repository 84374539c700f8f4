import { keepsWildcardGrammar, WILDCARD_GRAMMAR } from '../access/permission-names.policy.js';
import { InputIssues } from '../errors/input.js';
import type { Tenancy } from '../tenant/tenancy.js';
import { TenantModeEnum } from '../tenant/tenant.types.js';
import type { KeyHolder } from './key-rows.queries.js';
import { type ApiKeySettings, MAX_OVERLAP_SECONDS } from './api-key.settings.js';
import type {
  ApiKeyLifetime,
  ApiKeyOwner,
  CreateApiKeyInput,
  CreateServiceAccountInput,
  ListApiKeysOptions,
  ListServiceAccountsOptions,
  RotateApiKeyOptions,
} from './api-key.types.js';

const CREATE = [
  'owner',
  'name',
  'scopes',
  'expiresAt',
  'expiresInDays',
] as const satisfies readonly (keyof CreateApiKeyInput)[];
const ROTATE = [
  'overlapSeconds',
  'expectedVersion',
  'expiresAt',
  'expiresInDays',
] as const satisfies readonly (keyof RotateApiKeyOptions)[];
const CREATE_ACCOUNT = [
  'tenantId',
  'name',
  'description',
] as const satisfies readonly (keyof CreateServiceAccountInput)[];

const MAX_NAME_LENGTH = 200;
const MAX_DESCRIPTION_LENGTH = 2_000;
const MAX_SCOPES = 100;

/** Refuses what cannot be a key; answers the scopes, each once. */
export function readCreateKey(input: CreateApiKeyInput, settings: ApiKeySettings): string[] {
  const issues = new InputIssues();
  issues.fields(input, CREATE);
  checkOwner(issues, input.owner);
  issues.text('name', input.name, { max: MAX_NAME_LENGTH });
  checkScopes(issues, input.scopes);
  checkLifetime(issues, input, settings);
  issues.refuse('The API key cannot be made');
  return [...new Set(input.scopes)];
}

export function checkRotation(options: RotateApiKeyOptions, settings: ApiKeySettings): void {
  const issues = new InputIssues();
  issues.fields(options, ROTATE);
  const { overlapSeconds, expectedVersion } = options;
  if (overlapSeconds !== undefined) checkNumber(issues, 'overlapSeconds', overlapSeconds, 0, MAX_OVERLAP_SECONDS);
  if (expectedVersion !== undefined) checkNumber(issues, 'expectedVersion', expectedVersion, 1, 2 ** 31 - 1);
  checkLifetime(issues, options, settings);
  issues.refuse('The API key cannot be rotated');
}

export function checkKeyList(options: ListApiKeysOptions): void {
  const issues = new InputIssues();
  issues.fields(options, ['limit', 'after'] satisfies (keyof ListApiKeysOptions)[]);
  issues.refuse('The API keys cannot be listed');
}

export function checkCreateAccount(input: CreateServiceAccountInput): void {
  const issues = new InputIssues();
  issues.fields(input, CREATE_ACCOUNT);
  issues.text('name', input.name, { max: MAX_NAME_LENGTH });
  if (input.description !== undefined && input.description !== null) {
    issues.text('description', input.description, { min: 0, max: MAX_DESCRIPTION_LENGTH });
  }
  issues.refuse('The service account cannot be made');
}

export function checkAccountList(options: ListServiceAccountsOptions): void {
  const issues = new InputIssues();
  const known = ['tenantId', 'limit', 'after', 'offset', 'replica'] satisfies (keyof ListServiceAccountsOptions)[];
  issues.fields(options, known);
  issues.refuse('The service accounts cannot be listed');
}

/** Whose new key it is: a user's without a tenant is one to the platform, where there are tenants at all. */
export function holderOfNew(owner: ApiKeyOwner, tenancy: Tenancy): KeyHolder {
  const holder = holderOf(owner, tenancy);
  if (holder.kind !== 'user' || holder.tenantId !== undefined) return holder;
  const tenantId = tenancy.mode === TenantModeEnum.DISABLED ? tenancy.tenantForCreate(undefined) : null;
  return { ...holder, tenantId };
}

/** Whose keys are meant. Errors: `VALIDATION_FAILED`, `TENANT_NOT_FOUND` for an id that the tenancy mode cannot have. */
export function holderOf(owner: ApiKeyOwner, tenancy: Tenancy): KeyHolder {
  const issues = new InputIssues();
  checkOwner(issues, owner);
  issues.refuse('The owner of API keys cannot be used');
  if ('serviceAccountId' in owner) {
    const { serviceAccountId, tenantId } = owner;
    return { kind: 'service_account', serviceAccountId, tenantId: tenantOfAccounts(tenantId, tenancy) };
  }
  const { userId, tenantId } = owner;
  return { kind: 'user', userId, tenantId: typeof tenantId === 'string' ? tenancy.named(tenantId) : tenantId };
}

/** The tenant that owns service accounts: there is but one to be left out. */
export function tenantOfAccounts(tenantId: string | undefined, tenancy: Tenancy): string {
  const builtIn = tenantId === undefined && tenancy.mode === TenantModeEnum.DISABLED;
  return builtIn ? (tenancy.tenantForCreate(undefined) as string) : tenancy.named(tenantId as string);
}

function checkOwner(issues: InputIssues, owner: unknown): void {
  if (typeof owner !== 'object' || owner === null) return issues.add('owner', 'must be an object');
  const { userId, serviceAccountId, tenantId } = owner as Readonly<Record<string, unknown>>;
  const isUser = !('serviceAccountId' in owner);
  for (const key of Object.keys(owner)) {
    if (key !== 'tenantId' && key !== (isUser ? 'userId' : 'serviceAccountId')) {
      issues.add(`owner.${key}`, 'is not a field of this owner: either userId or serviceAccountId, and tenantId');
    }
  }
  if (isUser) issues.uuid('owner.userId', userId);
  else issues.uuid('owner.serviceAccountId', serviceAccountId);
  const mayBeLeft = tenantId === undefined || (isUser && tenantId === null);
  if (!mayBeLeft) issues.uuid('owner.tenantId', tenantId);
}

function checkScopes(issues: InputIssues, scopes: unknown): void {
  if (!Array.isArray(scopes) || scopes.length === 0 || scopes.length > MAX_SCOPES) {
    return issues.add('scopes', `must be an array of 1 to ${MAX_SCOPES} names of permissions`);
  }
  scopes.forEach((scope: unknown, index) => {
    issues.text(`scopes[${index}]`, scope, { max: MAX_NAME_LENGTH });
    if (typeof scope === 'string' && !keepsWildcardGrammar(scope)) issues.add(`scopes[${index}]`, WILDCARD_GRAMMAR);
  });
}

function checkLifetime(
  issues: InputIssues,
  { expiresAt, expiresInDays }: ApiKeyLifetime,
  settings: ApiKeySettings,
): void {
  // Long ago by any clock, and some of it before the calendar of PostgreSQL.
  if (expiresAt !== undefined && !(expiresAt instanceof Date && expiresAt.getTime() >= 0)) {
    issues.add('expiresAt', 'must be a date to come');
  }
  if (expiresInDays === undefined) return;
  if (expiresAt !== undefined) issues.add('expiresInDays', 'cannot be combined with expiresAt');
  checkNumber(issues, 'expiresInDays', expiresInDays, 1, settings.maxDays);
}

function checkNumber(issues: InputIssues, path: string, value: unknown, min: number, max: number): void {
  const fits = typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
  if (!fits) issues.add(path, `must be a whole number, ${min} to ${max}`);
}

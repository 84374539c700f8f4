import { assertUuid, checkMetadata, InputIssues } from '../errors/input.js';
import { PAGE_FIELDS } from '../transaction/keyset.js';
import type { AccessSettings } from './access.settings.js';
import type {
  CreatePermissionInput,
  CreateRoleInput,
  DirectPermissionOptions,
  GetPermissionsOptions,
  GetRolesOptions,
  GrantOptions,
  UpdatePermissionInput,
  UpdateRoleInput,
} from './access.types.js';
import { keepsWildcardGrammar, WILDCARD_GRAMMAR } from './permission-names.policy.js';

const CREATE_ROLE = [
  'name',
  'guard',
  'tenantId',
  'isSystem',
  'description',
  'isActive',
  'isOwner',
  'permissions',
  'metadata',
] as const satisfies readonly (keyof CreateRoleInput)[];
const UPDATE_ROLE = [
  'name',
  'description',
  'isActive',
  'isOwner',
  'metadata',
  'expectedVersion',
] as const satisfies readonly (keyof UpdateRoleInput)[];
const LIST_ROLES = [
  'guard',
  'tenantId',
  'systemOnly',
  'ownOnly',
  ...PAGE_FIELDS,
] as const satisfies readonly (keyof GetRolesOptions)[];
const CREATE_PERMISSION = [
  'name',
  'guard',
  'description',
  'category',
  'metadata',
] as const satisfies readonly (keyof CreatePermissionInput)[];
const UPDATE_PERMISSION = [
  'name',
  'description',
  'category',
  'metadata',
] as const satisfies readonly (keyof UpdatePermissionInput)[];
const LIST_PERMISSIONS = [
  'guard',
  'category',
  'search',
  ...PAGE_FIELDS,
] as const satisfies readonly (keyof GetPermissionsOptions)[];

const MAX_NAME_LENGTH = 200;
const MAX_DESCRIPTION_LENGTH = 2_000;
const MAX_SEARCH_LENGTH = 200;
/** As many permissions, or rows of them, as one statement takes. */
const MAX_PERMISSIONS_PER_CALL = 1_000;
/** As many roles of one access as anybody was seen to need. */
const MAX_ROLES_PER_CALL = 100;

export function checkCreateRole(input: CreateRoleInput, settings: AccessSettings): void {
  const issues = new InputIssues();
  issues.fields(input, CREATE_ROLE);
  issues.text('name', input.name, { max: MAX_NAME_LENGTH });
  checkGuard(issues, input.guard, settings);
  if (input.tenantId !== undefined && input.tenantId !== null) issues.uuid('tenantId', input.tenantId);
  if (input.isSystem !== undefined) issues.boolean('isSystem', input.isSystem);
  if (input.isActive !== undefined) issues.boolean('isActive', input.isActive);
  if (input.isOwner !== undefined) issues.boolean('isOwner', input.isOwner);
  if (input.isOwner === true && input.guard === 'admin') issues.add('isOwner', 'is not for roles of the admin guard');
  if (input.permissions !== undefined) checkNames(issues, 'permissions', input.permissions);
  checkTexts(issues, input);
  issues.refuse('The role cannot be created');
}

export function checkUpdateRole(input: UpdateRoleInput): void {
  const issues = new InputIssues();
  issues.fields(input, UPDATE_ROLE);
  if (input.name !== undefined) issues.text('name', input.name, { max: MAX_NAME_LENGTH });
  if (input.isActive !== undefined) issues.boolean('isActive', input.isActive);
  if (input.isOwner !== undefined) issues.boolean('isOwner', input.isOwner);
  if (input.expectedVersion !== undefined && !Number.isSafeInteger(input.expectedVersion)) {
    issues.add('expectedVersion', 'must be a whole number');
  }
  checkTexts(issues, input);
  issues.refuse('The role cannot be updated');
}

export function checkRoleList(options: GetRolesOptions, settings: AccessSettings): void {
  const issues = new InputIssues();
  issues.fields(options, LIST_ROLES);
  if (options.guard !== undefined) checkGuard(issues, options.guard, settings);
  if (options.tenantId !== undefined) issues.uuid('tenantId', options.tenantId);
  if (options.systemOnly !== undefined) issues.boolean('systemOnly', options.systemOnly);
  if (options.ownOnly !== undefined) issues.boolean('ownOnly', options.ownOnly);
  if (options.systemOnly === true && options.ownOnly === true) issues.add('ownOnly', 'excludes systemOnly');
  issues.refuse('The roles cannot be listed');
}

export function checkCreatePermissions(inputs: readonly CreatePermissionInput[], settings: AccessSettings): void {
  const issues = new InputIssues();
  if (!Array.isArray(inputs) || inputs.length > MAX_PERMISSIONS_PER_CALL) {
    issues.add('permissions', `must be an array of at most ${MAX_PERMISSIONS_PER_CALL}`);
    issues.refuse('The permissions cannot be created');
  }
  inputs.forEach((input, index) => {
    const path = inputs.length === 1 ? '' : `[${index}].`;
    issues.fields(input, CREATE_PERMISSION);
    checkPermissionName(issues, `${path}name`, input.name);
    checkGuard(issues, input.guard, settings, `${path}guard`);
    checkTexts(issues, input, path);
  });
  issues.refuse('The permissions cannot be created');
}

export function checkUpdatePermission(input: UpdatePermissionInput): void {
  const issues = new InputIssues();
  issues.fields(input, UPDATE_PERMISSION);
  if (input.name !== undefined) checkPermissionName(issues, 'name', input.name);
  checkTexts(issues, input);
  issues.refuse('The permission cannot be updated');
}

export function checkPermissionList(options: GetPermissionsOptions, settings: AccessSettings): void {
  const issues = new InputIssues();
  issues.fields(options, LIST_PERMISSIONS);
  if (options.guard !== undefined) checkGuard(issues, options.guard, settings);
  if (options.category !== undefined) issues.text('category', options.category, { max: MAX_NAME_LENGTH });
  if (options.search !== undefined) issues.text('search', options.search, { max: MAX_SEARCH_LENGTH });
  issues.refuse('The permissions cannot be listed');
}

/** A name and guard by which a role or permission is looked up; one that cannot exist is a mistake of the caller. */
export function assertNameAndGuard(name: string, guard: string, settings: AccessSettings): void {
  const issues = new InputIssues();
  issues.text('name', name, { max: MAX_NAME_LENGTH });
  checkGuard(issues, guard, settings);
  issues.refuse('The name cannot be looked up');
}

/** Until when something is given; null for ever. Whether that is still to come, the database says. */
export function readExpiry(options: GrantOptions = {}): Date | null {
  const issues = new InputIssues();
  issues.fields(options, ['expiresAt'] satisfies (keyof GrantOptions)[]);
  checkExpiry(issues, options);
  issues.refuse('The role cannot be granted');
  return options.expiresAt ?? null;
}

export function readDirectPermission(permission: string, options: DirectPermissionOptions = {}) {
  const issues = new InputIssues();
  issues.text('permission', permission, { max: MAX_NAME_LENGTH });
  issues.fields(options, ['expiresAt', 'reason'] satisfies (keyof DirectPermissionOptions)[]);
  checkExpiry(issues, options);
  if (options.reason !== undefined && options.reason !== null) {
    issues.text('reason', options.reason, { max: MAX_DESCRIPTION_LENGTH });
  }
  issues.refuse('The permission cannot be granted or denied');
  return { expiresAt: options.expiresAt ?? null, reason: options.reason ?? null };
}

function checkExpiry(issues: InputIssues, { expiresAt }: GrantOptions): void {
  if (expiresAt === undefined || expiresAt === null) return;
  const isDate = expiresAt instanceof Date && !Number.isNaN(expiresAt.getTime());
  if (!isDate) issues.add('expiresAt', 'must be a date');
}

/** Ids of roles from which a role is to inherit, each once. */
export function readParentIds(parentIds: readonly string[]): string[] {
  const issues = new InputIssues();
  issues.uuids('parentIds', parentIds, MAX_ROLES_PER_CALL);
  issues.refuse('The role cannot inherit from these');
  return [...new Set(parentIds.map((id) => id.toLowerCase()))];
}

/** Ids of roles, each once. */
export function readRoleIds(userId: string, roleIds: readonly string[]): string[] {
  assertUuid('userId', userId);
  const issues = new InputIssues();
  issues.uuids('roleIds', roleIds, MAX_ROLES_PER_CALL);
  issues.refuse('The roles cannot be assigned');
  return [...new Set(roleIds.map((id) => id.toLowerCase()))];
}

/** Names of permissions, each once; at least one where a check would otherwise be true of nothing. */
export function readPermissionNames(names: readonly string[], { min = 0 } = {}): string[] {
  const issues = new InputIssues();
  checkNames(issues, 'permissions', names);
  if (Array.isArray(names) && names.length < min) issues.add('permissions', 'must name at least one permission');
  issues.refuse('The permissions cannot be used');
  return [...new Set(names)];
}

function checkGuard(issues: InputIssues, guard: unknown, { guards }: AccessSettings, path = 'guard'): void {
  if (typeof guard === 'string' && guards.includes(guard)) return;
  issues.add(path, `must be one of ${guards.join(', ')}; more by the option access.guards`);
}

function checkNames(issues: InputIssues, path: string, names: unknown): void {
  if (!Array.isArray(names) || names.length > MAX_PERMISSIONS_PER_CALL) {
    return issues.add(path, `must be an array of at most ${MAX_PERMISSIONS_PER_CALL} names`);
  }
  names.forEach((name, index) => issues.text(`${path}[${index}]`, name, { max: MAX_NAME_LENGTH }));
}

function checkPermissionName(issues: InputIssues, path: string, name: unknown): void {
  issues.text(path, name, { max: MAX_NAME_LENGTH });
  if (typeof name === 'string' && !keepsWildcardGrammar(name)) issues.add(path, WILDCARD_GRAMMAR);
}

interface Texts {
  readonly description?: string | null;
  readonly category?: string | null;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

function checkTexts(issues: InputIssues, { description, category, metadata }: Texts, path = ''): void {
  if (description !== undefined && description !== null) {
    issues.text(`${path}description`, description, { min: 0, max: MAX_DESCRIPTION_LENGTH });
  }
  if (category !== undefined && category !== null) issues.text(`${path}category`, category, { max: MAX_NAME_LENGTH });
  if (metadata !== undefined) checkMetadata(issues, `${path}metadata`, metadata);
}
